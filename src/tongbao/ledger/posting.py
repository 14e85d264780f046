"""Posting transfers, within a command's decision."""

from __future__ import annotations

from collections.abc import Iterable

from tongbao.engine.commands import Key, Rows
from tongbao.foundation.errors import DomainError
from tongbao.ledger.model import ACCOUNT_KINDS, Account, AccountRef, Leg, Posting, Transfer


class InsufficientFunds(DomainError):
    """A posting would bring an account below zero that may not go there."""

    kind = "payment_failed"


class Unbalanced(Exception):
    """A transfer's debits and credits differ, or it is not one currency: a bug, stopped before it is booked."""


def needs(*accounts: AccountRef) -> Iterable[Key]:
    """The rows that a command must name to post on these accounts."""
    return [(Account, account.id) for account in accounts]


def balance(rows: Rows, account: AccountRef) -> int:
    """The account's balance on its normal side, in minor units; zero if it has never been used."""
    row = rows.get(Account, account.id)
    return row.balance if row else 0


def post(rows: Rows, kind: str, ref: str, legs: Iterable[Leg], happened_ms: int | None = None) -> Transfer:
    """Book one transfer and return it; see ``post_all``."""
    return post_all(rows, kind, ref, legs, happened_ms)[0]


def post_all(
    rows: Rows, kind: str, ref: str, legs: Iterable[Leg], happened_ms: int | None = None
) -> tuple[Transfer, list[Posting]]:
    """Book one transfer. Legs of amount zero are left out; the others' postings are returned in their order.

    :raises InsufficientFunds: if an account that may not be negative would become so.
    :raises Unbalanced: if debits and credits differ.
    """
    made = [leg for leg in legs if leg.amount]
    currencies = {leg.account.currency for leg in made}
    total = sum(leg.amount if leg.side == "debit" else -leg.amount for leg in made)
    if total or len(currencies) != 1 or len(made) < 2 or any(leg.amount < 0 for leg in made):
        raise Unbalanced(f"{kind} {ref}: {made}")
    transfer = Transfer(
        merchant_id=rows.merchant_id,
        id=rows.new_id("tr"),
        kind=kind,
        currency=currencies.pop(),
        ref=ref,
        happened_ms=rows.now_ms if happened_ms is None else happened_ms,
        recorded_ms=rows.now_ms,
    )
    rows.insert(transfer)
    return transfer, [_post_leg(rows, transfer.id, leg) for leg in made]


def _post_leg(rows: Rows, transfer_id: str, leg: Leg) -> Posting:
    ref = leg.account
    rules = ACCOUNT_KINDS[ref.kind]
    account = rows.get(Account, ref.id)
    before = account.balance if account else 0
    seq = (account.seq if account else 0) + 1
    after = before + (leg.amount if leg.side == rules.normal else -leg.amount)
    if after < 0 and after < before and not rules.may_be_negative:
        raise InsufficientFunds("insufficient_funds", "The balance does not cover this amount.")
    row = Account(
        merchant_id=rows.merchant_id,
        id=ref.id,
        kind=ref.kind,
        currency=ref.currency,
        created_ms=account.created_ms if account else rows.now_ms,
        owner=ref.owner,
        balance=after,
        seq=seq,
    )
    if account is None:
        rows.insert(row)
    else:
        rows.update(row)
    made = Posting(rows.merchant_id, ref.id, seq, transfer_id, leg.side, leg.amount, after)
    rows.insert(made)
    return made
