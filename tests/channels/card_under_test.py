"""The card channel with its sandbox acquirer, for the contract tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import msgspec
from tests.channels.under_test import SLOW_MS, ChannelUnderTest, Moved
from tests.sandbox.inbox import Inbox, open_inbox
from tests.sandbox.process import AcquirerClient, SandboxProcess, start

from tongbao.channels.card import CardChannel, CardConfig, test_cards
from tongbao.channels.contract import CardToken, Channel
from tongbao.channels.http import new_client
from tongbao.foundation.ids import new_id


class CardUnderTest:
    """See ``ChannelUnderTest``."""

    def __init__(self, sandbox: SandboxProcess, http: httpx.AsyncClient, inbox: Inbox) -> None:
        config = CardConfig(base_url=sandbox.acquirer_url, terminal_id=sandbox.terminal_id, secret=sandbox.secret)
        self._card = CardChannel(config, http)
        self.channel: Channel = self._card
        hasty = msgspec.structs.replace(config, read_timeout_s=SLOW_MS / 4000)
        self.impatient: Channel = CardChannel(hasty, http)
        nowhere = msgspec.structs.replace(config, base_url="http://127.0.0.1:1/acquirer")
        self.unreachable: Channel = CardChannel(nowhere, http)
        self.inbox = inbox
        self.client = AcquirerClient(sandbox)
        self._http = http

    async def token(self, name: str) -> str:
        card = test_cards.test_card(name)
        assert card is not None
        token = await self._card.tokenize(card, new_id("op"))
        assert isinstance(token, CardToken)
        return token.token

    async def approving(self) -> str:
        return await self.token("pm_card_visa")

    async def declining(self) -> str:
        return await self.token("pm_card_visa_chargeDeclined")

    async def waiting(self) -> str:
        return await self.token("pm_card_threeDSecure2Required")

    async def disturb(self, kind: str, **details: object) -> None:
        await asyncio.to_thread(self.client.set_faults, {"kind": kind, "next": 1, **details})

    async def calm(self) -> None:
        await asyncio.to_thread(self.client.set_faults)

    async def shopper(self, url: str, *, approves: bool) -> str:
        answer = await self._http.post(url, data={"answer": "approve" if approves else "decline"})
        assert answer.status_code == 303
        location: str = answer.headers["location"]
        return location

    async def moved(self, charge_operation_id: str) -> Moved:
        sums = {"charge": 0, "capture": 0, "refund": 0}
        after: int | None = 0
        authorised_only = False
        while after is not None:
            page = await asyncio.to_thread(self.client.books, after=after, limit=1000)
            for row in page["operations"]:
                if row["charge_operation_id"] == charge_operation_id and row["status"] == "approved":
                    if row["kind"] == "charge":
                        authorised_only = not row["capture"]
                    sums[row["kind"]] = sums.get(row["kind"], 0) + row["amount"]
            after = page["next_after"]
        return Moved(sums["capture"] if authorised_only else sums["charge"], sums["refund"])


@asynccontextmanager
async def open_card(folder: Path) -> AsyncIterator[ChannelUnderTest]:
    """Start a sandbox and a card channel that uses it."""
    sandbox = start(folder / "sandbox")
    try:
        async with new_client() as http, open_inbox() as inbox:
            yield CardUnderTest(sandbox, http, inbox)
    finally:
        sandbox.stop()
