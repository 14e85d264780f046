"""The acquirer over HTTP: authenticate, decode, decide, sign the answer, and go wrong where told to."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import httpx
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tongbao.foundation.clock import MINUTE_MS, now_ms
from tongbao.sandbox.acquirer import books, challenge, notices, operations, signing, tokens
from tongbao.sandbox.acquirer.answers import Visit, after, before, error, signed, unsigned
from tongbao.sandbox.acquirer.faults import Faults, Plan
from tongbao.sandbox.acquirer.store import Store
from tongbao.sandbox.acquirer.wire import (
    BODY_MAX,
    ChargeRequest,
    FollowUpRequest,
    Refusal,
    TokenRequest,
    decode,
    encode,
)


class AcquirerConfig(msgspec.Struct, frozen=True):
    """How an acquirer is set up. There is no default terminal and no default secret."""

    data: Path
    """The folder of ``acquirer.sqlite3``."""
    terminals: dict[str, str]
    """Secret by terminal id."""
    public_url: str
    """Where shoppers' browsers reach it, without a final slash."""
    challenge_ttl_ms: int = 15 * MINUTE_MS
    faults: Plan = Plan()
    """Faults of every terminal from the start."""

    def __repr__(self) -> str:
        return f"AcquirerConfig({self.public_url}, terminals {sorted(self.terminals)})"


class Task(msgspec.Struct, frozen=True):
    """What a request asks for: of which merchant (for the faults' filter), and the work itself."""

    work: Callable[[], Awaitable[dict[str, Any]]]
    merchant_id: str | None = None


