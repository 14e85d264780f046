"""The hosted pages over real HTTP, with a real database and the sandbox's card acquirer; no worker, so that tests
decide themselves when a bank is asked again."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from tests.sandbox.process import AcquirerClient, SandboxProcess, start

from tongbao.api.assembly import Services, api_routes, open_services, site_routes
from tongbao.checkout.commands import CreateSession
from tongbao.checkout.model import CheckoutSession
from tongbao.database import reads
from tongbao.database.migrate import migrate
from tongbao.foundation.clock import now_ms
from tongbao.foundation.config import Settings
from tongbao.foundation.http import Caller
from tongbao.identity.commands import CreateCustomer
from tongbao.identity.merchants import create_merchant
from tongbao.identity.model import Customer, Merchant
from tongbao.orders.commands import CreateOrder
from tongbao.orders.model import Order
from tongbao.payments.commands import AttachMethod, CreateIntent, CreateRefund, MethodChoice
from tongbao.payments.methods import choose, named_method
from tongbao.payments.model import Charge, PaymentIntent
from tongbao.wallets.commands import FundBalance

GOOD_CARD = {"number": "4242 4242 4242 4242", "expiry": "12 / 49", "cvc": "123"}
SHOP = "https://tea.example"
ITEMS = [
    {"name": "明前龙井 50g", "unit_amount": 8_800, "quantity": 1, "amount": 8_800},
    {"name": "白瓷盖碗", "unit_amount": 4_100, "quantity": 1, "amount": 4_100},
]


@dataclass
class SiteWorld:
    """A running site, the things behind it, and short ways to make what tests need."""

    services: Services
    url: str
    merchant: Merchant
    sandbox: SandboxProcess
    acquirer: AcquirerClient
    clients: list[httpx.AsyncClient] = field(default_factory=list)

    @property
    def merchant_id(self) -> str:
        return self.merchant.merchant_id

    @property
    def origin(self) -> str:
        return self.url

    def browser(self, language: str = "en", **headers: str) -> httpx.AsyncClient:
        """A client with its own cookies that follows no redirects and tells its origin."""
        client = httpx.AsyncClient(
            base_url=self.url,
            headers={"Accept-Language": language, "Origin": self.origin, **headers},
            timeout=30,
            trust_env=False,
        )
        self.clients.append(client)
        return client

    async def run(self, command: Any) -> Any:
        return (await self.services.engine.run(self.merchant_id, command)).value

    async def order(self, **changes: Any) -> Order:
        wish: dict[str, Any] = {
            "currency": "cny",
            "line_items": ITEMS,
            "amount_total": 12_900,
            "description": "订单 2026-1122-0042",
        }
        order: Order = await self.run(CreateOrder(**(wish | changes)))
        return order

    async def session(self, order: Order | None = None, **changes: Any) -> CheckoutSession:
        order = order or await self.order()
        wish = {"success_url": f"{SHOP}/done?session={{CHECKOUT_SESSION_ID}}", "cancel_url": f"{SHOP}/cart"}
        session: CheckoutSession = await self.run(CreateSession(livemode=False, order=order.id, **(wish | changes)))
        return session

    async def customer(self, balance: int = 0, **fields: Any) -> Customer:
        customer: Customer = await self.run(CreateCustomer({"name": "林月", **fields}))
        if balance:
            await self.run(FundBalance(customer.id, balance, "cny"))
        return customer

    async def save_card(self, customer: Customer, name: str = "pm_card_visa") -> str:
        caller = Caller(self.merchant_id, "test", "secret", False)
        method = await named_method(self.services.payments, self.services.pool, caller, name)
        await self.run(AttachMethod(method.id, customer.id, method))
        return method.id

    def path(self, session: CheckoutSession) -> str:
        return f"/c/{session.merchant_id.removeprefix('acct_')}/{session.id}"

    async def fresh(self, row: Any) -> Any:
        return await reads.one(self.services.pool, type(row), self.merchant_id, row.id)

    async def intent_of(self, session: CheckoutSession) -> PaymentIntent:
        now: CheckoutSession = await self.fresh(session)
        intent = await reads.one(self.services.pool, PaymentIntent, self.merchant_id, now.payment_intent or "")
        assert intent is not None
        return intent

    async def charges_of(self, order: Order | str) -> list[Charge]:
        order_id = order if isinstance(order, str) else order.id
        rows = await self.services.pool.fetch(
            "SELECT id FROM charges WHERE merchant_id = $1 AND order_id = $2 ORDER BY id", self.merchant_id, order_id
        )
        found = [await reads.one(self.services.pool, Charge, self.merchant_id, row["id"]) for row in rows]
        return [charge for charge in found if charge is not None]

    async def faults(self, *rules: dict[str, Any]) -> None:
        await asyncio.to_thread(self.acquirer.set_faults, *rules)

    async def ask_bank_again(self, session: CheckoutSession) -> None:
        """What the worker's sweeper does when the time for it has come."""
        await self.services.payments.chase_intent(self.merchant_id, await self.intent_of(session))

    async def pay(
        self, client: httpx.AsyncClient, session: CheckoutSession, method: str = "card", **fields: str
    ) -> httpx.Response:
        """Open the page and send its form."""
        page = await client.get(self.path(session), params={"method": method})
        typed = GOOD_CARD | fields if method == "card" else fields
        return await client.post(
            f"{self.path(session)}/pay", data={"ticket": ticket_of(page.text), "method": method, **typed}
        )

    async def choice(self, name: str) -> MethodChoice:
        caller = Caller(self.merchant_id, "test", "secret", False)
        return await choose(self.services.payments, self.services.pool, caller, name, None)

    async def pay_part(self, order: Order, amount: int) -> None:
        """Bring in a part of what is due, as the shop's program can: an intent for a smaller amount."""
        command = CreateIntent(order=order.id, amount=amount, confirm=await self.choice("pm_card_visa"))
        await self.services.payments.run(self.merchant_id, command, None, None)

    async def refund(self, session: CheckoutSession, amount: int) -> None:
        intent = await self.intent_of(session)
        command = CreateRefund(self.services.payments.terms, payment_intent=intent.id, amount=amount)
        await self.services.payments.run(self.merchant_id, command, None, None)

    async def at_bank(self, client: httpx.AsyncClient, url: str, answer: str = "approve") -> httpx.Response:
        """Answer at the bank's page and follow the browser's way back to ours. Returns what our /return answers."""
        told = await client.post(url, data={"answer": answer})
        assert told.status_code == 303, told.text
        return await client.get(told.headers["location"])

    async def expire(self, session: CheckoutSession) -> None:
        """Let a session's time be up, as if it had been made long ago."""
        await self.services.pool.execute(
            "UPDATE checkout_sessions SET expires_ms = $3 WHERE merchant_id = $1 AND id = $2",
            self.merchant_id,
            session.id,
            now_ms() - 1,
        )


