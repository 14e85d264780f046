"""A merchant, an engine, a vault: what webhooks live in."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterable
from typing import Any, ClassVar

import msgspec

from tongbao.database import ddl
from tongbao.database.pool import open_pool
from tongbao.database.rows import METADATA
from tongbao.engine import Engine, Rows
from tongbao.engine.commands import Key
from tongbao.engine.store import PostgresStore
from tongbao.foundation.http import Json
from tongbao.identity.merchants import create_merchant
from tongbao.identity.model import Customer, Merchant
from tongbao.vault import Vault
from tongbao.webhooks.commands import CreateEndpoint
from tongbao.webhooks.model import WebhookEndpoint
from tongbao.webhooks.secrets import open_secret, seal_secret
from tongbao.webhooks.sender import WebhookSender
from tongbao.webhooks.signature import new_signing_secret

MASTER = os.environ.get("TEST_MASTER", "0" * 32).encode()
"""The senders' master key; a sender in a process of its own gets the same."""


def render_customer(snapshot: str, livemode: bool) -> Json:
    row = msgspec.json.decode(snapshot, type=Customer)
    return {"id": row.id, "object": "customer", "livemode": livemode, "name": row.name, "version": row.version}


RENDERERS = {"customer": render_customer}


class Happen(msgspec.Struct, frozen=True):
    """Events of these types happen to customers: ``(type, customer's id)``."""

    what: list[tuple[str, str]]

    reply: ClassVar[type[msgspec.Struct]] = Customer

    def needs(self, rows: Rows) -> Iterable[Key]:
        return ()

    def decide(self, rows: Rows, now_ms: int) -> Customer:
        for version, (event_type, customer_id) in enumerate(self.what, 1):
            customer = Customer(rows.merchant_id, customer_id, now_ms, version=version, name="王小明")
            rows.event(event_type, "customer", customer)
        return customer


class World:
    """One installation with one merchant and its test twin."""

    def __init__(self, url: str, pool: Any, live: Merchant, test: Merchant) -> None:
        self.url = url
        self.pool = pool
        self.live = live.merchant_id
        self.test = test.merchant_id
        self.engine = Engine(PostgresStore(pool))
        self.vault = Vault({"k": MASTER}, "k")

    async def endpoint(
        self, url: str, events: Iterable[str] = ("*",), merchant: str | None = None
    ) -> tuple[WebhookEndpoint, str]:
        """Make an endpoint; return it and its secret."""
        merchant = merchant or self.test
        sealed = seal_secret(self.vault, merchant, new_signing_secret())
        reply = await self.engine.run(merchant, CreateEndpoint(url, sealed, list(events), others=0))
        return reply.value, open_secret(self.vault, reply.value)

    async def happen(self, *what: str | tuple[str, str], merchant: str | None = None) -> None:
        """Let events happen: a type, or a type and the customer's id."""
        events = [(one, "cus_1") if isinstance(one, str) else one for one in what]
        await self.engine.run(merchant or self.test, Happen(events))

    async def rows(self, table: str) -> list[dict[str, Any]]:
        records = await self.pool.fetch(f"SELECT * FROM {table} ORDER BY merchant_id, endpoint_id, event_seq")
        return [dict(record) for record in records]

    async def states(self) -> list[str]:
        return [row["state"] for row in await self.rows("webhook_deliveries")]

    async def until_states(self, *states: str, seconds: float = 10) -> None:
        """Wait until the deliveries are in these states."""
        async with asyncio.timeout(seconds):
            while await self.states() != list(states):
                await asyncio.sleep(0.01)

    def sender(self, **settings: Any) -> WebhookSender:
        settings = {"jitter": lambda: 0.5, "poll_s": 0.02, **settings}
        return WebhookSender(self.pool, self.vault, RENDERERS, **{"private_targets": True, **settings})

    @contextlib.asynccontextmanager
    async def sending(self, grace_s: float = 0.5, **settings: Any) -> AsyncIterator[WebhookSender]:
        """A sender that runs meanwhile, and is then stopped."""
        stop = asyncio.Event()
        sender = self.sender(**settings)
        task = asyncio.create_task(sender.run(stop, grace_s))
        try:
            yield sender
            assert not task.done(), "the sender ended by itself"
        finally:
            stop.set()
            await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def open_world(url: str) -> AsyncIterator[World]:
    """Tables and a merchant in an empty database."""
    pool = await open_pool(url, size_max=10)
    for statement in ddl.statements(METADATA.sorted_tables):
        await pool.execute(statement)
    async with pool.acquire() as connection:
        live, test = await create_merchant(connection, "A tea shop")
    yield World(url, pool, live, test)
    await pool.close()
