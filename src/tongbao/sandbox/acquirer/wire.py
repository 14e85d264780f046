"""Requests as they arrive, and the errors that are answered. Unknown fields are refused, texts are bounded."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec

from tongbao.foundation.errors import InvalidRequest
from tongbao.foundation.money import AMOUNT_MAX, check_currency

BODY_MAX = 64 * 1024

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=r"^[\x21-\x7e]+$")]
Amount = Annotated[int, msgspec.Meta(ge=1, le=AMOUNT_MAX)]
Url = Annotated[str, msgspec.Meta(max_length=2048, pattern=r"^https?://[\x21-\x7e]+$")]
Text = Annotated[str, msgspec.Meta(max_length=500)]


class Refusal(Exception):
    """A request that is answered with an error and leaves no trace in the books."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A card as typed. Lives only while its token is made."""

    number: Annotated[str, msgspec.Meta(max_length=64)]
    exp_month: int
    exp_year: int
    cvc: Annotated[str, msgspec.Meta(max_length=16)] | None = None

    def __repr__(self) -> str:
        return f"Card(…{self.number[-4:]})"


class TokenRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /tokens``"""

    operation_id: Id
    card: Card


class ChargeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /charges``. ``capture=False`` only authorises."""

    operation_id: Id
    merchant_id: Id
    token: Id
    amount: Amount
    currency: str
    capture: bool = True
    merchant_name: Text | None = None
    description: Text | None = None
    return_url: Url | None = None
    notice_url: Url | None = None


class FollowUpRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /charges/{operation id of the charge}/capture | void | refunds``. A void names the whole amount."""

    operation_id: Id
    merchant_id: Id
    amount: Amount
    currency: str
    notice_url: Url | None = None


Request = TypeVar("Request", bound=msgspec.Struct)


def decode(body: bytes, kind: type[Request]) -> Request:
    """Read a JSON body, or raise ``Refusal``. The message names the field and never repeats its value."""
    try:
        request = msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as problem:
        raise Refusal(400, "invalid_request", str(problem)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refusal(400, "invalid_request", "The body is not JSON in UTF-8.") from None
    if isinstance(request, ChargeRequest | FollowUpRequest):
        try:
            check_currency(request.currency)
        except InvalidRequest as problem:
            raise Refusal(400, "invalid_request", problem.message) from None
        if request.currency != request.currency.lower():
            raise Refusal(400, "invalid_request", "Currencies are written in lower case.")
    return request


def encode(value: Any) -> bytes:
    """Write JSON."""
    return msgspec.json.encode(value)
