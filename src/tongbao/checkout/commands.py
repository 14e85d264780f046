"""What may happen to checkout sessions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec

from tongbao.checkout.model import SESSION_LIFE_MS, CheckoutSession
from tongbao.engine.commands import Key, Rows, Unfinished
from tongbao.foundation.errors import InvalidRequest, no_such
from tongbao.foundation.ids import encode
from tongbao.identity.model import Customer
from tongbao.orders import model as orders
from tongbao.orders.commands import CreateOrder
from tongbao.orders.model import Order
from tongbao.payments.commands import CreateIntent, MethodChoice
from tongbao.payments.commands.attempts import attempt, attempt_needs
from tongbao.payments.model import CONFIRMABLE, PaymentIntent, PaymentMethod, PaymentReply

EXPIRE = "expire_session"
"""The job that ends a session whose time has run out."""


class CreateSession(msgspec.Struct, frozen=True):
    """Offer an order (an existing one, or one made here) on a hosted page."""

    success_url: str
    livemode: bool
    order: str | None = None
    new_order: CreateOrder | None = None
    cancel_url: str | None = None
    customer: str | None = None
    customer_email: str | None = None
    client_reference_id: str | None = None
    locale: str | None = None
    expires_ms: int | None = None
    payment_method_types: list[str] = []
    intent_data: dict[str, Any] = {}
    metadata: dict[str, str] = {}

    reply: ClassVar[type[msgspec.Struct]] = CheckoutSession

    def needs(self, rows: Rows) -> Iterable[Key]:
        if self.order:
            yield Order, self.order
        if self.new_order:
            yield from self.new_order.needs(rows)
        if self.customer:
            yield Customer, self.customer

    def decide(self, rows: Rows, now_ms: int) -> CheckoutSession:
        expires_ms = now_ms + SESSION_LIFE_MS if self.expires_ms is None else self.expires_ms
        if self.new_order is not None:
            order = msgspec.structs.replace(self.new_order, expires_ms=expires_ms).decide(rows, now_ms)
        else:
            found = rows.get(Order, self.order)
            if found is None:
                raise no_such("order", self.order or "", "order")
            order = found
        if not orders.payable(order, now_ms):
            raise InvalidRequest(
                "order_not_payable", f"This order cannot be paid: it is {orders.why_not_payable(order)}.", param="order"
            )
        if order.expires_ms is not None:
            expires_ms = min(expires_ms, order.expires_ms)
        customer = rows.get(Customer, self.customer) if self.customer else None
        if self.customer and (customer is None or customer.deleted):
            raise no_such("customer", self.customer, "customer")
        mode = "live" if self.livemode else "test"
        session = CheckoutSession(
            merchant_id=rows.merchant_id,
            id=f"cs_{mode}_{encode(now_ms, 8)}{encode(rows.random(190), 32)}",
            created_ms=now_ms,
            order_id=order.id,
            currency=order.currency,
            amount_total=order.amount_remaining,
            success_url=self.success_url,
            expires_ms=expires_ms,
            cancel_url=self.cancel_url,
            customer=self.customer or order.customer,
            customer_email=self.customer_email,
            client_reference_id=self.client_reference_id,
            locale=self.locale,
            payment_method_types=self.payment_method_types,
            intent_data=self.intent_data,
            own_order=self.new_order is not None,
            metadata=self.metadata,
        )
        rows.insert(session)
        rows.schedule(EXPIRE, session.id, expires_ms)
        return session


class PaySession(msgspec.Struct, frozen=True):
    """The shopper pays what is still due: on the session's intent, or a new one if there is none to go on with.

    ``amount`` is what the shopper saw and agreed to; if another amount is due by now, nothing is done.
    """

    session: str
    choice: MethodChoice
    amount: int
    return_url: str | None = None
    idempotency_key: str | None = None

    reply: ClassVar[type[msgspec.Struct]] = PaymentReply

    def needs(self, rows: Rows) -> Iterable[Key]:
        yield CheckoutSession, self.session
        session = rows.find(CheckoutSession, self.session)
        if session is None:
            return
        yield Order, session.order_id
        if session.customer:
            yield Customer, session.customer
        if session.payment_intent:
            yield PaymentIntent, session.payment_intent
            intent = rows.find(PaymentIntent, session.payment_intent)
            if intent and intent.payment_method:
                yield PaymentMethod, intent.payment_method
        yield from attempt_needs(session.currency, session.customer, session.order_id, self.choice)

    def decide(self, rows: Rows, now_ms: int) -> PaymentReply | Unfinished:
        session = rows.get(CheckoutSession, self.session)
        if session is None:
            raise no_such("checkout.session", self.session, "session")
        if session.status != "open" or now_ms >= session.expires_ms:
            raise InvalidRequest("session_not_open", "This checkout is closed. Nothing was charged.", param="session")
        if session.payment_method_types and self.choice.terms.method not in session.payment_method_types:
            raise InvalidRequest(
                "payment_method_type_unavailable",
                f"This checkout cannot be paid with {self.choice.terms.method}.",
                param="payment_method",
            )
        order = rows.get(Order, session.order_id)
        assert order is not None, "a session has its order"
        if order.amount_remaining != self.amount and orders.payable(order, now_ms):
            raise InvalidRequest("amount_changed", "Another amount is due by now. Nothing was charged.", param="amount")
        intent = rows.get(PaymentIntent, session.payment_intent) if session.payment_intent else None
        _refuse_under_way(intent)
        if intent is None or intent.status not in CONFIRMABLE:
            intent = self._new_intent(rows, session, now_ms)
            rows.update(msgspec.structs.replace(session, version=session.version + 1, payment_intent=intent.id))
        intent = msgspec.structs.replace(
            intent,
            amount=order.amount_remaining,
            payment_method_types=sorted({*intent.payment_method_types, self.choice.terms.method}),
            return_url=self.return_url,
        )
        rows.update(intent)
        return attempt(rows, intent, self.choice, self.idempotency_key)

    def _new_intent(self, rows: Rows, session: CheckoutSession, now_ms: int) -> PaymentIntent:
        create = CreateIntent(
            order=session.order_id,
            customer=session.customer,
            payment_method_types=[self.choice.terms.method],
            return_url=self.return_url,
            receipt_email=session.customer_email,
            **session.intent_data,
        )
        made = create.decide(rows, now_ms)
        assert isinstance(made, PaymentReply)
        return made.intent


class CompleteSession(msgspec.Struct, frozen=True):
    """The session's order is paid: the session is over, and the shop is told."""

    session: str

    reply: ClassVar[type[msgspec.Struct]] = CheckoutSession

    def needs(self, rows: Rows) -> Iterable[Key]:
        yield CheckoutSession, self.session
        session = rows.find(CheckoutSession, self.session)
        if session:
            yield Order, session.order_id

    def decide(self, rows: Rows, now_ms: int) -> CheckoutSession:
        session = rows.get(CheckoutSession, self.session)
        if session is None:
            raise no_such("checkout.session", self.session, "session")
        order = rows.get(Order, session.order_id)
        if session.status == "complete" or order is None or order.status != "paid":
            return session
        session = msgspec.structs.replace(session, version=session.version + 1, status="complete")
        rows.update(session)
        rows.event("checkout.session.completed", "checkout.session", session)
        rows.unschedule(EXPIRE, session.id)
        return session


