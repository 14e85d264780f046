"""Migrations lead to exactly the schema that the rows declare, are safe to run at any time, and refuse clearly."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
import sys
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from tests.support import create_database, drop_database

import tongbao
from tongbao.database import ddl, migrate
from tongbao.database.rows import METADATA
from tongbao.foundation.errors import Conflict, InvalidRequest
from tongbao.operations import schema

APPEND_ONLY = [table.name for table in schema.tables() if table.info["append_only"]]

NAMES = {table.name for table in schema.tables()}
OURS = {"include_object": lambda thing, name, kind, _found, _other: kind != "table" or name in NAMES}

# Everything that PostgreSQL knows of a schema, in words.
CATALOG = {
    "columns": """SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, o.collname,
                    a.attidentity, pg_get_expr(d.adbin, d.adrelid)
                  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
                  LEFT JOIN pg_collation o ON o.oid = a.attcollation
                  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
                  WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0
                    AND c.relname <> 'alembic_version' ORDER BY 1, a.attnum""",
    "indexes": """SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'
                  ORDER BY 1""",
    "constraints": """SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
                      WHERE connamespace = 'public'::regnamespace AND conrelid <> 'alembic_version'::regclass
                        AND contype <> 'n' ORDER BY 1""",
}


async def sql(url: str, statement: str, *values: Any) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(statement, *values))
    finally:
        await connection.close()


def engine_for(url: str) -> AsyncEngine:
    return create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url))


@pytest.fixture
async def second_database(database_url: str) -> AsyncIterator[str]:
    url = await create_database(database_url)
    yield url
    await drop_database(database_url, url)


@pytest.fixture(scope="module")
async def migrated(database_url: str) -> AsyncIterator[str]:
    url = await create_database(database_url)
    await migrate.migrate(url)
    yield url
    await drop_database(database_url, url)


async def test_the_migrated_schema_is_the_declared_one(fresh_database: str) -> None:
    await migrate.migrate(fresh_database)
    engine = engine_for(fresh_database)
    async with engine.connect() as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync, opts=OURS), METADATA)
        )
    await engine.dispose()
    assert differences == []


async def test_nothing_in_the_catalogue_differs_from_tables_made_straight_from_the_rows(
    fresh_database: str, second_database: str
) -> None:
    await migrate.migrate(fresh_database)
    engine = engine_for(second_database)
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all, schema.tables())
        await connection.execute(sa.text("CREATE TABLE alembic_version ()"))
    await engine.dispose()
    for what, query in CATALOG.items():
        assert await sql(fresh_database, query) == await sql(second_database, query), what


def test_the_initial_migration_is_the_one_that_the_rows_declare() -> None:
    assert schema.INITIAL.read_text() == schema.initial_sql(), "run script/migration"


def test_the_schema_knows_the_tables_of_every_capability() -> None:
    for module in pkgutil.walk_packages(tongbao.__path__, "tongbao."):
        if module.name.rpartition(".")[2] in ("model", "tables") and ".sandbox" not in module.name:
            importlib.import_module(module.name)
    forgotten = {table.name for table in schema.tables()} - NAMES
    assert forgotten == set(), "import their modules in tongbao.operations.schema"


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("statement", ["UPDATE {} SET merchant_id = 'x'", "DELETE FROM {}", "TRUNCATE {}"])
async def test_an_append_only_table_refuses_every_change(migrated: str, table: str, statement: str) -> None:
    with pytest.raises(asyncpg.RestrictViolationError, match=f"Table {table} is append-only"):
        await sql(migrated, statement.format(table))


async def test_only_declared_tables_are_append_only(migrated: str) -> None:
    found = await sql(
        migrated, "SELECT tgrelid::regclass::text AS name FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1"
    )
    assert [row["name"] for row in found] == APPEND_ONLY
    assert {"postings", "transfers", "events"} <= set(APPEND_ONLY)


async def test_pages_of_tables_whose_rows_change_often_have_room(migrated: str) -> None:
    found = await sql(
        migrated,
        "SELECT relname, reloptions[1] AS option FROM pg_class WHERE reloptions IS NOT NULL AND relkind = 'r' "
        "AND relnamespace = 'public'::regnamespace",
    )
    assert {row["relname"]: row["option"] for row in found} == {
        name: f"fillfactor={percent}" for name, percent in ddl.FILLFACTOR.items()
    }


async def test_migrating_again_changes_nothing(fresh_database: str) -> None:
    assert await migrate.migrate(fresh_database) == (None, migrate.head())
    assert await migrate.migrate(fresh_database) == (migrate.head(), migrate.head())


async def test_processes_that_start_together_migrate_once(fresh_database: str) -> None:
    program = f"import asyncio; from tongbao.database.migrate import migrate; asyncio.run(migrate({fresh_database!r}))"
    started = [await asyncio.create_subprocess_exec(sys.executable, "-c", program) for _ in range(3)]
    assert [await process.wait() for process in started] == [0, 0, 0]
    assert len(await sql(fresh_database, "SELECT * FROM alembic_version")) == 1


async def test_a_database_made_by_an_unknown_version_is_refused(fresh_database: str) -> None:
    await migrate.migrate(fresh_database)
    await sql(fresh_database, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Conflict, match=r"revision 9999, which this program .* does not know.*Remedy") as refused:
        await migrate.migrate(fresh_database)
    assert refused.value.code == "schema_unknown"


async def test_a_database_with_tables_of_another_program_is_left_as_it_was(fresh_database: str) -> None:
    await sql(fresh_database, "CREATE TABLE refunds (id int)")
    with pytest.raises(Conflict, match=r'nothing was changed: relation "refunds" already exists.*Remedy') as refused:
        await migrate.migrate(fresh_database)
    assert refused.value.code == "migration_refused"
    found = await sql(fresh_database, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert [row["tablename"] for row in found] == ["refunds"]


async def test_a_server_that_is_too_old_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"PostgreSQL 14; Tongbao needs 15 or newer. Remedy"):
        migrate._check_server(14)


@pytest.mark.parametrize(
    ("before", "code"),
    [
        ("DROP TABLE alembic_version", "schema_missing"),
        ("UPDATE alembic_version SET version_num = 'x'", "schema_unknown"),
    ],
)
async def test_a_start_on_another_schema_is_refused(fresh_database: str, before: str, code: str) -> None:
    await migrate.migrate(fresh_database)
    connection = await asyncpg.connect(fresh_database)
    try:
        await migrate.check(connection)
        await connection.execute(before)
        with pytest.raises(Conflict) as refused:
            await migrate.check(connection)
    finally:
        await connection.close()
    assert refused.value.code == code
