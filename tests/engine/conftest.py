"""A database with the schema for all tests of this folder, and in it a merchant of each test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support_engine import database, new_merchant, pool_of

from tongbao.engine import Engine
from tongbao.engine.store import PostgresStore


@pytest.fixture(scope="session")
async def engine_db(database_url: str) -> AsyncIterator[str]:
    async with database(database_url) as url:
        yield url


@pytest.fixture
async def pool(engine_db: str) -> AsyncIterator[Any]:
    async with pool_of(engine_db) as opened:
        yield opened


@pytest.fixture
async def merchant(pool: Any) -> str:
    return await new_merchant(pool)


@pytest.fixture
def batches() -> list[int]:
    """The sizes of the engine's batches."""
    return []


@pytest.fixture
async def engine(pool: Any, batches: list[int]) -> AsyncIterator[Engine]:
    made = Engine(PostgresStore(pool), on_batch=batches.append)
    yield made
    await made.drain()
