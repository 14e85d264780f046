"""Giving money back. The money is reserved before the channel is called, so that two refunds cannot both pass."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import msgspec

from tongbao.engine.commands import Key, Rows, Unfinished
from tongbao.foundation.errors import InvalidRequest, missing, no_such
from tongbao.orders import model as orders
from tongbao.orders.model import Order
from tongbao.payments.commands import booking
from tongbao.payments.model import Charge, PaymentIntent, PaymentReply, Refund, Terms

AUTOMATIC = frozenset(("overpayment", "late_payment"))
"""Reasons of refunds that an order's policy makes; they do not count as money returned of what was paid."""


class CreateRefund(msgspec.Struct, frozen=True):
    """Give back ``amount`` (all that is left, if none is given) of a payment. ``terms`` by channel name.

    :raises InvalidRequest: if nothing was captured, all is refunded, or the amount exceeds what is left.
    """

    terms: dict[str, Terms]
    payment_intent: str | None = None
    charge: str | None = None
    amount: int | None = None
    reason: str | None = None
    metadata: dict[str, str] = {}
    idempotency_key: str | None = None

    reply: ClassVar[type[msgspec.Struct]] = PaymentReply

    def needs(self, rows: Rows) -> Iterable[Key]:
        charge_id = self.charge
        if self.payment_intent:
            yield PaymentIntent, self.payment_intent
            intent = rows.find(PaymentIntent, self.payment_intent)
            charge_id = charge_id or (intent.latest_charge if intent else None)
        if charge_id:
            yield Charge, charge_id
            charge = rows.find(Charge, charge_id)
            if charge:
                yield PaymentIntent, charge.payment_intent
                yield from booking.account_needs(booking.terms_of(self.terms, charge), charge.currency, charge.customer)
                if charge.order_id:
                    yield Order, charge.order_id

    def decide(self, rows: Rows, now_ms: int) -> PaymentReply | Unfinished:
        charge = self._charge(rows)
        intent = rows.get(PaymentIntent, charge.payment_intent)
        assert intent is not None, "a charge has its intent"
        left = charge.amount_captured - charge.amount_refunded
        amount = left if self.amount is None else self.amount
        if not charge.captured:
            raise InvalidRequest(
                "charge_not_captured", "This payment has not been captured: cancel it instead.", param="payment_intent"
            )
        if left == 0:
            raise InvalidRequest("charge_already_refunded", f"Charge {charge.id} has already been refunded.")
        if amount > left:
            raise InvalidRequest(
                "refund_amount_too_large",
                f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left}), "
                f"in minor units of {charge.currency}.",
                param="amount",
            )
        return start_refund(
            rows,
            intent,
            charge,
            amount,
            booking.terms_of(self.terms, charge),
            reason=self.reason,
            metadata=self.metadata,
            idempotency_key=self.idempotency_key,
        )

    def _charge(self, rows: Rows) -> Charge:
        charge_id = self.charge
        if self.payment_intent:
            intent = rows.get(PaymentIntent, self.payment_intent)
            if intent is None:
                raise no_such("payment_intent", self.payment_intent, "payment_intent")
            charge_id = charge_id or intent.latest_charge
            if charge_id is None:
                raise InvalidRequest(
                    "charge_not_captured", "This PaymentIntent has no successful charge.", param="payment_intent"
                )
        if charge_id is None:
            raise missing("payment_intent")
        charge = rows.get(Charge, charge_id)
        if charge is None:
            raise no_such("charge", charge_id, "charge")
        if self.payment_intent and charge.payment_intent != self.payment_intent:
            raise InvalidRequest(
                "charge_mismatch", f"Charge {charge_id} is not of {self.payment_intent}.", param="charge"
            )
        return charge


def start_refund(
    rows: Rows,
    intent: PaymentIntent,
    charge: Charge,
    amount: int,
    terms: Terms,
    *,
    reason: str | None = None,
    metadata: dict[str, str] | None = None,
    idempotency_key: str | None = None,
    chase_after_ms: int = booking.CALL_TIME_MS,
) -> PaymentReply | Unfinished:
    """Reserve the money and, unless the channel is inside the house, record the operation to be sent."""
    refund = Refund(
        merchant_id=rows.merchant_id,
        id=rows.new_id("re"),
        created_ms=rows.now_ms,
        charge=charge.id,
        payment_intent=charge.payment_intent,
        amount=amount,
        currency=charge.currency,
        reason=reason,
        metadata=metadata or {},
    )
    booking.reserve_refund(rows, refund, terms)
    charge = booking.replace(charge, amount_refunded=charge.amount_refunded + amount)
    rows.update(charge)
    if terms.inside:
        rows.insert(refund)
        rows.event("refund.created", "refund", refund)
        refund = refund_succeeded(rows, refund, charge, terms)
        return PaymentReply(intent, charge, refund)
    operation = booking.new_operation(
        rows,
        "refund",
        charge,
        amount,
        refund=refund.id,
        idempotency_key=idempotency_key,
        chase_after_ms=chase_after_ms,
    )
    refund = msgspec.structs.replace(refund, operation=operation.id)
    rows.insert(refund)
    rows.event("refund.created", "refund", refund)
    return Unfinished(PaymentReply(intent, charge, refund, operation))


def refund_succeeded(rows: Rows, refund: Refund, charge: Charge, terms: Terms) -> Refund:
    """The channel has given the money back: book it, and tell of it."""
    booking.book_refund(rows, refund, charge.customer, terms)
    done: Refund = booking.replace(refund, status="succeeded", next_check_ms=None)
    rows.update(done)
    rows.event("refund.updated", "refund", done)
    rows.event("charge.refunded", "charge", charge)
    order = rows.get(Order, charge.order_id) if charge.order_id else None
    if order is not None and refund.reason not in AUTOMATIC:
        order = orders.refunded(order, refund.amount)
        rows.update(order)
        rows.event("order.refunded", "order", order)
    return done


def refund_failed(rows: Rows, refund: Refund, charge: Charge, terms: Terms, why: str) -> tuple[Refund, Charge]:
    """The channel has refused: the reserved money goes back to the merchant, and can be refunded again."""
    booking.release_refund(rows, refund, terms)
    failed: Refund = booking.replace(refund, status="failed", failure_reason=why, next_check_ms=None)
    rows.update(failed)
    charge = booking.replace(charge, amount_refunded=charge.amount_refunded - refund.amount)
    rows.update(charge)
    rows.event("refund.failed", "refund", failed)
    return failed, charge
