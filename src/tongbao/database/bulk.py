"""Bulk reading and writing: one statement per table, whatever the number of rows."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple

import msgspec

from tongbao.database.rows import Column, Row, Table

Connection = Any  # asyncpg has no types


async def configure(connection: Connection) -> None:
    """Prepare a new connection: ``jsonb`` columns become plain data both ways."""
    await connection.set_type_codec(
        "jsonb",
        encoder=_json,
        decoder=msgspec.json.decode,
        schema="pg_catalog",
        format="text",
    )


def _names(columns: Sequence[Column]) -> str:
    return ", ".join(column.name for column in columns)


def _arrays(columns: Sequence[Column], first: int = 1) -> str:
    """One array per column. JSON travels as text: a list inside an array would be taken for a further dimension."""
    return ", ".join(f"${i}::{'text' if column.json else column.sql_type}[]" for i, column in enumerate(columns, first))


def _values(columns: Sequence[Column]) -> str:
    return ", ".join(f"u.{column.name}::jsonb" if column.json else f"u.{column.name}" for column in columns)


@cache
def select_sql(table: Table) -> str:
    """Rows of one merchant by their local keys (``$2``, and ``$3``… for composite keys)."""
    by_name = {column.name: column for column in table.columns}
    names = _names(table.columns)
    if len(table.local_key) == 1:
        column = by_name[table.local_key[0]]
        return (
            f"SELECT {names} FROM {table.name} WHERE merchant_id = $1 "  # noqa: S608 - names are ours
            f"AND {column.name} = ANY($2::{column.sql_type}[])"
        )
    keys = [by_name[name] for name in table.local_key]
    match = " AND ".join(f"t.{column.name} = k.{column.name}" for column in keys)
    return (
        f"SELECT {', '.join('t.' + c.name for c in table.columns)} FROM {table.name} t "  # noqa: S608
        f"JOIN unnest({_arrays(keys, 2)}) AS k({_names(keys)}) ON {match} WHERE t.merchant_id = $1"
    )


@cache
def insert_sql(table: Table) -> str:
    """Insert rows given as one array per column; for an ``upsert`` table, replace what has the same key."""
    sql = (
        f"INSERT INTO {table.name} ({_names(table.columns)}) "  # noqa: S608
        f"SELECT {_values(table.columns)} FROM unnest({_arrays(table.columns)}) AS u({_names(table.columns)})"
    )
    if table.upsert:
        rest = [column.name for column in table.columns if column.name not in table.key]
        changes = ", ".join(f"{name} = excluded.{name}" for name in rest)
        sql += f" ON CONFLICT ({', '.join(table.key)}) DO UPDATE SET {changes}"
    return sql


@cache
def update_sql(table: Table) -> str:
    """Overwrite the non-key columns of rows given as one array per column, of the merchant ``$1``."""
    columns = [column for column in table.columns if column.name != "merchant_id"]
    changes = ", ".join(f"{c.name} = {_values([c])}" for c in columns if c.name not in table.key)
    match = "".join(f" AND t.{name} = u.{name}" for name in table.key[1:])
    return (
        f"UPDATE {table.name} t SET {changes} FROM unnest({_arrays(columns, 2)}) AS u({_names(columns)}) "  # noqa: S608
        f"WHERE t.merchant_id = $1{match}"
    )


@cache
def delete_sql(table: Table) -> str:
    """Delete rows of one merchant by their (single-column) local key."""
    by_name = {column.name: column for column in table.columns}
    column = by_name[table.local_key[0]]
    return f"DELETE FROM {table.name} WHERE merchant_id = $1 AND {column.name} = ANY($2::{column.sql_type}[])"  # noqa: S608


async def select(connection: Connection, table: Table, merchant_id: str, keys: Collection[Any]) -> list[Row]:
    """Load the rows of ``merchant_id`` with these local keys; absent ones are simply not returned."""
    arguments: list[Any]
    if len(table.local_key) == 1:
        arguments = [sorted(keys)]
    else:
        arguments = [list(values) for values in zip(*sorted(keys), strict=True)]
    records = await connection.fetch(select_sql(table), merchant_id, *arguments)
    make = table.row
    return [make(*record) for record in records]


def _columns(table: Table, rows: Sequence[Row]) -> list[Sequence[Any]]:
    columns: list[Sequence[Any]] = list(zip(*map(table.values_of, rows), strict=True))
    for i in table.json_columns:
        columns[i] = [None if value is None else _json(value) for value in columns[i]]
    return columns


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


class Write(NamedTuple):
    """One table's part of a batch: rows to insert or update, or local keys to delete."""

    verb: Literal["insert", "update", "delete"]
    table: Table
    rows: Sequence[Any]

    @property
    def sql(self) -> str:
        """The statement. An update returns a row for each that it changed."""
        if self.verb == "update":
            return update_sql(self.table) + " RETURNING 1"
        return insert_sql(self.table) if self.verb == "insert" else delete_sql(self.table)

    def arguments(self, merchant_id: str) -> list[Any]:
        """The statement's parameters."""
        if self.verb == "delete":
            return [merchant_id, sorted(self.rows)]
        columns = _columns(self.table, self.rows)
        if self.verb == "update":
            del columns[self.table.merchant_column]
            columns.insert(0, merchant_id)
        return columns


async def write(connection: Connection, merchant_id: str, writes: Sequence[Write], *, together: bool = True) -> None:
    """Write the parts of a batch, each with one statement; ``together`` sends them as one, in one round trip.

    :raises LostUpdate: if a row to update is no longer there, which the lane's lock makes impossible.
    """
    if together and len(writes) > 1:
        arguments = [argument for part in writes for argument in part.arguments(merchant_id)]
        counts = await connection.fetchrow(_together_sql(tuple((part.verb, part.table) for part in writes)), *arguments)
        updates = [part for part in writes if part.verb == "update"]
        for part, count in zip(updates, counts, strict=True):
            _check(part, count)
        return
    for part in writes:
        done = await connection.fetch(part.sql, *part.arguments(merchant_id))
        if part.verb == "update":
            _check(part, len(done))


@cache
def _together_sql(parts: tuple[tuple[Any, Table], ...]) -> str:
    """One statement with a part per table; it returns how many rows each update changed."""
    ctes: list[str] = []
    counts: list[str] = []
    first = 0
    for number, (verb, table) in enumerate(parts):
        sql = Write(verb, table, ()).sql
        ctes.append(f"w{number} AS ({_PARAMETER.sub(lambda m, by=first: f'${int(m[1]) + by}', sql)})")  # type: ignore[misc]
        first += 2 if verb == "delete" else len(table.columns)
        if verb == "update":
            counts.append(f"(SELECT count(*) FROM w{number})")  # noqa: S608 - names are ours
    return f"WITH {', '.join(ctes)} SELECT {', '.join(counts)}"


_PARAMETER = re.compile(r"\$(\d+)")


def _check(part: Write, count: int) -> None:
    if count != len(part.rows):
        raise LostUpdate(f"{part.table.name}: {count} of {len(part.rows)} rows were there")


async def insert(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert all rows with one statement."""
    await connection.execute(insert_sql(table), *_columns(table, rows))


class LostUpdate(Exception):
    """An update met fewer rows than it was given: somebody wrote outside the engine. The batch is refused."""
