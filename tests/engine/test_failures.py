"""What goes wrong between the engine and PostgreSQL, and that every command is still carried out once or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from tests.engine.proxy import Fate, Proxy, proxy_to
from tests.support_engine import Blind, Gate, Write, broken, note, pool_of, together

from tongbao.database.bulk import LostUpdate
from tongbao.engine import Command, Engine
from tongbao.engine import engine as engine_module
from tongbao.engine import store as store_module
from tongbao.engine.store import PostgresStore, Refused
from tongbao.foundation.errors import DomainError, Overloaded
from tongbao.foundation.http import Idempotency


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "REPLAY_PAUSES_S", (0.02, 0.05, 0.1))
    monkeypatch.setattr(store_module, "DOUBT_PAUSES_S", (0.02, 0.05, 0.1))


@pytest.fixture
async def through(engine_db: str) -> AsyncIterator[tuple[Engine, Proxy]]:
    """An engine whose every byte passes the proxy."""
    async with proxy_to(engine_db) as (proxy, url), pool_of(url) as pool:
        engine = Engine(PostgresStore(pool))
        yield engine, proxy
        await engine.drain()


async def backends(pool: Any, name: str) -> list[int]:
    found = await pool.fetch("SELECT pid FROM pg_stat_activity WHERE application_name = $1", name)
    return [row["pid"] for row in found]


async def test_a_batch_whose_connection_dies_is_decided_again_and_carried_out_once(
    engine_db: str, pool: Any, merchant: str
) -> None:
    async with pool_of(engine_db, name="victim") as own:
        gate = Gate(PostgresStore(own))
        engine = Engine(gate)
        gate.close()
        waiting = [asyncio.ensure_future(engine.run(merchant, Write("a", f"{number} "))) for number in range(3)]
        await gate.reached.wait()
        for pid in await backends(pool, "victim"):
            await pool.execute("SELECT pg_terminate_backend($1)", pid)
        gate.open.set()
        replies = await asyncio.gather(*waiting)
    assert [reply.value.text for reply in replies] == ["0 ", "0 1 ", "0 1 2 "]
    assert gate.order == [merchant] * 2, "the batch that was lost, and the same again"
    assert await broken(pool, merchant) == []


@pytest.mark.parametrize("fate", ["answer lost", "request lost"])
async def test_a_commit_whose_answer_is_lost_is_neither_lost_nor_repeated(
    through: tuple[Engine, Proxy], pool: Any, merchant: str, fate: Fate
) -> None:
    engine, proxy = through
    await engine.run(merchant, Write("a", "1"))
    proxy.commits = [fate]
    reply = await engine.run(merchant, Write("a", "2"))
    kept = await note(pool, merchant, "a")
    assert kept == reply.value
    assert (reply.value.text, proxy.lost) == ("12", 1)
    assert await broken(pool, merchant) == []


async def test_commits_that_are_lost_again_and_again_are_still_made_once(
    through: tuple[Engine, Proxy], pool: Any, merchant: str
) -> None:
    engine, proxy = through
    await engine.run(merchant, Write("a", ""))
    proxy.commits = ["request lost", "answer lost", "request lost", "request lost", "answer lost"]
    await asyncio.gather(*(engine.run(merchant, Write("a", f"{number} ")) for number in range(5)))
    for number in range(5, 8):
        await engine.run(merchant, Write("a", f"{number} "))
    kept = await note(pool, merchant, "a")
    assert kept is not None
    assert kept.text.split() == [str(number) for number in range(8)]
    assert await broken(pool, merchant) == []


@pytest.mark.parametrize("fate", ["answer lost", "request lost"])
async def test_when_nothing_can_be_found_out_the_caller_is_told_so_and_a_repetition_settles_it(
    through: tuple[Engine, Proxy], pool: Any, merchant: str, fate: Fate
) -> None:
    engine, proxy = through
    key = Idempotency("key-1", "hash")
    await engine.run(merchant, Write("a", "1"))
    proxy.commits, proxy.away_after_loss = [fate], True
    with pytest.raises(Overloaded, match="It is not known whether this request was carried out"):
        await engine.run(merchant, Write("a", "2"), key)
    proxy.away = False
    again = await engine.run(merchant, Write("a", "2"), key)
    assert again.replayed == (fate == "answer lost")
    assert again.value.text == "12"
    assert await broken(pool, merchant) == []


async def test_while_the_database_is_away_commands_are_refused_as_overload_and_afterwards_taken(
    through: tuple[Engine, Proxy], pool: Any, merchant: str
) -> None:
    engine, proxy = through
    await engine.run(merchant, Write("a", "1"))
    proxy.go_away()
    errors = await together(*(engine.run(merchant, Write("a", "x")) for _ in range(5)))
    assert {type(error) for error in errors} == {Overloaded}
    assert "Nothing was done" in errors[0].message
    proxy.away = False
    assert (await engine.run(merchant, Write("a", "2"))).value.text == "12"
    assert await broken(pool, merchant) == []


async def test_a_short_absence_of_the_database_is_only_waited_for(through: tuple[Engine, Proxy], merchant: str) -> None:
    engine, proxy = through
    await engine.run(merchant, Write("a", "1"))
    proxy.go_away()
    waiting = asyncio.ensure_future(engine.run(merchant, Write("a", "2")))
    await asyncio.sleep(0.04)
    proxy.away = False
    assert (await waiting).value.text == "12"


async def test_a_server_that_ends_idle_transactions_is_only_an_interruption(
    engine_db: str, pool: Any, merchant: str
) -> None:
    async with pool_of(engine_db, name="idler") as own:
        gate = Gate(PostgresStore(own))
        engine = Engine(gate)
        gate.close()
        async with own.acquire() as connection:
            await connection.execute("SET idle_in_transaction_session_timeout = '30ms'")
        waiting = asyncio.ensure_future(engine.run(merchant, Write("a", "1")))
        await gate.reached.wait()
        await asyncio.sleep(0.15)
        gate.open.set()
        assert (await waiting).value.text == "1"
    assert await broken(pool, merchant) == []


@pytest.mark.parametrize(
    ("culprit", "error"),
    [
        (Blind("taken"), Refused),
        (Blind("bad", "a\0b"), Refused),
        (Blind("bad", "\ud800"), Refused),
        (Blind("bad", version=2**63), Refused),
        (Blind("".join(chr(0x4E00 + number) for number in range(9_000))), asyncpg.ProgramLimitExceededError),
        (Blind("missing", update=True), LostUpdate),
    ],
    ids=["unique key", "NUL", "lone surrogate", "beyond 64 bits", "too long for an index", "update of nothing"],
)
async def test_a_row_that_the_database_refuses_hurts_only_the_command_that_wrote_it(
    engine: Engine, pool: Any, merchant: str, culprit: Blind, error: type[Exception]
) -> None:
    await engine.run(merchant, Write("taken", ""))
    commands: list[Command] = [Write("a", f"{number} ") for number in range(6)]
    errors = await asyncio.wait_for(
        together(*(engine.run(merchant, command) for command in [*commands[:4], culprit, *commands[4:]])), 5
    )
    refused = errors.pop(4)
    assert isinstance(refused, error)
    assert not isinstance(refused, DomainError), "it is our bug that the row was made, and is told as such"
    assert errors[-1].value.text == "0 1 2 3 4 5 "
    assert await broken(pool, merchant) == []


async def test_a_key_that_cannot_be_encoded_hurts_only_its_own_command(engine: Engine, merchant: str) -> None:
    opener, bad, good = await asyncio.wait_for(
        together(*(engine.run(merchant, Write(id, "1")) for id in ("a", "\ud800", "b"))), 5
    )
    assert isinstance(bad, Refused)
    assert (opener.value.id, good.value.id) == ("a", "b")


async def test_a_stricter_isolation_by_default_does_not_make_batches_see_the_past(
    engine_db: str, pool: Any, merchant: str
) -> None:
    async with pool_of(engine_db) as one, pool_of(engine_db) as other:
        for each in (one, other):
            async with each.acquire() as connection:
                await connection.execute("SET default_transaction_isolation = 'repeatable read'")
        gate = Gate(PostgresStore(one))
        first, second = Engine(gate), Engine(PostgresStore(other))
        gate.close()
        ahead = asyncio.ensure_future(first.run(merchant, Blind("a")))  # writes no event, so the lane stays as it is
        await gate.reached.wait()
        behind = asyncio.ensure_future(second.run(merchant, Write("a", " seen")))
        await asyncio.sleep(0.1)
        gate.open.set()
        await ahead
        assert (await behind).value.text == "blind seen"


async def test_the_connections_of_a_pool_are_whole_after_every_failure(engine_db: str, merchant: str) -> None:
    async with pool_of(engine_db, size_max=1) as own:
        engine = Engine(PostgresStore(own))
        for _ in range(5):
            await together(
                engine.run(merchant, Blind("a")),
                engine.run(merchant, Write("b", "x", refuse=True)),
                engine.run("acct_nobody", Write("a", "x")),
            )
        assert await own.fetchval("SELECT 1", timeout=2) == 1
        async with own.acquire() as connection:
            assert not connection.is_in_transaction()
