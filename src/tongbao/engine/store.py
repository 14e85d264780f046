"""Where the rows of a batch come from and go to: PostgreSQL, or plain dictionaries for property tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any, Protocol

import asyncpg

from tongbao.database import bulk
from tongbao.database.bulk import Write
from tongbao.database.rows import TABLES, Row
from tongbao.engine.commands import Changes
from tongbao.engine.tables import Event, Lane
from tongbao.foundation.errors import NotFound


class InDoubt(Exception):
    """The connection broke while committing and it could not be found out whether the batch was kept."""


class Lost(Exception):
    """The batch was certainly not kept, for a reason outside it (connection, serialization): decide it again."""


class Refused(Exception):
    """The database refuses a row of the batch (constraint, bad value). The batch was not kept."""


class Transaction(Protocol):
    """One open transaction that holds one merchant's lane."""

    lane: Lane

    async def load(self, cls: type[Row], keys: Collection[Any]) -> list[Row]:
        """The rows with these local keys; absent ones are not returned."""
        ...

    async def write(self, changes: Changes) -> None:
        """Write all changes, one statement per table."""
        ...


class Store(Protocol):
    """Opens transactions that commit when the block ends well."""

    def transaction(self, merchant_id: str) -> Any:
        """An async context manager that yields a ``Transaction`` and raises ``Lost``, ``Refused``, ``InDoubt``."""
        ...


# What others did while this batch waited for the lane must be seen, whatever the server's default is.
_BEGIN_SQL = "BEGIN ISOLATION LEVEL READ COMMITTED"
_LOCK_SQL = "SELECT merchant_id, event_seq, pg_current_xact_id()::text FROM lanes WHERE merchant_id = $1 FOR UPDATE"
_REPLAY = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.CannotConnectNowError,
    asyncpg.InternalServerError,
    asyncpg.LockNotAvailableError,
    OSError,
    TimeoutError,
)
UNAVAILABLE: tuple[type[Exception], ...] = (*_REPLAY, asyncio.TimeoutError)
"""Exceptions that mean that the database is away for now."""

DOUBT_PAUSES_S = (0.05, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0)
"""Waits after each time that it could not be found out what became of a commit: about twelve seconds in all."""


class _PostgresTransaction:
    __slots__ = ("connection", "lane", "together", "xid")

    def __init__(self, connection: asyncpg.Connection, lane: Lane, xid: str, together: bool) -> None:
        self.connection = connection
        self.together = together
        self.lane = lane
        self.xid = xid

    async def load(self, cls: type[Row], keys: Collection[Any]) -> list[Row]:
        return await bulk.select(self.connection, TABLES[cls], self.lane.merchant_id, keys)

    async def write(self, changes: Changes) -> None:
        writes: list[Write] = []
        for cls, inserted in changes.inserted.items():
            writes.append(Write("insert", TABLES[cls], list(inserted.values())))
        for cls, updated in changes.updated.items():
            writes.append(Write("update", TABLES[cls], list(updated.values())))
        for cls, deleted in changes.deleted.items():
            writes.append(Write("delete", TABLES[cls], list(deleted)))
        if changes.events:
            lane = Lane(self.lane.merchant_id, changes.events[-1].seq)
            writes.append(Write("insert", TABLES[Event], changes.events))
            writes.append(Write("update", TABLES[Lane], [lane]))
        writes = [part for part in writes if part.rows]
        await bulk.write(self.connection, self.lane.merchant_id, writes, together=self.together)


