"""The proof of the books finds every kind of damage, and nothing in honest books."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support_books import Post
from tests.support_engine import database, new_merchant, pool_of

from tongbao.engine import Engine
from tongbao.engine.store import PostgresStore
from tongbao.ledger.model import AccountRef, credit, debit
from tongbao.ledger.verify import CHECKS, verify

BANK, SHOP, FEES = (AccountRef(kind, "cny") for kind in ("bank", "merchant_available", "fees"))
CUSTOMER, DOLLARS = AccountRef("customer", "cny", "cus_1"), AccountRef("customer", "usd", "cus_1")


@pytest.fixture(scope="module")
async def pool(database_url: str) -> AsyncIterator[Any]:
    async with database(database_url) as url, pool_of(url) as opened:
        yield opened


@pytest.fixture
async def merchant(pool: Any) -> str:
    """A merchant with books of five transfers on five accounts, the last of them an ordinary payment."""
    merchant = await new_merchant(pool)
    engine = Engine(PostgresStore(pool))
    for legs in (
        [debit(BANK, 100), credit(CUSTOMER, 100)],
        [debit(AccountRef("bank", "usd"), 30), credit(DOLLARS, 30)],
        [debit(CUSTOMER, 20), credit(SHOP, 19), credit(FEES, 1)],
        [debit(SHOP, 19), credit(BANK, 19)],
        [debit(CUSTOMER, 10), credit(SHOP, 9), credit(FEES, 1)],
    ):
        await engine.run(merchant, Post(legs))
    return merchant


async def proof(pool: Any, merchant: str | None) -> list[str]:
    async with pool.acquire() as connection:
        return sorted({found.check for found in await verify(connection, CHECKS, merchant)})


async def damage(pool: Any, merchant: str, *statements: str) -> None:
    """Write past every trigger, as somebody with the database's password could."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        for statement in statements:
            assert (await connection.execute(statement.replace("$on", ON).replace("$m", f"'{merchant}'")))[-2:] != " 0"


async def test_honest_books_prove_right(pool: Any, merchant: str) -> None:
    assert await proof(pool, merchant) == []


async def test_no_books_prove_right(pool: Any) -> None:
    assert await proof(pool, await new_merchant(pool)) == []


async def test_honest_books_of_many_random_transfers_prove_right(pool: Any) -> None:
    chance, merchant = random.Random(5), await new_merchant(pool)
    engine = Engine(PostgresStore(pool))
    refs = [BANK, SHOP, AccountRef("merchant_pending", "cny"), AccountRef("channel", "cny", "card")]
    for _ in range(60):
        one, other = chance.sample(refs, 2)
        amount = chance.randint(1, 10**12)
        await engine.run(merchant, Post([debit(one, amount), credit(other, amount)]))
    assert await proof(pool, merchant) == []


