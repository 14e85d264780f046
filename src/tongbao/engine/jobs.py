"""Durable jobs: what was scheduled in a transaction is done later, by whichever worker comes first.

A worker looks for merchants with due jobs and claims merchant by merchant (on a distributed table ``SKIP LOCKED``
needs the merchant). A claim moves the job to the end of a lease: if the worker dies, the job is due again then.
A handler is therefore run *at least* once, and what it does goes through the engine, which does it once.

Two numbers keep everybody moving: ``per_kind`` handlers of one kind at a time, so that a kind that hangs (a dead
channel) holds up no other kind; and of these ``per_merchant`` for one merchant, so that no merchant holds up
another. Who has the fewest running is served first.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg
import structlog

from tongbao.engine.store import UNAVAILABLE
from tongbao.foundation.clock import MINUTE_MS
from tongbao.foundation.clock import now_ms as system_now_ms

log = structlog.get_logger()

Handler = Callable[[str, str, int], Awaitable[int | None]]
"""``(merchant_id, subject, tries)``, where ``tries`` is 1 the first time. Returns ``None`` when the job is done,
or the time (ms since the epoch) at which to run it again. An exception means: again, with growing pauses."""

POLL_S = 0.2
"""How often an idle worker looks for something due."""
BUSY_PAUSE_S = 0.02
TROUBLE_PAUSE_S = 1.0
"""How long to wait before asking a database again that was away."""
LEASE_MS = MINUTE_MS
GRACE_S = 3.0
"""How long handlers that are running may go on after a stop is asked for."""
RETRY_AFTER_S = (1, 2, 5, 15, 60, 300, 900, 3600)
"""Pauses before a job that raised is run again, by the number of its tries; then hourly, for ever."""

AWAY: tuple[type[Exception], ...] = (*UNAVAILABLE, asyncpg.InternalClientError)
"""Exceptions that mean that the database is away for now. (asyncpg's internal error is what it raises when the
server ends a connection just as a query begins.)"""

_FOUND_MAX = 1000
_random = random.SystemRandom().random
_UNKNOWN_EVERY_S = 60.0

_DUE = """
SELECT merchant_id, kind, min(run_at_ms) AS oldest FROM jobs
WHERE run_at_ms <= $1 AND kind = ANY($2::text[]) GROUP BY merchant_id, kind ORDER BY oldest LIMIT $3"""
# ARRAY(…) is evaluated once: a plain IN (…) could be run again by the plan and lock more than its LIMIT.
_CLAIM = """
UPDATE jobs SET run_at_ms = $4, tries = tries + 1 WHERE merchant_id = $1 AND id = ANY(ARRAY(
  SELECT id FROM jobs WHERE merchant_id = $1 AND kind = $2 AND run_at_ms <= $3
  ORDER BY run_at_ms LIMIT $5 FOR UPDATE SKIP LOCKED))
