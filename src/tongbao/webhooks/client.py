"""Sending one delivery over HTTP: bounded in time and size, never redirected, only to addresses that are permitted.

The name is resolved here and the connection goes to the address that was checked, so that a name cannot lead
elsewhere between check and connection (DNS rebinding). TLS still checks the certificate against the name.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterable
from typing import NamedTuple

import httpcore
import httpx

from tongbao.webhooks.model import DETAIL_MAX
from tongbao.webhooks.targets import may_connect

TIMEOUT_S = 10.0
"""How long an endpoint has to answer, from looking up its name to the end of its answer."""
_CONNECT_S = 4.0
_ANSWER_BYTES_MAX = 16_384
_ADDRESSES_MAX = 4
_LOOKUPS_MAX = 64
_KEEPALIVE_S = 3.0  # Less than what servers usually keep a connection open.


class Sent(NamedTuple):
    """What came of one try: the HTTP status (``None``: no answer), the answer's beginning or what went wrong."""

    status: int | None
    detail: str
    took_ms: int

    @property
    def ok(self) -> bool:
        """Whether the endpoint has taken the event."""
        return self.status is not None and 200 <= self.status < 300


class Client:
    """Sends deliveries, and keeps connections for a moment in case more follows.

    (Not httpcore's pool: at every request that looks at every connection, which with many endpoints is most of the
    work. Live and test mode share no connection, since they may not go to the same places.)
    """

    def __init__(self, timeout_s: float = TIMEOUT_S, *, private_targets: bool = False) -> None:
        """:param private_targets: in test mode, send to private addresses too (a shop on a developer's machine)."""
        self._timeout_s = timeout_s
        self._tls = httpx.create_ssl_context()
        lookups = asyncio.Semaphore(_LOOKUPS_MAX)
        self._networks = {
            True: _Network(True, lookups, ""),
            False: _Network(not private_targets, lookups, " (TONGBAO_PRIVATE_WEBHOOKS=true allows private ones.)"),
        }
        self._idle: dict[tuple[str, bool], list[_Idle]] = {}

    async def close(self) -> None:
        """Close all connections that are kept."""
        await self._close_until(time.monotonic())

    async def tidy(self) -> None:
        """Close connections that have been idle for too long. To be called now and then."""
        await self._close_until(time.monotonic() - _KEEPALIVE_S)

    async def post(self, url: str, headers: dict[str, str], body: bytes, *, livemode: bool) -> Sent:
        """Send ``body``. Never raises for what an endpoint or the network does."""
        begun = time.monotonic()
        status, detail = await self._exchange(url, headers, body, livemode)
        return Sent(status, _clean(detail), round((time.monotonic() - begun) * 1000))

    async def _exchange(
        self, url: str, headers: dict[str, str], body: bytes, livemode: bool
    ) -> tuple[int | None, bytes | str]:
        status: int | None = None
        answer = bytearray()
        try:
            target = httpx.URL(url)
            if livemode and target.scheme != "https":
                return None, "In live mode events are sent over https only."
            raw_headers = [(b"Host", target.netloc), *((n.encode(), v.encode()) for n, v in headers.items())]
            raw_url = httpcore.URL(
                scheme=target.raw_scheme, host=target.raw_host, port=target.port, target=target.raw_path
            )
            async with (
                asyncio.timeout(self._timeout_s),
                self._connection(raw_url.origin, livemode) as connection,
                connection.stream("POST", raw_url, headers=raw_headers, content=body) as response,
            ):
                status = response.status
                async for part in response.aiter_stream():
                    answer += part
                    if len(answer) >= _ANSWER_BYTES_MAX:
                        break
        except (TimeoutError, httpcore.TimeoutException):
            if status is None:
                return None, f"No answer within {self._timeout_s:g} seconds."
        except _NotPermitted as error:
            return None, str(error)
        except (httpcore.NetworkError, httpcore.ProtocolError, httpx.InvalidURL, OSError, UnicodeError) as error:
            if status is None:  # Otherwise the status is the answer, whatever became of the rest.
                return None, str(error) or f"The connection failed ({type(error).__name__})."
        return status, bytes(answer)

    @contextlib.asynccontextmanager
    async def _connection(self, origin: httpcore.Origin, livemode: bool) -> AsyncIterator[httpcore.AsyncHTTPConnection]:
        """A connection for one request: one that is kept, if it is still good, or a new one."""
        key = (str(origin), livemode)
        kept = self._idle.get(key, [])
        connection: httpcore.AsyncHTTPConnection | None = None
        while kept and connection is None:
            connection = kept.pop().connection
            if connection.has_expired():  # The other side has closed it.
                await connection.aclose()
                connection = None
        if connection is None:
            connection = httpcore.AsyncHTTPConnection(
                origin, ssl_context=self._tls, network_backend=self._networks[livemode]
            )
        try:
            yield connection
        finally:
            if connection.is_idle() and not connection.has_expired():
                self._idle.setdefault(key, []).append(_Idle(time.monotonic(), connection))
            else:
                await connection.aclose()

    async def _close_until(self, since: float) -> None:
        for key, kept in list(self._idle.items()):
            while kept and kept[0].since <= since:
                await kept.pop(0).connection.aclose()
            if not kept:
                self._idle.pop(key, None)


class _Idle(NamedTuple):
    """A connection that waits for more, and since when (monotonic seconds)."""

    since: float
    connection: httpcore.AsyncHTTPConnection


class _NotPermitted(Exception):
    """The name leads to no address that deliveries may go to."""


class _Network(httpcore.AsyncNetworkBackend):
    def __init__(self, public_only: bool, lookups: asyncio.Semaphore, remedy: str) -> None:
        self._remedy = remedy
        self._public_only = public_only
        self._lookups = lookups
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        found = await _look_up(host, port, self._lookups)
        permitted = [address for address in found if may_connect(address, self._public_only)][:_ADDRESSES_MAX]
        if not permitted:
            raise _NotPermitted(f"{host} has no address that events may be sent to.{self._remedy}")
        for address in permitted[:-1]:
            try:
                return await self._inner.connect_tcp(address, port, _CONNECT_S, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._inner.connect_tcp(permitted[-1], port, _CONNECT_S, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def _look_up(host: str, port: int, lookups: asyncio.Semaphore) -> list[str]:
    """The addresses of a name, each once, in the resolver's order.

    In a thread of its own, since a lookup of a dead name may hang for half a minute and cannot be called off: in
    the loop's few threads it would hold up everybody, and at the end the process.
    """
    with contextlib.suppress(ValueError):
        return [str(ipaddress.ip_address(host))]
    loop = asyncio.get_running_loop()
    future: asyncio.Future[list[str]] = loop.create_future()

    def tell(addresses: list[str] | None, error: Exception | None) -> None:
        lookups.release()
        if not future.done():
            future.set_exception(error) if error else future.set_result(addresses or [])

    def look_up() -> None:
        addresses: list[str] | None = None
        error: Exception | None = None
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        except (OSError, UnicodeError) as problem:
            error = OSError(f"The name {host} was not found: {problem}")
        with contextlib.suppress(RuntimeError):  # The loop has been closed meanwhile: nobody waits any more.
            loop.call_soon_threadsafe(tell, addresses, error)

    await lookups.acquire()
    threading.Thread(target=look_up, name="webhook-lookup", daemon=True).start()
    return await future


def _clean(detail: bytes | str) -> str:
    """The beginning of an answer as text that PostgreSQL can hold."""
    if isinstance(detail, bytes):
        detail = detail[: 4 * DETAIL_MAX].decode(errors="replace")
    return detail.replace("\0", "\ufffd")[:DETAIL_MAX]
