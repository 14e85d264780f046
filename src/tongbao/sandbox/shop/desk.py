"""The shopkeeper's desk: every order, and money back."""

from __future__ import annotations

import secrets
import time

from starlette.requests import Request
from starlette.responses import Response

from tongbao.sandbox.shop.frame import Shop, Trouble, refused
from tongbao.sandbox.shop.store import Refund, ShopOrder
from tongbao.sandbox.shop.story import Payment, Story, conclude
from tongbao.sandbox.shop.tongbao_api import ApiRefused, ApiUnreachable
from tongbao.sandbox.shop.words import fen_of


async def admin(shop: Shop, request: Request) -> Response:
    """``GET /admin``: the latest orders; each paid one can be refunded, in part or whole."""
    rows = []
    for order in shop.store.all_orders():
        story, refunds = _told(shop, order)
        left = [(payment, _left(payment, refunds)) for payment in story.payments]
        rows.append({"order": order, "story": story, "left": left, "refunds": refunds})
    done = request.query_params.get("done", "")
    return shop.render(
        request,
        "admin.html",
        rows=rows,
        key=lambda: secrets.token_hex(12),
        done=shop.store.refund(done) if done else None,
        bad="bad" in request.query_params,
    )


async def give_back(shop: Shop, request: Request) -> Response:
    """``POST /admin/refunds``: ask for a refund. The form's key makes a second press the same refund."""
    form = await shop.form(request)
    known = shop.store.refund(form.get("key", ""))
    refund = known or _new_refund(shop, form)
    if refund is None:
        return shop.go("/admin?bad=1")
    if known is None:
        shop.store.ask_refund(refund)  # before asking: after a crash the desk still shows it, and can ask again
    if refund.status is None:
        await _ask(shop, refund)
    return shop.go(f"/admin?done={refund.key}#{refund.number}")


async def _ask(shop: Shop, refund: Refund) -> None:
    params = {"payment_intent": refund.payment_intent, "amount": refund.amount}
    try:
        made = await shop.api.post("/v1/refunds", params, f"shop-refund-{refund.key}")
    except ApiUnreachable:
        raise Trouble(503, "refund.away", back="admin") from None
    except ApiRefused as error:
        shop.store.answer_refund(refund.key, None, "refused")
        shop.store.note_call(refund.number, "POST /v1/refunds", error.code)
        raise refused(error, "refund", "admin") from None
    shop.store.answer_refund(refund.key, str(made.get("id")), str(made.get("status")))
    shop.store.note_call(refund.number, "POST /v1/refunds", str(made.get("id")))


def _new_refund(shop: Shop, form: dict[str, str]) -> Refund | None:
    """The refund that a form asks for, or None if it asks for more than is there or nothing sensible."""
    order = shop.store.order(form.get("number", ""))
    amount = fen_of(form.get("amount", ""))
    key = form.get("key", "")
    if order is None or not amount or not (key.isascii() and key.isalnum() and len(key) == 24):
        return None
    story, refunds = _told(shop, order)
    for payment in story.payments:
        if payment.payment_intent == form.get("payment_intent") and amount <= _left(payment, refunds):
            now_ms = time.time_ns() // 1_000_000
            return Refund(key, order.number, payment.payment_intent, amount, now_ms, None, None)
    return None


def _told(shop: Shop, order: ShopOrder) -> tuple[Story, list[Refund]]:
    return conclude(order.total, shop.store.events_of(order)), shop.store.refunds_of(order.number)


def _left(payment: Payment, refunds: list[Refund]) -> int:
    """What can still be given back of a payment: neither the webhooks nor our own requests may be forgotten."""
    asked = sum(r.amount for r in refunds if r.payment_intent == payment.payment_intent and r.counts)
    return max(0, payment.received - max(payment.refunded, asked))
