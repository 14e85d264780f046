"""Every outside channel of the house, each with its simulated provider."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path

import pytest
from tests.channels.card_under_test import open_card
from tests.channels.under_test import ChannelUnderTest

CHANNELS: dict[str, Callable[[Path], AbstractAsyncContextManager[ChannelUnderTest]]] = {"card": open_card}
"""A new outside channel is added here, and has to pass ``test_contract.py``."""

RESERVING = ["card"]
"""Those that can reserve money and capture it later."""


@pytest.fixture(scope="session")
async def partners(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Callable[[str], ChannelUnderTest]]:
    """Channels by name; their providers are started once for the whole run."""
    async with AsyncExitStack() as stack:
        opened = {
            name: await stack.enter_async_context(opener(tmp_path_factory.mktemp(name)))
            for name, opener in CHANNELS.items()
        }
        yield opened.__getitem__


@pytest.fixture(params=list(CHANNELS))
async def under_test(
    partners: Callable[[str], ChannelUnderTest], request: pytest.FixtureRequest
) -> AsyncIterator[ChannelUnderTest]:
    """Each channel in turn, without faults."""
    one = partners(request.param)
    await one.calm()
    one.inbox.failures = 0
    yield one
    await one.calm()


@pytest.fixture(params=RESERVING)
async def reserving(
    partners: Callable[[str], ChannelUnderTest], request: pytest.FixtureRequest
) -> AsyncIterator[ChannelUnderTest]:
    """Each channel that can reserve money, in turn, without faults."""
    one = partners(request.param)
    await one.calm()
    yield one
    await one.calm()