class PostgresStore:
    """Transactions on a pool. Each begins by locking the merchant's lane; nothing else needs a lock."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool
        self._together: bool | None = None
        """Whether all writes of a batch go in one statement. A distributed database (Citus) takes them singly."""

    @asynccontextmanager
    async def transaction(self, merchant_id: str) -> AsyncIterator[Transaction]:
        xid: str | None = None
        committing = False
        try:
            async with self.pool.acquire(timeout=5) as connection:
                if self._together is None:
                    citus = await connection.fetchval("SELECT 1 FROM pg_extension WHERE extname = 'citus'")
                    self._together = citus is None
                await connection.execute(_BEGIN_SQL)
                try:
                    lane = await connection.fetchrow(_LOCK_SQL, merchant_id)
                    if lane is None:
                        raise NotFound("resource_missing", f"No such merchant: '{merchant_id}'")
                    xid = lane[2]
                    yield _PostgresTransaction(connection, Lane(lane[0], lane[1]), lane[2], bool(self._together))
                    committing = True
                    await connection.execute("COMMIT")
                except BaseException:
                    if not connection.is_closed():
                        await connection.execute("ROLLBACK")
                    raise
        except _REPLAY as error:
            if committing and xid is not None and await self._was_committed(xid):
                return
            raise Lost(f"{type(error).__name__}") from error
        except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError) as error:
            raise Refused(f"{type(error).__name__}: {error.constraint_name or error.sqlstate}") from error

    async def _was_committed(self, xid: str) -> bool:
        """Ask what became of a transaction whose commit was not answered (also after a crash of the server)."""
        for pause_s in DOUBT_PAUSES_S:
            try:
                async with self.pool.acquire(timeout=5) as connection:
                    status = await connection.fetchval("SELECT pg_xact_status($1::text::xid8)", xid)
            except (asyncpg.PostgresError, *_REPLAY):
                status = "unreachable"
            if status in ("committed", "aborted"):
                return bool(status == "committed")
            await asyncio.sleep(pause_s)
        raise InDoubt(f"transaction {xid}")


class MemoryStore:
    """The same on dictionaries: for property tests and the simulator. One transaction at a time per merchant."""

    def __init__(self) -> None:
        self.tables: dict[type[Row], dict[tuple[str, Any], Row]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    def rows(self, cls: type[Row]) -> list[Any]:
        """All rows of a table, in order of insertion."""
        return list(self.tables.get(cls, {}).values())

    @asynccontextmanager
    async def transaction(self, merchant_id: str) -> AsyncIterator[Transaction]:
        async with self._locks.setdefault(merchant_id, asyncio.Lock()):
            lane = self.tables.setdefault(Lane, {}).get((merchant_id, merchant_id)) or Lane(merchant_id)
            assert isinstance(lane, Lane)
            transaction = _MemoryTransaction(self, lane)
            yield transaction
            transaction.commit()


class _MemoryTransaction:
    __slots__ = ("_changes", "lane", "store")

    def __init__(self, store: MemoryStore, lane: Lane) -> None:
        self.store = store
        self.lane = lane
        self._changes: Changes | None = None

    async def load(self, cls: type[Row], keys: Collection[Any]) -> list[Row]:
        rows = self.store.tables.get(cls, {})
        merchant_id = self.lane.merchant_id
        return [rows[merchant_id, key] for key in keys if (merchant_id, key) in rows]

    async def write(self, changes: Changes) -> None:
        for cls, inserted in changes.inserted.items():
            for key in inserted:
                if not TABLES[cls].upsert and (self.lane.merchant_id, key) in self.store.tables.get(cls, {}):
                    raise Refused(f"{TABLES[cls].name}: {key} exists")
        for cls, updated in changes.updated.items():
            for key in updated:
                if (self.lane.merchant_id, key) not in self.store.tables.get(cls, {}):
                    raise bulk.LostUpdate(f"{TABLES[cls].name}: {key} does not exist")
        self._changes = changes

    def commit(self) -> None:
        changes, tables, merchant_id = self._changes, self.store.tables, self.lane.merchant_id
        if changes is None:
            return
        for made in (changes.inserted, changes.updated):
            for cls, rows in made.items():
                tables.setdefault(cls, {}).update({(merchant_id, key): row for key, row in rows.items()})
        for cls, keys in changes.deleted.items():
            for key in keys:
                tables.get(cls, {}).pop((merchant_id, key), None)
        for event in changes.events:
            tables.setdefault(Event, {})[merchant_id, event.seq] = event
        if changes.events:
            tables[Lane][merchant_id, merchant_id] = Lane(merchant_id, changes.events[-1].seq)
