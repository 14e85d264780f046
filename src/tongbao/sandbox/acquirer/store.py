"""The acquirer's SQLite file. One thread owns the connection; what is answered has been written and synced."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

SCHEMA_VERSION = 1

_SCHEMA = """
create table tokens (
    terminal text not null, token text not null, operation_id text not null, input text not null,
    brand text not null, last4 text not null, exp_month integer not null, exp_year integer not null,
    fingerprint text not null, funding text not null, country text not null, behaviour text not null,
    created_ms integer not null,
    primary key (terminal, token), unique (terminal, operation_id)
) strict, without rowid;

create table operations (
    seq integer primary key, terminal text not null, operation_id text not null, merchant_id text not null,
    kind text not null check (kind in ('charge', 'capture', 'void', 'refund')),
    charge_operation_id text not null, input text not null,
    amount integer not null check (amount > 0), currency text not null,
    capture integer not null, token text, merchant_name text, description text, return_url text, notice_url text,
    status text not null check (status in ('approved', 'declined', 'requires_action')),
    ref text not null, code text, decline_code text, message text, details text not null,
    challenge text unique, expires_ms integer, created_ms integer not null, decided_ms integer,
    unique (terminal, operation_id)
) strict;
create index operations_waiting on operations (expires_ms) where status = 'requires_action';

create table charges (
    terminal text not null, operation_id text not null, merchant_id text not null, currency text not null,
    state text not null check (state in ('pending', 'authorised', 'captured', 'voided', 'declined')),
    authorised integer not null, captured integer not null, refunded integer not null,
    primary key (terminal, operation_id), check (captured <= authorised), check (refunded <= captured)
) strict, without rowid;

create table notices (
    id text primary key, terminal text not null, url text not null, body blob not null,
    forged integer not null, held integer not null, created_ms integer not null, due_ms integer not null,
    attempts integer not null default 0, done_ms integer
) strict;
create index notices_due on notices (due_ms) where done_ms is null;
"""

T = TypeVar("T")


class StoreBroken(Exception):
    """The file cannot be used; the message says why and what to do."""


class Store:
    """Runs functions as transactions, one after the other, in its own thread."""

    def __init__(self, path: Path) -> None:
        """Open or create the file. :raises StoreBroken: if it is in use, or of another version."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="acquirer-store")
        try:
            self._db = self._thread.submit(_open, path).result()
        except BaseException:
            self._thread.shutdown()
            raise

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``function`` in a transaction and return its value after the commit reached the disk."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._transaction, function)

    def close(self) -> None:
        """Finish what is queued and close the file."""
        self._thread.submit(self._db.close).result()
        self._thread.shutdown()

    def _transaction(self, function: Callable[[sqlite3.Connection], T]) -> T:
        self._db.execute("begin immediate")
        try:
            value = function(self._db)
        except BaseException:
            self._db.execute("rollback")
            raise
        self._db.execute("commit")
        return value


def _open(path: Path) -> sqlite3.Connection:
    try:
        db = sqlite3.connect(path, isolation_level=None, timeout=0.2)
        db.row_factory = sqlite3.Row
        # Exclusive: two acquirers on one file would both deliver its notices.
        db.execute("pragma locking_mode = exclusive")
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = full")
        version = int(db.execute("pragma user_version").fetchone()[0])
        if version == 0:
            db.executescript(f"begin exclusive; {_SCHEMA} pragma user_version = {SCHEMA_VERSION}; commit;")
        elif version != SCHEMA_VERSION:
            raise StoreBroken(f"{path} has schema version {version}, not {SCHEMA_VERSION}: remove it to start anew.")
        else:
            db.execute("begin immediate")
            db.execute("commit")
    except sqlite3.DatabaseError as problem:
        raise StoreBroken(f"{path}: {problem}. Is another sandbox running on the same --data folder?") from None
    return db
