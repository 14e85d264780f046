"""The acquirer's protocol as we speak it: signatures, what we send, and how its words become an ``Outcome``.

``docs/channels/card.md`` describes the protocol. Decoding is strict about what money depends on and takes only
words that it knows: everything else is ``Unknown``.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Annotated, Any, Literal

import msgspec

from tongbao.channels.contract import (
    Approved,
    CardToken,
    Declined,
    NextStep,
    Order,
    Outcome,
    Pending,
    Unknown,
)

TERMINAL_HEADER = "acquirer-terminal"
TIMESTAMP_HEADER = "acquirer-timestamp"
SIGNATURE_HEADER = "acquirer-signature"
NOTICE_WINDOW_MS = 5 * 60 * 1000

KINDS = {"charge": "charge", "capture": "capture", "cancel": "void", "refund": "refund"}
"""Our verbs in the acquirer's words."""

DECLINE_CODES = frozenset(
    {
        "amount_too_large",
        "amount_too_small",
        "capture_charge_authorization_expired",
        "capture_unauthorized_payment",
        "card_declined",
        "charge_already_captured",
        "charge_already_refunded",
        "charge_disputed",
        "charge_expired_for_capture",
        "charge_invalid_parameter",
        "charge_not_refundable",
        "expired_card",
        "incorrect_cvc",
        "incorrect_number",
        "invalid_cvc",
        "invalid_expiry_month",
        "invalid_expiry_year",
        "invalid_number",
        "payment_intent_authentication_failure",
        "payment_intent_payment_attempt_expired",
        "payment_intent_payment_attempt_failed",
        "payment_intent_unexpected_state",
        "processing_error",
        "resource_missing",
    }
)
"""Codes of a refusal that we know (https://docs.stripe.com/error-codes). Another one is ``Unknown``."""

_DECLINE_CODE = re.compile(r"[a-z0-9_]{1,64}")

Short = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class OperationAnswer(msgspec.Struct, frozen=True):
    """An operation as the acquirer tells it, in answers and notices alike. Further fields are ignored."""

    operation_id: Short
    merchant_id: Short
    kind: str
    status: str
    ref: Short
    amount: int
    currency: Short
    code: str | None = None
    decline_code: str | None = None
    message: str | None = None
    challenge_url: str | None = None
    details: dict[str, str] = {}


class NoticeBody(msgspec.Struct, frozen=True):
    """A notice: the operation as it had become when the notice was written."""

    id: Short
    operation: OperationAnswer


class TokenAnswer(msgspec.Struct, frozen=True, tag_field="status", tag="approved"):
    """A card became a token."""

    operation_id: Short
    token: Short
    brand: Short
    last4: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}$")]
    exp_month: int
    exp_year: int
    fingerprint: Short
    funding: Short
    country: str | None = None


class TokenRefusal(msgspec.Struct, frozen=True, tag_field="status", tag="declined"):
    """The card was refused."""

    operation_id: Short
    code: str
    message: str
    decline_code: str | None = None


class ErrorBody(msgspec.Struct, frozen=True):
    """Why a request was not taken at all."""

    code: str
    message: str


class ErrorAnswer(msgspec.Struct, frozen=True):
    """The body of a signed 4xx."""

    error: ErrorBody


def mac(secret: str, text: bytes) -> str:
    """HMAC-SHA256, hexadecimal."""
    return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()


def sign_request(secret: str, timestamp: str, method: Literal["GET", "POST"], target: str, body: bytes) -> str:
    """Signature of a request to ``target`` (path and query as in the request line)."""
    return mac(secret, f"request\n{timestamp}\n{method}\n{target}\n".encode() + body)


def is_answer_signed(
    secret: str, timestamp: str, signature: str, request_signature: str, status: int, body: bytes
) -> bool:
    """Whether an answer is the acquirer's, to this very request. Constant time."""
    expected = mac(secret, f"answer\n{timestamp}\n{request_signature}\n{status}\n".encode() + body)
    return hmac.compare_digest(signature.encode(), expected.encode())


def is_notice_signed(secret: str, timestamp: str, signature: str, body: bytes) -> bool:
    """Whether a notice is the acquirer's. Constant time."""
    expected = mac(secret, f"notice\n{timestamp}\n".encode() + body)
    return hmac.compare_digest(signature.encode(), expected.encode())


def charge_body(order: Order) -> dict[str, Any]:
    """What a charge sends."""
    return {
        "operation_id": order.operation_id,
        "merchant_id": order.merchant_id,
        "token": order.token,
        "amount": order.amount,
        "currency": order.currency,
        "capture": order.capture,
        # Only shown to the shopper: the acquirer takes 500 characters of each.
        "merchant_name": order.merchant_name[:500] if order.merchant_name else None,
        "description": order.description[:500] if order.description else None,
        "return_url": order.return_url,
        "notice_url": order.notice_url,
    }


def follow_up_body(order: Order) -> dict[str, Any]:
    """What a capture, void or refund sends."""
    return {
        "operation_id": order.operation_id,
        "merchant_id": order.merchant_id,
        "amount": order.amount,
        "currency": order.currency,
        "notice_url": order.notice_url,
    }


def outcome_of(answer: OperationAnswer) -> Outcome:
    """Translate an operation, word for word."""
    if answer.status == "approved":
        return Approved(answer.ref, answer.amount, answer.currency, answer.details)
    if answer.status == "declined":
        if answer.code not in DECLINE_CODES:
            return Unknown(f"the acquirer declined with a code that we do not know: {_quote(answer.code)}")
        return Declined(answer.code, answer.message or "Declined.", decline_code_of(answer.decline_code), answer.ref)
    if answer.status == "requires_action":
        url = answer.challenge_url or ""
        if not url.startswith(("https://", "http://")):
            return Unknown("the acquirer wants an action of the shopper and does not say where")
        return Pending(answer.ref, NextStep(url))
    return Unknown(f"the acquirer answered with a status that we do not know: {_quote(answer.status)}")


def token_of(answer: TokenAnswer | TokenRefusal) -> CardToken | Declined | Unknown:
    """Translate the answer to ``POST /tokens``."""
    if isinstance(answer, TokenAnswer):
        return CardToken(
            token=answer.token,
            brand=answer.brand,
            last4=answer.last4,
            exp_month=answer.exp_month,
            exp_year=answer.exp_year,
            fingerprint=answer.fingerprint,
            funding=answer.funding,
            country=answer.country,
        )
    if answer.code not in DECLINE_CODES:
        return Unknown(f"the acquirer refused the card with a code that we do not know: {_quote(answer.code)}")
    return Declined(answer.code, answer.message, decline_code_of(answer.decline_code))


def decline_code_of(code: str | None) -> str | None:
    """The issuer's reason if it looks like one: new ones appear at any time, and nothing is decided by it."""
    return code if code is not None and _DECLINE_CODE.fullmatch(code) else None


def _quote(word: str | None) -> str:
    return repr(word)[:80]
