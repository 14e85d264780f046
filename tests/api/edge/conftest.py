"""A real server (uvicorn on a free port) over the toy routes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import uvicorn
from tests.api.edge.toys import AUTHENTICATE, HASH_KEY, DatabaseAway, Toys

from tongbao.api.edge import Edge


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to pytest."""
        yield


@dataclass
class Shop:
    """A running edge: its toys, its address, and a client with a secret key."""

    toys: Toys
    port: int
    client: httpx.AsyncClient

    async def raw(self, request: bytes, wait_s: float = 5) -> bytes:
        """Send bytes as they are and return all that comes back until the server closes or falls silent."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        with contextlib.suppress(ConnectionError):
            writer.write(request)
            await writer.drain()
        answer = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(wait_s):
                while part := await reader.read(65536):
                    answer += part
        writer.close()
        return answer


@contextlib.asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[Shop]:
    """Serve the toys with these settings of ``Edge``."""
    toys = Toys()
    edge = Edge(
        toys.routes(),
        AUTHENTICATE,
        **{
            "hash_key": HASH_KEY,
            "unavailable": (DatabaseAway,),
            "docs_url": "https://pay.example/docs/errors",
            **settings,
        },
    )
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]
    server = _Server(uvicorn.Config(edge, log_level="critical", lifespan="off", http="httptools", ws="none"))
    running = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    headers = {"Authorization": "Bearer sk_test_1"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
        yield Shop(toys, port, client)
    server.should_exit = True
    await running


@pytest.fixture(scope="session")
async def running() -> AsyncIterator[Shop]:
    async with serving() as shop:
        yield shop


@pytest.fixture
def shop(running: Shop) -> Shop:
    """The shared server, having forgotten earlier calls."""
    running.toys.calls.clear()
    running.toys.finished.clear()
    return running


@pytest.fixture
def serve() -> Callable[..., contextlib.AbstractAsyncContextManager[Shop]]:
    return serving


Serve = Callable[..., contextlib.AbstractAsyncContextManager[Shop]]