def ticket_of(html: str) -> str:
    found = re.search(r'name="ticket" value="([^"]+)"', html)
    assert found, html
    return found[1]


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to pytest."""
        yield


@asynccontextmanager
async def serving(app: Any, listener: socket.socket) -> AsyncIterator[None]:
    """Serve in this event loop."""
    config = uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1, access_log=False)
    server = _Server(config)
    task = asyncio.get_running_loop().create_task(server.serve([listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def site_world(database_url: str, folder: Path) -> AsyncIterator[SiteWorld]:
    """Start everything on an empty database."""
    await migrate(database_url)
    sandbox = await asyncio.to_thread(start, folder / f"sandbox-{secrets.token_hex(3)}")
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    settings = Settings.model_validate(
        {
            "database_url": database_url,
            "data": folder / "data",
            "port": port,
            "card_url": sandbox.acquirer_url,
            "card_terminal": sandbox.terminal_id,
            "card_secret": sandbox.secret,
        }
    )
    try:
        async with open_services(settings) as services:
            async with services.pool.acquire() as connection:
                _, merchant = await create_merchant(connection, "Hillside Tea", name_zh="山间茶")
            app = Starlette(routes=site_routes(services, api_routes(services)))
            world = SiteWorld(services, settings.base_url, merchant, sandbox, AcquirerClient(sandbox))
            async with serving(app, listener):
                yield world
            for client in world.clients:
                await client.aclose()
    finally:
        sandbox.stop()
