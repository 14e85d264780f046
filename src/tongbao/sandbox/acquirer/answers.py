"""Answers: signed as they should be, or as a fault makes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from tongbao.foundation.clock import now_ms
from tongbao.sandbox.acquirer import signing
from tongbao.sandbox.acquirer.faults import Rule
from tongbao.sandbox.acquirer.wire import Refusal, encode

ABORT = "tongbao.sandbox.abort"
"""The ASGI extension (given by ``tongbao.sandbox.server``) that breaks the connection without an answer."""


class Visit(msgspec.Struct, frozen=True):
    """One authenticated request."""

    terminal: str
    secret: str
    signature: str
    body: bytes
    request: Request

    def __repr__(self) -> str:
        return f"Visit({self.terminal})"


async def before(rule: Rule | None, request: Request) -> Response | None:
    """Faults that strike before anything is done. A response ends the request."""
    if rule is None:
        return None
    if rule.kind == "never_arrived":
        return await _abort(request)
    if rule.when == "before":
        if rule.kind == "slow":
            await asyncio.sleep(rule.delay_ms / 1000)
        elif rule.kind == "server_error":
            return Response("Service Unavailable", 503)
    return None


async def after(rule: Rule | None, visit: Visit, value: dict[str, Any]) -> Response:
    """The signed answer, or what a fault makes of it. Everything has been done by now."""
    if rule is None:
        return signed(visit, 200, encode(value))
    if rule.kind == "answer_lost":
        return await _abort(visit.request)
    if rule.kind == "slow" and rule.when == "after":
        await asyncio.sleep(rule.delay_ms / 1000)
    elif rule.kind == "server_error" and rule.when == "after":
        return Response("Bad Gateway", 502)
    elif rule.kind == "garbage":
        if rule.form == "unreadable":
            return signed(visit, 200, b'{"operation_id": "\xff\xfe')
        return signed(visit, 200, encode({**value, "status": "perhaps"}))
    elif rule.kind == "wrong_amount" and "amount" in value:
        return signed(visit, 200, encode({**value, "amount": value["amount"] + 1}))
    elif rule.kind == "forged_answer":
        opposite = {"status": "declined", "code": "card_declined"}
        claim = opposite if value.get("status") == "approved" else {"status": "approved", "code": None}
        liar = msgspec.structs.replace(visit, secret="forged")  # noqa: S106 - is none, and that is the point
        return signed(liar, 200, encode({**value, **claim}))
    return signed(visit, 200, encode(value))


async def _abort(request: Request) -> Response:
    """Break the connection: the caller gets no answer at all."""
    cast(Callable[[], None], request.scope["extensions"][ABORT])()
    while (await request.receive())["type"] != "http.disconnect":
        pass  # the body has been read: what is left to come is the end
    return Response()


def signed(visit: Visit, status: int, body: bytes) -> Response:
    """An answer that its caller can trust."""
    timestamp = str(now_ms())
    signature = signing.sign_answer(visit.secret, timestamp, visit.signature, status, body)
    headers = {signing.TIMESTAMP_HEADER: timestamp, signing.SIGNATURE_HEADER: signature}
    return Response(body, status, headers, "application/json")


def unsigned(status: int, value: dict[str, Any]) -> Response:
    """An answer to somebody unknown."""
    return Response(encode(value), status, media_type="application/json")


def error(refusal: Refusal) -> dict[str, Any]:
    """A refusal as it goes over the wire."""
    return {"error": {"code": refusal.code, "message": refusal.message}}
