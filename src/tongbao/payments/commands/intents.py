"""Creating and changing intents."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Literal

import msgspec

from tongbao.engine.commands import Key, Rows, Unfinished
from tongbao.foundation.errors import InvalidRequest, missing, no_such
from tongbao.foundation.ids import encode
from tongbao.foundation.metadata import merge_metadata
from tongbao.identity.model import Customer
from tongbao.orders.model import Order
from tongbao.payments.commands import booking
from tongbao.payments.commands.attempts import MethodChoice, attempt, attempt_needs, unexpected_state
from tongbao.payments.commands.methods import usable_method
from tongbao.payments.model import CONFIRMABLE, PaymentIntent, PaymentMethod, PaymentReply


class CreateIntent(msgspec.Struct, frozen=True):
    """Create an intent, and with ``confirm`` try to be paid in the same decision.

    With ``order``, amount, currency and customer default to what is due on the order.
    """

    amount: int | None = None
    currency: str | None = None
    order: str | None = None
    customer: str | None = None
    capture_method: Literal["automatic", "manual"] = "automatic"
    payment_method_types: list[str] = msgspec.field(default_factory=lambda: ["card"])
    payment_method: str | None = None
    description: str | None = None
    metadata: dict[str, str] = {}
    receipt_email: str | None = None
    return_url: str | None = None
    statement_descriptor: str | None = None
    confirm: MethodChoice | None = None
    idempotency_key: str | None = None

    reply: ClassVar[type[msgspec.Struct]] = PaymentReply

    def needs(self, rows: Rows) -> Iterable[Key]:
        customer, currency = self.customer, self.currency
        if self.order:
            yield Order, self.order
            order = rows.find(Order, self.order)
            if order is not None:
                customer, currency = customer or order.customer, currency or order.currency
        if customer:
            yield Customer, customer
        if self.payment_method:
            yield PaymentMethod, self.payment_method
        if self.confirm and currency:
            yield from attempt_needs(currency, customer, self.order, self.confirm)

    def decide(self, rows: Rows, now_ms: int) -> PaymentReply | Unfinished:
        amount, currency, customer = self._terms(rows)
        self._check(rows, customer)
        intent_id = rows.new_id("pi")
        ready = self.payment_method is not None
        intent = PaymentIntent(
            merchant_id=rows.merchant_id,
            id=intent_id,
            created_ms=now_ms,
            amount=amount,
            currency=currency,
            client_secret=f"{intent_id}_secret_{encode(rows.random(142), 24)}",
            status="requires_confirmation" if ready else "requires_payment_method",
            capture_method=self.capture_method,
            payment_method_types=self.payment_method_types,
            customer=customer,
            description=self.description,
            metadata=self.metadata,
            order_id=self.order,
            payment_method=self.payment_method,
            receipt_email=self.receipt_email,
            return_url=self.return_url,
            statement_descriptor=self.statement_descriptor,
        )
        rows.insert(intent)
        rows.event("payment_intent.created", "payment_intent", intent)
        if self.confirm is None:
            return PaymentReply(intent)
        return attempt(rows, intent, self.confirm, self.idempotency_key)

    def _terms(self, rows: Rows) -> tuple[int, str, str | None]:
        amount, currency, customer = self.amount, self.currency, self.customer
        if self.order:
            order = rows.get(Order, self.order)
            if order is None:
                raise no_such("order", self.order, "order")
            if currency is not None and currency != order.currency:
                raise InvalidRequest(
                    "currency_mismatch", f"The order is in {order.currency}, not {currency}.", param="currency"
                )
            amount = order.amount_remaining if amount is None else amount
            currency, customer = order.currency, customer or order.customer
            if amount <= 0:
                raise InvalidRequest("order_not_payable", "Nothing is due on this order.", param="order")
        if amount is None:
            raise missing("amount")
        if currency is None:
            raise missing("currency")
        return amount, currency, customer

    def _check(self, rows: Rows, customer_id: str | None) -> None:
        if customer_id is not None:
            _existing_customer(rows, customer_id)
        if self.payment_method is not None:
            usable_method(rows, self.payment_method, customer_id)


class UpdateIntent(msgspec.Struct, frozen=True):
    """Change an intent that has not been tried yet. Absent fields stay; metadata is merged."""

    intent: str
    changes: dict[str, Any]
    metadata: dict[str, str] | None = None

    reply: ClassVar[type[msgspec.Struct]] = PaymentReply

    def needs(self, rows: Rows) -> Iterable[Key]:
        yield PaymentIntent, self.intent
        if self.changes.get("customer"):
            yield Customer, self.changes["customer"]
        if self.changes.get("payment_method"):
            yield PaymentMethod, self.changes["payment_method"]

    def decide(self, rows: Rows, now_ms: int) -> PaymentReply:
        intent = rows.get(PaymentIntent, self.intent)
        if intent is None:
            raise no_such("payment_intent", self.intent, "intent")
        changes = dict(self.changes)
        if changes and intent.status not in CONFIRMABLE:
            free = {"description", "receipt_email"}
            if set(changes) - free or intent.status == "canceled":
                raise unexpected_state(intent, "update")
        if changes.get("customer"):
            _existing_customer(rows, changes["customer"])
        if changes.get("payment_method"):
            usable_method(rows, changes["payment_method"], changes.get("customer", intent.customer))
            changes["status"] = "requires_confirmation"
        if intent.order_id and changes.get("currency", intent.currency) != intent.currency:
            raise InvalidRequest(
                "currency_mismatch", f"The order is in {intent.currency}, not {changes['currency']}.", param="currency"
            )
        if self.metadata is not None:
            changes["metadata"] = merge_metadata(intent.metadata, self.metadata)
        intent = booking.replace(intent, **changes)
        rows.update(intent)
        return PaymentReply(intent)


def _existing_customer(rows: Rows, customer_id: str) -> None:
    customer = rows.get(Customer, customer_id)
    if customer is None or customer.deleted:
        raise no_such("customer", customer_id, "customer")
