"""Whether a capture, void or refund may be done to a charge in the state in which it is. Pure rules.

Codes are Stripe's (https://docs.stripe.com/error-codes).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec


class Decision(msgspec.Struct, frozen=True):
    """What an operation becomes. The fields are named as in the operation."""

    status: str
    code: str | None = None
    decline_code: str | None = None
    message: str | None = None


APPROVED = Decision("approved")

Charge = Mapping[str, Any]
"""One row of ``charges``."""


def _judge_capture(charge: Charge, amount: int) -> Decision:
    if charge["state"] == "captured":
        return Decision("declined", "charge_already_captured", None, "The charge has already been captured.")
    if charge["state"] != "authorised":
        return Decision("declined", "capture_unauthorized_payment", None, "The charge is not authorised.")
    if amount > charge["authorised"]:
        return Decision("declined", "amount_too_large", None, "More than was authorised.")
    return APPROVED


def _judge_void(charge: Charge, amount: int) -> Decision:
    if charge["state"] == "captured":
        return Decision("declined", "charge_already_captured", None, "The charge has already been captured.")
    if charge["state"] not in ("authorised", "pending"):
        return Decision("declined", "payment_intent_unexpected_state", None, "There is nothing to release.")
    if amount != charge["authorised"]:
        return Decision("declined", "charge_invalid_parameter", None, "A void releases the whole amount.")
    return APPROVED


def _judge_refund(charge: Charge, amount: int) -> Decision:
    if charge["state"] != "captured":
        return Decision("declined", "charge_not_refundable", None, "The charge has not been captured.")
    if charge["refunded"] == charge["captured"]:
        return Decision("declined", "charge_already_refunded", None, "The charge has already been refunded.")
    if charge["refunded"] + amount > charge["captured"]:
        return Decision("declined", "amount_too_large", None, "More than is left of the charge.")
    return APPROVED


JUDGES: dict[str, Callable[[Charge, int], Decision]] = {
    "capture": _judge_capture,
    "void": _judge_void,
    "refund": _judge_refund,
}
