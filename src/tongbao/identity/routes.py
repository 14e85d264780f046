"""How HTTP reaches customers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET

from tongbao.database import reads
from tongbao.engine import Engine
from tongbao.foundation.errors import no_such
from tongbao.foundation.http import Answer, Call, Json, NoParams, Route
from tongbao.foundation.metadata import check_metadata
from tongbao.foundation.pages import list_object
from tongbao.foundation.params import (
    Description,
    Email,
    Expand,
    Metadata,
    Name,
    OptionalDescription,
    OptionalEmail,
    OptionalMetadata,
    OptionalName,
    OptionalPhone,
    Phone,
)
from tongbao.identity.commands import CreateCustomer, DeleteCustomer, UpdateCustomer
from tongbao.identity.model import Customer


class CreateCustomerParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who the customer is, as far as the shop knows."""

    name: Name | None = None
    email: Email | None = None
    phone: Phone | None = None
    description: Description | None = None
    metadata: Metadata = {}
    expand: Expand = []


class UpdateCustomerParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Changes to a customer; an empty text unsets."""

    name: OptionalName = UNSET
    email: OptionalEmail = UNSET
    phone: OptionalPhone = UNSET
    description: OptionalDescription = UNSET
    metadata: OptionalMetadata = UNSET
    expand: Expand = []


class ListCustomersParams(reads.CreatedListParams, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Customers, by their exact e-mail address if it is given."""

    email: Email | None = None


def render_customer(row: Customer, livemode: bool) -> Json:
    """Stripe's Customer. Ours: ``version``."""
    if row.deleted:
        return {"id": row.id, "object": "customer", "deleted": True}
    return {
        "id": row.id,
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": row.created_ms // 1000,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": row.description,
        "discount": None,
        "email": row.email,
        "invoice_prefix": None,
        "livemode": livemode,
        "metadata": row.metadata,
        "name": row.name,
        "phone": row.phone,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
        "version": row.version,
    }


@dataclass(frozen=True, slots=True)
class Customers:
    """Handlers of ``/v1/customers``."""

    engine: Engine
    pool: Any

    def routes(self) -> list[Route]:
        """What is offered."""
        base, one, back = "/v1/customers", "/v1/customers/{customer}", "customer"
        return [
            Route("POST", base, self.create, CreateCustomerParams, "Create a customer", returns=back),
            Route("GET", base, self.list, ListCustomersParams, "List customers", returns="list"),
            Route("GET", one, self.retrieve, NoParams, "Retrieve a customer", returns=back),
            Route("POST", one, self.update, UpdateCustomerParams, "Update a customer", returns=back),
            Route("DELETE", one, self.delete, NoParams, "Delete a customer", returns=back),
        ]

    async def create(self, call: Call[CreateCustomerParams]) -> Answer:
        """Make a customer."""
        wish = call.params
        fields = {name: getattr(wish, name) for name in ("name", "email", "phone", "description")}
        return await self._run(call, CreateCustomer(fields, check_metadata(wish.metadata)))

    async def update(self, call: Call[UpdateCustomerParams]) -> Answer:
        """Change a customer."""
        wish = call.params
        fields = {
            name: getattr(wish, name)
            for name in ("name", "email", "phone", "description")
            if getattr(wish, name) is not UNSET
        }
        metadata = wish.metadata
        merged = None if isinstance(metadata, msgspec.UnsetType) else (metadata or {})
        return await self._run(call, UpdateCustomer(call.path["customer"], fields, merged))

    async def delete(self, call: Call[NoParams]) -> Answer:
        """Delete a customer."""
        customer = call.path["customer"]
        found = await self.pool.fetch(
            "SELECT id FROM accounts WHERE merchant_id = $1 AND id >= 'customer:' || $2 || ':' "
            "AND id < 'customer:' || $2 || ';'",
            call.caller.merchant_id,
            customer,
        )
        return await self._run(call, DeleteCustomer(customer, [row["id"] for row in found]))

    async def retrieve(self, call: Call[NoParams]) -> Json:
        """One customer."""
        row = await reads.one(self.pool, Customer, call.caller.merchant_id, call.path["customer"])
        if row is None:
            raise no_such("customer", call.path["customer"], "customer")
        return render_customer(row, call.caller.livemode)

    async def list(self, call: Call[ListCustomersParams]) -> Json:
        """A page of customers, newest first."""
        where = {"email": call.params.email, "deleted": False}
        rows, more = await reads.page(self.pool, Customer, call.caller.merchant_id, call.params, where)
        return list_object("/v1/customers", [render_customer(row, call.caller.livemode) for row in rows], more)

    async def _run(self, call: Call[Any], command: Any) -> Answer:
        reply = await self.engine.run(call.caller.merchant_id, command, call.idempotency, call.request_id)
        return Answer(render_customer(reply.value, call.caller.livemode), replayed=reply.replayed)
