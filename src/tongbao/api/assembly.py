"""The composition root of a serving process: what exists once, and how it hangs together."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from tongbao.api.edge import Edge
from tongbao.api.notices import Notices
from tongbao.api.openapi import openapi
from tongbao.channels.balance import BalanceChannel
from tongbao.channels.card import CardChannel, CardConfig
from tongbao.channels.contract import Channel
from tongbao.channels.http import new_client
from tongbao.channels.registry import Registry
from tongbao.checkout.model import CheckoutSession
from tongbao.checkout.routes import Sessions, render_session
from tongbao.database.pool import open_pool
from tongbao.engine import Engine
from tongbao.engine.store import UNAVAILABLE, PostgresStore
from tongbao.foundation.config import Settings
from tongbao.foundation.errors import InvalidRequest
from tongbao.foundation.http import Json
from tongbao.foundation.http import Route as ApiRoute
from tongbao.identity.keys import Authenticator
from tongbao.identity.model import Customer
from tongbao.identity.routes import Customers, render_customer
from tongbao.orders.model import Order
from tongbao.orders.routes import Orders, render_order
from tongbao.payments import render
from tongbao.payments import routes as payment_routes
from tongbao.payments.model import Charge, PaymentIntent, PaymentMethod, Refund
from tongbao.payments.service import Fees, Payments
from tongbao.vault.keys import decode_master_key, key_id, load_or_make_master_key
from tongbao.vault.vault import Vault
from tongbao.wallets.routes import CashBalances
from tongbao.webhooks.events import Renderer
from tongbao.webhooks.routes import routes as webhook_routes


@dataclass(frozen=True, slots=True)
class Services:
    """What exists once in a process."""

    settings: Settings
    pool: Any
    engine: Engine
    payments: Payments
    authenticate: Authenticator
    vault: Vault
    hash_key: bytes
    """Keys the hashes of requests: the same on every node, derived from the master key."""
    http: httpx.AsyncClient
    renderers: dict[str, Renderer]


@asynccontextmanager
async def open_services(settings: Settings, name: str = "tongbao") -> AsyncIterator[Services]:
    """Open what a process needs, and close it at the end. ``settings.database_url`` must be set by now."""
    assert settings.database_url is not None, "whoever starts a process finds it a database first"
    master_key = _master_key(settings)  # First: an unusable key must not leave a pool behind.
    pool = await open_pool(settings.database_url, size_min=2, size_max=settings.lanes + 12, name=name)
    http = new_client()
    try:
        engine = Engine(PostgresStore(pool), lanes=settings.lanes)
        fees = {"card": Fees(settings.card_fee_bps, settings.card_fee_fixed)}
        payments = Payments(engine, pool, Registry(_channels(settings, http)), settings.base_url, fees)
        yield Services(
            settings=settings,
            pool=pool,
            engine=engine,
            payments=payments,
            authenticate=Authenticator(pool),
            vault=Vault({key_id(master_key): master_key}, key_id(master_key)),
            hash_key=hmac.digest(master_key, b"idempotency", "sha256"),
            http=http,
            renderers=renderers(settings.base_url),
        )
        await engine.drain()
    finally:
        await http.aclose()
        await pool.close()


def _channels(settings: Settings, http: httpx.AsyncClient) -> list[Channel]:
    channels: list[Channel] = [BalanceChannel()]
    if settings.card_url is not None:
        if settings.card_terminal is None or settings.card_secret is None:
            raise InvalidRequest(
                "setting_missing", "TONGBAO_CARD_URL needs TONGBAO_CARD_TERMINAL and TONGBAO_CARD_SECRET beside it."
            )
        try:
            config = CardConfig(
                base_url=settings.card_url,
                terminal_id=settings.card_terminal,
                secret=settings.card_secret.get_secret_value(),
            )
        except ValueError as problem:
            raise InvalidRequest("settings_invalid", f"TONGBAO_CARD_…: {problem}.") from None
        channels.insert(0, CardChannel(config, http))
    return channels


def _master_key(settings: Settings) -> bytes:
    if settings.master_key is not None:
        return decode_master_key(settings.master_key.get_secret_value())
    return load_or_make_master_key(settings.data)


def renderers(base_url: str) -> dict[str, Renderer]:
    """How each kind of object in an event is shown."""

    def of(cls: type[Any], show: Callable[[Any, bool], Json]) -> Renderer:
        decode = msgspec.json.Decoder(cls).decode
        return lambda snapshot, livemode: show(decode(snapshot), livemode)

    return {
        "charge": of(Charge, render.charge),
        "checkout.session": of(CheckoutSession, lambda row, live: render_session(row, live, base_url)),
        "customer": of(Customer, render_customer),
        "order": of(Order, render_order),
        "payment_intent": of(PaymentIntent, render.payment_intent),
        "payment_method": of(PaymentMethod, render.payment_method),
        "refund": of(Refund, render.refund),
    }


def api_routes(services: Services) -> list[ApiRoute]:
    """Every route under ``/v1``."""
    engine, pool = services.engine, services.pool
    return [
        *payment_routes.routes(services.payments, pool),
        *Customers(engine, pool).routes(),
        *CashBalances(engine, pool).routes(),
        *Orders(engine, pool).routes(),
        *Sessions(engine, pool, services.payments, services.settings.base_url).routes(),
        *webhook_routes(engine, pool, services.vault, services.renderers),
    ]


def asgi_app(settings: Settings) -> Any:
    """The whole serving application: ``/v1``, the hosted pages, channels' notices, health."""
    return _Application(settings)


class _Application:
    """Routes ``/v1`` straight to the edge and all else to Starlette; opens and closes the services."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._edge: Edge | None = None
        self._site = Starlette(lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, site: Starlette) -> AsyncIterator[None]:
        async with open_services(self._settings, "tongbao-serve") as services:
            routes = api_routes(services)
            self._edge = Edge(
                routes,
                services.authenticate,
                hash_key=services.hash_key,
                unavailable=UNAVAILABLE,
                docs_url=f"{self._settings.base_url}/docs/errors",
                access_log=self._settings.access_log,
            )
            site.router.routes.extend(site_routes(services, routes))
            yield

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection's request."""
        if scope["type"] == "http" and self._edge is not None and scope["path"].startswith("/v1/"):
            await self._edge(scope, receive, send)
        else:
            await self._site(scope, receive, send)


def site_routes(services: Services, routes: list[ApiRoute]) -> list[Route | Mount]:
    """Everything that is not ``/v1``."""
    from tongbao.web.site import pages

    document = openapi(routes)
    return [
        Route("/notices/{channel}/{merchant}", Notices(services.payments), methods=["POST"]),
        *pages(services, document),
    ]
