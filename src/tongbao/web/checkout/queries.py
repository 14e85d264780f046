"""What a checkout page shows, read from the database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tongbao.checkout.model import CheckoutSession
from tongbao.database import reads
from tongbao.database.rows import TABLES
from tongbao.identity.model import Customer, Merchant
from tongbao.ledger.model import Account, AccountRef
from tongbao.orders.model import Order
from tongbao.payments.model import Charge, PaymentIntent, PaymentMethod

SAVED_MAX = 5
"""How many saved cards are offered, newest first."""


@dataclass(frozen=True, slots=True)
class Shown:
    """All that a page about one order can show. ``balance`` is in minor units of the order's currency."""

    merchant: Merchant
    order: Order
    session: CheckoutSession | None
    intent: PaymentIntent | None = None
    charge: Charge | None = None
    customer: Customer | None = None
    balance: int = 0
    saved: tuple[PaymentMethod, ...] = ()


async def session_shown(pool: Any, merchant_id: str, session_id: str) -> Shown | None:
    """What the page of a session shows, or ``None`` if there is no such session."""
    session = await reads.one(pool, CheckoutSession, merchant_id, session_id)
    if session is None:
        return None
    order = await reads.one(pool, Order, merchant_id, session.order_id)
    assert order is not None, "a session has its order"
    intent = charge = customer = None
    if session.payment_intent is not None:
        intent = await reads.one(pool, PaymentIntent, merchant_id, session.payment_intent)
    if intent is not None and intent.latest_charge is not None:
        charge = await reads.one(pool, Charge, merchant_id, intent.latest_charge)
    if session.customer is not None:
        customer = await reads.one(pool, Customer, merchant_id, session.customer)
    if customer is None or customer.deleted:
        return Shown(await _merchant(pool, merchant_id), order, session, intent, charge)
    account = await reads.one(pool, Account, merchant_id, AccountRef("customer", order.currency, customer.id).id)
    saved = await _saved_cards(pool, merchant_id, customer.id)
    balance = account.balance if account else 0
    return Shown(await _merchant(pool, merchant_id), order, session, intent, charge, customer, balance, saved)


async def order_shown(pool: Any, merchant_id: str, order_id: str) -> Shown | None:
    """What the page of an order without a session shows, or ``None`` if there is no such order."""
    order = await reads.one(pool, Order, merchant_id, order_id)
    return None if order is None else Shown(await _merchant(pool, merchant_id), order, None)


async def newest_session(pool: Any, merchant_id: str, order_id: str, *, open_at_ms: int | None = None) -> str | None:
    """The id of the newest session of an order; with ``open_at_ms`` only of those that are open then."""
    found: str | None = await pool.fetchval(
        "SELECT id FROM checkout_sessions WHERE merchant_id = $1 AND order_id = $2 "
        "AND ($3::bigint IS NULL OR (status = 'open' AND expires_ms > $3)) ORDER BY created_ms DESC, id DESC LIMIT 1",
        merchant_id,
        order_id,
        open_at_ms,
    )
    return found


async def tries(pool: Any, merchant_id: str, intent_id: str) -> int:
    """How many charges an intent has seen."""
    number: int = await pool.fetchval(
        "SELECT count(*) FROM charges WHERE merchant_id = $1 AND payment_intent = $2", merchant_id, intent_id
    )
    return number


async def _merchant(pool: Any, merchant_id: str) -> Merchant:
    table = TABLES[Merchant]
    names = ", ".join(column.name for column in table.columns)
    record = await pool.fetchrow(f"SELECT {names} FROM {table.name} WHERE merchant_id = $1", merchant_id)  # noqa: S608
    assert record is not None, "an order has its merchant"
    return Merchant(*record)


async def _saved_cards(pool: Any, merchant_id: str, customer: str) -> tuple[PaymentMethod, ...]:
    names = ", ".join(column.name for column in TABLES[PaymentMethod].columns)
    records = await pool.fetch(
        f"SELECT {names} FROM payment_methods "  # noqa: S608
        "WHERE merchant_id = $1 AND customer = $2 AND type = 'card' ORDER BY id DESC LIMIT $3",
        merchant_id,
        customer,
        SAVED_MAX,
    )
    return tuple(PaymentMethod(*record) for record in records)
