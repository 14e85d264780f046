"""Engines on real databases and on dictionaries, and toy commands, for the tests of several capabilities."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import asyncpg
import msgspec
from tests.support import create_database, drop_database

from tongbao.database import bulk, ddl
from tongbao.database.pool import open_pool
from tongbao.database.rows import METADATA, TABLES, Row, table
from tongbao.engine import Event, Lane, Rows
from tongbao.engine.commands import Key
from tongbao.engine.store import Store, Transaction
from tongbao.foundation.errors import InvalidRequest
from tongbao.identity.merchants import create_merchant
from tongbao.ledger.verify import CHECKS, verify
from tongbao.operations import schema
from tongbao.payments.verify import CHECKS as PAYMENT_CHECKS


@table("toy_notes", key=("merchant_id", "id"))
class Note(Row, frozen=True):
    """A row to write on."""

    id: str
    text: str = ""
    version: int = 1


class Write(msgspec.Struct, frozen=True):
    """Append ``text`` to a note, and tell of it. ``refuse``: do all of that and then fail."""

    note: str
    text: str
    refuse: bool = False

    reply: ClassVar[type[msgspec.Struct]] = Note

    def needs(self, rows: Rows) -> Iterable[Key]:
        yield Note, self.note

    def decide(self, rows: Rows, now_ms: int) -> Note:
        found = rows.get(Note, self.note)
        if found is None:
            note = Note(rows.merchant_id, self.note, self.text)
            rows.insert(note)
        else:
            note = Note(rows.merchant_id, self.note, found.text + self.text, found.version + 1)
            rows.update(note)
        rows.event("note.written", "note", note)
        rows.schedule("look", self.note, now_ms + 1)
        if self.refuse:
            raise InvalidRequest("toy_refused", "No.", param="text")
        return note


class Blind(msgspec.Struct, frozen=True):
    """Inserts a note without looking whether it is there; or updates one that is not."""

    note: str
    text: str = "blind"
    version: int = 1
    update: bool = False

    reply: ClassVar[type[msgspec.Struct]] = Note

    def needs(self, rows: Rows) -> Iterable[Key]:
        return ()

    def decide(self, rows: Rows, now_ms: int) -> Note:
        made = Note(rows.merchant_id, self.note, self.text, self.version)
        (rows.update if self.update else rows.insert)(made)
        return made


@asynccontextmanager
async def database(admin_url: str) -> AsyncIterator[str]:
    """A new database with the declared schema (and the toys), removed afterwards. Yields its URL."""
    url = await create_database(admin_url)
    connection = await asyncpg.connect(url)
    try:
        tables = [*schema.tables(), METADATA.tables["toy_notes"]]
        await connection.execute(";\n".join(ddl.statements(tables)))
    finally:
        await connection.close()
    yield url
    await drop_database(admin_url, url)


@asynccontextmanager
async def pool_of(url: str, size_max: int = 8, name: str = "test") -> AsyncIterator[Any]:
    """A pool of connections, opened as the program opens it."""
    pool = await open_pool(url, size_max=size_max, name=name)
    try:
        yield pool
    finally:
        await asyncio.wait_for(pool.close(), 10)


async def new_merchant(pool: Any) -> str:
    """The id of a merchant of the test's own."""
    async with pool.acquire() as connection:
        _, test = await create_merchant(connection, "Test")
    return test.merchant_id


async def stored(pool: Any, cls: type[Row], merchant_id: str) -> list[Any]:
    """All rows of a merchant's table, by key."""
    made = TABLES[cls]
    names = ", ".join(column.name for column in made.columns)
    found = await pool.fetch(
        f"SELECT {names} FROM {made.name} WHERE merchant_id = $1 ORDER BY {', '.join(made.key)}", merchant_id
    )
    return [cls(*record) for record in found]


async def note(pool: Any, merchant_id: str, id: str) -> Note | None:
    """One note as it is stored."""
    rows = await bulk.select(pool, TABLES[Note], merchant_id, [id])
    return rows[0] if rows else None  # type: ignore[return-value]


async def broken(pool: Any, merchant_id: str) -> list[str]:
    """What is wrong with a merchant's books and events; nothing, if all is well."""
    async with pool.acquire() as connection:
        found = await verify(connection, [*CHECKS, *PAYMENT_CHECKS], merchant_id)
    findings = [f"{fault.check}: {fault.what} {fault.how}" for fault in found]
    numbers = [event.seq for event in await stored(pool, Event, merchant_id)]
    [lane] = await stored(pool, Lane, merchant_id)
    if numbers != list(range(1, lane.event_seq + 1)):
        findings.append(f"events {numbers[:20]}… and the lane's {lane.event_seq}")
    return findings


class Gate:
    """A store that stops before every commit while it is closed, and counts the transactions it opens."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.open = asyncio.Event()
        self.open.set()
        self.reached = asyncio.Event()
        self.order: list[str] = []

    @asynccontextmanager
    async def transaction(self, merchant_id: str) -> AsyncIterator[Transaction]:
        self.order.append(merchant_id)
        async with self.inner.transaction(merchant_id) as transaction:
            yield transaction
            self.reached.set()
            await self.open.wait()

    def close(self) -> None:
        """From now on commits wait."""
        self.open.clear()
        self.reached.clear()


async def together(*waiting: Awaitable[Any]) -> list[Any]:
    """Run at the same time; return replies and errors in the order given."""
    return await asyncio.gather(*waiting, return_exceptions=True)