RETURNING id, subject, tries"""
# Only if nobody has scheduled the job anew meanwhile: that would have reset its time and its tries.
_DONE = "DELETE FROM jobs WHERE merchant_id = $1 AND id = $2 AND run_at_ms = $3 AND tries = $4"
_AGAIN = "UPDATE jobs SET run_at_ms = $5 WHERE merchant_id = $1 AND id = $2 AND run_at_ms = $3 AND tries = $4"
_UNKNOWN = "SELECT DISTINCT kind FROM jobs WHERE run_at_ms <= $1 AND NOT kind = ANY($2::text[])"


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait, but not beyond the moment when ``stop`` is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


async def poll(stop: asyncio.Event, name: str, look: Callable[[], Awaitable[bool]], poll_s: float = POLL_S) -> None:
    """Call ``look`` until ``stop`` is set: soon again while it finds something, else every ``poll_s`` seconds.

    Looking takes at most half of the time, however long one look takes. A database that is away is waited for;
    so is the end of any other trouble, since others' work would not be done either if this loop ended.
    """
    trouble: type[Exception] | None = None
    while not stop.is_set():
        begun = time.monotonic()
        found = False
        try:
            found = await look()
            trouble = None
        except AWAY as error:
            if trouble is None:
                log.warning("database_away", worker=name, cause=type(error).__name__)
            trouble = type(error)
        except Exception as error:
            if trouble is not type(error):
                log.exception("worker_in_trouble", worker=name)
            trouble = type(error)
        spent_s = time.monotonic() - begun
        await pause(stop, TROUBLE_PAUSE_S if trouble else max(BUSY_PAUSE_S if found else poll_s, spent_s))


async def wind_up(tasks: set[asyncio.Task[None]], grace_s: float) -> None:
    """Let ``tasks`` end by themselves for ``grace_s`` seconds, then cancel what is left and wait for it."""
    if tasks:
        await asyncio.wait(tasks, timeout=grace_s)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def retry_at_ms(tries: int, now_ms: int, jitter: float) -> int:
    """When a job that has raised ``tries`` times (1 or more) is run again. ``jitter`` lies between 0 and 1."""
    after_s = RETRY_AFTER_S[min(tries, len(RETRY_AFTER_S)) - 1]
    return now_ms + round(after_s * 1000 * (0.9 + 0.2 * jitter))


@dataclass(frozen=True, slots=True)
class _Claimed:
    merchant_id: str
    kind: str
    id: str
    subject: str
    tries: int
    lease_ms: int


class Worker:
    """Runs due jobs by their kind's handler. Any number of workers share a database without knowing each other."""

    def __init__(
        self,
        pool: Any,
        handlers: Mapping[str, Handler],
        *,
        per_kind: int = 32,
        per_merchant: int = 8,
        lease_ms: int = LEASE_MS,
        poll_s: float = POLL_S,
        clock: Callable[[], int] = system_now_ms,
        jitter: Callable[[], float] = _random,
    ) -> None:
        """:param per_kind: how many handlers of one kind run at a time.
        :param per_merchant: how many of these may be one merchant's.
        :param lease_ms: how long a job is ours; a handler that takes more than three quarters of it is cut off."""
        self._pool = pool
        self._handlers = dict(handlers)
        self._per_kind = per_kind
        self._per_merchant = per_merchant
        self._lease_ms = lease_ms
        self._poll_s = poll_s
        self._clock = clock
        self._jitter = jitter
        self._of_kind: Counter[str] = Counter()
        self._of_merchant: Counter[tuple[str, str]] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._unknown: set[str] = set()
        self._unknown_next_s = 0.0

    async def run(self, stop: asyncio.Event, grace_s: float = GRACE_S) -> None:
        """Work until ``stop`` is set; then give running handlers ``grace_s`` seconds and hand back what is left."""
        self._stop = stop
        try:
            await poll(stop, "jobs", self._look, self._poll_s)
        finally:
            await wind_up(self._tasks, grace_s)

    async def _look(self) -> bool:
        now = self._clock()
        await self._tell_unknown(now)
        kinds = [kind for kind in self._handlers if self._of_kind[kind] < self._per_kind]
        due = await self._pool.fetch(_DUE, now, kinds, _FOUND_MAX) if kinds else []
        due.sort(key=lambda found: (self._of_merchant[found["merchant_id"], found["kind"]], found["oldest"]))
        claimed = 0
        for merchant_id, kind, _ in due:
            room = min(self._per_kind - self._of_kind[kind], self._per_merchant - self._of_merchant[merchant_id, kind])
            if room > 0 and not self._stop.is_set():
                claimed += await self._claim(merchant_id, kind, room)
        return claimed > 0

    async def _claim(self, merchant_id: str, kind: str, room: int) -> int:
        now = self._clock()
        lease_ms = now + self._lease_ms
        rows = await self._pool.fetch(_CLAIM, merchant_id, kind, now, lease_ms, room)
        for id, subject, tries in rows:
            self._of_kind[kind] += 1
            self._of_merchant[merchant_id, kind] += 1
            job = _Claimed(merchant_id, kind, id, subject, tries, lease_ms)
            task = asyncio.get_running_loop().create_task(self._carry_out(job))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return len(rows)

    async def _carry_out(self, job: _Claimed) -> None:
        try:
            try:
                async with asyncio.timeout(self._lease_ms * 0.75 / 1000):
                    again_ms = await self._handlers[job.kind](job.merchant_id, job.subject, job.tries)
            except asyncio.CancelledError:
                again_ms = self._clock()  # Another worker can have it at once.
            except Exception:
                log.exception(
                    "job_failed", kind=job.kind, subject=job.subject, merchant=job.merchant_id, tries=job.tries
                )
                again_ms = retry_at_ms(job.tries, self._clock(), self._jitter())
            await self._settle(job, again_ms)
        finally:
            self._of_kind[job.kind] -= 1
            self._of_merchant[job.merchant_id, job.kind] -= 1
            if not self._of_merchant[job.merchant_id, job.kind]:
                del self._of_merchant[job.merchant_id, job.kind]

    async def _settle(self, job: _Claimed, again_ms: int | None) -> None:
        ours = (job.merchant_id, job.id, job.lease_ms, job.tries)
        try:
            if again_ms is None:
                await self._pool.execute(_DONE, *ours)
            else:
                await self._pool.execute(_AGAIN, *ours, again_ms)
        except AWAY as error:
            log.warning("job_not_settled", kind=job.kind, subject=job.subject, cause=type(error).__name__)

    async def _tell_unknown(self, now: int) -> None:
        """Log once of each kind that has no handler here (an older or newer version may have one)."""
        if time.monotonic() < self._unknown_next_s:
            return
        self._unknown_next_s = time.monotonic() + _UNKNOWN_EVERY_S
        known = [*self._handlers, *self._unknown]
        for (kind,) in await self._pool.fetch(_UNKNOWN, now, known):
            self._unknown.add(kind)
            log.error("job_kind_unknown", kind=kind)
