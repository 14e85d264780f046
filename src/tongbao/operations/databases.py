"""Which database a command uses: the one of ``DATABASE_URL``, or the embedded one of the data folder.

Whoever comes first runs the embedded server, under its lock; others connect to it. Its address never changes, so
when its owner leaves, a long-running process beside it takes it over (``keep``) and connections come back.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import structlog

from tongbao.database.embedded import CannotStart, EmbeddedPostgres, InUse
from tongbao.database.migrate import check, migrate
from tongbao.database.pool import plain_url
from tongbao.foundation.config import Settings
from tongbao.foundation.errors import Conflict, InvalidRequest, NotPermitted, Overloaded

T = TypeVar("T")
log = structlog.get_logger()

_PATIENCE_S = 30.0
_LOOK_EVERY_S = 0.25


def embedded_folder(data: Path) -> Path:
    """Where the embedded server of a data folder keeps everything."""
    return data.absolute() / "postgres"


@contextlib.asynccontextmanager
async def database(settings: Settings, *, keep: bool = False, migrated: bool = True) -> AsyncIterator[str]:
    """Yield the URL of a database that can be reached and, if ``migrated``, has this program's schema.

    The embedded one is started unless it runs, brought to that schema, and stopped at the end by the process that
    started it. With ``keep``, it is also brought back should it end before.

    :raises DomainError: there is no such database.
    """
    if settings.database_url is not None:
        connection = await connect(settings.database_url)
        try:
            if migrated:
                await check(connection)
        finally:
            await connection.close()
        yield settings.database_url
        return
    server = EmbeddedPostgres(embedded_folder(settings.data))
    leaving, keeper = asyncio.Event(), None
    try:
        url = await start_or_join(server)
        if migrated:
            await migrate(url)
        keeper = asyncio.create_task(keep_running(server, leaving, log.warning)) if keep else None
        yield url
    finally:
        leaving.set()
        if keeper is not None:
            await keeper
        await blocking(server.stop)


async def start(server: EmbeddedPostgres) -> str:
    """Start the server and return its URL.

    :raises Conflict: another process runs it.
    :raises DomainError: it cannot be started.
    """
    try:
        return await blocking(server.start)
    except InUse as problem:
        raise Conflict("database_in_use", str(problem)) from None
    except CannotStart as problem:
        kind = NotPermitted if isinstance(problem.__cause__, PermissionError) else Overloaded
        raise kind("database_cannot_start", str(problem)) from None


async def start_or_join(server: EmbeddedPostgres) -> str:
    """Start the server, or find the URL of the one that another process runs on the same folder."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return await start(server)
        except Conflict:
            url = running_url(server.data_dir)
            if url is not None:
                return url
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.05)


def running_url(folder: Path) -> str | None:
    """The URL of the server whose owner is another process, once it says that it is ready."""
    try:
        lines = (folder / "cluster" / "postmaster.pid").read_text().splitlines()
    except OSError:
        return None
    if len(lines) < 8 or lines[7].strip() != "ready":
        return None
    return f"postgresql://tongbao@/tongbao?host={lines[4]}&port={lines[3]}"


async def connect(url: str) -> Any:
    """One connection for a command.

    :raises DomainError: the server cannot be reached or does not let us in.
    """
    try:
        return await asyncpg.connect(plain_url(url), timeout=5, server_settings={"application_name": "tongbao"})
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as problem:
        raise unreachable(url, problem) from None


@contextlib.asynccontextmanager
async def session(settings: Settings) -> AsyncIterator[Any]:
    """One connection to a database that has this program's schema.

    :raises DomainError: there is none.
    """
    async with database(settings) as url:
        connection = await connect(url)
        try:
            yield connection
        finally:
            await connection.close()


def unreachable(url: str, problem: Exception) -> InvalidRequest | Overloaded:
    """Why a database cannot be reached, without what is secret in its URL."""
    remedy = "Remedy: check DATABASE_URL, and that the server runs and lets this user in."
    where = _where(url)
    if isinstance(problem, OSError | TimeoutError):
        told = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem) or "no answer"
        return Overloaded("database_unavailable", f"The database at {where} cannot be reached: {told}. {remedy}")
    if isinstance(problem, asyncpg.PostgresError):
        return InvalidRequest("database_refuses", f"The database at {where} refuses: {problem}. {remedy}")
    # Other messages may repeat a part of the address, and a badly written one may have its password anywhere.
    told = f": {problem}" if isinstance(problem, asyncpg.InterfaceError) else ""
    return InvalidRequest(
        "settings_invalid",
        f"DATABASE_URL is not an address that can be used{told}. Remedy: write it as "
        "postgresql://user:password@host:5432/database, with special characters percent-encoded.",
    )


def _where(url: str) -> str:
    address = url.partition("://")[2].rpartition("@")[2].partition("?")[0]
    return address if address.strip("/") else "its local socket"


async def keep_running(server: EmbeddedPostgres, leaving: asyncio.Event, say: Callable[[str], None]) -> None:
    """Start the server again whenever nobody runs it, until told that we are leaving."""
    told = ""
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(leaving.wait(), _LOOK_EVERY_S)
            return
        if server.is_running():
            continue
        try:
            await blocking(server.start)
            say("PostgreSQL runs again.")
            told = ""
        except InUse:
            continue
        except CannotStart as problem:
            if str(problem) != told:
                say(str(problem))
            told = str(problem)


async def blocking(work: Callable[[], T]) -> T:
    """Run ``work`` in a thread, and see it end even if the caller is cancelled: it must not run on unseen."""
    future = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        raise
