"""How commands become batches, and what a command of a batch sees of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec
import pytest
from tests.support_engine import Gate, Note, Write, broken, note, stored, together

from tongbao.engine import Engine, Event, Job, Rows
from tongbao.engine.commands import Key
from tongbao.engine.engine import BATCH_MAX
from tongbao.engine.store import PostgresStore
from tongbao.foundation.errors import InvalidRequest, NotFound


class Buggy(msgspec.Struct, frozen=True):
    """Fails in a way that nobody foresaw: while deciding, or while naming what it needs."""

    where: str

    reply: ClassVar[type[msgspec.Struct]] = Note

    def needs(self, rows: Rows) -> Iterable[Key]:
        if self.where == "needs":
            raise KeyError("no such channel")
        if self.where == "endless":
            for number in range(100):
                yield Note, f"more-{number}"
                if rows.find(Note, f"more-{number}") is None:
                    break

    def decide(self, rows: Rows, now_ms: int) -> Note:
        rows.insert(Note(rows.merchant_id, "buggy"))
        raise ZeroDivisionError


class Endless(Buggy, frozen=True):
    """Names one more row each time it is asked."""

    def needs(self, rows: Rows) -> Iterable[Key]:
        known = rows._cache.get(Note, {})
        yield Note, f"more-{len(known)}"


class Careless(msgspec.Struct, frozen=True):
    """Reads a note that it has not named, and copies it."""

    source: str
    target: str

    reply: ClassVar[type[msgspec.Struct]] = Note

    def needs(self, rows: Rows) -> Iterable[Key]:
        yield Note, self.target

    def decide(self, rows: Rows, now_ms: int) -> Note:
        source = rows.get(Note, self.source)
        copy = Note(rows.merchant_id, self.target, source.text if source else "nothing")
        (rows.insert if rows.get(Note, self.target) is None else rows.update)(copy)
        return copy


class Wanderer(Careless, frozen=True):
    """Reads ever other rows that it has not named."""

    def decide(self, rows: Rows, now_ms: int) -> Note:
        for number in range(100):
            rows.get(Note, f"{self.source}-{number}")
        return Note(rows.merchant_id, self.target)


@pytest.fixture
def gate(pool: Any) -> Gate:
    return Gate(PostgresStore(pool))


@pytest.fixture
def gated(gate: Gate, batches: list[int]) -> Engine:
    return Engine(gate, on_batch=batches.append)


async def queue(engine: Engine, gate: Gate, merchant: str, *commands: Any) -> list[Any]:
    """Let ``commands`` arrive in this order while another batch commits; return what became of each."""
    gate.close()
    first = asyncio.ensure_future(engine.run(merchant, Write("opener", "")))
    await gate.reached.wait()
    waiting = [asyncio.ensure_future(engine.run(merchant, command)) for command in commands]
    await asyncio.sleep(0)
    gate.open.set()
    await first
    return await together(*waiting)


async def test_a_command_alone_is_a_batch_of_one(engine: Engine, merchant: str, batches: list[int]) -> None:
    reply = await engine.run(merchant, Write("a", "x"))
    assert (reply.value.text, reply.replayed, reply.finished) == ("x", False, True)
    assert batches == [1]


async def test_commands_that_arrive_during_a_commit_form_one_next_batch(
    gated: Engine, gate: Gate, merchant: str, batches: list[int]
) -> None:
    await queue(gated, gate, merchant, *(Write(f"n{number}", "x") for number in range(20)))
    assert batches == [1, 20]


async def test_commands_are_decided_in_the_order_of_arrival_and_see_what_came_before(
    gated: Engine, gate: Gate, merchant: str, pool: Any
) -> None:
    replies = await queue(gated, gate, merchant, *(Write("a", f"{number} ") for number in range(40)))
    for number, reply in enumerate(replies):
        assert reply.value.text == "".join(f"{one} " for one in range(number + 1))
    kept = await note(pool, merchant, "a")
    assert kept == replies[-1].value


async def test_no_batch_is_larger_than_the_bound(gated: Engine, gate: Gate, merchant: str, batches: list[int]) -> None:
    await queue(gated, gate, merchant, *(Write("a", "x") for _ in range(BATCH_MAX + 10)))
    assert batches == [1, BATCH_MAX, 10]


async def test_merchants_have_batches_of_their_own(gated: Engine, gate: Gate, merchant: str, pool: Any) -> None:
    with pytest.raises(NotFound):
        await gated.run("acct_nobody", Write("a", "x"))
    await queue(gated, gate, merchant, Write("a", "mine"))
    assert await note(pool, "acct_nobody", "a") is None


async def test_a_command_that_fails_leaves_no_trace_and_does_not_hurt_its_neighbours(
    gated: Engine, gate: Gate, merchant: str, pool: Any, batches: list[int]
) -> None:
    before, refused, after = await queue(
        gated, gate, merchant, Write("a", "1"), Write("a", "2", refuse=True), Write("a", "3")
    )
    assert isinstance(refused, InvalidRequest)
    assert (before.value.text, after.value.text) == ("1", "13")
    assert batches == [1, 3]
    told = [event.snapshot for event in await stored(pool, Event, merchant) if event.object_id == "a"]
    assert len(told) == 2
    assert await broken(pool, merchant) == []


async def test_a_batch_in_which_every_command_fails_writes_nothing(
    gated: Engine, gate: Gate, merchant: str, pool: Any
) -> None:
    errors = await queue(gated, gate, merchant, *(Write("a", "x", refuse=True) for _ in range(3)))
    assert {type(error) for error in errors} == {InvalidRequest}
    assert await note(pool, merchant, "a") is None
    assert [job.subject for job in await stored(pool, Job, merchant)] == ["opener"]


@pytest.mark.parametrize(
    ("bug", "error"),
    [(Buggy("decide"), ZeroDivisionError), (Buggy("needs"), KeyError), (Endless("needs"), RuntimeError)],
    ids=["while deciding", "while naming its needs", "by naming ever more needs"],
)
async def test_a_bug_in_one_command_does_not_hurt_its_neighbours(
    gated: Engine, gate: Gate, merchant: str, pool: Any, bug: Any, error: type[Exception]
) -> None:
    before, failed, after = await queue(gated, gate, merchant, Write("a", "1"), bug, Write("a", "2"))
    assert isinstance(failed, error)
    assert (before.value.text, after.value.text) == ("1", "12")
    assert await note(pool, merchant, "buggy") is None


async def test_a_command_that_meets_a_row_it_has_not_named_goes_into_the_next_batch(
    gated: Engine, gate: Gate, merchant: str, batches: list[int]
) -> None:
    await gated.run(merchant, Write("source", "stored"))
    _, copied, after = await queue(gated, gate, merchant, Write("a", "1"), Careless("source", "copy"), Write("a", "2"))
    assert copied.value.text == "stored"
    assert after.value.text == "12"
    assert batches == [1, 1, 3, 1]


async def test_a_row_that_an_earlier_command_made_need_not_be_named(
    gated: Engine, gate: Gate, merchant: str, batches: list[int]
) -> None:
    _, copied = await queue(gated, gate, merchant, Write("fresh", "new"), Careless("fresh", "copy"))
    assert copied.value.text == "new"
    assert batches == [1, 2]


async def test_a_command_that_never_names_what_it_reads_is_given_up(engine: Engine, merchant: str) -> None:
    with pytest.raises(RuntimeError, match="Wanderer never loads"):
        await engine.run(merchant, Wanderer("where", "x"))
    assert (await engine.run(merchant, Write("a", "fine"))).value.text == "fine"


async def test_a_caller_who_leaves_does_not_undo_the_command_or_hurt_others(
    gated: Engine, gate: Gate, merchant: str, pool: Any
) -> None:
    gate.close()
    leaving = asyncio.ensure_future(gated.run(merchant, Write("a", "1")))
    await gate.reached.wait()
    staying = asyncio.ensure_future(gated.run(merchant, Write("a", "2")))
    await asyncio.sleep(0)
    leaving.cancel()
    gate.open.set()
    assert (await staying).value.text == "12"
    assert leaving.cancelled()
    kept = await note(pool, merchant, "a")
    assert kept is not None
    assert kept.text == "12"


async def test_a_listener_of_batches_that_fails_does_not_hide_what_was_committed(pool: Any, merchant: str) -> None:
    def fail(size: int) -> None:
        raise ZeroDivisionError

    engine = Engine(PostgresStore(pool), on_batch=fail)
    assert (await engine.run(merchant, Write("a", "1"))).value.text == "1"
    kept = await note(pool, merchant, "a")
    assert kept is not None


async def test_draining_waits_for_everything_that_was_taken(gated: Engine, gate: Gate, merchant: str) -> None:
    gate.close()
    waiting = asyncio.ensure_future(gated.run(merchant, Write("a", "1")))
    await gate.reached.wait()
    drained = asyncio.ensure_future(gated.drain())
    await asyncio.sleep(0.01)
    assert not drained.done()
    gate.open.set()
    await drained
    assert waiting.done()
