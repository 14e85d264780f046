"""The engine: takes commands, decides them in batches, answers when the batch is committed.

Commands of one merchant wait in that merchant's lane. While one batch commits, the next one gathers; alone, a
command is a batch of one. There is no timer. Lanes take turns on a bounded number of connections, so that one
merchant's burst does not hold up another's.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import msgspec
import structlog

from tongbao.database.rows import TABLES, encode
from tongbao.engine.commands import Cache, Changes, Command, Key, NotLoaded, Rows, Unfinished, wanted
from tongbao.engine.store import InDoubt, Lost, Refused, Store, Transaction
from tongbao.engine.tables import IdempotencyKey
from tongbao.foundation.clock import now_ms as system_now_ms
from tongbao.foundation.errors import Conflict, DomainError, IdempotencyMismatch, Overloaded
from tongbao.foundation.http import Idempotency

log = structlog.get_logger()

BATCH_MAX = 256
"""Commands in one batch. Beyond it the batch costs more in waiting than it saves in round trips."""
WAITING_PER_LANE_MAX = 2_000
WAITING_MAX = 10_000
ROUNDS_MAX = 6
"""How often commands are asked what they need. Two rounds are typical; more than six means a bug."""
DEFERS_MAX = 8
REPLAY_PAUSES_S = (0.02, 0.1, 0.3, 0.6, 1.0, 2.0, 3.0, 4.0)
"""Waits before a batch that was lost (connection, deadlock) is decided again: about eleven seconds in all."""


@dataclass(frozen=True, slots=True)
class Reply:
    """``replayed``: a stored reply was repeated. ``finished`` is false while the request still waits for a
    channel; ``value`` is then what the command returned inside ``Unfinished``."""

    value: Any
    replayed: bool = False
    finished: bool = True


@dataclass(slots=True)
class _Call:
    command: Command
    idempotency: Idempotency | None
    request_id: str | None
    future: asyncio.Future[Reply]
    extra_needs: list[Key] = field(default_factory=list)
    defers: int = 0


@dataclass(slots=True)
class _Lane:
    waiting: deque[_Call] = field(default_factory=deque)
    running: bool = False


class Engine:
    """Runs commands. One per process; several processes share a database without knowing each other."""

    def __init__(
        self,
        store: Store,
        *,
        lanes: int = 4,
        clock: Callable[[], int] = system_now_ms,
        random: Callable[[int], int] = secrets.randbits,
        on_batch: Callable[[int], None] | None = None,
    ) -> None:
        """:param lanes: how many lanes may commit at the same time (connections used).
        :param on_batch: told the size of every batch, for metrics."""
        self._store = store
        self._clock = clock
        self._random = random
        self._on_batch = on_batch
        self._turns = asyncio.Semaphore(lanes)
        self._lanes: dict[str, _Lane] = {}
        self._waiting = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(
        self,
        merchant_id: str,
        command: Command,
        idempotency: Idempotency | None = None,
        request_id: str | None = None,
    ) -> Reply:
        """Decide ``command`` and return its reply once it is committed.

        :raises DomainError: what the command raised; nothing of it was kept.
        :raises Conflict: a request with the same idempotency key is under way (``idempotency_key_in_use``).
        :raises IdempotencyMismatch: the key came with another input before.
        :raises Overloaded: the queue is full or the database is away.
        """
        lane = self._lanes.get(merchant_id)
        if lane is None:
            lane = self._lanes[merchant_id] = _Lane()
        if len(lane.waiting) >= WAITING_PER_LANE_MAX or self._waiting >= WAITING_MAX:
            raise Overloaded("overloaded", "Too many requests are waiting. Nothing was done; try again shortly.")
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        lane.waiting.append(_Call(command, idempotency, request_id, future))
        self._waiting += 1
        if not lane.running:
            lane.running = True
            self._start(self._run_lane(merchant_id, lane))
        return await future

    async def drain(self) -> None:
        """Wait until every command taken so far is answered."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_lane(self, merchant_id: str, lane: _Lane) -> None:
        waiting = lane.waiting
        while waiting:
            async with self._turns:
                batch = [waiting.popleft() for _ in range(min(BATCH_MAX, len(waiting)))]
                self._waiting -= len(batch)
                deferred = await self._settle(merchant_id, batch)
            if deferred:
                waiting.extendleft(reversed(deferred))
                self._waiting += len(deferred)
        lane.running = False
        del self._lanes[merchant_id]

    async def _settle(self, merchant_id: str, batch: list[_Call]) -> list[_Call]:
        """Run one batch to its end, replaying and splitting as needed; return what has to wait for the next."""
        for pause_s in (*REPLAY_PAUSES_S, None):
            try:
                return await self._attempt(merchant_id, batch)
            except Lost as error:
                log.warning("batch_lost", merchant=merchant_id, commands=len(batch), cause=str(error))
                if pause_s is not None:
                    await self._pause(pause_s)
            except InDoubt:
                _fail(batch, _unavailable("It is not known whether this request was carried out."))
                return []
            except DomainError as error:
                _fail(batch, error)
                return []
            except Exception as error:  # Nothing was kept: whatever comes after the commit is caught there.
                if len(batch) == 1:
                    _tell_refused(batch[0], error)
                    return []
                middle = len(batch) // 2
                first = await self._settle(merchant_id, batch[:middle])
                return first + await self._settle(merchant_id, batch[middle:])
        _fail(batch, _unavailable("The database is away. Nothing was done."))
        return []

    async def _pause(self, seconds: float) -> None:
        """Wait, and let other lanes have the turn meanwhile."""
        self._turns.release()
        try:
            await asyncio.sleep(seconds)
        finally:
            await self._turns.acquire()

    async def _attempt(self, merchant_id: str, batch: list[_Call]) -> list[_Call]:
        answers: list[tuple[_Call, Reply | Exception]] = []
        async with self._store.transaction(merchant_id) as transaction:
            cache: Cache = {}
            ready = await self._load(transaction, merchant_id, batch, cache, answers)
            changes, deferred = self._decide(transaction, merchant_id, ready, cache, answers)
            if changes:
                await transaction.write(changes)
        self._tell_of_batch(len(batch))
        for call, answer in answers:
            if call.future.done():
                continue
            if isinstance(answer, Reply):
                call.future.set_result(answer)
            else:
                call.future.set_exception(answer)
        return deferred

    def _tell_of_batch(self, size: int) -> None:
        if self._on_batch is None:
            return
        try:
            self._on_batch(size)
        except Exception:  # The batch is committed: its callers must get their replies.
            log.exception("on_batch_failed")

    async def _load(
        self,
        transaction: Transaction,
        merchant_id: str,
        batch: list[_Call],
        cache: Cache,
        answers: list[tuple[_Call, Reply | Exception]],
    ) -> list[_Call]:
        """Load what the commands name; return those that can be decided. The others get their error at once."""
        rows = Rows(merchant_id, cache, 0, 0, self._random)
        asking, failed = batch, set[int]()
        for round_number in range(ROUNDS_MAX):
            missing: dict[type[Any], set[Any]] = {}
            still: list[_Call] = []
            for call in asking:
                try:
                    keys = list(wanted(call.command, rows))
                except Exception as error:
                    if not isinstance(error, DomainError):
                        log.exception("command_failed", command=type(call.command).__name__)
                    answers.append((call, error))
                    failed.add(id(call))
                    continue
                if round_number == 0:
                    keys += call.extra_needs
                    if call.idempotency is not None:
                        keys.append((IdempotencyKey, call.idempotency.key))
                for cls, key in keys:
                    missing.setdefault(cls, set()).add(key)
                if keys:
                    still.append(call)
            if not missing:
                break
            for cls in sorted(missing, key=_table_order):
                known = cache.setdefault(cls, {})
                known.update(dict.fromkeys(missing[cls]))
                key_of = TABLES[cls].key_of
                for row in await transaction.load(cls, missing[cls]):
                    known[key_of(row)] = row
            asking = still
        else:
            for call in asking:
                name = type(call.command).__name__
                log.error("command_never_content", command=name)
                answers.append((call, RuntimeError(f"{name} named new rows in {ROUNDS_MAX} rounds")))
                failed.add(id(call))
        return [call for call in batch if id(call) not in failed] if failed else batch

    def _decide(
        self,
        transaction: Transaction,
        merchant_id: str,
        batch: list[_Call],
        cache: Cache,
        answers: list[tuple[_Call, Reply | Exception]],
    ) -> tuple[Changes, list[_Call]]:
        """Decide in order of arrival; a later command sees what an earlier one did."""
        changes = Changes()
        deferred: list[_Call] = []
        now_ms = self._clock()
        next_seq = transaction.lane.event_seq + 1
        for call in batch:
            rows = Rows(merchant_id, cache, next_seq + len(changes.events), now_ms, self._random, call.request_id)
            try:
                reply = _decide_one(call, rows)
            except NotLoaded as missed:
                call.defers += 1
                call.extra_needs.append(missed.key)
                if call.defers > DEFERS_MAX:
                    answers.append((call, RuntimeError(f"{type(call.command).__name__} never loads {missed}")))
                else:
                    deferred.append(call)
                continue
            except DomainError as error:
                answers.append((call, error))
                continue
            except Exception as error:
                log.exception("command_failed", command=type(call.command).__name__)
                answers.append((call, error))
                continue
            answers.append((call, reply))
            _apply(rows.changes, cache)
            changes.merge(rows.changes)
        return changes, deferred


