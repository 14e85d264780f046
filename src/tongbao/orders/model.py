"""Orders: what is true of them, and how payments change them. An order knows no payments: it is told facts.

The policy, chosen per order when it is made:

* ``overpayment``: what comes in beyond the amount due is refunded at once (``refund``, the default) or kept on
  the order for the merchant to decide (``keep``).
* ``late_payment``: money that comes in after the order has expired or was canceled is refunded at once
  (``refund``, the default), or revives the order (``accept``).

Both are always recorded, in ``amount_overpaid`` and ``amount_late``.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec
import sqlalchemy as sa

from tongbao.database.rows import Row, table

Status = Literal["open", "partially_paid", "paid", "expired", "canceled"]
Policy = Literal["refund", "keep"]
LatePolicy = Literal["refund", "accept"]

ITEMS_MAX = 100


@table("orders", key=("merchant_id", "id"), indexes=[sa.Index(None, "merchant_id", "customer")])
class Order(Row, frozen=True):
    """One order. Amounts in minor units of ``currency``.

    ``amount_paid`` is what payments brought in towards the amount due, less what was refunded before all was
    paid; ``amount_refunded`` is all that was refunded of it. ``amount_overpaid`` and ``amount_late`` are what came
    besides, as it was recorded.
    """

    id: str
    created_ms: int
    currency: str
    amount_total: int
    line_items: list[dict[str, Any]]
    status: Status = "open"
    version: int = 1
    amount_paid: int = 0
    amount_refunded: int = 0
    amount_overpaid: int = 0
    amount_late: int = 0
    customer: str | None = None
    description: str | None = None
    expires_ms: int | None = None
    overpayment: Policy = "refund"
    late_payment: LatePolicy = "refund"
    paid_ms: int | None = None
    canceled_ms: int | None = None
    metadata: dict[str, str] = {}

    @property
    def amount_remaining(self) -> int:
        """What is still due, in minor units."""
        return max(0, self.amount_total - self.amount_paid)


class LineItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line: ``quantity`` of something at ``unit_amount`` minor units each."""

    name: str
    unit_amount: int
    quantity: int = 1
    description: str | None = None


class Received(NamedTuple):
    """What a payment did to an order: the new order, the events to tell, and what has to be given back."""

    order: Order
    events: list[str]
    give_back: int
    reason: str | None


def receive(order: Order, amount: int, now_ms: int) -> Received:
    """Apply ``amount`` minor units that have come in, at ``now_ms``, by the order's policy."""
    revived = order.status in ("expired", "canceled") and order.late_payment == "accept"
    if order.status in ("expired", "canceled") and not revived:
        late = _next(order, amount_late=order.amount_late + amount)
        return Received(late, ["order.late_payment"], amount, "late_payment")
    due = order.amount_remaining
    used, excess = min(amount, due), max(0, amount - due)
    paid = order.amount_paid + used
    complete = paid >= order.amount_total
    changed = _next(
        order,
        status="paid" if complete else "partially_paid",
        amount_paid=paid,
        amount_overpaid=order.amount_overpaid + excess,
        amount_late=order.amount_late + (amount if revived else 0),
        paid_ms=(order.paid_ms or now_ms) if complete else None,
    )
    events = [f"order.{changed.status}"] if changed.status != order.status or not complete else []
    if excess:
        events.append("order.overpaid")
    back = excess if order.overpayment == "refund" else 0
    return Received(changed, events, back, "overpayment" if back else None)


def refunded(order: Order, amount: int) -> Order:
    """Record that ``amount`` of what was paid went back.

    An order that is paid stays paid: returning goods is the shop's. Before that, it is due again.
    """
    back = order.amount_refunded + amount
    if order.status == "paid":
        return _next(order, amount_refunded=back)
    paid = max(0, order.amount_paid - amount)
    status = "open" if order.status == "partially_paid" and not paid else order.status
    return _next(order, status=status, amount_paid=paid, amount_refunded=back)


def expire(order: Order) -> Order | None:
    """The order after its time has run out, or ``None`` if that changes nothing."""
    if order.status not in ("open", "partially_paid"):
        return None
    return _next(order, status="expired")


def cancel(order: Order, now_ms: int) -> Order | None:
    """The order called off by the shop, or ``None`` if it is too late for that."""
    if order.status not in ("open", "partially_paid"):
        return None
    return _next(order, status="canceled", canceled_ms=now_ms)


def why_not_payable(order: Order) -> str:
    """What an order that cannot be paid is. (Its time may have run out before it is marked so.)"""
    return "expired" if order.status in ("open", "partially_paid") else order.status


def payable(order: Order, now_ms: int) -> bool:
    """Whether a payment may be started."""
    in_time = order.expires_ms is None or now_ms < order.expires_ms
    return order.status in ("open", "partially_paid") and in_time


def _next(order: Order, **changes: Any) -> Order:
    return msgspec.structs.replace(order, version=order.version + 1, **changes)
