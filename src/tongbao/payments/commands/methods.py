"""Payment methods: kept, attached to a customer, taken off again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import msgspec

from tongbao.engine.commands import Key, Rows
from tongbao.foundation.errors import InvalidRequest, no_such
from tongbao.identity.model import Customer
from tongbao.payments.commands import booking
from tongbao.payments.model import PaymentMethod


class SaveMethod(msgspec.Struct, frozen=True):
    """Keep a payment method whose card has been exchanged for a token."""

    method: PaymentMethod

    reply: ClassVar[type[msgspec.Struct]] = PaymentMethod

    def needs(self, rows: Rows) -> Iterable[Key]:
        return ()

    def decide(self, rows: Rows, now_ms: int) -> PaymentMethod:
        rows.insert(self.method)
        return self.method


class AttachMethod(msgspec.Struct, frozen=True):
    """Attach a method to a customer, for later payments. Once attached it cannot change hands."""

    method: str
    customer: str
    new: PaymentMethod | None = None

    reply: ClassVar[type[msgspec.Struct]] = PaymentMethod

    def needs(self, rows: Rows) -> Iterable[Key]:
        yield PaymentMethod, self.method
        yield Customer, self.customer

    def decide(self, rows: Rows, now_ms: int) -> PaymentMethod:
        customer = rows.get(Customer, self.customer)
        if customer is None or customer.deleted:
            raise no_such("customer", self.customer, "customer")
        method = self.new or rows.get(PaymentMethod, self.method)
        if method is None:
            raise no_such("PaymentMethod", self.method, "payment_method")
        if method.customer is not None and method.customer != self.customer:
            raise InvalidRequest(
                "payment_method_already_attached",
                "The payment method you provided has already been attached to a customer.",
                param="customer",
            )
        attached: PaymentMethod = booking.replace(method, customer=self.customer)
        (rows.insert if self.new else rows.update)(attached)
        rows.event("payment_method.attached", "payment_method", attached)
        return attached


class DetachMethod(msgspec.Struct, frozen=True):
    """Take a method off its customer; it cannot be used again."""

    method: str

    reply: ClassVar[type[msgspec.Struct]] = PaymentMethod

    def needs(self, rows: Rows) -> Iterable[Key]:
        yield PaymentMethod, self.method

    def decide(self, rows: Rows, now_ms: int) -> PaymentMethod:
        method = rows.get(PaymentMethod, self.method)
        if method is None:
            raise no_such("PaymentMethod", self.method, "payment_method")
        if method.customer is None:
            raise InvalidRequest(
                "payment_method_not_attached",
                "The payment method you provided is not attached to a customer so detachment is impossible.",
                param="payment_method",
            )
        detached: PaymentMethod = booking.replace(method, customer=None, token=None)
        rows.update(detached)
        rows.event("payment_method.detached", "payment_method", detached)
        return detached
