"""One whole installation for the tests of the API, shared by the session's tests of one process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import world as worlds
from tests.support import create_database


@pytest.fixture(scope="session")
def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[worlds.World]:
    """PostgreSQL, server, worker and sandbox, and a merchant with keys."""
    folder: Path = tmp_path_factory.mktemp("world")
    url = worlds.run_apart(lambda: create_database(database_url))
    made = worlds.build(folder, url)
    yield made
    made.stop()
