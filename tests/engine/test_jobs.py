"""Jobs are done at least once and by one worker at a time, whatever happens to workers and to other jobs."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from structlog.testing import capture_logs

from tongbao.database import bulk, ddl
from tongbao.database.pool import open_pool
from tongbao.database.rows import METADATA, TABLES
from tongbao.engine.jobs import Handler, Worker, retry_at_ms
from tongbao.engine.tables import Job
from tongbao.foundation.clock import now_ms


@pytest.fixture
async def pool(fresh_database: str) -> AsyncIterator[Any]:
    pool = await open_pool(fresh_database, size_max=10)
    for statement in ddl.statements(METADATA.sorted_tables):
        await pool.execute(statement)
    yield pool
    await pool.close()


async def schedule(pool: Any, kind: str, subjects: Iterable[str], merchant: str = "acct_a", run_at_ms: int = 0) -> None:
    """What the engine does for ``rows.schedule``."""
    rows = [Job(merchant, f"{kind}:{subject}", kind, subject, run_at_ms) for subject in subjects]
    await bulk.insert(pool, TABLES[Job], rows)


async def jobs(pool: Any) -> dict[str, tuple[int, int]]:
    """Jobs that are left: when they run, and how often they were tried."""
    return {row["id"]: (row["run_at_ms"], row["tries"]) for row in await pool.fetch("SELECT * FROM jobs")}


@contextlib.asynccontextmanager
async def working(pool: Any, handlers: dict[str, Handler], **settings: Any) -> AsyncIterator[asyncio.Task[None]]:
    """A worker that runs meanwhile, and is then stopped."""
    stop = asyncio.Event()
    settings = {"poll_s": 0.02, **settings}
    task = asyncio.create_task(Worker(pool, handlers, **settings).run(stop, grace_s=0.5))
    try:
        yield task
    finally:
        stop.set()
        await asyncio.gather(task, return_exceptions=True)


async def until_gone(pool: Any, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while await jobs(pool):
            await asyncio.sleep(0.01)


async def test_a_due_job_is_run_once_and_is_gone_and_one_of_tomorrow_is_left(pool: Any) -> None:
    seen: list[tuple[str, str, int]] = []

    async def handle(merchant: str, subject: str, tries: int) -> None:
        seen.append((merchant, subject, tries))

    await schedule(pool, "chase", ["op_1"])
    tomorrow = now_ms() + 86_400_000
    await schedule(pool, "chase", ["op_2"], run_at_ms=tomorrow)
    async with working(pool, {"chase": handle}), asyncio.timeout(10):
        while await jobs(pool) != {"chase:op_2": (tomorrow, 0)}:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
    assert seen == [("acct_a", "op_1", 1)]
    assert await jobs(pool) == {"chase:op_2": (tomorrow, 0)}


async def test_a_handler_says_when_to_run_again(pool: Any) -> None:
    seen: list[int] = []

    async def handle(_merchant: str, _subject: str, tries: int) -> int | None:
        seen.append(tries)
        return now_ms() + 50 if tries < 3 else None

    await schedule(pool, "chase", ["op_1"])
    async with working(pool, {"chase": handle}):
        await until_gone(pool)
    assert seen == [1, 2, 3]


async def test_a_failing_job_is_tried_again_with_growing_pauses_and_no_other_waits_for_it(pool: Any) -> None:
    done: list[str] = []

    async def handle(_merchant: str, subject: str, _tries: int) -> None:
        if subject == "bad":
            raise ValueError("no")
        done.append(subject)

    await schedule(pool, "chase", ["bad", "good"])
    before = now_ms()
    with capture_logs() as logs:
        async with working(pool, {"chase": handle}, jitter=lambda: 0.5), asyncio.timeout(10):
            while len(await jobs(pool)) > 1 or not logs:
                await asyncio.sleep(0.01)
    assert done == ["good"]
    ((id, (run_at_ms, tries)),) = (await jobs(pool)).items()
    assert (id, tries) == ("chase:bad", 1)
    assert before + 1000 <= run_at_ms <= now_ms() + 1000
    assert [(entry["event"], entry["subject"]) for entry in logs] == [("job_failed", "bad")]


@pytest.mark.parametrize(
    ("tries", "after_s"),
    [(1, 1), (2, 2), (3, 5), (4, 15), (5, 60), (6, 300), (7, 900), (8, 3600), (9, 3600), (99, 3600)],
)
def test_pauses_after_failures_grow_to_an_hour(tries: int, after_s: int) -> None:
    assert retry_at_ms(tries, 0, 0.5) == after_s * 1000
    assert retry_at_ms(tries, 0, 0.0) == after_s * 900
    assert retry_at_ms(tries, 0, 1.0) == after_s * 1100


async def test_a_job_scheduled_anew_while_it_runs_is_run_again(pool: Any) -> None:
    seen: list[int] = []

    async def handle(_merchant: str, _subject: str, tries: int) -> None:
        seen.append(tries)
        if len(seen) == 1:
            await schedule(pool, "chase", ["op_1"], run_at_ms=now_ms())
            await asyncio.sleep(0.2)  # The second run may begin meanwhile.

    await schedule(pool, "chase", ["op_1"])
    async with working(pool, {"chase": handle}):
        await until_gone(pool)
        await asyncio.sleep(0.3)
    assert seen == [1, 1]


async def test_a_job_called_off_while_it_runs_stays_off(pool: Any) -> None:
    async def handle(_merchant: str, _subject: str, _tries: int) -> int:
        await pool.execute("DELETE FROM jobs")
        return now_ms()

    await schedule(pool, "chase", ["op_1"])
    async with working(pool, {"chase": handle}):
        await asyncio.sleep(0.2)
    assert await jobs(pool) == {}


async def test_two_workers_never_run_the_same_job_at_once_and_leave_none(pool: Any) -> None:
    running: Counter[str] = Counter()
    done: Counter[str] = Counter()

    async def handle(_merchant: str, subject: str, _tries: int) -> None:
        running[subject] += 1
        assert running[subject] == 1
        await asyncio.sleep(0.002)
        running[subject] -= 1
        done[subject] += 1

    for merchant in range(4):
        await schedule(pool, "chase", [f"{merchant}-{n}" for n in range(100)], merchant=f"acct_{merchant}")
    async with working(pool, {"chase": handle}), working(pool, {"chase": handle}), working(pool, {"chase": handle}):
        await until_gone(pool)
    assert done == Counter({f"{merchant}-{n}": 1 for merchant in range(4) for n in range(100)})


async def test_a_dead_workers_job_is_run_by_another_when_its_lease_ends(
    pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    async def hang(_merchant: str, _subject: str, _tries: int) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def nothing(*_: Any) -> None:
        """As kill -9 does it: what the dying worker would still write is never written."""

    await schedule(pool, "chase", ["op_1"])
    dying, stop = Worker(pool, {"chase": hang}, poll_s=0.02, lease_ms=1500), asyncio.Event()
    monkeypatch.setattr(dying, "_settle", nothing)
    task = asyncio.create_task(dying.run(stop, grace_s=0))
    await begun.wait()
    stop.set()
    await task
    lease_ends, _ = (await jobs(pool))["chase:op_1"]
    seen: list[tuple[int, int]] = []

    async def handle(_merchant: str, _subject: str, tries: int) -> None:
        seen.append((tries, now_ms()))

    async with working(pool, {"chase": handle}):
        await until_gone(pool)
    ((tries, at),) = seen
    assert tries == 2
    assert lease_ends <= at <= lease_ends + 3000


async def test_a_handler_that_hangs_is_cut_off_before_its_lease_ends(pool: Any) -> None:
    async def hang(_merchant: str, _subject: str, _tries: int) -> None:
        await asyncio.Event().wait()

    await schedule(pool, "chase", ["op_1"])
    with capture_logs() as logs:
        async with working(pool, {"chase": hang}, lease_ms=200):
            await asyncio.sleep(0.5)
    assert "job_failed" in {entry["event"] for entry in logs}
    assert (await jobs(pool))["chase:op_1"][1] == 1


async def test_a_kind_that_hangs_holds_up_no_other_kind_and_a_merchant_no_other_merchant(pool: Any) -> None:
    done: dict[str, float] = {}

    async def dead_channel(merchant: str, _subject: str, _tries: int) -> None:
        if merchant == "acct_a":
            await asyncio.sleep(30)
        done[merchant] = time.monotonic()

    async def expire(_merchant: str, subject: str, _tries: int) -> None:
        done[subject] = time.monotonic()

    await schedule(pool, "chase", [f"op_{n}" for n in range(200)])
    async with working(pool, {"chase": dead_channel, "expire": expire}, per_kind=8, per_merchant=4):
        await asyncio.sleep(0.2)
        begun = time.monotonic()
        await schedule(pool, "expire", ["ord_1"])
        await schedule(pool, "chase", ["op_b"], merchant="acct_b")
        async with asyncio.timeout(5):
            while len(done) < 2:
                await asyncio.sleep(0.01)
        assert all(at - begun < 3 for at in done.values())
        busy = await pool.fetchval(
            "SELECT count(*) FROM jobs WHERE merchant_id = 'acct_a' AND kind = 'chase' AND tries > 0"
        )
        assert busy == 4


async def test_a_stop_lets_handlers_end_and_hands_back_what_takes_too_long(pool: Any) -> None:
    ended: list[str] = []

    async def handle(_merchant: str, subject: str, _tries: int) -> None:
        await asyncio.sleep(0.3 if subject == "short" else 60)
        ended.append(subject)

    await schedule(pool, "chase", ["short", "long"])
    stop = asyncio.Event()
    task = asyncio.create_task(Worker(pool, {"chase": handle}, poll_s=0.02).run(stop, grace_s=0.6))
    await asyncio.sleep(0.1)
    stop.set()
    begun = time.monotonic()
    await task
    assert time.monotonic() - begun < 5
    assert ended == ["short"]
    ((id, (run_at_ms, _)),) = (await jobs(pool)).items()
    assert id == "chase:long"
    assert run_at_ms <= now_ms()


async def test_a_job_of_an_unknown_kind_is_left_and_told_once(pool: Any) -> None:
    await schedule(pool, "newer", ["x", "y"])
    worker = Worker(pool, {}, poll_s=0.02)
    stop = asyncio.Event()
    with capture_logs() as logs:
        task = asyncio.create_task(worker.run(stop))
        await asyncio.sleep(0.1)
        worker._unknown_next_s = 0.0  # A minute later.
        await asyncio.sleep(0.1)
        stop.set()
        await task
    assert [(entry["event"], entry["kind"]) for entry in logs] == [("job_kind_unknown", "newer")]
    assert await jobs(pool) == {"newer:x": (0, 0), "newer:y": (0, 0)}


async def test_a_worker_outlives_a_database_that_goes_away(pool: Any) -> None:
    seen: list[str] = []

    async def handle(_merchant: str, subject: str, _tries: int) -> None:
        seen.append(subject)

    async with working(pool, {"chase": handle}) as task:
        await pool.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await schedule(pool, "chase", ["op_1"])
        await until_gone(pool)
        assert not task.done()
    assert seen == ["op_1"]
