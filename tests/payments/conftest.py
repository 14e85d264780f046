"""A house on dictionaries and one on PostgreSQL: every test of payments holds on both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support_engine import database, pool_of
from tests.support_payments import House, memory_house, postgres_house


@pytest.fixture(scope="session")
async def payments_db(database_url: str) -> AsyncIterator[str]:
    async with database(database_url) as url:
        yield url


@pytest.fixture(scope="session")
async def payments_pool(payments_db: str) -> AsyncIterator[Any]:
    async with pool_of(payments_db) as opened:
        yield opened


@pytest.fixture(params=["memory", "postgres"])
async def house(request: pytest.FixtureRequest, payments_pool: Any) -> AsyncIterator[House]:
    """After every test its books must balance."""
    made = memory_house() if request.param == "memory" else await postgres_house(payments_pool)
    yield made
    await made.engine.drain()
    assert await made.faults() == []