def _decide_one(call: _Call, rows: Rows) -> Reply:
    idempotency = call.idempotency
    if idempotency is not None:
        kept = rows.get(IdempotencyKey, idempotency.key)
        if kept is not None:
            return _repeat(call.command, idempotency, kept)
    value = call.command.decide(rows, rows.now_ms)
    finished = not isinstance(value, Unfinished)
    if isinstance(value, Unfinished):
        value = value.value
    if idempotency is not None:
        rows.insert(
            IdempotencyKey(
                rows.merchant_id,
                idempotency.key,
                idempotency.input_hash,
                rows.now_ms,
                encode(value) if finished else None,
            )
        )
    return Reply(value, finished=finished)


def _repeat(command: Command, idempotency: Idempotency, kept: IdempotencyKey) -> Reply:
    if kept.input_hash != idempotency.input_hash:
        raise IdempotencyMismatch(
            "idempotency_key_reused",
            "Keys for idempotent requests can only be used with the same parameters they were first used with. "
            "Try using a key other than the one sent if you meant to execute a different request.",
        )
    if kept.reply is None:
        raise Conflict(
            "idempotency_key_in_use",
            "There is currently another in-progress request using this idempotency key. "
            "Wait for it to finish and repeat this request to get its answer.",
        )
    return Reply(msgspec.json.decode(kept.reply, type=command.reply), replayed=True)


def _apply(changes: Changes, cache: Cache) -> None:
    for made in (changes.inserted, changes.updated):
        for cls, rows in made.items():
            cache.setdefault(cls, {}).update(rows)
    for cls, keys in changes.deleted.items():
        cache.setdefault(cls, {}).update(dict.fromkeys(keys))


def _fail(batch: list[_Call], error: Exception) -> None:
    for call in batch:
        if not call.future.done():
            call.future.set_exception(error)


def _tell_refused(call: _Call, error: Exception) -> None:
    name = type(call.command).__name__
    if isinstance(error, Refused):
        log.error("command_refused", command=name, cause=str(error))
    else:
        log.error("command_failed", command=name, exc_info=error)
    _fail([call], error)


def _unavailable(what: str) -> Overloaded:
    return Overloaded("database_unavailable", f"{what} Repeat the request with the same Idempotency-Key to be sure.")


def _table_order(cls: type[Any]) -> str:
    return cls.__name__
