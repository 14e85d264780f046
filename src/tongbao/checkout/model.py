"""Checkout sessions: what is true of them."""

from __future__ import annotations

from typing import Any, Literal

import sqlalchemy as sa

from tongbao.database.rows import Row, table

SESSION_LIFE_MS = 24 * 3_600_000
"""How long a session is open unless it says otherwise (Stripe: 24 hours)."""
SESSION_LIFE_MIN_MS, SESSION_LIFE_MAX_MS = 30 * 60_000, 7 * 24 * 3_600_000


@table("checkout_sessions", key=("merchant_id", "id"), indexes=[sa.Index(None, "merchant_id", "order_id")])
class CheckoutSession(Row, frozen=True):
    """An order offered on a hosted page. ``own_order``: the order was made by and for this session.

    The id is unguessable (190 random bits): whoever knows it may see and pay the order.
    """

    id: str
    created_ms: int
    order_id: str
    currency: str
    amount_total: int
    success_url: str
    expires_ms: int
    status: Literal["open", "complete", "expired"] = "open"
    version: int = 1
    cancel_url: str | None = None
    customer: str | None = None
    customer_email: str | None = None
    client_reference_id: str | None = None
    locale: str | None = None
    payment_method_types: list[str] = []
    payment_intent: str | None = None
    intent_data: dict[str, Any] = {}
    own_order: bool = False
    metadata: dict[str, str] = {}
