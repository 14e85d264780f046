"""A way to PostgreSQL that loses things: between a pool and the server's socket."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, urlencode, urlsplit

COMMIT = b"COMMIT\0"
READY = b"Z\0\0\0\5"
Fate = Literal["answer lost", "request lost"]


class Proxy:
    """Forwards connections. ``commits``: what happens to the next commits, one after the other."""

    def __init__(self, upstream: str) -> None:
        self.commits: list[Fate] = []
        self.away = False
        self.lost = 0
        """How many commits were lost so far."""
        self.away_after_loss = False
        self._upstream = upstream
        self._links: set[asyncio.Task[None]] = set()

    def go_away(self) -> None:
        """Break every connection and refuse new ones."""
        self.away = True
        for link in self._links:
            link.cancel()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        try:
            if not self.away:
                await self._link(reader, writer)
        except (asyncio.CancelledError, OSError):
            pass  # A broken connection is what this is for.
        finally:
            self._links.discard(task)
            writer.close()

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(self._upstream)
        swallow = asyncio.Event()
        ways = [
            asyncio.ensure_future(self._forth(reader, server_writer, swallow)),
            asyncio.ensure_future(self._back(server_reader, writer, swallow)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            server_writer.close()

    async def _forth(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, swallow: asyncio.Event) -> None:
        while data := await reader.read(65536):
            if COMMIT in data and self.commits:
                fate = self.commits.pop(0)
                self.lost += 1
                self.away = self.away or self.away_after_loss
                if fate == "request lost":
                    return
                swallow.set()
            writer.write(data)
            await writer.drain()

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, swallow: asyncio.Event) -> None:
        while data := await reader.read(65536):
            if swallow.is_set():
                if READY in data:
                    return
                continue
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def proxy_to(url: str) -> AsyncIterator[tuple[Proxy, str]]:
    """A proxy in front of the database at ``url``, and the URL that leads through it."""
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    name = f".s.PGSQL.{query['port']}"
    proxy = Proxy(f"{query['host']}/{name}")
    with tempfile.TemporaryDirectory(prefix="tb") as folder:
        server = await asyncio.start_unix_server(proxy.serve, Path(folder) / name)
        try:
            yield proxy, parts._replace(query=urlencode({**query, "host": folder}, safe="/")).geturl()
        finally:
            proxy.go_away()
            server.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(server.wait_closed(), 2)