class ExpireSession(msgspec.Struct, frozen=True):
    """End an open session, now or because its time has run out; with it the order that was made for it.

    :raises InvalidRequest: if it is asked for (``now``) and the session is not open, or a payment is under way.
    """

    session: str
    now: bool = False

    reply: ClassVar[type[msgspec.Struct]] = CheckoutSession

    def needs(self, rows: Rows) -> Iterable[Key]:
        yield CheckoutSession, self.session
        session = rows.find(CheckoutSession, self.session)
        if session:
            yield Order, session.order_id
            if session.payment_intent:
                yield PaymentIntent, session.payment_intent

    def decide(self, rows: Rows, now_ms: int) -> CheckoutSession:
        session = rows.get(CheckoutSession, self.session)
        if session is None:
            raise no_such("checkout.session", self.session, "session")
        order = rows.get(Order, session.order_id)
        assert order is not None, "a session has its order"
        paid = order.status == "paid"
        if self.now and (session.status != "open" or paid):
            raise InvalidRequest(
                "session_not_open", "Only Checkout Sessions with a status of open can be expired.", param="session"
            )
        if self.now and session.payment_intent:
            _refuse_under_way(rows.get(PaymentIntent, session.payment_intent))
        if session.status != "open" or paid or (not self.now and now_ms < session.expires_ms):
            return session
        session = msgspec.structs.replace(session, version=session.version + 1, status="expired")
        rows.update(session)
        rows.event("checkout.session.expired", "checkout.session", session)
        if session.own_order:
            expired = orders.expire(order)
            if expired is not None:
                rows.update(expired)
                rows.event("order.expired", "order", expired)
        return session


def _refuse_under_way(intent: PaymentIntent | None) -> None:
    if intent is not None and intent.status in ("processing", "requires_action", "requires_capture"):
        raise InvalidRequest(
            "payment_in_progress", "A payment of this order is under way; wait for its result.", param="session"
        )
