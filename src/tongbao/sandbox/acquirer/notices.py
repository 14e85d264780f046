"""Notices: a durable queue of signed messages to the merchant's system, each sent until it is taken (2xx).

A notice says what its operation had become when it was queued. It is queued in the transaction of that
decision; its body stays the same on every attempt, its timestamp and signature are made anew.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import httpx
import msgspec

from tongbao.foundation.clock import DAY_MS, MINUTE_MS, now_ms
from tongbao.foundation.ids import new_id
from tongbao.sandbox.acquirer.faults import Rule
from tongbao.sandbox.acquirer.operations import Operation, render
from tongbao.sandbox.acquirer.signing import SIGNATURE_HEADER, TERMINAL_HEADER, TIMESTAMP_HEADER, sign_notice
from tongbao.sandbox.acquirer.store import Store
from tongbao.sandbox.acquirer.wire import encode

AT_ONCE = 32
"""Deliveries under way at the same time."""
GIVE_UP_MS = 3 * DAY_MS
TIMEOUT = httpx.Timeout(10, connect=3)
LONGEST_PAUSE_MS = 5 * MINUTE_MS
IDLE_S = 1.0

_log = logging.getLogger(__name__)


def enqueue(db: sqlite3.Connection, operation: Operation, public_url: str, now: int, fault: Rule | None) -> None:
    """Queue the notice of a decided operation, bent by a fault if one was drawn. No ``notice_url``, no notice."""
    if operation.notice_url is None:
        return
    kind = fault.kind if fault else None
    claim = render(operation, public_url)
    if kind == "wrong_amount":
        claim["amount"] += 1
    body = _body(claim, now)
    held = kind == "reordered_notice"
    due = now + fault.delay_ms if fault and (held or kind == "late_notice") else now
    for _ in range(2 if kind == "duplicate_notice" else 1):
        _insert(db, operation, body, now, due, held=held)
    if kind == "forged_notice":
        opposite = "declined" if operation.status == "approved" else "approved"
        code = "card_declined" if opposite == "declined" else None
        _insert(db, operation, _body({**claim, "status": opposite, "code": code}, now), now, now, forged=True)


def _body(claim: dict[str, object], now: int) -> bytes:
    return encode({"id": new_id("ntc", now), "created_ms": now, "operation": claim})


def _insert(
    db: sqlite3.Connection,
    operation: Operation,
    body: bytes,
    now: int,
    due: int,
    *,
    forged: bool = False,
    held: bool = False,
) -> None:
    db.execute(
        "insert into notices (id, terminal, url, body, forged, held, created_ms, due_ms)"
        " values (?, ?, ?, ?, ?, ?, ?, ?)",
        (new_id("snd"), operation.terminal, operation.notice_url, body, forged, held, now, due),
    )


class Due(msgspec.Struct, frozen=True):
    """A notice whose time has come."""

    id: str
    terminal: str
    url: str
    body: bytes
    forged: bool
    attempts: int


class Courier:
    """Delivers the queue, and lets unanswered challenges expire. One task; ``wake`` after queueing."""

    def __init__(
        self, store: Store, secrets: dict[str, str], expire: Callable[[], Awaitable[None]], http: httpx.AsyncClient
    ) -> None:
        self._store = store
        self._secrets = secrets
        self._expire = expire
        self._http = http
        self._woken = asyncio.Event()
        self._under_way: dict[str, asyncio.Task[None]] = {}

    def wake(self) -> None:
        """Look at the queue now."""
        self._woken.set()

    async def run(self) -> None:
        """Work until cancelled; deliveries under way are then broken off, and repeated after the next start."""
        try:
            while True:
                self._woken.clear()
                try:
                    await self._expire()
                    next_due = await self._start_due()
                except sqlite3.Error:
                    _log.exception("the queue of notices cannot be read; trying again")
                    next_due = None
                pause = IDLE_S if next_due is None else min(IDLE_S, max(0.0, (next_due - now_ms()) / 1000))
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), pause)
        finally:
            for task in self._under_way.values():
                task.cancel()
            await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    async def _start_due(self) -> int | None:
        """Start what is due; return when the next is, or ``None`` when a finished delivery will wake us."""
        room = AT_ONCE - len(self._under_way)
        if room <= 0:
            return None
        busy = set(self._under_way)
        due, next_due = await self._store.run(lambda db: _due(db, now_ms(), busy, room))
        for notice in due:
            task = asyncio.create_task(self._deliver(notice))
            self._under_way[notice.id] = task
            task.add_done_callback(partial(self._finished, notice.id))
        return next_due

    def _finished(self, id: str, task: asyncio.Task[None]) -> None:
        del self._under_way[id]
        if not task.cancelled() and (problem := task.exception()):
            _log.error("notice %s: %r", id, problem)
        self.wake()

    async def _deliver(self, notice: Due) -> None:
        timestamp = str(now_ms())
        secret = self._secrets.get(notice.terminal)
        if secret is None:
            await self._store.run(lambda db: _give_up(db, notice.id))
            return
        signature = sign_notice("forged" if notice.forged else secret, timestamp, notice.body)
        headers = {
            "content-type": "application/json",
            TERMINAL_HEADER: notice.terminal,
            TIMESTAMP_HEADER: timestamp,
            SIGNATURE_HEADER: signature,
        }
        try:
            async with self._http.stream("POST", notice.url, content=notice.body, headers=headers) as answer:
                taken = answer.is_success
        except (httpx.HTTPError, httpx.InvalidURL) as problem:
            _log.info("notice %s not delivered: %s", notice.id, type(problem).__name__)
            taken = False
        await self._store.run(lambda db: _settle(db, notice, taken, now_ms()))


def _due(db: sqlite3.Connection, now: int, busy: set[str], room: int) -> tuple[list[Due], int | None]:
    """What may be sent now, oldest first, and the moment at which the next one may."""
    rows = db.execute(
        "select id, terminal, url, body, forged, attempts, due_ms from notices"
        " where done_ms is null order by due_ms, id limit ?",
        (room + len(busy) + 1,),
    ).fetchall()
    waiting = [row for row in rows if row["id"] not in busy]
    ready = [row for row in waiting if row["due_ms"] <= now][:room]
    names = Due.__struct_fields__
    due = [msgspec.convert({name: row[name] for name in names}, Due, strict=False) for row in ready]
    return due, (waiting[len(ready)]["due_ms"] if len(waiting) > len(ready) else None)


def _settle(db: sqlite3.Connection, notice: Due, taken: bool, now: int) -> None:
    """Note the result. A forged notice is sent once. A delivery lets the terminal's held-back notices go."""
    if taken or notice.forged:
        db.execute("update notices set done_ms = ?, attempts = attempts + 1 where id = ?", (now, notice.id))
    else:
        pause = min(500 * 2**notice.attempts, LONGEST_PAUSE_MS)
        db.execute(
            "update notices set due_ms = ?, attempts = attempts + 1,"
            " done_ms = case when created_ms < ? then ? end where id = ?",
            (now + pause, now - GIVE_UP_MS, now, notice.id),
        )
    if taken:
        db.execute(
            "update notices set held = 0, due_ms = ? where terminal = ? and held = 1 and done_ms is null",
            (now, notice.terminal),
        )


def _give_up(db: sqlite3.Connection, id: str) -> None:
    """The terminal is no longer configured: nobody could verify this notice."""
    db.execute("update notices set done_ms = ? where id = ?", (now_ms(), id))
