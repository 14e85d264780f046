"""The sandbox as one web server: the acquirer under ``/acquirer``, and the shop, if any, under ``/shop``."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tongbao.sandbox.acquirer.answers import ABORT


class BreakableProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which also offers to break the connection: ASGI itself has no word for that."""

    def on_message_begin(self) -> None:
        """Offer the extension to this request."""
        super().on_message_begin()
        extensions: dict[str, object] = {ABORT: self.transport.abort}
        self.scope["extensions"] = extensions  # type: ignore[typeddict-item]


def assemble(acquirer: Starlette, shop: ASGIApp | None) -> ASGIApp:
    """Mount the parts. Only the acquirer has anything to start and stop."""
    routes = [Mount("/acquirer", app=acquirer)]
    if shop is not None:
        routes.append(Mount("/shop", app=shop))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with acquirer.router.lifespan_context(acquirer):
            yield

    return Starlette(routes=routes, lifespan=lifespan)


def listen(host: str, port: int) -> socket.socket:
    """Bind the address now, so that port 0 is known before anybody is told. :raises OSError: if it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener


def serve(app: ASGIApp, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT; requests under way get three seconds. ``ready`` is called once it answers."""

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                ready()

    config = uvicorn.Config(
        app,
        http=BreakableProtocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=3,
    )
    Server(config).run([listener])
