"""How HTTP reaches orders: ours, in Stripe's style."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta

from tongbao.database import reads
from tongbao.engine import Engine
from tongbao.foundation.errors import no_such
from tongbao.foundation.http import Answer, Call, Json, NoParams, Route
from tongbao.foundation.metadata import check_metadata
from tongbao.foundation.money import check_amount, check_currency
from tongbao.foundation.pages import list_object
from tongbao.foundation.params import (
    Amount,
    Currency,
    Description,
    Expand,
    Id,
    Metadata,
    Name,
    OptionalDescription,
    OptionalMetadata,
)
from tongbao.orders.commands import CancelOrder, CreateOrder, UpdateOrder
from tongbao.orders.model import ITEMS_MAX, LatePolicy, Order, Policy

Quantity = Annotated[int, Meta(ge=1, le=1_000_000)]


class LineItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``quantity`` of something at ``unit_amount`` minor units each."""

    name: Annotated[Name, Meta(min_length=1)]
    unit_amount: Amount
    quantity: Quantity = 1
    description: Description | None = None


class CreateOrderParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is bought, and the order's policy for money that is too much or too late."""

    currency: Currency
    line_items: Annotated[list[LineItem], Meta(min_length=1, max_length=ITEMS_MAX)]
    customer: Id | None = None
    description: Description | None = None
    expires_at: reads.Seconds | None = None
    overpayment: Policy = "refund"
    late_payment: LatePolicy = "refund"
    metadata: Metadata = {}
    expand: Expand = []


class UpdateOrderParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Changes to what describes an order."""

    description: OptionalDescription = UNSET
    metadata: OptionalMetadata = UNSET
    expand: Expand = []


class ListOrdersParams(reads.CreatedListParams, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Orders of a customer or in a state."""

    customer: Id | None = None
    status: Literal["open", "partially_paid", "paid", "expired", "canceled"] | None = None


def render_order(row: Order, livemode: bool) -> Json:
    """An order. Amounts in minor units; ``amount_remaining`` is what is still due."""
    return {
        "id": row.id,
        "object": "order",
        "amount_late": row.amount_late,
        "amount_overpaid": row.amount_overpaid,
        "amount_paid": row.amount_paid,
        "amount_refunded": row.amount_refunded,
        "amount_remaining": row.amount_remaining,
        "amount_total": row.amount_total,
        "canceled_at": None if row.canceled_ms is None else row.canceled_ms // 1000,
        "created": row.created_ms // 1000,
        "currency": row.currency,
        "customer": row.customer,
        "description": row.description,
        "expires_at": None if row.expires_ms is None else row.expires_ms // 1000,
        "late_payment": row.late_payment,
        "line_items": row.line_items,
        "livemode": livemode,
        "metadata": row.metadata,
        "overpayment": row.overpayment,
        "paid_at": None if row.paid_ms is None else row.paid_ms // 1000,
        "status": row.status,
        "version": row.version,
    }


def total_of(items: list[LineItem]) -> tuple[list[dict[str, Any]], int]:
    """The items as they are kept, and their total.

    :raises InvalidRequest: if the total is beyond what one order may come to.
    """
    kept = [{**msgspec.to_builtins(item), "amount": item.unit_amount * item.quantity} for item in items]
    return kept, check_amount(sum(item["amount"] for item in kept), "line_items")


@dataclass(frozen=True, slots=True)
class Orders:
    """Handlers of ``/v1/orders``."""

    engine: Engine
    pool: Any

    def routes(self) -> list[Route]:
        """What is offered."""
        base, one, back = "/v1/orders", "/v1/orders/{order}", "order"
        return [
            Route("POST", base, self.create, CreateOrderParams, "Create an order", returns=back),
            Route("GET", base, self.list, ListOrdersParams, "List orders", returns="list"),
            Route("GET", one, self.retrieve, NoParams, "Retrieve an order", returns=back),
            Route("POST", one, self.update, UpdateOrderParams, "Update an order", returns=back),
            Route("POST", one + "/cancel", self.cancel, NoParams, "Cancel an order", returns=back),
        ]

    async def create(self, call: Call[CreateOrderParams]) -> Answer:
        """Make an order."""
        wish = call.params
        items, total = total_of(wish.line_items)
        command = CreateOrder(
            currency=check_currency(wish.currency),
            line_items=items,
            amount_total=total,
            customer=wish.customer,
            description=wish.description,
            expires_ms=None if wish.expires_at is None else wish.expires_at * 1000,
            overpayment=wish.overpayment,
            late_payment=wish.late_payment,
            metadata=check_metadata(wish.metadata),
        )
        return await self._run(call, command)

    async def update(self, call: Call[UpdateOrderParams]) -> Answer:
        """Change what describes an order."""
        wish = call.params
        fields = {} if wish.description is UNSET else {"description": wish.description}
        metadata = None if isinstance(wish.metadata, msgspec.UnsetType) else (wish.metadata or {})
        return await self._run(call, UpdateOrder(call.path["order"], fields, metadata))

    async def cancel(self, call: Call[NoParams]) -> Answer:
        """Call an order off."""
        return await self._run(call, CancelOrder(call.path["order"]))

    async def retrieve(self, call: Call[NoParams]) -> Json:
        """One order."""
        row = await reads.one(self.pool, Order, call.caller.merchant_id, call.path["order"])
        if row is None:
            raise no_such("order", call.path["order"], "order")
        return render_order(row, call.caller.livemode)

    async def list(self, call: Call[ListOrdersParams]) -> Json:
        """A page of orders, newest first."""
        where = {"customer": call.params.customer, "status": call.params.status}
        rows, more = await reads.page(self.pool, Order, call.caller.merchant_id, call.params, where)
        return list_object("/v1/orders", [render_order(row, call.caller.livemode) for row in rows], more)

    async def _run(self, call: Call[Any], command: Any) -> Answer:
        reply = await self.engine.run(call.caller.merchant_id, command, call.idempotency, call.request_id)
        return Answer(render_order(reply.value, call.caller.livemode), replayed=reply.replayed)
