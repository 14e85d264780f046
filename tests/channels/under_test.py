"""What the contract tests need of a channel's test partner. Each outside channel brings one of these."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from tests.sandbox.inbox import Inbox

from tongbao.channels.contract import Channel


class Moved(NamedTuple):
    """What the provider's own books say about one charge, in minor units."""

    captured: int
    refunded: int


class ChannelUnderTest(Protocol):
    """A channel, and the means to steer the simulated provider behind it."""

    channel: Channel
    impatient: Channel
    """The same, with a read time-out well below ``SLOW_MS``."""
    unreachable: Channel
    """The same, pointed at an address where nobody listens."""
    inbox: Inbox

    async def approving(self) -> str:
        """A token whose charges are approved."""
        ...

    async def declining(self) -> str:
        """A token whose charges are declined."""
        ...

    async def waiting(self) -> str:
        """A token whose charges wait for the shopper."""
        ...

    async def disturb(self, kind: str, **details: object) -> None:
        """Make the next matching request or notice go wrong, once. The kinds are those of the sandbox's faults."""
        ...

    async def calm(self) -> None:
        """No more faults."""
        ...

    async def shopper(self, url: str, *, approves: bool) -> str:
        """Do what the shopper does at ``NextStep.url``; return where the browser is sent then."""
        ...

    async def moved(self, charge_operation_id: str) -> Moved:
        """Ask the provider's own books."""
        ...


SLOW_MS = 400
"""How long a slow answer takes in these tests."""
