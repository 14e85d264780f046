"""A merchant's server: a real HTTP server that keeps what it gets and answers as told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import stripe
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


@dataclass(frozen=True)
class Arrival:
    """One request, as it came."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.body)
        return event

    def verified(self, secret: str) -> stripe.Event:
        """The event, as Stripe's own library verifies it."""
        return stripe.Webhook.construct_event(self.body, self.headers["stripe-signature"], secret)  # type: ignore[no-any-return]


@dataclass
class Way:
    """How a path answers. ``statuses`` are used up first, then ``status``."""

    status: int = 200
    statuses: list[int] = field(default_factory=list)
    delay_s: float = 0.0
    body: bytes = b"thanks"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Receiver:
    """The server. Each path has a way of its own and stands for one merchant's endpoint."""

    port: int
    ways: dict[str, Way] = field(default_factory=lambda: defaultdict(Way))
    arrivals: list[Arrival] = field(default_factory=list)
    at_once: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    at_once_max: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def at(self, path: str = "/hook") -> list[Arrival]:
        return [arrival for arrival in self.arrivals if arrival.path == path]

    async def wait(self, count: int, path: str = "/hook", seconds: float = 10) -> list[Arrival]:
        """Wait until ``count`` requests have come to ``path``."""
        async with asyncio.timeout(seconds):
            while len(self.at(path)) < count:
                await asyncio.sleep(0.005)
        return self.at(path)

    async def answer(self, request: Request) -> Response:
        path, body = request.url.path, await request.body()
        self.arrivals.append(Arrival(path, dict(request.headers), body, time.time()))
        way = self.ways[path]
        status = way.statuses.pop(0) if way.statuses else way.status
        self.at_once[path] += 1
        self.at_once_max[path] = max(self.at_once_max[path], self.at_once[path])
        try:
            await asyncio.sleep(way.delay_s)
        finally:
            self.at_once[path] -= 1
        return Response(way.body, status, way.headers)


@contextlib.asynccontextmanager
async def open_receiver() -> AsyncIterator[Receiver]:
    """Run a receiver on a free port."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    receiver = Receiver(listener.getsockname()[1])
    app = Starlette(routes=[Route("/{path:path}", receiver.answer, methods=["POST", "GET"])])
    async with serving(app, listener):
        yield receiver


@contextlib.asynccontextmanager
async def serving(app: Any, listener: socket.socket) -> AsyncIterator[None]:
    """Serve an ASGI application meanwhile."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", ws="none"))
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    # Not ``serve``: that would take the test runner's signal handlers.
    await server.startup(sockets=[listener])
    loop = asyncio.create_task(server.main_loop())
    try:
        yield
    finally:
        server.should_exit = True
        server.force_exit = True
        await loop
        await server.shutdown(sockets=[listener])
