"""The shop, put together: ``create(config)`` gives an ASGI application to be mounted where ``public_url`` says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tongbao.sandbox.shop import browsing, buying, desk, webhooks
from tongbao.sandbox.shop.config import ShopConfig
from tongbao.sandbox.shop.frame import HERE, Handler, Shop, Trouble, make_templates
from tongbao.sandbox.shop.store import Store
from tongbao.sandbox.shop.tongbao_api import TongbaoApi

Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]


def create(config: ShopConfig) -> ASGIApp:
    """Open the shop's file and return its application. Raises ``OSError`` or ``sqlite3.Error`` if it cannot be."""
    shop = Shop(
        config=config,
        store=Store(Path(config.data_dir)),
        api=TongbaoApi(config.api_base, config.secret_key),
        templates=make_templates(),
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        # Not run when mounted; then the process's end closes both, which loses nothing.
        yield
        await shop.api.close()
        shop.store.close()

    async def missing(request: Request, _: Exception) -> Response:
        return shop.trouble(request, Trouble(404, "missing"))

    app = Starlette(routes=_routes(shop), lifespan=lifespan, exception_handlers={404: missing})
    return _Headers(app, _policy(buying.checkout_origins(shop)))


def _routes(shop: Shop) -> list[Route | Mount]:
    def page(handler: Handler) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            try:
                return await handler(shop, request)
            except Trouble as trouble:
                return shop.trouble(request, trouble)

        return endpoint

    async def hear(request: Request) -> Response:
        return await webhooks.receive(request, shop.store, shop.config.webhook_secret)

    return [
        Route("/", page(browsing.home)),
        Route("/cart", page(browsing.cart)),
        Route("/cart", page(browsing.change), methods=["POST"]),
        Route("/cart/add", page(browsing.add), methods=["POST"]),
        Route("/checkout", page(buying.checkout), methods=["POST"]),
        Route("/orders", page(buying.orders)),
        Route("/orders/{number}", page(buying.order_page)),
        Route("/orders/{number}/live", page(buying.live)),
        Route("/orders/{number}/receipt", page(buying.receipt)),
        Route("/orders/{number}/pay", page(buying.pay), methods=["POST"]),
        Route("/orders/{number}/again", page(buying.put_back), methods=["POST"]),
        Route("/admin", page(desk.admin)),
        Route("/admin/refunds", page(desk.give_back), methods=["POST"]),
        Route("/webhooks", hear, methods=["POST"]),
        Mount("/static", StaticFiles(directory=HERE / "static")),
    ]


def _policy(checkout_origins: list[str]) -> str:
    # Browsers hold form-action against the redirect that follows a form too: the checkout must be named here.
    form_action = " ".join(["'self'", *checkout_origins])
    return (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        f"form-action {form_action}; base-uri 'none'; frame-ancestors 'none'"
    )


class _Headers:
    """Sets the headers that every answer of the shop carries."""

    def __init__(self, app: ASGIApp, policy: str) -> None:
        self._app, self._policy = app, policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = self._policy
                headers["X-Content-Type-Options"] = "nosniff"
                # Not no-referrer: browsers would then hide the origin of our own forms from us.
                headers["Referrer-Policy"] = "same-origin"
                headers["Cross-Origin-Opener-Policy"] = "same-origin"
                is_static = scope["path"].rpartition("/static/")[1] and message["status"] == 200
                headers["Cache-Control"] = "public, max-age=86400" if is_static else "no-store"
            await send(message)

        await self._app(scope, receive, send_with_headers)
