"""A place where notices arrive: a real HTTP server that keeps what it got and answers as told."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


@dataclass(frozen=True)
class Delivery:
    """One arrival, as ``Channel.verify_notice`` wants it."""

    headers: dict[str, str]
    body: bytes

    @property
    def operation(self) -> dict[str, Any]:
        operation: dict[str, Any] = json.loads(self.body)["operation"]
        return operation


@dataclass
class Inbox:
    """What has arrived. ``failures`` is how many of the next arrivals are answered with 503."""

    url: str
    deliveries: list[Delivery] = field(default_factory=list)
    failures: int = 0

    def of(self, *operation_ids: str) -> list[Delivery]:
        """Arrivals about these operations, in order."""
        return [one for one in self.deliveries if one.operation["operation_id"] in operation_ids]

    async def wait(self, *operation_ids: str, count: int = 1, seconds: float = 5) -> list[Delivery]:
        """Wait until ``count`` deliveries about these operations have arrived."""
        async with asyncio.timeout(seconds):
            while len(self.of(*operation_ids)) < count:
                await asyncio.sleep(0.01)
        return self.of(*operation_ids)


@asynccontextmanager
async def open_inbox() -> AsyncIterator[Inbox]:
    """Run an inbox on a free port."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    inbox = Inbox(f"http://127.0.0.1:{listener.getsockname()[1]}/notices")

    async def receive(request: Request) -> Response:
        inbox.deliveries.append(Delivery(dict(request.headers), await request.body()))
        if inbox.failures > 0:
            inbox.failures -= 1
            return Response(status_code=503)
        return Response(status_code=204)

    app = Starlette(routes=[Route("/notices", receive, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", ws="none"))
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    # Not ``serve``: that would take the test runner's signal handlers.
    await server.startup(sockets=[listener])
    loop = asyncio.create_task(server.main_loop())
    try:
        yield inbox
    finally:
        server.should_exit = True
        await loop
        await server.shutdown(sockets=[listener])
