"""The edge: an ASGI application that turns HTTP into ``Call``s and what handlers return into HTTP.

The order is: too busy? which route? headers, key, access, body, parameters, handler. Bodies are read only for
callers who may call. Whatever goes wrong becomes an error object in Stripe's shape; every answer has a
``Request-Id``. A handler that has begun runs to its end though the client goes away: the edge does not listen
for disconnection, and ASGI servers do not cancel for it, so no task is spent on shielding.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from tongbao.api.decoding import decoder_of
from tongbao.api.requests import (
    ClientGone,
    Headers,
    Receive,
    Scope,
    Send,
    api_key,
    check_encoding,
    has_body,
    printable,
    read_body,
    read_headers,
)
from tongbao.api.router import Router, unrecognized
from tongbao.foundation.clock import now_ms
from tongbao.foundation.errors import KINDS, DomainError, NotPermitted, Overloaded, TooLarge
from tongbao.foundation.http import ANONYMOUS, Answer, Call, Caller, Idempotency, Route
from tongbao.foundation.ids import new_id

Authenticate = Callable[[str], Awaitable[Caller]]
"""From an API key to its caller; raises ``NotAuthenticated``."""

BODY_BYTES_MAX = 1 << 20
BODY_SECONDS_MAX = 10.0
IN_FLIGHT_MAX = 1_000
_LINGER_BYTES = 16 << 20
_LINGER_SECONDS = 2.0
_SMALL_BODY = 1 << 16
_QUERY_BYTES_MAX = 1 << 15
_ECHOED = (b"stripe-version", b"idempotency-key")

_log = structlog.get_logger("tongbao.api")
_canonical = msgspec.json.Encoder(order="deterministic").encode
_encode = msgspec.json.Encoder().encode
_JSON_HEADER = (b"content-type", b"application/json")
_REPLAYED = (b"idempotent-replayed", b"true")
_NO_STORE = (b"cache-control", b"no-store")
_WORDS_FOR_PUBLISHABLE = (
    "This API call cannot be made with a publishable API key. Please use a secret API key. "
    "You can find your API keys in the dashboard."
)


@dataclass(slots=True)
class _Exchange:
    """One request and what has become known of it so far; enough to answer and to log at any point."""

    request_id: str
    now_ms: int
    headers: Headers
    echoed: list[tuple[bytes, bytes]]
    body_waits: bool = False
    route: Route | None = None
    merchant_id: str | None = None


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    body: bytes
    headers: list[tuple[bytes, bytes]]


class Edge:
    """The REST API as an ASGI application over a list of routes.

    ``hash_key`` is the installation's secret by which idempotency hashes are keyed (an unkeyed hash of a card
    number could be guessed back): the same on every node, and stable. ``unavailable`` are the exceptions that
    mean that the database cannot be reached; they are answered 503. ``docs_url`` is where error codes are
    explained (``{docs_url}#{code}``).
    """

    def __init__(
        self,
        routes: Iterable[Route],
        authenticate: Authenticate,
        *,
        hash_key: bytes,
        unavailable: tuple[type[Exception], ...] = (),
        docs_url: str | None = None,
        access_log: bool = True,
        body_bytes_max: int = BODY_BYTES_MAX,
        body_seconds_max: float = BODY_SECONDS_MAX,
        in_flight_max: int = IN_FLIGHT_MAX,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        """Raise ``ValueError`` or ``TypeError`` at once for routes that cannot be served."""
        if len(hash_key) < 16:
            raise ValueError("hash_key must be at least 16 secret bytes.")
        listed = list(routes)
        self._router = Router(listed)
        self._decoders = {route.params: decoder_of(route.params) for route in listed}
        self._authenticate = authenticate
        self._hash_key = hash_key
        self._unavailable = unavailable
        self._docs_url = docs_url
        self._access_log = access_log
        self._body_bytes_max = body_bytes_max
        self._body_seconds_max = body_seconds_max
        self._in_flight_max = in_flight_max
        self._clock_ms = clock_ms
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        if scope["type"] != "http":
            raise RuntimeError(f"The API speaks HTTP only, not {scope['type']}.")
        begun = time.perf_counter()
        now = self._clock_ms()
        exchange = _Exchange(new_id("req", now), now, {}, [])
        try:
            reply = await self._within_bounds(exchange, scope, receive)
        except DomainError as error:
            reply = self._error_reply(error, scope)
        except self._unavailable as error:
            _log.warning("database unavailable", request_id=exchange.request_id, error=type(error).__name__)
            reply = self._error_reply(_database_away(), scope)
        except ClientGone:
            self._write_log(exchange, scope, 499, begun)
            return
        except Exception:
            _log.exception("request failed", request_id=exchange.request_id, path=_path(exchange))
            reply = self._error_reply(_internal(exchange), scope)
        try:
            await _send_reply(reply, exchange, receive, send)
        finally:
            self._write_log(exchange, scope, reply.status, begun)

    async def _within_bounds(self, exchange: _Exchange, scope: Scope, receive: Receive) -> _Reply:
        headers = exchange.headers = read_headers(scope["headers"])
        exchange.body_waits = has_body(headers)
        if self._in_flight >= self._in_flight_max:
            raise Overloaded("api_overloaded", "Too many requests are under way. Nothing was done; try again soon.")
        self._in_flight += 1
        try:
            if scope["method"] == "OPTIONS" and (allowed := self._router.allowed(scope["path"])):
                return _Reply(204, b"", [(b"allow", ", ".join(allowed).encode())])
            return await self._serve(exchange, scope, receive)
        finally:
            self._in_flight -= 1

    async def _serve(self, exchange: _Exchange, scope: Scope, receive: Receive) -> _Reply:
        method: str = scope["method"]
        headers = exchange.headers
        if b"%2f" in scope.get("raw_path", b"").lower():  # A slash within an id must not lead to another route.
            raise unrecognized(method, scope["path"])
        route, variables = self._router.find(method, scope["path"])
        exchange.route = route
        for name in _ECHOED:
            if printable(headers, name) is not None:
                exchange.echoed.append((name, headers[name]))
        caller = ANONYMOUS
        if route.access != "public":
            caller = await self._authenticate(api_key(headers))
            exchange.merchant_id = caller.merchant_id
            if route.access == "secret" and caller.kind != "secret":
                raise NotPermitted("secret_key_required", _WORDS_FOR_PUBLISHABLE)
        body, content_type = b"", None
        if exchange.body_waits:
            check_encoding(headers)
            body = await read_body(headers, receive, self._body_bytes_max, self._body_seconds_max)
            exchange.body_waits = False
            content_type = printable(headers, b"content-type")
        query: bytes = scope["query_string"]
        if len(query) > _QUERY_BYTES_MAX:
            raise TooLarge("query_too_large", f"The query string is larger than {_QUERY_BYTES_MAX} bytes.")
        params, data = self._decoders[route.params](body, content_type, query)
        idempotency = None
        if method == "POST" and (key := printable(headers, b"idempotency-key")) is not None:
            named = _canonical((method, scope["path"], data))
            idempotency = Idempotency(key, hmac.digest(self._hash_key, named, "sha256").hex())
        call = Call(caller, params, variables, idempotency, exchange.request_id, exchange.now_ms)
        answer = await route.handler(call)
        if not isinstance(answer, Answer):
            return _Reply(200, _encode(answer), [])
        more = [(name.lower().encode(), value.encode()) for name, value in (answer.headers or {}).items()]
        if answer.replayed:
            more.append(_REPLAYED)
        return _Reply(answer.status, b"" if answer.status == 204 else _encode(answer.body), more)

    def _error_reply(self, error: DomainError, scope: Scope) -> _Reply:
        kind = KINDS[error.kind]
        told: dict[str, Any] = {**error.extra, "type": kind.type, "code": error.code, "message": error.message}
        if error.param is not None:
            told["param"] = error.param
        if self._docs_url is not None:
            told["doc_url"] = f"{self._docs_url}#{error.code}"
        more: list[tuple[bytes, bytes]] = []
        retry_after_s = getattr(error, "retry_after_s", None)
        if retry_after_s is not None:
            more.append((b"retry-after", str(retry_after_s).encode()))
        if error.replayed:
            more.append(_REPLAYED)
        if kind.http_status == 401:
            more.append((b"www-authenticate", b'Bearer realm="Tongbao"'))
        elif kind.http_status == 405:
            more.append((b"allow", ", ".join(self._router.allowed(scope["path"])).encode()))
        elif kind.http_status == 408:
            more.append((b"connection", b"close"))
        return _Reply(kind.http_status, _encode({"error": told}), more)

    def _write_log(self, exchange: _Exchange, scope: Scope, status: int, begun: float) -> None:
        if self._access_log:
            _log.info(
                "request",
                method=scope["method"],
                path=_path(exchange),
                status=status,
                ms=round((time.perf_counter() - begun) * 1000, 2),
                request_id=exchange.request_id,
                merchant=exchange.merchant_id,
            )


def _path(exchange: _Exchange) -> str | None:
    """The route's template: an address as sent may hold anything, and is not logged."""
    return exchange.route.path if exchange.route else None


def _database_away() -> Overloaded:
    return Overloaded(
        "database_unavailable",
        "The database cannot be reached just now. Send the request again with the same Idempotency-Key.",
    )


def _internal(exchange: _Exchange) -> DomainError:
    return DomainError(
        "internal_error",
        f"Something went wrong on our side. If it persists, tell the operator this request id: {exchange.request_id}.",
    )


async def _send_reply(reply: _Reply, exchange: _Exchange, receive: Receive, send: Send) -> None:
    headers = [(b"request-id", exchange.request_id.encode()), _NO_STORE, *exchange.echoed, *reply.headers]
    if reply.status != 204:
        headers += [_JSON_HEADER, (b"content-length", str(len(reply.body)).encode())]
    lingering = exchange.body_waits and _is_long(exchange.headers)
    if lingering:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body, "more_body": lingering})
    if lingering:
        await _discard(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _is_long(headers: Headers) -> bool:
    declared = headers.get(b"content-length", b"")
    return not declared.isdigit() or len(declared) > 18 or int(declared) > _SMALL_BODY


async def _discard(receive: Receive) -> None:
    """Take in a bounded rest of a refused body, so that closing does not reset the answer away unread."""
    taken = 0
    try:
        async with asyncio.timeout(_LINGER_SECONDS):
            while taken < _LINGER_BYTES:
                message = await receive()
                taken += len(message.get("body", b""))
                if not message.get("more_body"):
                    return
    except TimeoutError:
        return
