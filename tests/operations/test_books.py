"""The proof of books: it holds over what the engine booked, and finds what somebody changed behind its back."""

from __future__ import annotations

import asyncpg
import pytest
from tests.operations.conftest import Tongbao

from tongbao.database.pool import open_pool
from tongbao.engine import Engine
from tongbao.engine.store import PostgresStore
from tongbao.identity.commands import CreateCustomer
from tongbao.identity.merchants import create_merchant
from tongbao.operations.books import ALL_CHECKS, prove
from tongbao.wallets.commands import FundBalance


@pytest.fixture
async def merchants(migrated_database: str) -> list[str]:
    """Two merchants; each has a customer who paid in twice."""
    pool = await open_pool(migrated_database)
    engine = Engine(PostgresStore(pool))
    made = []
    for name in ("Tea", "Coffee"):
        async with pool.acquire() as connection:
            _, test = await create_merchant(connection, name)
        made.append(test.merchant_id)
        customer = (await engine.run(test.merchant_id, CreateCustomer({"name": "Lin Yue"}))).value
        for amount in (500, 700):
            await engine.run(test.merchant_id, FundBalance(customer.id, amount, "cny", "deposit"))
    await engine.drain()
    await pool.close()
    return made


async def change(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


async def test_the_books_that_the_engine_keeps_hold(migrated_database: str, merchants: list[str]) -> None:
    connection = await asyncpg.connect(migrated_database)
    proof = await prove(connection)
    one = await prove(connection, merchants[0])
    await connection.close()
    assert proof.holds
    assert proof.counts == {"merchants": 4, "accounts": 4, "transfers": 4, "postings": 8}
    assert one.counts == {"merchants": 1, "accounts": 2, "transfers": 2, "postings": 4}


def test_a_proof_is_told_to_people_and_programs(on_database: Tongbao, merchants: list[str]) -> None:
    told = on_database("books", "verify")
    assert told.code == 0
    assert told.out.count("✓") == len(ALL_CHECKS)
    assert "4 merchants, 4 accounts, 4 transfers, 8 postings" in told.out
    assert "The books hold." in told.out
    proof = on_database("books", "verify", "--json").json
    assert proof["holds"] is True
    assert proof["checked"]["postings"] == 8
    assert [check["name"] for check in proof["checks"]] == [check.name for check in ALL_CHECKS]


BROKEN = [
    (
        "UPDATE accounts SET balance = balance + 1 WHERE merchant_id = '{}' AND kind = 'customer'",
        {"balances_equal_postings", "assets_equal_liabilities"},
    ),
    (
        "ALTER TABLE postings DISABLE TRIGGER append_only; "
        "UPDATE postings SET amount = amount + 1 WHERE merchant_id = '{}' AND seq = 2 AND side = 'debit'",
        {"transfers_balance", "balances_equal_postings", "chains_unbroken"},
    ),
    (
        "ALTER TABLE transfers DISABLE TRIGGER append_only; DELETE FROM transfers WHERE merchant_id = '{}'",
        {"postings_have_transfers"},
    ),
]


@pytest.mark.parametrize(("statement", "broken"), BROKEN)
async def test_what_was_changed_behind_the_engines_back_is_found(
    migrated_database: str, merchants: list[str], statement: str, broken: set[str]
) -> None:
    await change(migrated_database, statement.format(merchants[0]))
    connection = await asyncpg.connect(migrated_database)
    proof = await prove(connection)
    spared = await prove(connection, merchants[1])
    await connection.close()
    assert {finding.check for finding in proof.findings} == broken
    assert {finding.merchant_id for finding in proof.findings} == {merchants[0]}
    assert spared.holds


@pytest.fixture
async def broken_books(migrated_database: str, merchants: list[str]) -> str:
    await change(migrated_database, BROKEN[0][0].format(merchants[0]))
    return merchants[0]


def test_books_that_do_not_hold_end_the_command_with_1(on_database: Tongbao, broken_books: str) -> None:
    told = on_database("books", "verify")
    assert told.code == 1
    assert told.out.count("✗") == 2
    assert broken_books in told.out
    assert "The books do not hold." in told.out
    assert on_database("books", "verify", "--json").code == 1
    assert on_database("books", "verify", "--merchant", broken_books).code == 1
