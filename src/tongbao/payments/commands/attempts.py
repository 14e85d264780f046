"""Attempts: a payment method is tried on an intent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec

from tongbao.engine.commands import Key, Rows, Unfinished
from tongbao.foundation.errors import InvalidRequest, missing, no_such
from tongbao.identity.model import Customer
from tongbao.ledger import posting
from tongbao.orders import model as orders
from tongbao.orders.model import Order
from tongbao.payments.commands import booking
from tongbao.payments.commands.methods import usable_method
from tongbao.payments.commands.refunds import start_refund
from tongbao.payments.model import CONFIRMABLE, Charge, PaymentIntent, PaymentMethod, PaymentReply, Terms


class MethodChoice(msgspec.Struct, frozen=True):
    """How this attempt is to be paid: a saved method's id, or a new one to be kept, or the customer's balance."""

    terms: Terms
    payment_method: str | None = None
    new: PaymentMethod | None = None


class ConfirmIntent(msgspec.Struct, frozen=True):
    """Try to be paid. Without ``choice`` the method that the intent already has is used.

    :raises InvalidRequest: if the intent's state, its method types or its order forbid it.
    """

    intent: str
    choice: MethodChoice
    return_url: str | None = None
    receipt_email: str | None = None
    idempotency_key: str | None = None

    reply: ClassVar[type[msgspec.Struct]] = PaymentReply

    def needs(self, rows: Rows) -> Iterable[Key]:
        yield PaymentIntent, self.intent
        intent = rows.find(PaymentIntent, self.intent)
        if intent:
            yield from attempt_needs(intent.currency, intent.customer, intent.order_id, self.choice)
            if intent.payment_method:
                yield PaymentMethod, intent.payment_method

    def decide(self, rows: Rows, now_ms: int) -> PaymentReply | Unfinished:
        intent = rows.get(PaymentIntent, self.intent)
        if intent is None:
            raise no_such("payment_intent", self.intent, "intent")
        if intent.status not in CONFIRMABLE:
            raise unexpected_state(intent, "confirm")
        if self.return_url:
            intent = msgspec.structs.replace(intent, return_url=self.return_url)
        if self.receipt_email:
            intent = msgspec.structs.replace(intent, receipt_email=self.receipt_email)
        return attempt(rows, intent, self.choice, self.idempotency_key)


def unexpected_state(intent: PaymentIntent, verb: str) -> InvalidRequest:
    """The error for a step that the intent's state does not allow, in Stripe's words."""
    return InvalidRequest(
        "payment_intent_unexpected_state",
        f"You cannot {verb} this PaymentIntent because it has a status of {intent.status}.",
        param="intent",
    )


def attempt_needs(currency: str, customer: str | None, order_id: str | None, choice: MethodChoice) -> Iterable[Key]:
    """The rows that ``attempt`` wants."""
    if choice.payment_method:
        yield PaymentMethod, choice.payment_method
    if order_id:
        yield Order, order_id
    if choice.terms.inside:
        if customer:
            yield Customer, customer
        yield from booking.account_needs(choice.terms, currency, customer)


def attempt(rows: Rows, intent: PaymentIntent, choice: MethodChoice, key: str | None) -> PaymentReply | Unfinished:
    """Record a charge on the intent and carry it out (inside) or prepare its operation (outside).

    ``intent`` must already be in the batch, stored or just inserted by this command.
    """
    method = _method(rows, intent, choice)
    _check_order(rows, intent)
    terms = choice.terms
    if terms.method not in intent.payment_method_types:
        raise InvalidRequest(
            "payment_intent_invalid_parameter",
            f"The payment method type {terms.method} is not among this PaymentIntent's payment_method_types.",
            param="payment_method",
        )
    if intent.capture_method == "manual" and not terms.manual_capture:
        raise InvalidRequest(
            "capture_method_not_supported",
            f"capture_method=manual is not possible with {terms.method}.",
            param="capture_method",
        )
    charge = Charge(
        merchant_id=rows.merchant_id,
        id=rows.new_id("ch"),
        created_ms=rows.now_ms,
        payment_intent=intent.id,
        amount=intent.amount,
        currency=intent.currency,
        channel=terms.channel,
        customer=intent.customer,
        description=intent.description,
        payment_method=method.id if method else None,
        method_details=_details(terms, method),
        order_id=intent.order_id,
        metadata=intent.metadata,
    )
    intent = msgspec.structs.replace(
        intent,
        payment_method=method.id if method else intent.payment_method,
        latest_charge=charge.id,
        last_payment_error=None,
    )
    if terms.inside:
        return _pay_inside(rows, intent, charge, terms)
    operation = booking.new_operation(rows, "charge", charge, charge.amount, idempotency_key=key)
    charge = msgspec.structs.replace(charge, operation=operation.id)
    rows.insert(charge)
    intent = booking.replace(intent, status="processing", next_check_ms=None)
    rows.update(intent)
    return Unfinished(PaymentReply(intent, charge, None, operation, method))


def _pay_inside(rows: Rows, intent: PaymentIntent, charge: Charge, terms: Terms) -> PaymentReply:
    if intent.customer is None:
        raise missing("customer")
    customer = rows.get(Customer, intent.customer)
    if customer is None or customer.deleted:
        raise no_such("customer", intent.customer, "customer")
    source = booking.source_account(terms, intent.currency, intent.customer)
    rows.insert(charge)
    if posting.balance(rows, source) < charge.amount:
        return charge_failed(
            rows,
            intent,
            charge,
            "insufficient_funds",
            "The customer's balance does not cover this amount. Nothing was charged.",
            "insufficient_funds",
        )
    return charge_captured(rows, intent, charge, charge.amount, terms)


def charge_captured(
    rows: Rows, intent: PaymentIntent, charge: Charge, amount: int, terms: Terms, event: str = "charge.succeeded"
) -> PaymentReply:
    """The money is ours: book it, tell the intent and the order, give back at once what the order's policy says."""
    charge = booking.book_capture(rows, intent, charge, amount, terms)
    intent = booking.replace(
        intent,
        status="succeeded",
        amount_received=amount,
        amount_capturable=0,
        next_action=None,
        next_check_ms=None,
        canceled_ms=None,
        cancellation_reason=None,
    )
    rows.update(charge)
    rows.update(intent)
    rows.event(event, "charge", charge)
    rows.event("payment_intent.succeeded", "payment_intent", intent)
    give_back, reason = booking.tell_order(rows, intent.order_id, amount)
    if give_back:
        start_refund(rows, intent, charge, give_back, terms, reason=reason, chase_after_ms=0)
        charge = rows.get(Charge, charge.id) or charge
    return PaymentReply(intent, charge)