class Acquirer:
    """The acquirer's state and its endpoints."""

    def __init__(self, config: AcquirerConfig) -> None:
        self._config = config
        self._store = Store(config.data / "acquirer.sqlite3")
        self._faults = {terminal: Faults(config.faults) for terminal in config.terminals}
        self._courier: notices.Courier | None = None

    def app(self) -> Starlette:
        """The ASGI application, to be mounted; its lifespan delivers the notices."""
        return Starlette(
            routes=[
                Route("/tokens", self._endpoint("token", self._tokens), methods=["POST"]),
                Route("/charges", self._endpoint("charge", self._charges), methods=["POST"]),
                Route("/charges/{id}/capture", self._follow_up("capture"), methods=["POST"]),
                Route("/charges/{id}/void", self._follow_up("void"), methods=["POST"]),
                Route("/charges/{id}/refunds", self._follow_up("refund"), methods=["POST"]),
                Route("/operations/{id}", self._endpoint("query", self._query), methods=["GET"]),
                Route("/books", self._endpoint(None, self._books), methods=["GET"]),
                Route("/faults", self._endpoint(None, self._set_faults), methods=["GET", "POST"]),
                *challenge.routes(self._challenge, self._answer_challenge),
                Route("/health", _health, methods=["GET"]),
            ],
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        async with httpx.AsyncClient(timeout=notices.TIMEOUT, trust_env=False) as http:
            self._courier = notices.Courier(self._store, self._config.terminals, self._expire, http)
            courier = asyncio.create_task(self._courier.run())
            try:
                yield
            finally:
                courier.cancel()
                with suppress(asyncio.CancelledError):
                    await courier
                self._store.close()

    def _context(self, db: sqlite3.Connection) -> operations.Context:
        now = now_ms()

        def announce(operation: operations.Operation) -> None:
            faults = self._faults.get(operation.terminal)
            fault = faults.on_notice(operation.kind, operation.merchant_id) if faults else None
            notices.enqueue(db, operation, self._config.public_url, now, fault)

        return operations.Context(db, now, self._config.public_url, self._config.challenge_ttl_ms, announce)

    async def _expire(self) -> None:
        await self._store.run(lambda db: operations.expire(self._context(db)))

    def _wake(self) -> None:
        if self._courier is not None:
            self._courier.wake()

    # What each address does

    def _tokens(self, visit: Visit) -> Task:
        request = decode(visit.body, TokenRequest)

        async def work() -> dict[str, Any]:
            return await self._store.run(
                lambda db: tokens.tokenize(db, visit.terminal, visit.secret, request, now_ms())
            )

        return Task(work)

    def _charges(self, visit: Visit) -> Task:
        request = decode(visit.body, ChargeRequest)
        return self._decision(lambda context: operations.charge(context, visit.terminal, request), request.merchant_id)

    def _follow_up(self, kind: operations.FollowUpKind) -> Callable[[Request], Awaitable[Response]]:
        def task(visit: Visit) -> Task:
            request = decode(visit.body, FollowUpRequest)
            charge_id = visit.request.path_params["id"]
            return self._decision(
                lambda context: operations.follow_up(context, visit.terminal, kind, charge_id, request),
                request.merchant_id,
            )

        return self._endpoint(kind, task)

    def _decision(self, decide: Callable[[operations.Context], operations.Operation], merchant_id: str) -> Task:
        async def work() -> dict[str, Any]:
            operation = await self._store.run(lambda db: decide(self._context(db)))
            self._wake()
            return operations.render(operation, self._config.public_url)

        return Task(work, merchant_id)

    def _query(self, visit: Visit) -> Task:
        operation_id = visit.request.path_params["id"]
        merchant_id = visit.request.query_params.get("merchant_id")
        if merchant_id is None:
            raise Refusal(400, "invalid_request", "The query parameter `merchant_id` is missing.")

        async def work() -> dict[str, Any]:
            def find(db: sqlite3.Connection) -> operations.Operation | None:
                operations.expire(self._context(db))
                return operations.find(db, visit.terminal, operation_id)

            operation = await self._store.run(find)
            if operation is None or operation.merchant_id != merchant_id:
                raise Refusal(404, "operation_unknown", "No operation with this id has ever arrived.")
            return operations.render(operation, self._config.public_url)

        return Task(work, merchant_id)

    def _books(self, visit: Visit) -> Task:
        query = visit.request.query_params
        start, limit = query.get("after", "0"), query.get("limit", "100")
        if not (start.isdecimal() and limit.isdecimal() and 1 <= int(limit[:9]) <= books.PAGE_MAX):
            raise Refusal(400, "invalid_request", f"`after` is a number, `limit` lies in 1 to {books.PAGE_MAX}.")
        merchant_id = query.get("merchant_id")
        return Task(
            lambda: self._store.run(lambda db: books.read(db, visit.terminal, merchant_id, int(start[:15]), int(limit)))
        )

    def _set_faults(self, visit: Visit) -> Task:
        if visit.request.method == "POST":
            self._faults[visit.terminal] = Faults(decode(visit.body, Plan))
        faults = self._faults[visit.terminal]

        async def work() -> dict[str, Any]:
            return faults.report()

        return Task(work)

    async def _challenge(self, secret: str) -> operations.Operation | None:
        def find(db: sqlite3.Connection) -> operations.Operation | None:
            operations.expire(self._context(db))
            return operations.of_challenge(db, secret)

        return await self._store.run(find)

    async def _answer_challenge(self, secret: str, passed: bool) -> operations.Operation | None:
        operation = await self._store.run(lambda db: operations.answer_challenge(self._context(db), secret, passed))
        self._wake()
        return operation

    # The way of every signed request

    def _endpoint(self, verb: str | None, read: Callable[[Visit], Task]) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint. ``verb`` is what the faults' filter calls it; ``None`` is never disturbed."""

        async def endpoint(request: Request) -> Response:
            try:
                visit = self._authenticate(request, await _body(request))
            except Refusal as refusal:
                return unsigned(refusal.status, error(refusal))
            try:
                task = read(visit)
                rule = self._faults[visit.terminal].on_request(verb, task.merchant_id) if verb else None
                if (broken := await before(rule, request)) is not None:
                    return broken
                value = await task.work()
            except Refusal as refusal:
                return signed(visit, refusal.status, encode(error(refusal)))
            return await after(rule, visit, value)

        return endpoint

    def _authenticate(self, request: Request, body: bytes) -> Visit:
        terminal = request.headers.get(signing.TERMINAL_HEADER, "")
        timestamp = request.headers.get(signing.TIMESTAMP_HEADER, "")
        signature = request.headers.get(signing.SIGNATURE_HEADER, "")
        secret = self._config.terminals.get(terminal)
        if secret is None:
            raise Refusal(401, "terminal_unknown", "No terminal with this id is configured here.")
        if not signing.fresh(timestamp, now_ms()):
            raise Refusal(401, "timestamp_stale", "The timestamp is missing or more than 5 minutes from now.")
        expected = signing.sign_request(secret, timestamp, request.method, _target(request), body)
        if not signing.same(signature, expected):
            raise Refusal(401, "signature_wrong", "The request is not signed with this terminal's secret.")
        return Visit(terminal, secret, signature, body, request)


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_MAX:
            raise Refusal(413, "too_large", f"The body is larger than {BODY_MAX} bytes.")
    return bytes(body)


def _target(request: Request) -> str:
    """Path and query as they stood in the request line."""
    path = cast(bytes, request.scope["raw_path"]).decode("latin-1")
    query = cast(bytes, request.scope["query_string"]).decode("latin-1")
    return f"{path}?{query}" if query else path


async def _health(_: Request) -> Response:
    return unsigned(200, {"status": "ok"})
