"""Taking reserved money, and calling a payment off."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import msgspec

from tongbao.engine.commands import Key, Rows, Unfinished
from tongbao.foundation.errors import InvalidRequest, no_such
from tongbao.payments.commands import booking
from tongbao.payments.commands.attempts import unexpected_state
from tongbao.payments.model import CANCELABLE, Charge, PaymentIntent, PaymentReply, Terms


class CaptureIntent(msgspec.Struct, frozen=True):
    """Take reserved money: all of it, or ``amount_to_capture``; the rest is released.

    :raises InvalidRequest: if nothing is reserved, or less than is asked for.
    """

    intent: str
    terms: dict[str, Terms]
    amount_to_capture: int | None = None
    idempotency_key: str | None = None

    reply: ClassVar[type[msgspec.Struct]] = PaymentReply

    def needs(self, rows: Rows) -> Iterable[Key]:
        yield PaymentIntent, self.intent
        intent = rows.find(PaymentIntent, self.intent)
        if intent and intent.latest_charge:
            yield Charge, intent.latest_charge

    def decide(self, rows: Rows, now_ms: int) -> Unfinished:
        intent = rows.get(PaymentIntent, self.intent)
        if intent is None:
            raise no_such("payment_intent", self.intent, "intent")
        if intent.status != "requires_capture":
            raise unexpected_state(intent, "capture")
        assert intent.latest_charge is not None, "what can be captured has a charge"
        charge = rows.get(Charge, intent.latest_charge)
        assert charge is not None, "a charge that an intent names exists"
        terms = booking.terms_of(self.terms, charge)
        amount = intent.amount_capturable if self.amount_to_capture is None else self.amount_to_capture
        if amount > intent.amount_capturable:
            raise InvalidRequest(
                "amount_too_large",
                f"The amount to capture ({amount}) is greater than what can be captured ({intent.amount_capturable}).",
                param="amount_to_capture",
            )
        if amount != intent.amount_capturable and not terms.partial_capture:
            raise InvalidRequest(
                "capture_method_not_supported",
                "This payment can only be captured as a whole.",
                param="amount_to_capture",
            )
        operation = booking.new_operation(rows, "capture", charge, amount, idempotency_key=self.idempotency_key)
        intent = booking.replace(intent, status="processing")
        rows.update(intent)
        return Unfinished(PaymentReply(intent, charge, None, operation))


class CancelIntent(msgspec.Struct, frozen=True):
    """Call a payment off. What the channel already knows of is called off there first.

    :raises InvalidRequest: if it is too late: money is moving, or has moved.
    """

    intent: str
    reason: str | None = None
    idempotency_key: str | None = None

    reply: ClassVar[type[msgspec.Struct]] = PaymentReply

    def needs(self, rows: Rows) -> Iterable[Key]:
        yield PaymentIntent, self.intent
        intent = rows.find(PaymentIntent, self.intent)
        if intent and intent.latest_charge:
            yield Charge, intent.latest_charge

    def decide(self, rows: Rows, now_ms: int) -> PaymentReply | Unfinished:
        intent = rows.get(PaymentIntent, self.intent)
        if intent is None:
            raise no_such("payment_intent", self.intent, "intent")
        if intent.status not in CANCELABLE:
            raise unexpected_state(intent, "cancel")
        charge = rows.get(Charge, intent.latest_charge) if intent.latest_charge else None
        if charge is not None and intent.status in ("requires_action", "requires_capture"):
            operation = booking.new_operation(
                rows, "cancel", charge, charge.amount, idempotency_key=self.idempotency_key
            )
            intent = booking.replace(
                intent,
                status="processing",
                canceled_ms=now_ms,
                cancellation_reason=self.reason,
                next_action=None,
                next_check_ms=None,
            )
            rows.update(intent)
            return Unfinished(PaymentReply(intent, charge, None, operation))
        return PaymentReply(intent_canceled(rows, intent, self.reason), charge)


def intent_canceled(rows: Rows, intent: PaymentIntent, reason: str | None) -> PaymentIntent:
    """The intent, canceled and told of."""
    canceled: PaymentIntent = booking.replace(
        intent,
        status="canceled",
        canceled_ms=rows.now_ms,
        cancellation_reason=reason,
        amount_capturable=0,
        next_action=None,
        next_check_ms=None,
    )
    rows.update(canceled)
    rows.event("payment_intent.canceled", "payment_intent", canceled)
    return canceled
