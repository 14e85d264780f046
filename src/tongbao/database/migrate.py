"""Bring a database to the schema of this program, and tell whether it has it.

The steps are in ``migrations/versions``, in Alembic's form. All of them run in one transaction behind one
advisory lock: several nodes may start at once, and a step that fails leaves nothing behind.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from tongbao.database.pool import plain_url
from tongbao.foundation.errors import Conflict, InvalidRequest

MIGRATIONS = Path(__file__).parent / "migrations"
OLDEST_SERVER = 15
_LOCK = 0x746F6E67626F  # "tongbo": any number that no other program of this database uses


class Migrated(NamedTuple):
    """The schema's revision before (``None``: an empty database) and after."""

    before: str | None
    after: str


async def migrate(database_url: str) -> Migrated:
    """Bring the database to the newest revision; do nothing if it is there already.

    :raises InvalidRequest: the server is older than PostgreSQL 15 (``postgresql_too_old``).
    :raises Conflict: another version of this program made the schema (``schema_unknown``), or a step was refused
        and nothing changed (``migration_refused``).
    :raises OSError, asyncpg.PostgresError: the server cannot be reached, or does not let us in.
    """

    async def connect() -> Any:
        return await asyncpg.connect(plain_url(database_url), timeout=5, statement_cache_size=0)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            return await connection.run_sync(_upgrade)
    except sa.exc.DBAPIError as refused:
        told = str(refused.orig).partition(">: ")[2] or str(refused.orig)
        raise Conflict(
            "migration_refused",
            f"The database refused the new schema, and nothing was changed: {told} Remedy: use a database that is "
            "empty or Tongbao's own, as a user who may create tables in it.",
        ) from refused
    finally:
        await engine.dispose()


async def check(connection: Any) -> None:
    """Make sure that the database behind this asyncpg connection has exactly this program's schema.

    :raises Conflict: it has not (``schema_missing``, ``schema_outdated``, ``schema_unknown``).
    :raises InvalidRequest: the server is too old.
    """
    _check_server(connection.get_server_version().major)
    try:
        found = await connection.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        found = None
    _check_known(found)
    if found != head():
        state, problem = (
            ("schema_outdated", "is older than this program's") if found else ("schema_missing", "is empty")
        )
        raise Conflict(state, f"The database's schema {problem}. Remedy: run `tongbao migrate`.")


def head() -> str:
    """The newest revision that this program knows."""
    newest = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    assert newest is not None
    return newest


def _upgrade(connection: sa.Connection) -> Migrated:
    _check_server(int((connection.dialect.server_version_info or (0,))[0]))
    before = MigrationContext.configure(connection).get_current_revision()
    _check_known(before)
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    command.upgrade(config, "head")
    return Migrated(before, head())


def _check_server(major: int) -> None:
    if major < OLDEST_SERVER:
        raise InvalidRequest(
            "postgresql_too_old",
            f"The database server is PostgreSQL {major}; Tongbao needs {OLDEST_SERVER} or newer. Remedy: upgrade the "
            "server, or leave DATABASE_URL unset to use the embedded one.",
        )


def _check_known(revision: str | None) -> None:
    known = {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}
    if revision is not None and revision not in known:
        raise Conflict(
            "schema_unknown",
            f"The database's schema has revision {revision}, which this program (revision {head()}) does not know: a "
            "newer Tongbao made it, or one before the first release. Remedy: start that version, or use another "
            "database (a demo: another data folder).",
        )
