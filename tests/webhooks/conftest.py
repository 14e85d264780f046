"""Fixtures: an installation on a database of its own, and a merchant's server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.webhooks.receiver import Receiver, open_receiver
from tests.webhooks.world import World, open_world


@pytest.fixture
async def world(fresh_database: str) -> AsyncIterator[World]:
    async with open_world(fresh_database) as world:
        yield world


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with open_receiver() as receiver:
        yield receiver
