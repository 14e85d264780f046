"""The card channel beyond the contract: its configuration, its vocabulary, its test cards."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import msgspec
import pytest

from tongbao.channels.card import CardChannel, CardConfig, test_cards
from tongbao.channels.contract import Approved, Declined, Order, Outcome, Pending, Unknown

SECRET = "s3cret-of-more-than-thirty-two-characters"
CONFIG = CardConfig(base_url="https://acquirer.example/acquirer", terminal_id="trm_1", secret=SECRET)
ORDER = Order("op_1", "charge", 1_000, "cny", "acct_1", False, token="tkn_1")
TOLD = {
    "operation_id": "op_1",
    "merchant_id": "acct_1",
    "kind": "charge",
    "status": "approved",
    "ref": "acq_1",
    "amount": 1_000,
    "currency": "cny",
}


def answering(body: bytes, status: int = 200, sign: bool = True) -> Callable[[httpx.Request], httpx.Response]:
    """An acquirer that gives this answer to everything."""

    def answer(request: httpx.Request) -> httpx.Response:
        text = f"answer\n1\n{request.headers['acquirer-signature']}\n{status}\n".encode() + body
        signature = hmac.new(SECRET.encode(), text, hashlib.sha256).hexdigest()
        headers = {"acquirer-timestamp": "1", "acquirer-signature": signature} if sign else {}
        return httpx.Response(status, content=in_pieces(body), headers=headers)

    return answer


async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 10_000):
        yield body[start : start + 10_000]


async def charge_against(answer: Callable[[httpx.Request], httpx.Response]) -> Outcome:
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        return await CardChannel(CONFIG, http).charge(ORDER)


async def outcome_of(**told: Any) -> Outcome:
    return await charge_against(answering(json.dumps({**TOLD, **told}).encode()))


async def test_each_known_status_becomes_its_outcome() -> None:
    assert await outcome_of(details={"brand": "visa"}) == Approved("acq_1", 1_000, "cny", {"brand": "visa"})
    assert await outcome_of(
        status="declined", code="card_declined", decline_code="lost_card", message="No."
    ) == Declined("card_declined", "No.", "lost_card", "acq_1")
    waiting = await outcome_of(status="requires_action", challenge_url="https://bank.example/c")
    assert isinstance(waiting, Pending)
    assert waiting.next_step is not None
    assert waiting.next_step.url == "https://bank.example/c"


@pytest.mark.parametrize(
    "told",
    [
        {"status": "settled"},
        {"status": ""},
        {"status": None},
        {"status": "declined", "code": "moon_in_wrong_phase"},
        {"status": "declined", "code": None},
        {"status": "requires_action"},
        {"status": "requires_action", "challenge_url": "javascript:alert(1)"},
        {"operation_id": "op_2"},
        {"merchant_id": "acct_2"},
        {"kind": "refund"},
        {"amount": "1000"},
        {"amount": 10.5},
        {"amount": None},
        {"ref": ""},
    ],
    ids=str,
)
async def test_whatever_else_is_said_is_unknown(told: dict[str, Any]) -> None:
    outcome = await outcome_of(**told)
    assert isinstance(outcome, Unknown)
    assert not outcome.never_arrived


async def test_an_unknown_reason_of_the_issuer_does_not_hide_a_decline() -> None:
    told = {"status": "declined", "code": "card_declined", "message": "No."}
    assert await outcome_of(**told, decline_code="brand_new_reason") == Declined(
        "card_declined", "No.", "brand_new_reason", "acq_1"
    )
    assert await outcome_of(**told, decline_code="<script>") == Declined("card_declined", "No.", None, "acq_1")


@pytest.mark.parametrize("status", [200, 301, 401, 404, 500, 503])
async def test_an_unsigned_answer_is_unknown_whatever_it_says(status: int) -> None:
    outcome = await charge_against(answering(json.dumps(TOLD).encode(), status, sign=False))
    assert isinstance(outcome, Unknown)
    assert str(status) in outcome.reason


async def test_an_answer_to_another_request_is_unknown() -> None:
    signed: dict[str, str] = {}

    def replay(request: httpx.Request) -> httpx.Response:
        if not signed:
            signed.update(answering(json.dumps(TOLD).encode())(request).headers)
        return httpx.Response(200, content=in_pieces(json.dumps(TOLD).encode()), headers=signed)

    assert isinstance(await charge_against(replay), Approved)
    async with httpx.AsyncClient(transport=httpx.MockTransport(replay)) as http:
        other = msgspec.structs.replace(ORDER, description="another request about the same operation")
        assert isinstance(await CardChannel(CONFIG, http).charge(other), Unknown)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'{"x":' + b"[" * 30_000], ids=range(6))
async def test_a_signed_answer_that_cannot_be_read_is_unknown(body: bytes) -> None:
    assert isinstance(await charge_against(answering(body)), Unknown)
    assert isinstance(await charge_against(answering(body, 400)), Unknown)


async def test_an_endless_answer_is_cut_off() -> None:
    outcome = await charge_against(answering(b" " * 70_000 + json.dumps(TOLD).encode()))
    assert isinstance(outcome, Unknown)


async def test_only_a_query_learns_that_an_operation_never_arrived() -> None:
    unheard = answering(b'{"error": {"code": "operation_unknown", "message": "Never heard of it."}}', 404)
    async with httpx.AsyncClient(transport=httpx.MockTransport(unheard)) as http:
        channel = CardChannel(CONFIG, http)
        asked, sent = await channel.query(ORDER), await channel.charge(ORDER)
    assert isinstance(asked, Unknown)
    assert asked.never_arrived
    assert isinstance(sent, Unknown)
    assert not sent.never_arrived


async def test_a_follow_up_that_names_no_charge_is_a_bug_of_ours() -> None:
    async with httpx.AsyncClient(transport=httpx.MockTransport(answering(b""))) as http:
        with pytest.raises(ValueError, match="which charge"):
            await CardChannel(CONFIG, http).refund(msgspec.structs.replace(ORDER, kind="refund"))


def test_the_secret_is_not_shown() -> None:
    assert SECRET not in repr(CONFIG)
    assert SECRET not in str(CONFIG)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"base_url": "acquirer.example"}, "base_url"),
        ({"base_url": "ftp://acquirer.example"}, "base_url"),
        ({"base_url": "https://acquirer.example/?a=b"}, "base_url"),
        ({"base_url": "http://acquirer.example/acquirer"}, "https"),
        ({"terminal_id": ""}, "terminal_id"),
        ({"terminal_id": "a\nb"}, "terminal_id"),
        ({"secret": "short"}, "32"),
        ({"read_timeout_s": 0}, "greater than zero"),
    ],
    ids=str,
)
def test_a_configuration_that_would_not_work_or_not_be_safe_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        msgspec.structs.replace(CONFIG, **change)


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:1/x", "http://localhost", "http://[::1]:8000/acquirer"])
def test_plain_http_is_allowed_within_this_machine(base_url: str) -> None:
    assert msgspec.structs.replace(CONFIG, base_url=base_url).base_url == base_url


def test_plain_http_to_elsewhere_has_to_be_asked_for() -> None:
    msgspec.structs.replace(CONFIG, base_url="http://sandbox:8002/acquirer", allow_plain_http=True)


def test_named_test_cards_have_stripes_numbers() -> None:
    def number(name: str) -> str | None:
        card = test_cards.test_card(name)
        return card.number if card else None

    assert number("pm_card_visa") == number("tok_visa") == "4242424242424242"
    assert number("pm_card_chargeDeclined") == number("pm_card_visa_chargeDeclined") == "4000000000000002"
    assert number("pm_card_visa_chargeDeclinedInsufficientFunds") == "4000000000009995"
    assert number("pm_card_authenticationRequired") == "4000002760003184"
    for name in ("pm_visa", "visa", "pm_card_", "pm_card_visa_visa", "pm_card_visa_mastercard", "tok_", ""):
        assert number(name) is None
    amex = test_cards.test_card("pm_card_amex")
    assert amex is not None
    assert amex.cvc == "1234"
    assert "378282" not in repr(amex)
