"""The card channel: the verbs of the contract over the acquirer's signed HTTP protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from tongbao.channels.card import wire
from tongbao.channels.card.config import CardConfig
from tongbao.channels.card.test_cards import test_card
from tongbao.channels.contract import (
    Capabilities,
    CardDetails,
    CardToken,
    Declined,
    Notice,
    NoticeRefused,
    Order,
    Outcome,
    Unknown,
)
from tongbao.foundation.clock import now_ms as clock_ms

ANSWER_MAX = 64 * 1024
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding may raise."""


class _Answer(NamedTuple):
    """A signed answer: proven to be the acquirer's reply to our request."""

    status: int
    body: bytes


class CardChannel:
    """Cards through one terminal at one acquirer. Stateless; ``http`` is shared and closed by its owner."""

    capabilities = Capabilities(method="card", manual_capture=True, partial_capture=True, partial_refund=True)

    def __init__(self, config: CardConfig, http: httpx.AsyncClient, name: str = "card") -> None:
        self.name = name
        self._config = config
        self._http = http
        self._prefix = urlsplit(config.base_url).path.rstrip("/")
        self._origin = config.base_url.rstrip("/").removesuffix(self._prefix)
        self._timeout = httpx.Timeout(config.read_timeout_s, connect=config.connect_timeout_s)
        self._longest_s = config.connect_timeout_s + 2 * config.read_timeout_s

    async def charge(self, order: Order) -> Outcome:
        """Take the money, or reserve it with ``capture=False``. ``order.token`` is required."""
        return await self._operate("POST", "/charges", wire.charge_body(order), order)

    async def capture(self, order: Order) -> Outcome:
        """Take reserved money, whole or part, once; the rest is released."""
        return await self._follow_up("capture", order)

    async def cancel(self, order: Order) -> Outcome:
        """Release reserved money, or call off a charge that waits for the shopper. Names the whole amount."""
        return await self._follow_up("void", order)

    async def refund(self, order: Order) -> Outcome:
        """Give back a part or all of what was captured."""
        return await self._follow_up("refunds", order)

    async def query(self, order: Order) -> Outcome:
        """Ask what became of an operation. ``never_arrived`` if the acquirer has never heard of it."""
        path = f"/operations/{_segment(order.operation_id)}?merchant_id={_segment(order.merchant_id)}"
        return await self._operate("GET", path, None, order)

    async def tokenize(self, card: CardDetails, operation_id: str) -> CardToken | Declined | Unknown:
        """Exchange a card for a token. A refused card is ``Declined``, with Stripe's code."""
        body = {"operation_id": operation_id, "card": card}
        answer = await self._send("POST", "/tokens", body)
        if isinstance(answer, Unknown):
            return answer
        if answer.status != 200:
            return _refused(answer)
        try:
            told = msgspec.json.decode(answer.body, type=wire.TokenAnswer | wire.TokenRefusal)
        except UNREADABLE:
            return Unknown("the acquirer's answer is not readable")
        if told.operation_id != operation_id:
            return Unknown("the acquirer answered about another operation")
        return wire.token_of(told)

    def test_card(self, name: str) -> CardDetails | None:
        """The card that a test name stands for; see ``test_cards``."""
        return test_card(name)

    def verify_notice(self, headers: Mapping[str, str], body: bytes, now_ms: int) -> Notice:
        """Check terminal, age and signature, then decode.

        :raises NoticeRefused: unless all are right.
        """
        timestamp = headers.get(wire.TIMESTAMP_HEADER, "")
        signature = headers.get(wire.SIGNATURE_HEADER, "")
        if headers.get(wire.TERMINAL_HEADER) != self._config.terminal_id:
            raise NoticeRefused("the notice is for another terminal")
        if not (len(timestamp) <= 15 and timestamp.isascii() and timestamp.isdigit()):
            raise NoticeRefused("the notice has no readable timestamp")
        if not wire.is_notice_signed(self._config.secret, timestamp, signature, body):
            raise NoticeRefused("the notice's signature is wrong")
        if abs(now_ms - int(timestamp)) > wire.NOTICE_WINDOW_MS:
            raise NoticeRefused("the notice's timestamp is more than 5 minutes from now")
        try:
            notice = msgspec.json.decode(body, type=wire.NoticeBody)
        except UNREADABLE:
            raise NoticeRefused("the notice is signed, but not readable") from None
        told = notice.operation
        return Notice(notice.id, told.operation_id, wire.outcome_of(told), told.merchant_id)

    async def _follow_up(self, verb: str, order: Order) -> Outcome:
        if order.charge_operation_id is None:
            raise ValueError(f"{order.kind} {order.operation_id} does not say which charge it follows")
        path = f"/charges/{_segment(order.charge_operation_id)}/{verb}"
        return await self._operate("POST", path, wire.follow_up_body(order), order)

    async def _operate(
        self, method: Literal["GET", "POST"], path: str, body: dict[str, Any] | None, order: Order
    ) -> Outcome:
        answer = await self._send(method, path, body)
        if isinstance(answer, Unknown):
            return answer
        if answer.status != 200:
            return _refused(answer, asked=method == "GET")
        try:
            told = msgspec.json.decode(answer.body, type=wire.OperationAnswer)
        except UNREADABLE:
            return Unknown("the acquirer's answer is not readable")
        expected = (order.operation_id, order.merchant_id, wire.KINDS[order.kind])
        if (told.operation_id, told.merchant_id, told.kind) != expected:
            return Unknown("the acquirer answered about another operation")
        return wire.outcome_of(told)

    async def _send(self, method: Literal["GET", "POST"], path: str, body: dict[str, Any] | None) -> _Answer | Unknown:
        """Send one request and verify the answer's signature. Whatever goes wrong on the way is ``Unknown``."""
        target = self._prefix + path
        content = b"" if body is None else msgspec.json.encode(body)
        timestamp = str(clock_ms())
        signature = wire.sign_request(self._config.secret, timestamp, method, target, content)
        headers = {
            "content-type": "application/json",
            "accept-encoding": "identity",  # an answer's bound must hold for what it unfolds to
            wire.TERMINAL_HEADER: self._config.terminal_id,
            wire.TIMESTAMP_HEADER: timestamp,
            wire.SIGNATURE_HEADER: signature,
        }
        received = bytearray()
        try:
            async with (
                asyncio.timeout(self._longest_s),
                self._http.stream(
                    method,
                    self._origin + target,
                    content=content,
                    headers=headers,
                    timeout=self._timeout,
                    follow_redirects=False,
                ) as reply,
            ):
                async for chunk in reply.aiter_raw():
                    received += chunk
                    if len(received) > ANSWER_MAX:
                        return Unknown(f"the acquirer's answer is larger than {ANSWER_MAX} bytes")
        except (httpx.HTTPError, TimeoutError, OSError) as problem:
            return Unknown(f"no answer from the acquirer: {type(problem).__name__}")
        given = (reply.headers.get(wire.TIMESTAMP_HEADER, ""), reply.headers.get(wire.SIGNATURE_HEADER, ""))
        answer = _Answer(reply.status_code, bytes(received))
        if not wire.is_answer_signed(self._config.secret, *given, signature, *answer):
            return Unknown(f"an answer (HTTP {answer.status}) that is not signed by the acquirer")
        return answer


def _refused(answer: _Answer, asked: bool = False) -> Unknown:
    """A signed error: the request was not taken. Only a question may learn from it that nothing ever arrived."""
    try:
        error = msgspec.json.decode(answer.body, type=wire.ErrorAnswer).error
    except UNREADABLE:
        return Unknown(f"the acquirer answered HTTP {answer.status}, unreadably")
    never = asked and answer.status == 404 and error.code == "operation_unknown"
    return Unknown(f"the acquirer answered {error.code}: {error.message}"[:300], never_arrived=never)


def _segment(text: str) -> str:
    return quote(text, safe="")
