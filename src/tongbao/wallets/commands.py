"""What may happen to a customer's balance, besides paying from it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import msgspec

from tongbao.engine.commands import Key, Rows
from tongbao.foundation.errors import no_such
from tongbao.identity.model import Customer
from tongbao.ledger import posting
from tongbao.ledger.model import AccountRef, Posting, Transfer, credit, debit


class Funded(msgspec.Struct, frozen=True):
    """A movement on a customer's balance: its transfer and the posting on the customer's account."""

    customer: Customer
    transfer: Transfer
    posting: Posting


class FundBalance(msgspec.Struct, frozen=True):
    """Money of a customer has arrived at the bank: credit it to their balance. (Test mode only, until banks speak.)"""

    customer: str
    amount: int
    currency: str
    reference: str | None = None

    reply: ClassVar[type[msgspec.Struct]] = Funded

    def needs(self, rows: Rows) -> Iterable[Key]:
        yield Customer, self.customer
        yield from posting.needs(self._own, self._bank)

    @property
    def _own(self) -> AccountRef:
        return AccountRef("customer", self.currency, self.customer)

    @property
    def _bank(self) -> AccountRef:
        return AccountRef("bank", self.currency)

    def decide(self, rows: Rows, now_ms: int) -> Funded:
        customer = rows.get(Customer, self.customer)
        if customer is None or customer.deleted:
            raise no_such("customer", self.customer, "customer")
        legs = [debit(self._bank, self.amount), credit(self._own, self.amount)]
        transfer, made = posting.post_all(rows, "funding", self.reference or "test_funding", legs)
        rows.event("cash_balance.funds_available", "customer", customer)
        return Funded(customer, transfer, made[1])