ON = "merchant_id = $m AND account_id ="
FIRST_PAYMENT = f"(SELECT transfer_id FROM postings WHERE {ON} 'fees:cny' AND seq = 1)"
PLANTED = {
    "a transfer without postings": (
        "transfers_balance",
        ["INSERT INTO transfers VALUES ($m, 'tr_x', 'charge', 'cny', 'ch_x', 1, 1)"],
    ),
    "a transfer with one posting": (
        "transfers_balance",
        [f"DELETE FROM postings WHERE merchant_id = $m AND transfer_id = {FIRST_PAYMENT} AND account_id <> 'fees:cny'"],
    ),
    "a posting of another amount": (
        "transfers_balance",
        ["UPDATE postings SET amount = amount + 1 WHERE $on 'fees:cny' AND seq = 1"],
    ),
    "a posting on the other side": (
        "transfers_balance",
        ["UPDATE postings SET side = 'debit' WHERE $on 'fees:cny' AND seq = 1"],
    ),
    "postings without their transfer": (
        "postings_have_transfers",
        [f"DELETE FROM transfers WHERE merchant_id = $m AND id = {FIRST_PAYMENT}"],
    ),
    "postings without their account": (
        "postings_have_transfers",
        ["DELETE FROM accounts WHERE merchant_id = $m AND id = 'fees:cny'"],
    ),
    "a transfer of another currency than its accounts": (
        "postings_have_transfers",
        ["UPDATE transfers SET currency = 'usd' WHERE merchant_id = $m AND kind = 'test' AND currency = 'cny'"],
    ),
    "a posting of a negative amount": (
        "postings_have_transfers",
        [
            "UPDATE postings SET amount = -amount, side = CASE side WHEN 'debit' THEN 'credit' ELSE 'debit' END "
            "WHERE $on 'fees:cny' AND seq = 1"
        ],
    ),
    "a balance that was changed": (
        "balances_equal_postings",
        ["UPDATE accounts SET balance = balance + 1 WHERE merchant_id = $m AND id = 'merchant_available:cny'"],
    ),
    "two balances that were changed alike": (
        "balances_equal_postings",
        ["UPDATE accounts SET balance = balance + 5 WHERE merchant_id = $m AND id IN ('bank:cny', 'fees:cny')"],
    ),
    "a counter that was changed": (
        "balances_equal_postings",
        ["UPDATE accounts SET seq = seq + 1 WHERE merchant_id = $m AND id = 'merchant_available:cny'"],
    ),
    "a whole transfer that was removed": (
        "balances_equal_postings",
        [
            "DELETE FROM transfers WHERE id = (SELECT max(id) FROM transfers WHERE merchant_id = $m)",
            "DELETE FROM postings WHERE merchant_id = $m AND NOT EXISTS (SELECT FROM transfers WHERE id = transfer_id)",
        ],
    ),
    "a number left out of a chain": (
        "balances_equal_postings",
        ["UPDATE postings SET seq = 9 WHERE $on 'fees:cny' AND seq = 2"],
    ),
    "a balance after a posting that was changed": (
        "chains_unbroken",
        ["UPDATE postings SET balance = balance + 1 WHERE $on 'fees:cny' AND seq = 1"],
    ),
    "two postings that changed places": (
        "chains_unbroken",
        [
            "UPDATE postings SET seq = 10 - seq WHERE $on 'customer:cus_1:cny' AND seq > 1",
            "UPDATE postings SET seq = seq - 5 WHERE $on 'customer:cus_1:cny' AND seq > 1",
        ],
    ),
    "a balance below zero that may not be": (
        "nothing_forbidden_negative",
        [
            "INSERT INTO transfers VALUES ($m, 'tr_x', 'charge', 'cny', 'ch_x', 1, 1)",
            "INSERT INTO postings VALUES ($m, 'fees:cny', 3, 'tr_x', 'debit', 7, -5), "
            "($m, 'merchant_available:cny', 4, 'tr_x', 'credit', 7, 16)",
            "UPDATE accounts SET balance = -5, seq = 3 WHERE merchant_id = $m AND id = 'fees:cny'",
            "UPDATE accounts SET balance = 16, seq = 4 WHERE merchant_id = $m AND id = 'merchant_available:cny'",
        ],
    ),
    "money from nowhere": (
        "assets_equal_liabilities",
        ["INSERT INTO accounts VALUES ($m, 'suspense:cny', 'suspense', 'cny', 1, NULL, 5, 0)"],
    ),
    "an account of another kind than its id says": (
        "accounts_are_what_their_ids_say",
        ["UPDATE accounts SET kind = 'merchant_pending' WHERE merchant_id = $m AND id = 'customer:cus_1:cny'"],
    ),
    "an account of another owner than its id says": (
        "accounts_are_what_their_ids_say",
        ["UPDATE accounts SET owner = 'cus_2' WHERE merchant_id = $m AND id = 'customer:cus_1:cny'"],
    ),
}
ALONE = {
    "a transfer without postings",
    "a transfer of another currency than its accounts",
    "a counter that was changed",
    "a balance after a posting that was changed",
    "a balance below zero that may not be",
    "an account of another kind than its id says",
    "an account of another owner than its id says",
}
"""Damage that breaks one invariant and no other."""


@pytest.mark.parametrize("fault", PLANTED)
async def test_the_proof_finds(pool: Any, merchant: str, fault: str) -> None:
    check, statements = PLANTED[fault]
    await damage(pool, merchant, *statements)
    found = await proof(pool, merchant)
    assert check in found
    if fault in ALONE:
        assert found == [check]
    assert found == await proof_of_one(pool, merchant)


async def proof_of_one(pool: Any, merchant: str) -> list[str]:
    """What the proof over all merchants says of this one."""
    async with pool.acquire() as connection:
        everything = await verify(connection, [check._replace(sql=unlimited(check.sql)) for check in CHECKS])
    return sorted({found.check for found in everything if found.merchant_id == merchant})


def unlimited(sql: str) -> str:
    """The tests' merchants together have more faults than the twenty that a check lists."""
    return sql.replace("LIMIT 20", "")


def test_every_check_has_its_fault_and_every_lonely_fault_is_planted() -> None:
    assert {check for check, _ in PLANTED.values()} == {check.name for check in CHECKS}
    assert set(PLANTED) >= ALONE


async def test_another_merchants_damage_is_not_found_in_ones_own_books(pool: Any, merchant: str) -> None:
    other = await new_merchant(pool)
    await damage(pool, other, "INSERT INTO accounts VALUES ($m, 'suspense:cny', 'suspense', 'cny', 1, NULL, 5, 0)")
    assert await proof(pool, merchant) == []
    assert await proof(pool, other) != []


async def test_a_finding_says_which_merchant_what_and_how(pool: Any, merchant: str) -> None:
    await damage(pool, merchant, "UPDATE accounts SET balance = 4 WHERE merchant_id = $m AND id = 'fees:cny'")
    async with pool.acquire() as connection:
        found = await verify(connection, CHECKS, merchant)
    said = {finding.check: (finding.merchant_id, finding.what, finding.how) for finding in found}
    assert said["balances_equal_postings"] == (merchant, "fees:cny", "balance 4, postings 2, counter 2, number 2")
    assert said["assets_equal_liabilities"] == (merchant, "cny", "difference -2")


async def test_the_proof_only_reads(pool: Any, merchant: str) -> None:
    async with pool.acquire() as connection:
        await connection.execute("SET default_transaction_read_only = on")
        try:
            assert await verify(connection, CHECKS, merchant) == []
        finally:
            await connection.execute("RESET default_transaction_read_only")
