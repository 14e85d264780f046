"""Where channels send their notices: verified, kept under the provider's own id, answered, and through the door."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from tongbao.channels.contract import NoticeRefused
from tongbao.foundation.clock import now_ms
from tongbao.foundation.errors import NotFound, Overloaded
from tongbao.payments.service import Payments

log = structlog.get_logger()
BODY_MAX = 256 * 1024
BODY_SECONDS_MAX = 10.0


class Notices:
    """``POST /notices/{channel}/{merchant}``. A provider that gets no 2xx sends again."""

    def __init__(self, payments: Payments) -> None:
        self._payments = payments

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one notice."""
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        name, merchant = request.path_params["channel"], request.path_params["merchant"]
        if name not in self._payments.channels.names:
            return PlainTextResponse("no such channel", 404)
        channel = self._payments.channels.by_name(name)
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS_MAX):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > BODY_MAX:
                        return PlainTextResponse("too large", 413)
        except ClientDisconnect:
            return PlainTextResponse("gone", 400)
        except TimeoutError:
            return PlainTextResponse("too slow", 408, {"connection": "close"})
        try:
            notice = channel.verify_notice(request.headers, bytes(body), now_ms())
        except NoticeRefused as refused:
            log.warning("notice_refused", channel=name, why=str(refused))
            return PlainTextResponse("refused", 400)
        if notice.merchant_id is not None and notice.merchant_id != merchant:
            log.warning("notice_refused", channel=name, why="signed for another merchant")
            return PlainTextResponse("refused", 400)
        try:
            await self._payments.record(
                merchant, notice.operation_id, name, notice.outcome, "notice", notice=notice.external_id
            )
        except NotFound:
            log.warning("notice_of_unknown_operation", channel=name)
            return PlainTextResponse("unknown operation", 404)
        except Overloaded:
            return PlainTextResponse("try again", 503)
        return PlainTextResponse("success")
