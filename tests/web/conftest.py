"""One running site for all tests of the pages, and browsers to look at it with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support import create_database, drop_database
from tests.web.site_world import SiteWorld, site_world


@pytest.fixture(scope="session")
async def running_site(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SiteWorld]:
    """The site, started once."""
    folder: Path = tmp_path_factory.mktemp("site")
    url = await create_database(database_url)
    async with site_world(url, folder) as world:
        yield world
    await drop_database(database_url, url)


@pytest.fixture
async def site(running_site: SiteWorld) -> AsyncIterator[SiteWorld]:
    """The site, with an acquirer that makes no faults."""
    await running_site.faults()
    yield running_site
    await running_site.faults()
