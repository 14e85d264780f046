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


def usable_method(rows: Rows, method_id: str, customer: str | None) -> PaymentMethod:
    """The kept method with this id, if ``customer`` may pay with it.

    :raises NotFound: if there is none.
    :raises InvalidRequest: if it was detached, or belongs to another customer.
    """
    method = rows.get(PaymentMethod, method_id)
    if method is None:
        raise no_such("PaymentMethod", method_id, "payment_method")
    _refuse_detached(method)
    if method.customer is not None and method.customer != customer:
        raise InvalidRequest(
            "payment_method_customer_mismatch",
            "The PaymentMethod belongs to another customer than this PaymentIntent's.",
            param="payment_method",
        )
    return method


def _refuse_detached(method: PaymentMethod) -> None:
    if method.detached:
        raise InvalidRequest(
            "payment_method_detached",
            "This PaymentMethod was detached from its customer, and may not be used again.",
            param="payment_method",
        )


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
        _refuse_detached(method)
        if method.customer is not None and method.customer != self.customer:
            raise InvalidRequest(
                "payment_method_already_attached",
                "The payment method you provided has already been attached to a customer.",
                param="customer",
            )
        attached: PaymentMethod = booking.replace(method, customer=self.customer)
        (rows.insert if self.new else rows.update)(attached)
        rows.event("payment_method.attached", "payment_method", msgspec.structs.replace(attached, token=None))
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
        detached: PaymentMethod = booking.replace(method, customer=None, detached=True)
        rows.update(detached)
        rows.event("payment_method.detached", "payment_method", detached)
        return detached
