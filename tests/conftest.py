"""Fixtures for every test.

``database_url``    (session) the URL of a running PostgreSQL's empty database ``tongbao``, whose user may
                    create others. Each pytest process has its own server, started when first asked for.
``fresh_database``  (function) the URL of a new, empty database on that server; dropped afterwards.
``bin_dir``         (session) the folder of the PostgreSQL programs under test.

``TONGBAO_TEST_POSTGRES_BIN`` names another PostgreSQL's programs, e.g. ``/usr/lib/postgresql/15/bin``.
``TONGBAO_CI=1`` turns a skip for a missing part into a failure: skip with ``support.skip_or_fail(reason)``.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.support import create_database, drop_database

from tongbao.database import embedded


@pytest.fixture(scope="session")
def bin_dir() -> Path:
    return Path(os.environ.get("TONGBAO_TEST_POSTGRES_BIN") or embedded.bin_dir())


@pytest.fixture(scope="session")
def database_url(bin_dir: Path) -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="tongbao-test-"))
    server = embedded.EmbeddedPostgres(folder / "postgres", bin_dir)
    try:
        yield server.start()
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def fresh_database(database_url: str) -> AsyncIterator[str]:
    url = await create_database(database_url)
    yield url
    await drop_database(database_url, url)
