"""Laws of the ledger, over random transfers on plain dictionaries."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support_books import Post, faults

from tongbao.engine import Engine, Reply
from tongbao.engine.store import MemoryStore
from tongbao.foundation.errors import DomainError
from tongbao.ledger.model import ACCOUNT_KINDS, Account, AccountRef, Leg, Posting, Transfer, credit, debit
from tongbao.ledger.posting import InsufficientFunds, Unbalanced

LOOP = asyncio.new_event_loop()  # Examples are no tests of their own, to which pytest would give a loop.
ACCOUNTS = [
    AccountRef(kind, currency, "cus_1" if kind == "customer" else "card" if kind == "channel" else None)
    for kind in ACCOUNT_KINDS
    for currency in ("cny", "usd")
]


def balanced() -> st.SearchStrategy[list[Leg]]:
    """Legs of one currency whose debits equal their credits; several may be on one account."""

    def close(currency: str, amounts: list[int], refs: list[AccountRef]) -> list[Leg]:
        own = [AccountRef(ref.kind, currency, ref.owner) for ref in refs]
        legs = [
            (debit if number % 2 else credit)(own[number % len(own)], amount) for number, amount in enumerate(amounts)
        ]
        rest = sum(leg.amount if leg.side == "debit" else -leg.amount for leg in legs)
        return [*legs, (credit if rest > 0 else debit)(own[-1], abs(rest))]

    return st.builds(
        close,
        st.sampled_from(["cny", "usd"]),
        st.lists(st.integers(1, 10**12), min_size=1, max_size=5),
        st.lists(st.sampled_from(ACCOUNTS), min_size=1, max_size=4),
    )


def run(batches: list[list[Post]]) -> tuple[MemoryStore, list[object]]:
    async def all_of_it() -> tuple[MemoryStore, list[object]]:
        store = MemoryStore()
        engine = Engine(store)
        results: list[object] = []
        for batch in batches:
            waiting = [engine.run("acct_a", command) for command in batch]
            results += await asyncio.gather(*waiting, return_exceptions=True)
        return store, results

    return LOOP.run_until_complete(all_of_it())


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(balanced().map(Post), max_size=5), max_size=5))
def test_whatever_is_booked_money_is_conserved_and_every_chain_is_whole(batches: list[list[Post]]) -> None:
    store, results = run(batches)
    assert faults(store) == []
    booked = [result for result in results if isinstance(result, Reply)]
    assert len(booked) == len(store.rows(Transfer))
    for result in results:
        assert isinstance(result, Reply | InsufficientFunds)


@settings(max_examples=150, deadline=None)
@given(st.lists(balanced().map(Post), max_size=12))
def test_nothing_that_may_not_be_negative_ever_is_and_what_may_be_is_never_refused(commands: list[Post]) -> None:
    store, results = run([commands])
    free = {kind for kind, rules in ACCOUNT_KINDS.items() if rules.may_be_negative}
    for row in store.rows(Posting):
        assert row.balance >= 0 or row.account_id.partition(":")[0] in free
    for command, result in zip(commands, results, strict=True):
        if {leg.account.kind for leg in command.legs if leg.amount} <= free:
            assert not isinstance(result, InsufficientFunds)


@pytest.mark.parametrize(
    "legs",
    [
        [],
        [debit(ACCOUNTS[0], 5)],
        [debit(ACCOUNTS[0], 0), credit(ACCOUNTS[2], 0)],
        [debit(ACCOUNTS[0], 5), credit(ACCOUNTS[2], 4)],
        [debit(AccountRef("bank", "cny"), 5), credit(AccountRef("suspense", "usd"), 5)],
        [debit(AccountRef("bank", "cny"), -5), credit(AccountRef("suspense", "cny"), -5)],
        [debit(AccountRef("bank", "cny"), -5), debit(AccountRef("suspense", "cny"), 5)],
        [credit(AccountRef("bank", "cny"), 5), credit(AccountRef("suspense", "cny"), 5)],
    ],
    ids=["nothing", "one leg", "only zeros", "unequal", "two currencies", "negative", "mixed signs", "one side"],
)
def test_what_does_not_balance_is_refused_and_nothing_of_it_is_booked(legs: list[Leg]) -> None:
    store, [result] = run([[Post(legs)]])
    assert isinstance(result, Unbalanced)
    assert not isinstance(result, DomainError), "it is a bug of ours, and not the caller's mistake"
    assert store.rows(Transfer) == store.rows(Posting) == store.rows(Account) == []


def test_a_leg_that_is_refused_takes_the_whole_transfer_with_it() -> None:
    bank, customer = AccountRef("bank", "cny"), AccountRef("customer", "cny", "cus_1")
    store, [_, refused] = run(
        [[Post([debit(bank, 5), credit(customer, 5)])], [Post([credit(bank, 6), debit(customer, 6)])]]
    )
    assert isinstance(refused, InsufficientFunds)
    assert (refused.code, refused.kind) == ("insufficient_funds", "payment_failed")
    assert {account.id: account.balance for account in store.rows(Account)} == {"bank:cny": 5, "customer:cus_1:cny": 5}
    assert faults(store) == []


def test_a_balance_can_be_spent_to_the_last_unit() -> None:
    bank, customer = AccountRef("bank", "cny"), AccountRef("customer", "cny", "cus_1")
    store, results = run([[Post([debit(bank, 5), credit(customer, 5)]), Post([credit(bank, 5), debit(customer, 5)])]])
    assert not any(isinstance(result, Exception) for result in results)
    assert [account.balance for account in store.rows(Account)] == [0, 0]


def test_each_posting_carries_the_balance_after_it_on_its_accounts_normal_side() -> None:
    bank, shop = AccountRef("bank", "cny"), AccountRef("merchant_available", "cny")
    store, _ = run([[Post([debit(bank, 5), credit(shop, 5)]), Post([debit(shop, 7), credit(bank, 7)])]])
    told = [(row.account_id, row.seq, row.side, row.amount, row.balance) for row in store.rows(Posting)]
    assert told == [
        ("bank:cny", 1, "debit", 5, 5),
        ("merchant_available:cny", 1, "credit", 5, 5),
        ("merchant_available:cny", 2, "debit", 7, -2),
        ("bank:cny", 2, "credit", 7, -2),
    ]


def test_when_something_happened_may_differ_from_when_it_was_booked() -> None:
    bank, shop = AccountRef("bank", "cny"), AccountRef("merchant_available", "cny")
    store, _ = run([[Post([debit(bank, 5), credit(shop, 5)], happened_ms=7)]])
    [transfer] = store.rows(Transfer)
    assert transfer.happened_ms == 7
    assert transfer.recorded_ms > 1_700_000_000_000


def test_accounts_of_two_owners_or_currencies_are_two_accounts() -> None:
    assert AccountRef("customer", "cny", "cus_1").id == "customer:cus_1:cny"
    assert AccountRef("customer", "usd", "cus_1").id == "customer:cus_1:usd"
    assert AccountRef("customer", "cny", "cus_2").id == "customer:cus_2:cny"
    assert AccountRef("fees", "cny").id == "fees:cny"
