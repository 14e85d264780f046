"""Rows: one frozen struct per table. Its declaration *is* the schema.

``@table(name, key=...)`` on a subclass of ``Row`` registers the table: columns are the struct's fields in order,
types follow from the annotations (``str`` text, ``int`` bigint, ``bool`` boolean, ``dict``/``list`` jsonb;
``| None`` is nullable). Every key starts with ``merchant_id``, so that rows of two merchants can never meet and
every table can be distributed by it. ``METADATA`` is the same schema for SQLAlchemy and the migrations.

Rows are frozen: a change is a new row (``msgspec.structs.replace``), so that a command that fails leaves no trace.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

METADATA = sa.MetaData(naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "pk": "pk_%(table_name)s"})


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """The base of every row. Fields with defaults are left out of snapshots, which keeps these small."""

    merchant_id: str


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One column: its name, its SQL type, the array type for bulk writing, and whether it holds JSON."""

    name: str
    sql_type: str
    nullable: bool
    json: bool


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """What the engine needs to know of a table. ``local_key`` is the key without ``merchant_id``.

    ``append_only``: the database refuses UPDATE and DELETE. ``upsert``: inserting an existing key replaces it.
    """

    name: str
    row: type[Row]
    key: tuple[str, ...]
    local_key: tuple[str, ...]
    columns: tuple[Column, ...]
    key_of: Callable[[Any], Any]
    values_of: Callable[[Any], tuple[Any, ...]]
    append_only: bool
    upsert: bool
    json_columns: tuple[int, ...]
    """The positions of the columns that hold JSON."""

    @property
    def merchant_column(self) -> int:
        """The position of ``merchant_id``."""
        return self.row.__struct_fields__.index("merchant_id")


TABLES: dict[type[Row], Table] = {}
R = TypeVar("R", bound=Row)

_TYPES: dict[Any, tuple[str, Any]] = {
    str: ("text", lambda: sa.Text(collation="C")),
    int: ("bigint", sa.BigInteger),
    bool: ("boolean", sa.Boolean),
    bytes: ("bytea", sa.LargeBinary),
    dict: ("jsonb", JSONB),
    list: ("jsonb", JSONB),
}


def _column(name: str, hint: Any) -> tuple[Column, sa.Column[Any]]:
    nullable = False
    if isinstance(hint, types.UnionType):
        inner = [part for part in typing.get_args(hint) if part is not type(None)]
        assert len(inner) == 1, f"column {name}: only X | None is understood, not {hint}"
        hint, nullable = inner[0], True
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        base: Any = type(typing.get_args(hint)[0])
    else:
        base = origin or hint
    sql_type, make = _TYPES[base]
    return (
        Column(name, sql_type, nullable, sql_type == "jsonb"),
        sa.Column(name, make(), nullable=nullable, autoincrement=False),
    )


def table(
    name: str,
    *,
    key: tuple[str, ...],
    indexes: Sequence[sa.Index] = (),
    append_only: bool = False,
    upsert: bool = False,
) -> Callable[[type[R]], type[R]]:
    """Declare the table of a ``Row`` subclass. ``key`` is the primary key and starts with ``merchant_id``."""
    assert key[0] == "merchant_id", f"table {name}: every key starts with merchant_id"

    def register(cls: type[R]) -> type[R]:
        hints = typing.get_type_hints(cls)
        fields = cls.__struct_fields__
        pairs = [_column(field, hints[field]) for field in fields]
        local_key = key[1:] or key
        TABLES[cls] = Table(
            name=name,
            row=cls,
            key=key,
            local_key=local_key,
            columns=tuple(column for column, _ in pairs),
            key_of=attrgetter(*local_key),
            values_of=attrgetter(*fields),
            append_only=append_only,
            upsert=upsert,
            json_columns=tuple(i for i, (column, _) in enumerate(pairs) if column.json),
        )
        sa.Table(
            name,
            METADATA,
            *(column for _, column in pairs),
            sa.PrimaryKeyConstraint(*key),
            *indexes,
            info={"append_only": append_only},
        )
        return cls

    return register


def encode(row: msgspec.Struct) -> str:
    """A compact JSON snapshot of a row, for events and stored replies."""
    return msgspec.json.encode(row).decode()
