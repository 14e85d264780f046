"""The server process: bind the address, serve the application, stop within four seconds."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tongbao.api.assembly import asgi_app
from tongbao.foundation.config import Settings
from tongbao.foundation.errors import Conflict, DomainError, InvalidRequest, NotPermitted

HEAD_BYTES_MAX = 64 * 1024
"""The most that a request's line and headers may have together."""
HEAD_SECONDS_MAX = 10.0
"""How long a client may take for them, from its first byte; also how long a new connection may say nothing."""
CONNECTIONS_MAX = 10_000
GRACE_SECONDS = 2
"""How long requests under way may take to end when the server is stopped."""
KEEP_ALIVE_SECONDS = 75
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with bounds on the head of a request, which it has not by itself."""

    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the client a while for its first request."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the clock."""
        self._head_done()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Refuse a head that goes on and on."""
        if self._head_timer is not None:
            if self._head_bytes > HEAD_BYTES_MAX:
                self.transport.write(_TOO_LARGE)
                self.transport.close()
                return
            self._head_bytes += len(data)
        super().data_received(data)

    def on_message_begin(self) -> None:
        """Start the clock of a further request on the same connection."""
        super().on_message_begin()
        if self._head_timer is None:
            self._expect_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; leave out those that come after the body."""
        if self._head_timer is not None:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop the clock (the body has bounds of its own), or refuse a head that is too large."""
        self._head_done()
        if sum(map(len, chain.from_iterable(self.headers))) > HEAD_BYTES_MAX:
            raise ValueError("the parser makes an error 400 of this")
        super().on_headers_complete()

    def _expect_head(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(HEAD_SECONDS_MAX, self.transport.close)

    def _head_done(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def listen(host: str, port: int) -> socket.socket:
    """Take the address. Port 0 takes any that is free.

    :raises DomainError: it cannot be had: another program has it, we may not, or it is not ours.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(2048)
        except OSError:
            listener.close()
            raise
    except OSError as problem:
        raise _cannot_listen(host, port, problem) from None
    return listener


def _cannot_listen(host: str, port: int, problem: OSError) -> DomainError:
    at = f"{host}:{port}"
    if problem.errno == errno.EADDRINUSE:
        return Conflict(
            "port_in_use", f"Another program listens on {at}. Remedy: stop it, or choose another port with --port."
        )
    if problem.errno in (errno.EACCES, errno.EPERM):
        return NotPermitted(
            "port_not_permitted", f"You may not listen on {at}. Remedy: choose a port above 1023 with --port."
        )
    return InvalidRequest(
        "address_unusable",
        f"Cannot listen on {at}: {problem.strerror}. Remedy: give an address of this machine with --host, such as "
        "127.0.0.1 (only this machine) or 0.0.0.0 (every network).",
    )


def address_of(listener: socket.socket) -> tuple[str, int]:
    """The host and port where a listening socket can be reached from this machine."""
    host, port = listener.getsockname()[:2]
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port  # noqa: S104 - read, not bound


def http_url(host: str, port: int) -> str:
    """``http://host:port``, with brackets around an IPv6 address."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def serve(settings: Settings, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT. ``ready`` is called once requests are answered.

    ``settings.database_url`` must be that of a database with this program's schema.

    :raises DomainError: a setting turned out to be unusable.
    """
    _allow_many_connections()
    application = _Application(asgi_app(settings))
    try:
        await _Server(_config(application), ready).serve(sockets=[listener])
    except SystemExit:  # that is how uvicorn tells that the application did not start
        raise application.problem or DomainError("cannot_serve", "The server could not start; see above.") from None


class _Application:
    """Remembers why the application did not start, of which uvicorn would only print the traceback."""

    def __init__(self, application: Any) -> None:
        self.application = application
        self.problem: Exception | None = None

    def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        start = self.start if scope["type"] == "lifespan" else self.application
        return start(scope, receive, send)

    async def start(self, scope: Any, receive: Any, send: Any) -> None:
        """Run the application from its start to its end."""
        answered = False

        async def send_quietly(message: Any) -> None:
            nonlocal answered
            answered = True
            await send({**message, "message": ""} if "message" in message else message)

        try:
            await self.application(scope, receive, send_quietly)
        except Exception as problem:
            self.problem = problem
            if not answered:
                await send({"type": "lifespan.startup.failed", "message": ""})


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT; at the second one, without waiting. (uvicorn's own would raise them again.)"""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, signal.SIGINT, None)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)


def _config(application: _Application) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        interface="asgi3",
        http=BoundedProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def _allow_many_connections() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS_MAX + 1_000 if hard == resource.RLIM_INFINITY else min(hard, CONNECTIONS_MAX + 1_000)
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
