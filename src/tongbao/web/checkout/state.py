"""Where a checkout stands, said of the rows alone."""

from __future__ import annotations

from typing import Literal

from tongbao.checkout.model import CheckoutSession
from tongbao.orders.model import Order
from tongbao.payments.model import PaymentIntent

State = Literal["open", "action", "waiting", "paid", "settled", "late", "canceled", "expired"]
"""``open``: can be paid. ``action``: the shopper has to go to their bank. ``waiting``: sent, and no answer yet.
``paid``: by this session. ``settled``: the order is paid, and not by this session. ``late``: this payment came in when
the order was over. ``canceled``, ``expired``: over."""

FINAL: frozenset[State] = frozenset(("paid", "settled", "late", "canceled", "expired"))
"""States that no news will change on an open page."""


def state_of(order: Order, session: CheckoutSession | None, intent: PaymentIntent | None, now_ms: int) -> State:
    """Where things stand at ``now_ms``. Money that is on its way is said before anything else."""
    moving = intent.status if intent is not None else None
    if moving in ("processing", "requires_capture"):
        return "waiting"
    if order.status == "paid":
        return "paid" if moving == "succeeded" else "settled"
    if moving == "succeeded" and order.status in ("expired", "canceled"):
        return "late"
    if order.status == "canceled":
        return "canceled"
    if moving == "requires_action":
        return "action"
    if is_over(order, session, now_ms):
        return "expired"
    return "open"


def is_over(order: Order, session: CheckoutSession | None, now_ms: int) -> bool:
    """Whether the time for paying is up."""
    ended = order.status == "expired" or (order.expires_ms is not None and now_ms >= order.expires_ms)
    return ended or session is None or session.status != "open" or now_ms >= session.expires_ms
