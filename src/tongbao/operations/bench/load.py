"""Causes HTTP load: a process of its own, as cheap as it can be, so that what it measures keeps the machine.

``python -m tongbao.operations.bench.load JOB.json`` sends requests over a fixed number of kept-alive connections,
each as soon as the one before it is answered, and writes a ``Tally`` as one line of JSON.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import cast

import msgspec
import uvloop

from tongbao.operations.bench.results import Tally

_DRAIN_S = 30.0
"""How long to wait for the last answers."""


class Request(msgspec.Struct, frozen=True):
    """A request that is sent again and again; with ``keyed``, under a new Idempotency-Key each time."""

    method: str
    path: str
    token: str
    body: str = ""
    keyed: bool = False


class Job(msgspec.Struct, frozen=True):
    """What to do. Connections are spread evenly over ``addresses`` (host, port); requests are taken in turn."""

    addresses: list[tuple[str, int]]
    connections: int
    requests: list[Request]
    key: str
    warmup_s: float
    seconds: float


class _Load:
    """What the connections share."""

    def __init__(self, job: Job) -> None:
        self.shots: Iterator[tuple[bytes, bytes | None]] = cycle([_bytes_of(request) for request in job.requests])
        self.key = job.key.encode()
        self.number = 0
        self.sending = True
        self.under_way = 0
        self.idle = asyncio.Event()
        self.ends: list[float] = []
        self.latencies: list[float] = []
        self.failures: dict[str, int] = {}
        self.failure: str | None = None

    def next(self) -> bytes:
        """The bytes of the next request."""
        before, after = next(self.shots)
        if after is None:
            return before
        self.number += 1
        return b"%s%s-%d%s" % (before, self.key, self.number, after)

    def failed(self, what: str, shown: str) -> None:
        """Remember a request that did not succeed."""
        self.failures[what] = self.failures.get(what, 0) + 1
        self.failure = self.failure or shown[:1000]


class _Connection(asyncio.Protocol):
    """One connection: one request under way at any time."""

    def __init__(self, load: _Load) -> None:
        self.load = load
        self.heard = b""
        self.size = 0
        self.begun = 0.0
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for ``send``."""
        self.transport = cast(asyncio.Transport, transport)

    def send(self) -> None:
        """Send the next request."""
        self.busy = True
        self.load.under_way += 1
        self.begun = time.perf_counter()
        self.transport.write(self.load.next())

    def data_received(self, data: bytes) -> None:
        """Take in (a part of) an answer."""
        heard = self.heard = self.heard + data if self.heard else data
        if not self.size:
            head = heard.find(b"\r\n\r\n")
            if head < 0:
                return
            at = heard.index(b"content-length: ", 0, head) + 16
            self.size = head + 4 + int(heard[at : heard.index(b"\r", at)])
        if len(heard) >= self.size:
            self._answered(heard)

    def _answered(self, heard: bytes) -> None:
        load, now = self.load, time.perf_counter()
        if heard[9:12] == b"200":
            load.ends.append(now)
            load.latencies.append(now - self.begun)
        else:
            load.failed(heard[9:12].decode(), heard.decode(errors="replace"))
        self.heard, self.size, self.busy = b"", 0, False
        load.under_way -= 1
        if load.sending:
            self.send()
        elif not load.under_way:
            load.idle.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """A connection that ends while it waits has failed."""
        if self.busy:
            self.busy = False
            self.load.failed("lost", f"The connection was lost: {exc}")
            self.load.under_way -= 1
            if not self.load.under_way:
                self.load.idle.set()


def _bytes_of(request: Request) -> tuple[bytes, bytes | None]:
    """A request as it is sent: all of it, or what stands before and after its key."""
    body = request.body.encode()
    head = f"{request.method} {request.path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {request.token}\r\n"
    if body:
        head += f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n"
    if not request.keyed:
        return head.encode() + b"\r\n" + body, None
    return head.encode() + b"Idempotency-Key: ", b"\r\n\r\n" + body


async def load(job: Job) -> Tally:
    """Cause the load and tell how it went. What ends before or after the window counts as done, not as speed."""
    shared, loop = _Load(job), asyncio.get_running_loop()
    connections: list[_Connection] = []
    for number in range(job.connections):
        host, port = job.addresses[number % len(job.addresses)]
        connections.append((await loop.create_connection(lambda: _Connection(shared), host, port))[1])
    begun, cpu = time.perf_counter(), time.process_time()
    for connection in connections:
        connection.send()
    await asyncio.sleep(job.warmup_s + job.seconds)
    shared.sending = False
    try:
        await asyncio.wait_for(shared.idle.wait(), _DRAIN_S)
    except TimeoutError:
        shared.failed("unanswered", f"{shared.under_way} requests were not answered within {_DRAIN_S:.0f} s")
    wall_s, cpu_s = time.perf_counter() - begun, time.process_time() - cpu
    for connection in connections:
        connection.transport.close()
    first = begun + job.warmup_s
    inside = [
        latency * 1000
        for end, latency in zip(shared.ends, shared.latencies, strict=True)
        if first <= end < first + job.seconds
    ]
    return Tally(
        done=len(shared.ends),
        counted=len(inside),
        seconds=job.seconds,
        latencies_ms=inside,
        cpu_s=cpu_s,
        wall_s=wall_s,
        failures=shared.failures,
        failure=shared.failure,
    )


def main() -> None:
    """Do the job whose file is named first."""
    job = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Job)
    tally = uvloop.run(load(job))
    sys.stdout.write(msgspec.json.encode(tally).decode() + "\n")


if __name__ == "__main__":
    main()
