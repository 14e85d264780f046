"""How HTTP reaches checkout sessions (Stripe's, and ``order`` to offer one of our orders)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tongbao.checkout.commands import CreateSession, ExpireSession
from tongbao.checkout.model import SESSION_LIFE_MAX_MS, SESSION_LIFE_MIN_MS, CheckoutSession
from tongbao.database import reads
from tongbao.engine import Engine
from tongbao.foundation.errors import InvalidRequest, missing, no_such
from tongbao.foundation.http import Answer, Call, Json, NoParams, Route
from tongbao.foundation.metadata import check_metadata
from tongbao.foundation.money import check_currency
from tongbao.foundation.pages import ListParams, list_object
from tongbao.foundation.params import (
    Amount,
    Currency,
    Description,
    Email,
    Expand,
    Id,
    Metadata,
    Name,
    Url,
    check_web_address,
)
from tongbao.orders.commands import CreateOrder
from tongbao.orders.model import ITEMS_MAX, Order
from tongbao.orders.routes import LineItem, Quantity, total_of
from tongbao.payments.params import MethodTypes
from tongbao.payments.service import Payments


class ProductData(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is sold."""

    name: Annotated[Name, Meta(min_length=1)]
    description: Description | None = None
    images: Annotated[list[Url], Meta(max_length=8)] = []
    metadata: Metadata = {}