def charge_failed(
    rows: Rows, intent: PaymentIntent, charge: Charge, code: str, message: str, decline_code: str | None
) -> PaymentReply:
    """The attempt was refused: the intent waits for another method."""
    charge = booking.replace(
        charge, status="failed", failure_code=code, failure_message=message, decline_code=decline_code
    )
    error: dict[str, Any] = {"type": "card_error", "code": code, "message": message, "charge": charge.id}
    if decline_code:
        error["decline_code"] = decline_code
    if charge.payment_method:
        error["payment_method"] = charge.payment_method
    intent = booking.replace(
        intent,
        status="requires_payment_method",
        payment_method=None,
        last_payment_error=error,
        next_action=None,
        next_check_ms=None,
    )
    rows.update(charge)
    rows.update(intent)
    rows.event("charge.failed", "charge", charge)
    rows.event("payment_intent.payment_failed", "payment_intent", intent)
    return PaymentReply(intent, charge)


def _method(rows: Rows, intent: PaymentIntent, choice: MethodChoice) -> PaymentMethod | None:
    if choice.new is not None:
        rows.insert(choice.new)
        return choice.new
    chosen = choice.payment_method or (None if choice.terms.inside else intent.payment_method)
    if chosen is None:
        if choice.terms.inside:
            return None
        raise InvalidRequest(
            "payment_intent_payment_method_missing",
            "You cannot confirm this PaymentIntent because it's missing a payment method.",
            param="payment_method",
        )
    return usable_method(rows, chosen, intent.customer)


def _details(terms: Terms, method: PaymentMethod | None) -> dict[str, Any]:
    if method is None or method.card is None:
        return {"type": terms.method}
    return {"type": terms.method, "card": method.card}


def _check_order(rows: Rows, intent: PaymentIntent) -> None:
    if intent.order_id is None:
        return
    order = rows.get(Order, intent.order_id)
    if order is None:
        raise no_such("order", intent.order_id, "order")
    if not orders.payable(order, rows.now_ms):
        why = orders.why_not_payable(order)
        raise InvalidRequest("order_not_payable", f"This order cannot be paid: it is {why}.", param="order")
