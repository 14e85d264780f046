"""Proving the books of a ``MemoryStore``, as ``tongbao.ledger.verify`` proves those of the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import ClassVar

import msgspec

from tongbao.engine import Event, Lane, Rows
from tongbao.engine.commands import Key
from tongbao.engine.store import MemoryStore
from tongbao.ledger import posting
from tongbao.ledger.model import ACCOUNT_KINDS, Account, Leg, Posting, Transfer


class Post(msgspec.Struct, frozen=True):
    """Books one transfer of these legs."""

    legs: list[Leg]
    happened_ms: int | None = None

    reply: ClassVar[type[msgspec.Struct]] = Transfer

    def needs(self, rows: Rows) -> Iterable[Key]:
        return posting.needs(*(leg.account for leg in self.legs))

    def decide(self, rows: Rows, now_ms: int) -> Transfer:
        return posting.post(rows, "test", "ref", self.legs, self.happened_ms)


def faults(store: MemoryStore) -> list[str]:
    """Everything that is wrong with the books and the events; nothing, if all is well."""
    return [*_transfers(store), *_accounts(store), *_sides(store), *_events(store)]


def _transfers(store: MemoryStore) -> list[str]:
    sums: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row in store.rows(Posting):
        sums[row.merchant_id, row.transfer_id].append(row.amount if row.side == "debit" else -row.amount)
    known = {(transfer.merchant_id, transfer.id): transfer for transfer in store.rows(Transfer)}
    found = [f"transfer {key[1]}: {sums[key]}" for key in known if sum(sums[key]) or len(sums[key]) < 2]
    return found + [f"postings of no transfer: {key[1]}" for key in sums if key not in known]


def _accounts(store: MemoryStore) -> list[str]:
    chains: dict[tuple[str, str], list[Posting]] = defaultdict(list)
    for row in store.rows(Posting):
        chains[row.merchant_id, row.account_id].append(row)
    found = []
    for account in store.rows(Account):
        rules, balance = ACCOUNT_KINDS[account.kind], 0
        chain = sorted(chains.pop((account.merchant_id, account.id), []), key=lambda row: row.seq)
        for number, row in enumerate(chain, 1):
            balance += row.amount if row.side == rules.normal else -row.amount
            if (row.seq, row.balance) != (number, balance) or row.amount <= 0:
                found.append(f"chain of {account.id} at {number}: {row}")
            if balance < 0 and not rules.may_be_negative:
                found.append(f"{account.id} was negative: {balance}")
        if (account.seq, account.balance) != (len(chain), balance):
            found.append(f"{account.id}: {account.balance} after {account.seq}, postings {balance} and {len(chain)}")
    return found + [f"postings of no account: {key[1]}" for key in chains]


def _sides(store: MemoryStore) -> list[str]:
    totals: dict[tuple[str, str], int] = defaultdict(int)
    for account in store.rows(Account):
        sign = 1 if ACCOUNT_KINDS[account.kind].normal == "debit" else -1
        totals[account.merchant_id, account.currency] += sign * account.balance
    return [f"assets and liabilities of {key}: {total}" for key, total in totals.items() if total]


def _events(store: MemoryStore) -> list[str]:
    numbers: dict[str, list[int]] = defaultdict(list)
    for event in store.rows(Event):
        numbers[event.merchant_id].append(event.seq)
    last = {lane.merchant_id: lane.event_seq for lane in store.rows(Lane)}
    return [
        f"events of {merchant}: {found}, lane {last.get(merchant)}"
        for merchant, found in numbers.items()
        if found != list(range(1, last.get(merchant, 0) + 1))
    ]