class PriceData(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one of it costs."""

    currency: Currency
    unit_amount: Amount
    product_data: ProductData


class SessionItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One line, in Stripe's words."""

    price_data: PriceData
    quantity: Quantity = 1


class IntentData(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What the session's payment intent is to carry."""

    description: Description | None = None
    metadata: Metadata = {}
    statement_descriptor: Annotated[str, Meta(max_length=22)] | None = None


class CreateSessionParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is offered: an ``order``, or ``line_items`` from which one is made."""

    success_url: Url
    mode: Literal["payment"] = "payment"
    order: Id | None = None
    line_items: Annotated[list[SessionItem], Meta(min_length=1, max_length=ITEMS_MAX)] | None = None
    cancel_url: Url | None = None
    customer: Id | None = None
    customer_email: Email | None = None
    client_reference_id: Annotated[str, Meta(max_length=200)] | None = None
    locale: Literal["auto", "en", "zh", "zh-HK", "zh-TW"] | None = None
    expires_at: reads.Seconds | None = None
    payment_method_types: MethodTypes | None = None
    payment_intent_data: IntentData | None = None
    metadata: Metadata = {}
    expand: Expand = []


class ListSessionsParams(reads.CreatedListParams, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Sessions of a customer, an intent or an order."""

    customer: Id | None = None
    payment_intent: Id | None = None
    order: Id | None = None


def session_url(base_url: str, row: CheckoutSession) -> str:
    """The hosted page's address. The merchant's part leads to the row without a search."""
    return f"{base_url}/c/{row.merchant_id.removeprefix('acct_')}/{row.id}"


def render_session(row: CheckoutSession, livemode: bool, base_url: str, order: Order | None = None) -> Json:
    """Stripe's Checkout Session. Ours: ``order`` and ``version``. With ``order`` it is shown as that order is now."""
    complete = row.status == "complete" or (order is not None and order.status == "paid")
    closed = order is not None and order.status in ("expired", "canceled")
    status = "complete" if complete else "expired" if closed else row.status
    return {
        "id": row.id,
        "object": "checkout.session",
        "amount_subtotal": row.amount_total,
        "amount_total": row.amount_total,
        "cancel_url": row.cancel_url,
        "client_reference_id": row.client_reference_id,
        "created": row.created_ms // 1000,
        "currency": row.currency,
        "customer": row.customer,
        "customer_email": row.customer_email,
        "expires_at": row.expires_ms // 1000,
        "livemode": livemode,
        "locale": row.locale,
        "metadata": row.metadata,
        "mode": "payment",
        "payment_intent": row.payment_intent,
        "payment_method_types": row.payment_method_types,
        "payment_status": "paid" if complete else "unpaid",
        "status": status,
        "success_url": row.success_url,
        "ui_mode": "hosted",
        "url": session_url(base_url, row) if status == "open" else None,
        "order": row.order_id,
        "version": row.version,
    }


@dataclass(frozen=True, slots=True)
class Sessions:
    """Handlers of ``/v1/checkout/sessions``."""

    engine: Engine
    pool: Any
    payments: Payments
    base_url: str

    def routes(self) -> list[Route]:
        """What is offered."""
        base, one, back = "/v1/checkout/sessions", "/v1/checkout/sessions/{session}", "checkout.session"
        return [
            Route("POST", base, self.create, CreateSessionParams, "Create a checkout session", returns=back),
            Route("GET", base, self.list, ListSessionsParams, "List checkout sessions", returns="list"),
            Route("GET", one, self.retrieve, NoParams, "Retrieve a checkout session", returns=back),
            Route("GET", one + "/line_items", self.line_items, ListParams, "List its items", returns="list"),
            Route("POST", one + "/expire", self.expire, NoParams, "Expire a checkout session", returns=back),
        ]

    async def create(self, call: Call[CreateSessionParams]) -> Answer:
        """Offer an order on a hosted page."""
        wish = call.params
        check_web_address(wish.success_url, "success_url")
        check_web_address(wish.cancel_url, "cancel_url")
        if wish.order is not None and wish.line_items is not None:
            raise InvalidRequest(
                "parameters_exclusive",
                "You may only specify one of these parameters: order, line_items.",
                param="line_items",
            )
        if wish.order is None and wish.line_items is None:
            raise missing("line_items")
        for method in wish.payment_method_types or []:
            if self.payments.terms_for(method) is None:
                raise InvalidRequest(
                    "payment_method_type_unavailable",
                    f"The payment method type {method} is not offered here.",
                    param="payment_method_types",
                )
        if wish.payment_intent_data is not None:
            check_metadata(wish.payment_intent_data.metadata, "payment_intent_data[metadata]")
        command = CreateSession(
            success_url=wish.success_url,
            livemode=call.caller.livemode,
            order=wish.order,
            new_order=None if wish.line_items is None else _order_of(wish.line_items, wish),
            cancel_url=wish.cancel_url,
            customer=wish.customer,
            customer_email=wish.customer_email,
            client_reference_id=wish.client_reference_id,
            locale=wish.locale,
            expires_ms=_expires_ms(wish.expires_at, call.now_ms),
            payment_method_types=wish.payment_method_types or [],
            intent_data=msgspec.to_builtins(wish.payment_intent_data) if wish.payment_intent_data else {},
            metadata=check_metadata(wish.metadata),
        )
        return await self._run(call, command)

    async def retrieve(self, call: Call[NoParams]) -> Json:
        """One session, as its order is now."""
        row = await self._row(call)
        order = await reads.one(self.pool, Order, row.merchant_id, row.order_id)
        return render_session(row, call.caller.livemode, self.base_url, order)

    async def list(self, call: Call[ListSessionsParams]) -> Json:
        """A page of sessions, newest first."""
        wish, live = call.params, call.caller.livemode
        where = {"customer": wish.customer, "payment_intent": wish.payment_intent, "order_id": wish.order}
        rows, more = await reads.page(self.pool, CheckoutSession, call.caller.merchant_id, wish, where)
        return list_object("/v1/checkout/sessions", [render_session(row, live, self.base_url) for row in rows], more)

    async def line_items(self, call: Call[Any]) -> Json:
        """What the session offers, in Stripe's words."""
        row = await self._row(call)
        order = await reads.one(self.pool, Order, row.merchant_id, row.order_id)
        assert order is not None, "a session has its order"
        data = [
            {
                "id": f"li_{row.order_id.removeprefix('ord_')}{number}",
                "object": "item",
                "amount_discount": 0,
                "amount_subtotal": item["amount"],
                "amount_tax": 0,
                "amount_total": item["amount"],
                "currency": order.currency,
                "description": item["name"],
                "price": None,
                "quantity": item["quantity"],
            }
            for number, item in enumerate(order.line_items)
        ]
        return list_object(f"/v1/checkout/sessions/{row.id}/line_items", data, False)

    async def expire(self, call: Call[NoParams]) -> Answer:
        """End an open session."""
        return await self._run(call, ExpireSession(call.path["session"], now=True))

    async def _row(self, call: Call[Any]) -> CheckoutSession:
        row = await reads.one(self.pool, CheckoutSession, call.caller.merchant_id, call.path["session"])
        if row is None:
            raise no_such("checkout.session", call.path["session"], "session")
        return row

    async def _run(self, call: Call[Any], command: Any) -> Answer:
        reply = await self.engine.run(call.caller.merchant_id, command, call.idempotency, call.request_id)
        return Answer(render_session(reply.value, call.caller.livemode, self.base_url), replayed=reply.replayed)


def _order_of(items: list[SessionItem], wish: CreateSessionParams) -> CreateOrder:
    currencies = {check_currency(item.price_data.currency, "line_items") for item in items}
    if len(currencies) != 1:
        raise InvalidRequest("currency_mismatch", "All line items must be in one currency.", param="line_items")
    lines = [
        LineItem(
            name=item.price_data.product_data.name,
            description=item.price_data.product_data.description,
            unit_amount=item.price_data.unit_amount,
            quantity=item.quantity,
        )
        for item in items
    ]
    kept, total = total_of(lines)
    return CreateOrder(currencies.pop(), kept, total, customer=wish.customer)


def _expires_ms(expires_at: int | None, now_ms: int) -> int | None:
    if expires_at is None:
        return None
    expires_ms = expires_at * 1000
    # A little grace at the lower bound: the caller's clock and the way here.
    if not now_ms + SESSION_LIFE_MIN_MS - 60_000 <= expires_ms <= now_ms + SESSION_LIFE_MAX_MS:
        raise InvalidRequest(
            "expires_at_invalid", "expires_at must lie between 30 minutes and 7 days from now.", param="expires_at"
        )
    return expires_ms
