"""The same request twice: run once, answered twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec
import pytest
from tests.support_engine import Gate, Note, Write, broken, new_merchant, note, stored, together

from tongbao.engine import Engine, Event, IdempotencyKey, Rows, Unfinished
from tongbao.engine.commands import Key
from tongbao.engine.store import PostgresStore
from tongbao.foundation.errors import Conflict, IdempotencyMismatch, InvalidRequest
from tongbao.foundation.http import Idempotency

KEY = Idempotency("key-1", "hash-1")


class Begin(msgspec.Struct, frozen=True):
    """Begins a request that somebody has to finish."""

    note: str

    reply: ClassVar[type[msgspec.Struct]] = Note

    def needs(self, rows: Rows) -> Iterable[Key]:
        yield Note, self.note

    def decide(self, rows: Rows, now_ms: int) -> Unfinished:
        made = Note(rows.merchant_id, self.note, "begun")
        rows.insert(made)
        return Unfinished(made)


class Finish(msgspec.Struct, frozen=True):
    """Gives the reply of the request with ``key``."""

    note: str
    key: str
    text: str = "finished"

    reply: ClassVar[type[msgspec.Struct]] = Note

    def needs(self, rows: Rows) -> Iterable[Key]:
        yield Note, self.note
        yield IdempotencyKey, self.key

    def decide(self, rows: Rows, now_ms: int) -> Note:
        made = Note(rows.merchant_id, self.note, self.text, 2)
        rows.update(made)
        rows.finish(self.key, made)
        return made


async def test_a_repeated_request_gets_the_stored_reply_and_runs_nothing(
    engine: Engine, pool: Any, merchant: str
) -> None:
    first = await engine.run(merchant, Write("a", "x"), KEY)
    await engine.run(merchant, Write("a", "y"))
    again = await engine.run(merchant, Write("a", "x"), KEY)
    assert (first.replayed, again.replayed) == (False, True)
    assert again.value == first.value
    kept = await note(pool, merchant, "a")
    assert kept is not None
    assert kept.text == "xy"


async def test_a_key_with_another_input_is_an_error_and_runs_nothing(engine: Engine, pool: Any, merchant: str) -> None:
    await engine.run(merchant, Write("a", "x"), KEY)
    with pytest.raises(IdempotencyMismatch) as refused:
        await engine.run(merchant, Write("a", "y"), Idempotency("key-1", "hash-2"))
    assert refused.value.code == "idempotency_key_reused"
    assert len(await stored(pool, Event, merchant)) == 1


async def test_a_request_that_was_refused_is_not_stored_and_may_be_right_the_next_time(
    engine: Engine, pool: Any, merchant: str
) -> None:
    with pytest.raises(InvalidRequest):
        await engine.run(merchant, Write("a", "x", refuse=True), KEY)
    assert await stored(pool, IdempotencyKey, merchant) == []
    assert not (await engine.run(merchant, Write("a", "x"), KEY)).replayed


async def test_the_same_key_in_one_batch_runs_once_and_a_third_with_other_input_is_an_error(
    pool: Any, merchant: str, batches: list[int]
) -> None:
    gate = Gate(PostgresStore(pool))
    engine = Engine(gate, on_batch=batches.append)
    gate.close()
    opener = asyncio.ensure_future(engine.run(merchant, Write("opener", "")))
    await gate.reached.wait()
    waiting = [
        asyncio.ensure_future(engine.run(merchant, Write("a", "x"), key))
        for key in (KEY, KEY, Idempotency("key-1", "hash-2"))
    ]
    await asyncio.sleep(0)
    gate.open.set()
    await opener
    first, second, third = await together(*waiting)
    assert batches == [1, 3]
    assert (first.replayed, second.replayed, type(third)) == (False, True, IdempotencyMismatch)
    assert first.value == second.value
    assert first.value.text == "x"


async def test_after_a_refusal_the_same_key_in_the_same_batch_is_run(engine: Engine, merchant: str) -> None:
    refused, taken = await together(
        engine.run(merchant, Write("a", "x", refuse=True), KEY), engine.run(merchant, Write("a", "x"), KEY)
    )
    assert isinstance(refused, InvalidRequest)
    assert not taken.replayed


async def test_keys_of_two_merchants_do_not_meet(engine: Engine, pool: Any, merchant: str) -> None:
    other = await new_merchant(pool)
    await engine.run(merchant, Write("a", "x"), KEY)
    assert not (await engine.run(other, Write("a", "y"), Idempotency("key-1", "hash-2"))).replayed


async def test_while_a_request_is_unfinished_its_repetition_is_a_conflict_and_then_gets_the_final_reply(
    engine: Engine, merchant: str
) -> None:
    begun = await engine.run(merchant, Begin("a"), KEY)
    assert (begun.finished, begun.value.text) == (False, "begun")
    with pytest.raises(Conflict) as refused:
        await engine.run(merchant, Begin("a"), KEY)
    assert refused.value.code == "idempotency_key_in_use"
    await engine.run(merchant, Finish("a", "key-1"))
    again = await engine.run(merchant, Begin("a"), KEY)
    assert (again.replayed, again.finished, again.value.text) == (True, True, "finished")


async def test_the_first_reply_of_a_request_is_its_reply_for_good(engine: Engine, merchant: str) -> None:
    await engine.run(merchant, Begin("a"), KEY)
    await engine.run(merchant, Finish("a", "key-1", "first"))
    await engine.run(merchant, Finish("a", "key-1", "second"))
    assert (await engine.run(merchant, Begin("a"), KEY)).value.text == "first"


async def test_finishing_a_key_that_was_purged_does_nothing(engine: Engine, pool: Any, merchant: str) -> None:
    await engine.run(merchant, Begin("a"), KEY)
    await pool.execute("DELETE FROM idempotency_keys WHERE merchant_id = $1", merchant)
    await engine.run(merchant, Finish("a", "key-1"))
    assert await stored(pool, IdempotencyKey, merchant) == []
    assert await broken(pool, merchant) == []


async def test_a_reply_is_repeated_in_every_detail(engine: Engine, merchant: str) -> None:
    text = '"quoted" \\ 通宝 🍵 \x01 \u2028'
    first = await engine.run(merchant, Write("a", text), KEY)
    again = await engine.run(merchant, Write("a", text), KEY)
    assert again.value == first.value
    assert again.value.text == text
