"""How payments are booked and told: the one place where payments meet ledger, orders and events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tongbao.engine.commands import Key, Rows
from tongbao.foundation.errors import Overloaded
from tongbao.ledger import posting
from tongbao.ledger.model import AccountRef, credit, debit
from tongbao.orders import model as orders
from tongbao.orders.model import Order
from tongbao.payments.model import Charge, Operation, PaymentIntent, Refund, Terms

CHASE = "chase"
"""The job that asks a channel what became of an operation."""
ORDER_PAID = "order_paid"
"""The job that tells whatever offered the order (a checkout session) that it is paid."""
CALL_TIME_MS = 20_000
"""How long the process that recorded an operation has to call the channel before the sweeper does."""

_Any = Any


def replace(row: _Any, **changes: Any) -> _Any:
    """The row's next version, with changes."""
    return msgspec.structs.replace(row, version=row.version + 1, **changes)


def terms_of(terms: Mapping[str, Terms], charge: Charge) -> Terms:
    """The terms of the channel that took a charge.

    :raises Overloaded: if that channel is not configured (any more), which is for an operator to mend.
    """
    known = terms.get(charge.channel)
    if known is None:
        raise Overloaded("channel_unavailable", f"The channel {charge.channel} is not available here at the moment.")
    return known


def merchant_account(terms: Terms, currency: str) -> AccountRef:
    """The merchant's account that a channel's payments are credited to."""
    return AccountRef("merchant_available" if terms.settles_at_once else "merchant_pending", currency)


def source_account(terms: Terms, currency: str, customer: str | None) -> AccountRef:
    """Where a channel's money comes from: the customer's balance, or what the channel owes us."""
    if terms.inside:
        return AccountRef("customer", currency, customer)
    return AccountRef("channel", currency, terms.channel)


def account_needs(terms: Terms, currency: str, customer: str | None) -> list[Key]:
    """The accounts that taking or returning money through a channel touches."""
    return list(
        posting.needs(
            source_account(terms, currency, customer),
            merchant_account(terms, currency),
            AccountRef("fees", currency),
            AccountRef("refunds_reserved", currency),
            AccountRef("suspense", currency),
        )
    )


def book_capture(rows: Rows, intent: PaymentIntent, charge: Charge, amount: int, terms: Terms) -> Charge:
    """Book ``amount`` as taken; returns the charge with what was captured and the fee."""
    currency, fee = charge.currency, terms.fee(amount)
    posting.post(
        rows,
        "charge",
        charge.id,
        [
            debit(source_account(terms, currency, charge.customer), amount),
            credit(merchant_account(terms, currency), amount - fee),
            credit(AccountRef("fees", currency), fee),
        ],
    )
    return replace(charge, status="succeeded", captured=True, amount_captured=amount, fee=fee)  # type: ignore[no-any-return]


def reserve_refund(rows: Rows, refund: Refund, terms: Terms) -> None:
    """Set the refund's money aside before any channel is called."""
    posting.post(
        rows,
        "refund_reserve",
        refund.id,
        [
            debit(merchant_account(terms, refund.currency), refund.amount),
            credit(AccountRef("refunds_reserved", refund.currency), refund.amount),
        ],
    )


def book_refund(rows: Rows, refund: Refund, customer: str | None, terms: Terms) -> None:
    """Book a refund as done: the reserved money leaves by the channel."""
    posting.post(
        rows,
        "refund",
        refund.id,
        [
            debit(AccountRef("refunds_reserved", refund.currency), refund.amount),
            credit(source_account(terms, refund.currency, customer), refund.amount),
        ],
    )


def release_refund(rows: Rows, refund: Refund, terms: Terms) -> None:
    """Give the reserved money of a refund that failed back to the merchant."""
    posting.post(
        rows,
        "refund_release",
        refund.id,
        [
            debit(AccountRef("refunds_reserved", refund.currency), refund.amount),
            credit(merchant_account(terms, refund.currency), refund.amount),
        ],
    )


def book_suspense(rows: Rows, operation: Operation, terms: Terms) -> None:
    """Book money that a channel took and that belongs to no payment, until somebody finds where it belongs."""
    posting.post(
        rows,
        "suspense",
        operation.id,
        [
            debit(source_account(terms, operation.currency, None), operation.amount),
            credit(AccountRef("suspense", operation.currency), operation.amount),
        ],
    )


def tell_order(rows: Rows, order_id: str | None, amount: int) -> tuple[int, str | None]:
    """Tell an order that ``amount`` has come in. Returns what is to be given back at once, and why."""
    order = rows.get(Order, order_id) if order_id else None
    if order is None:
        return 0, None
    received = orders.receive(order, amount, rows.now_ms)
    rows.update(received.order)
    for event in received.events:
        rows.event(event, "order", received.order)
    if received.order.status == "paid" and order.status != "paid":
        rows.schedule(ORDER_PAID, order.id, rows.now_ms)
        rows.unschedule("expire_order", order.id)
    return received.give_back, received.reason


def new_operation(
    rows: Rows,
    kind: Any,
    charge: Charge,
    amount: int,
    *,
    refund: str | None = None,
    idempotency_key: str | None = None,
    chase_after_ms: int = CALL_TIME_MS,
) -> Operation:
    """Record an operation before its channel is called, with the job that will chase it."""
    operation = Operation(
        merchant_id=rows.merchant_id,
        id=rows.new_id("op"),
        created_ms=rows.now_ms,
        kind=kind,
        channel=charge.channel,
        payment_intent=charge.payment_intent,
        charge=charge.id,
        amount=amount,
        currency=charge.currency,
        refund=refund,
        next_check_ms=rows.now_ms + chase_after_ms,
        idempotency_key=idempotency_key,
    )
    rows.insert(operation)
    rows.schedule(CHASE, operation.id, rows.now_ms + chase_after_ms)
    return operation
