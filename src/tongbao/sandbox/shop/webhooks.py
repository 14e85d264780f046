"""The shop's door for webhooks: verify, store, answer. What they mean is concluded when somebody looks."""

from __future__ import annotations

import logging
import time
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tongbao.sandbox.shop.signature import SignatureRefused, verify
from tongbao.sandbox.shop.store import Store
from tongbao.sandbox.shop.story import HEARD

log = logging.getLogger(__name__)
BODY_MAX = 256 * 1024


class BodyTooLarge(Exception):
    """More was sent than is read."""


async def bounded_body(request: Request, limit: int) -> bytes:
    """Read the body, at most ``limit`` bytes. Raises ``BodyTooLarge``."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise BodyTooLarge
    return bytes(body)


async def receive(request: Request, store: Store, secret: str) -> Response:
    """``POST /webhooks``: 200 once the event is on disk (or was already), 400 if it is not the API's word."""
    try:
        raw = await bounded_body(request, BODY_MAX)
        verify(raw, request.headers.get("Stripe-Signature", ""), secret, time.time())
        event = _event(raw)
    except BodyTooLarge:
        return _refuse(413, f"An event may have at most {BODY_MAX} bytes.")
    except (SignatureRefused, ValueError) as refused:
        return _refuse(400, str(refused))
    if event["type"] in HEARD:
        store.keep_event(event, raw)
    return JSONResponse({"received": True})


def _event(raw: bytes) -> dict[str, Any]:
    """Decode an event, or raise ``ValueError``. Its signature is good, so this only guards against surprises."""
    try:
        event = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError("The body is not JSON.") from error
    match event:
        case {"id": str(name), "type": str(), "created": int(at), "data": {"object": dict()}}:
            if 0 < len(name) <= 255 and 0 <= at < 2**40:
                return dict(event)
    raise ValueError("The body is not an event: it needs id, type, created and data.object.")


def _refuse(status: int, why: str) -> Response:
    log.warning("Webhook refused: %s", why)
    return JSONResponse({"error": {"message": why}}, status_code=status)
