"""What may happen to customers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec

from tongbao.engine.commands import Key, Rows
from tongbao.foundation.errors import InvalidRequest, no_such
from tongbao.foundation.metadata import merge_metadata
from tongbao.foundation.money import Money
from tongbao.identity.model import Customer
from tongbao.ledger.model import Account


class CreateCustomer(msgspec.Struct, frozen=True):
    """Make a customer with these fields."""

    fields: dict[str, Any]
    metadata: dict[str, str] = {}

    reply: ClassVar[type[msgspec.Struct]] = Customer

    def needs(self, rows: Rows) -> Iterable[Key]:
        return ()

    def decide(self, rows: Rows, now_ms: int) -> Customer:
        customer = Customer(rows.merchant_id, rows.new_id("cus"), now_ms, metadata=self.metadata, **self.fields)
        rows.insert(customer)
        rows.event("customer.created", "customer", customer)
        return customer


class UpdateCustomer(msgspec.Struct, frozen=True):
    """Change a customer. Absent fields stay; ``None`` unsets; metadata is merged."""

    customer: str
    fields: dict[str, Any]
    metadata: dict[str, str] | None = None

    reply: ClassVar[type[msgspec.Struct]] = Customer

    def needs(self, rows: Rows) -> Iterable[Key]:
        yield Customer, self.customer

    def decide(self, rows: Rows, now_ms: int) -> Customer:
        customer = _existing(rows, self.customer)
        changes = dict(self.fields)
        if self.metadata is not None:
            changes["metadata"] = merge_metadata(customer.metadata, self.metadata)
        customer = msgspec.structs.replace(customer, version=customer.version + 1, **changes)
        rows.update(customer)
        rows.event("customer.updated", "customer", customer)
        return customer


class DeleteCustomer(msgspec.Struct, frozen=True):
    """Delete a customer: nothing more can be done with them. What was paid stays in the books.

    ``accounts`` are the ids of the customer's balances.

    :raises InvalidRequest: if there is money on one of them, which nobody could reach any more.
    """

    customer: str
    accounts: list[str] = []

    reply: ClassVar[type[msgspec.Struct]] = Customer

    def needs(self, rows: Rows) -> Iterable[Key]:
        yield Customer, self.customer
        for account in self.accounts:
            yield Account, account

    def decide(self, rows: Rows, now_ms: int) -> Customer:
        customer = _existing(rows, self.customer)
        for name in self.accounts:
            account = rows.get(Account, name)
            if account is not None and account.balance:
                raise InvalidRequest(
                    "customer_has_balance",
                    f"This customer has {Money(account.currency, account.balance)} on their balance: "
                    "let them spend it or give it back first.",
                    param="customer",
                )
        customer = msgspec.structs.replace(customer, version=customer.version + 1, deleted=True)
        rows.update(customer)
        rows.event("customer.deleted", "customer", customer)
        return customer


def _existing(rows: Rows, customer_id: str) -> Customer:
    customer = rows.get(Customer, customer_id)
    if customer is None or customer.deleted:
        raise no_such("customer", customer_id, "customer")
    return customer
