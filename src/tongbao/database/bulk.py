"""Bulk reading and writing: one statement per table, whatever the number of rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

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
    match = " AND ".join(f"t.{name} = u.{name}" for name in table.local_key)
    return (
        f"UPDATE {table.name} t SET {changes} FROM unnest({_arrays(columns, 2)}) AS u({_names(columns)}) "  # noqa: S608
        f"WHERE t.merchant_id = $1 AND {match}"
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


async def insert(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert all rows with one statement."""
    await connection.execute(insert_sql(table), *_columns(table, rows))


async def update(connection: Connection, table: Table, merchant_id: str, rows: Sequence[Row]) -> None:
    """Overwrite all rows with one statement.

    :raises LostUpdate: if a row is no longer there, which the lane's lock makes impossible.
    """
    columns = _columns(table, rows)
    names = [column.name for column in table.columns]
    del columns[names.index("merchant_id")]
    status = await connection.execute(update_sql(table), merchant_id, *columns)
    if int(status.rpartition(" ")[2]) != len(rows):
        raise LostUpdate(f"{table.name}: {status} for {len(rows)} rows")


async def delete(connection: Connection, table: Table, merchant_id: str, keys: Collection[Any]) -> None:
    """Delete rows by local key; absent ones do not matter."""
    await connection.execute(delete_sql(table), merchant_id, sorted(keys))


class LostUpdate(Exception):
    """An update met fewer rows than it was given: somebody wrote outside the engine. The batch is refused."""
