"""Reading rows for people and programs: one by its id, or a page of a list, newest first.

Ids sort by time, so that the primary key serves every list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec

from tongbao.database.rows import TABLES, Row
from tongbao.foundation.errors import InvalidRequest
from tongbao.foundation.pages import ListParams, cut

R = TypeVar("R", bound=Row)
Seconds = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799)]


class Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A range of times in Unix seconds, as Stripe's ``created`` filter."""

    gt: Seconds | None = None
    gte: Seconds | None = None
    lt: Seconds | None = None
    lte: Seconds | None = None


class CreatedListParams(ListParams, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A list that can be filtered by time of creation."""

    created: Range | None = None


async def one(pool: Any, cls: type[R], merchant_id: str, key: str) -> R | None:
    """The row with this id, or ``None``."""
    table = TABLES[cls]
    names = ", ".join(column.name for column in table.columns)
    record = await pool.fetchrow(
        f"SELECT {names} FROM {table.name} WHERE merchant_id = $1 AND {table.local_key[0]} = $2",  # noqa: S608
        merchant_id,
        key,
    )
    return cls(*record) if record else None


async def page(
    pool: Any,
    cls: type[R],
    merchant_id: str,
    params: ListParams,
    where: Mapping[str, Any] | None = None,
) -> tuple[list[R], bool]:
    """One page of a merchant's rows, newest first, and whether there is more.

    ``where`` names columns of ours and the values they must have; ``None`` means any.
    """
    table = TABLES[cls]
    names = ", ".join(column.name for column in table.columns)
    arguments: list[Any] = [merchant_id]
    conditions = ["merchant_id = $1"]

    def add(condition: str, value: Any) -> None:
        arguments.append(value)
        conditions.append(condition.format(f"${len(arguments)}"))

    for column, value in (where or {}).items():
        if value is not None:
            add(f"{column} = {{}}", value)
    created = getattr(params, "created", None)
    if created is not None:
        for attribute, operator, shift in (("gt", ">=", 1), ("gte", ">=", 0), ("lt", "<", 0), ("lte", "<", 1)):
            bound = getattr(created, attribute)
            if bound is not None:
                add(f"created_ms {operator} {{}}", (bound + shift) * 1000)
    if params.starting_after is not None:
        await _exists(pool, cls, merchant_id, params.starting_after, "starting_after")
        add("id < {}", params.starting_after)
    if params.ending_before is not None:
        await _exists(pool, cls, merchant_id, params.ending_before, "ending_before")
        add("id > {}", params.ending_before)
    direction = "ASC" if params.ending_before is not None else "DESC"
    records = await pool.fetch(
        f"SELECT {names} FROM {table.name} WHERE {' AND '.join(conditions)} "  # noqa: S608
        f"ORDER BY id {direction} LIMIT {int(params.limit) + 1}",
        *arguments,
    )
    return cut([cls(*record) for record in records], params)


async def _exists(pool: Any, cls: type[Row], merchant_id: str, key: str, param: str) -> None:
    if await one(pool, cls, merchant_id, key) is None:
        raise InvalidRequest("resource_missing", f"No such object: '{key[:100]}'", param=param)
