"""What may happen to orders, besides what payments tell them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec

from tongbao.engine.commands import Key, Rows
from tongbao.foundation.errors import InvalidRequest, no_such
from tongbao.foundation.metadata import merge_metadata
from tongbao.identity.model import Customer
from tongbao.orders import model
from tongbao.orders.model import LatePolicy, Order, Policy

EXPIRE = "expire_order"
"""The job that ends an order whose time has run out."""


class CreateOrder(msgspec.Struct, frozen=True):
    """Make an order of these items. Their total is what is due."""

    currency: str
    line_items: list[dict[str, Any]]
    amount_total: int
    customer: str | None = None
    description: str | None = None
    expires_ms: int | None = None
    overpayment: Policy = "refund"
    late_payment: LatePolicy = "refund"
    metadata: dict[str, str] = {}

    reply: ClassVar[type[msgspec.Struct]] = Order

    def needs(self, rows: Rows) -> Iterable[Key]:
        if self.customer:
            yield Customer, self.customer

    def decide(self, rows: Rows, now_ms: int) -> Order:
        if self.customer:
            customer = rows.get(Customer, self.customer)
            if customer is None or customer.deleted:
                raise no_such("customer", self.customer, "customer")
        if self.expires_ms is not None and self.expires_ms <= now_ms:
            raise InvalidRequest("expires_at_past", "expires_at must lie in the future.", param="expires_at")
        order = Order(
            merchant_id=rows.merchant_id,
            id=rows.new_id("ord"),
            created_ms=now_ms,
            currency=self.currency,
            amount_total=self.amount_total,
            line_items=self.line_items,
            customer=self.customer,
            description=self.description,
            expires_ms=self.expires_ms,
            overpayment=self.overpayment,
            late_payment=self.late_payment,
            metadata=self.metadata,
        )
        rows.insert(order)
        rows.event("order.created", "order", order)
        if order.expires_ms is not None:
            rows.schedule(EXPIRE, order.id, order.expires_ms)
        return order


class _OnOrder(msgspec.Struct, frozen=True):
    """A command on one existing order."""

    order: str

    reply: ClassVar[type[msgspec.Struct]] = Order

    def needs(self, rows: Rows) -> Iterable[Key]:
        yield Order, self.order

    def _order(self, rows: Rows) -> Order:
        order = rows.get(Order, self.order)
        if order is None:
            raise no_such("order", self.order, "order")
        return order


class UpdateOrder(_OnOrder, frozen=True):
    """Change an order's description or metadata."""

    fields: dict[str, Any] = {}
    metadata: dict[str, str] | None = None

    def decide(self, rows: Rows, now_ms: int) -> Order:
        order = self._order(rows)
        changes = dict(self.fields)
        if self.metadata is not None:
            changes["metadata"] = merge_metadata(order.metadata, self.metadata)
        order = msgspec.structs.replace(order, version=order.version + 1, **changes)
        rows.update(order)
        return order


class CancelOrder(_OnOrder, frozen=True):
    """Call an order off. What has been paid of it is for the shop to refund.

    :raises InvalidRequest: if it is paid, expired or canceled already.
    """

    def decide(self, rows: Rows, now_ms: int) -> Order:
        order = self._order(rows)
        canceled = model.cancel(order, now_ms)
        if canceled is None:
            raise InvalidRequest(
                "order_unexpected_state", f"You cannot cancel this order because it is {order.status}.", param="order"
            )
        rows.update(canceled)
        rows.event("order.canceled", "order", canceled)
        rows.unschedule(EXPIRE, order.id)
        return canceled


class ExpireOrder(_OnOrder, frozen=True):
    """End an order whose time has run out; nothing happens if it is paid or its time has not come."""

    def decide(self, rows: Rows, now_ms: int) -> Order:
        order = self._order(rows)
        expired = model.expire(order) if order.expires_ms is not None and order.expires_ms <= now_ms else None
        if expired is None:
            return order
        rows.update(expired)
        rows.event("order.expired", "order", expired)
        return expired
