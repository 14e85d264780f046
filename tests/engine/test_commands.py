"""What a command sees of its rows and leaves of them, alone and among others of its batch."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from typing import Any, ClassVar, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support_engine import Blind, Note, Write, broken, new_merchant, stored, together

from tongbao.database.bulk import LostUpdate
from tongbao.engine import Engine, Event, Job, Lane, NotLoaded, Rows
from tongbao.engine.commands import Key, seq_of_event
from tongbao.engine.store import MemoryStore, PostgresStore, Refused
from tongbao.foundation.errors import InvalidRequest

LOOP = asyncio.new_event_loop()  # Examples are no tests of their own, to which pytest would give a loop.
Step = tuple[Literal["write", "schedule", "unschedule", "fail"], str]
STEPS = st.lists(
    st.tuples(st.sampled_from(["write", "schedule", "schedule", "unschedule", "fail"]), st.sampled_from("ab")),
    max_size=6,
)


class Do(msgspec.Struct, frozen=True):
    """Takes some steps, one after the other."""

    steps: list[Step]
    at_ms: int = 0

    reply: ClassVar[type[msgspec.Struct]] = Note

    def needs(self, rows: Rows) -> Iterable[Key]:
        return [(cls, key) for cls, keys in ((Note, "ab"), (Job, ("look:a", "look:b"))) for key in keys]

    def decide(self, rows: Rows, now_ms: int) -> Note:
        for number, (verb, name) in enumerate(self.steps):
            if verb == "write":
                old = rows.get(Note, name)
                new = Note(rows.merchant_id, name, f"{old.text if old else ''}{number}")
                (rows.update if old else rows.insert)(new)
                rows.event("note.written", "note", new)
            elif verb == "schedule":
                rows.schedule("look", name, self.at_ms + number)
                job = rows.get(Job, f"look:{name}")
                assert job is not None
                assert job.run_at_ms == self.at_ms + number
            elif verb == "unschedule":
                rows.unschedule("look", name)
                assert rows.get(Job, f"look:{name}") is None
            else:
                raise InvalidRequest("toy_refused", "No.")
        return Note(rows.merchant_id, "done")


def expected(commands: list[Do]) -> tuple[dict[str, str], dict[str, int], int]:
    """What is left when commands are run one by one: the notes' texts, the jobs' times, the number of events."""
    texts: dict[str, str] = {}
    jobs: dict[str, int] = {}
    events = 0
    for command in commands:
        if any(verb == "fail" for verb, _ in command.steps):
            continue
        for number, (verb, name) in enumerate(command.steps):
            if verb == "write":
                texts[name] = texts.get(name, "") + str(number)
                events += 1
            elif verb == "schedule":
                jobs[f"look:{name}"] = command.at_ms + number
            else:
                jobs.pop(f"look:{name}", None)
    return texts, jobs, events


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=8))
def test_a_batch_leaves_exactly_what_its_commands_would_leave_one_by_one(sequences: list[list[Step]]) -> None:
    commands = [Do(steps, 1_000 * number) for number, steps in enumerate(sequences)]

    async def run() -> MemoryStore:
        store, batches = MemoryStore(), list[int]()
        engine = Engine(store, on_batch=batches.append)
        await together(*(engine.run("acct_a", command) for command in commands))
        assert len(batches) <= 1
        return store

    store = LOOP.run_until_complete(run())
    texts, jobs, events = expected(commands)
    assert {row.id: row.text for row in store.rows(Note)} == texts
    assert {row.id: row.run_at_ms for row in store.rows(Job)} == jobs
    assert [row.seq for row in store.rows(Event)] == list(range(1, events + 1))


async def test_and_so_it_does_in_the_database(pool: Any) -> None:
    chance = random.Random(3)
    verbs: list[Any] = ["write", "write", "schedule", "schedule", "unschedule", "fail"]
    for _ in range(25):
        merchant = await new_merchant(pool)
        commands = [
            Do([(chance.choice(verbs), chance.choice("ab")) for _ in range(chance.randint(1, 5))], 1_000 * number)
            for number in range(12)
        ]
        engine = Engine(PostgresStore(pool))
        for start in (0, 4, 8):
            await together(*(engine.run(merchant, command) for command in commands[start : start + 4]))
        texts, jobs, events = expected(commands)
        assert {row.id: row.text for row in await stored(pool, Note, merchant)} == texts
        assert {row.id: row.run_at_ms for row in await stored(pool, Job, merchant)} == jobs
        assert len(await stored(pool, Event, merchant)) == events
        assert await broken(pool, merchant) == []


def rows_with(**known: Note | None) -> Rows:
    return Rows(
        "acct_a", {Note: dict(known)}, next_seq=1, now_ms=1_700_000_000_000, random=random.Random(1).getrandbits
    )


def test_a_row_that_does_not_exist_differs_from_one_that_was_not_named() -> None:
    rows = rows_with(a=None)
    assert rows.get(Note, "a") is None
    assert rows.find(Note, "b") is None
    with pytest.raises(NotLoaded, match="Note b"):
        rows.get(Note, "b")
    with pytest.raises(NotLoaded, match="Job x"):
        rows.get(Job, "x")


def test_a_command_sees_its_own_changes_at_once() -> None:
    rows = rows_with(a=Note("acct_a", "a", "old"))
    rows.update(Note("acct_a", "a", "new"))
    rows.insert(Note("acct_a", "b", "made"))
    rows.update(Note("acct_a", "b", "changed"))
    assert [row.text for key in "ab" if (row := rows.get(Note, key))] == ["new", "changed"]
    assert rows.changes.inserted == {Note: {"b": Note("acct_a", "b", "changed")}}


def test_ids_come_from_the_batchs_time_and_randomness_only() -> None:
    assert rows_with().new_id("tr") == rows_with().new_id("tr")
    assert rows_with().new_id("tr").startswith("tr_0")


async def test_events_carry_a_compact_snapshot_and_an_id_that_leads_to_their_number(pool: Any, merchant: str) -> None:
    engine = Engine(PostgresStore(pool), clock=lambda: 1_700_000_000_123)
    await engine.run(merchant, Write("a", "x"), request_id="req_1")
    await engine.run(merchant, Write("a", "y"), request_id="req_2")
    first, second = await stored(pool, Event, merchant)
    assert (first.seq, first.type, first.object_type, first.object_id, first.object_version) == (
        1,
        "note.written",
        "note",
        "a",
        1,
    )
    assert (first.created_ms, first.request_id, second.request_id) == (1_700_000_000_123, "req_1", "req_2")
    assert msgspec.json.decode(first.snapshot) == {"merchant_id": merchant, "id": "a", "text": "x"}
    assert msgspec.json.decode(second.snapshot)["version"] == 2
    assert [seq_of_event(event.id) for event in (first, second)] == [1, 2]
    assert [lane.event_seq for lane in await stored(pool, Lane, merchant)] == [2]


@pytest.mark.parametrize(
    "id",
    [
        "",
        "evt_",
        "evt_" + "0" * 23,
        "evt_" + "0" * 25,
        "pi_0" + "0" * 24,
        "evt_" + "0" * 23 + "-",
        "evt_" + "0" * 23 + "é",
    ],
)
def test_what_is_no_id_of_an_event_leads_nowhere(id: str) -> None:
    assert seq_of_event(id) is None


async def test_dictionaries_refuse_what_the_database_refuses() -> None:
    store = MemoryStore()
    engine = Engine(store)
    await engine.run("acct_a", Write("a", "1"))
    with pytest.raises(Refused):
        await engine.run("acct_a", Blind("a"))
    with pytest.raises(LostUpdate):
        await engine.run("acct_a", Blind("b", update=True))
    assert [row.text for row in store.rows(Note)] == ["1"]
