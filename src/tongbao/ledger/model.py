"""What is true of the books.

A *transfer* moves money between accounts of one merchant in one currency. It has two or more *postings*, each a
debit or a credit of a positive amount on one account; debits and credits of a transfer are equal. Transfers and
postings are never changed: a correction is a new transfer. Each posting carries its account's balance after it.

A balance is counted on the side on which the account normally stands: what a customer owns with us, or what we
owe a merchant, is a credit balance; what a channel owes us is a debit balance. So a healthy balance is positive.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec
import sqlalchemy as sa

from tongbao.database.rows import Row, table

Side = Literal["debit", "credit"]


class AccountKind(NamedTuple):
    """The side on which a kind of account normally stands, and whether it may fall below zero."""

    normal: Side
    may_be_negative: bool


ACCOUNT_KINDS: dict[str, AccountKind] = {
    # What customers own with the merchant (Stripe's cash balance). They can never spend more than they have.
    "customer": AccountKind("credit", may_be_negative=False),
    # What the merchant has earned and the channel has not yet settled / what it can be paid out.
    # Refunds after a payout can make them negative: then the merchant owes.
    "merchant_pending": AccountKind("credit", may_be_negative=True),
    "merchant_available": AccountKind("credit", may_be_negative=True),
    # What a channel owes us (or, below zero, we owe it: refunds after settlement).
    "channel": AccountKind("debit", may_be_negative=True),
    # Money at the bank that stands behind customers' balances.
    "bank": AccountKind("debit", may_be_negative=True),
    "fees": AccountKind("credit", may_be_negative=False),
    # Set aside while a refund is on its way, so that the same money cannot be refunded twice.
    "refunds_reserved": AccountKind("credit", may_be_negative=False),
    # Money that came in and belongs to nothing yet.
    "suspense": AccountKind("credit", may_be_negative=False),
}


@table("accounts", key=("merchant_id", "id"))
class Account(Row, frozen=True):
    """One account in one currency. The id is ``{kind}:{currency}`` or ``{kind}:{owner}:{currency}``.

    ``seq`` is the number of its postings; ``balance`` the balance after the last one, in minor units.
    """

    id: str
    kind: str
    currency: str
    created_ms: int
    owner: str | None = None
    balance: int = 0
    seq: int = 0


@table(
    "transfers",
    key=("merchant_id", "id"),
    append_only=True,
)
class Transfer(Row, frozen=True):
    """One movement of money. ``kind`` says why, ``ref`` for which object (charge, refund, …).

    ``happened_ms`` is when it happened in the world, ``recorded_ms`` when we booked it.
    """

    id: str
    kind: str
    currency: str
    ref: str
    happened_ms: int
    recorded_ms: int


@table(
    "postings",
    key=("merchant_id", "account_id", "seq"),
    indexes=[sa.Index(None, "merchant_id", "transfer_id")],
    append_only=True,
)
class Posting(Row, frozen=True):
    """One side of a transfer on one account: a positive amount, and the account's balance after it."""

    account_id: str
    seq: int
    transfer_id: str
    side: Side
    amount: int
    balance: int


class Leg(msgspec.Struct, frozen=True):
    """A posting to be made: which account, which side, how much."""

    account: AccountRef
    side: Side
    amount: int


class AccountRef(msgspec.Struct, frozen=True):
    """Names an account, which is opened by its first posting."""

    kind: str
    currency: str
    owner: str | None = None

    @property
    def id(self) -> str:
        """The account's id within its merchant."""
        middle = f":{self.owner}" if self.owner else ""
        return f"{self.kind}{middle}:{self.currency}"


def debit(account: AccountRef, amount: int) -> Leg:
    """A debit of ``amount`` minor units."""
    return Leg(account, "debit", amount)


def credit(account: AccountRef, amount: int) -> Leg:
    """A credit of ``amount`` minor units."""
    return Leg(account, "credit", amount)
