"""What can be asked of events and deliveries. Read only.

An event's id ends with its number, so that an event, a page's cursor and a delivery are found by primary key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tongbao.database.reads import Range
from tongbao.database.rows import TABLES
from tongbao.engine.commands import seq_of_event
from tongbao.engine.tables import Event
from tongbao.foundation.clock import MINUTE_MS
from tongbao.foundation.errors import InvalidRequest
from tongbao.foundation.pages import ListParams, cut
from tongbao.webhooks.model import Attempt, Delivery
from tongbao.webhooks.params import ListDeliveriesParams, ListEventsParams

ATTEMPTS_MAX = 20
"""Attempts that are told of one delivery: the last ones."""
_SKEW_MS = MINUTE_MS
"""By how much the clocks of several nodes may differ: an event's time may lie so much before its predecessor's."""


def _columns(cls: Any, prefix: str = "") -> str:
    return ", ".join(f"{prefix}{column.name}" for column in TABLES[cls].columns)


async def event_by_id(pool: Any, merchant_id: str, event_id: str) -> Event | None:
    """The merchant's event with this id, or ``None``."""
    seq = seq_of_event(event_id)
    if seq is None:
        return None
    record = await pool.fetchrow(
        f"SELECT {_columns(Event)} FROM events WHERE merchant_id = $1 AND seq = $2",  # noqa: S608 - names are ours
        merchant_id,
        seq,
    )
    event = Event(*record) if record else None
    return event if event is not None and event.id == event_id else None


async def events_page(pool: Any, merchant_id: str, params: ListEventsParams) -> tuple[list[Event], bool]:
    """One page of events, newest first, and whether there is more.

    :raises InvalidRequest: if the page's cursor is no event of this merchant.
    """
    arguments: list[Any] = [merchant_id]
    conditions = ["merchant_id = $1"]

    def add(condition: str, value: Any) -> None:
        arguments.append(value)
        conditions.append(condition.format(f"${len(arguments)}"))

    names = [*params.types, *([params.type] if params.type is not None else [])]
    if names:
        add("type LIKE ANY({}::text[])", [_like(name) for name in names])
    if params.created is not None:
        first_ms, end_ms = _bounds(params.created)
        # Times alone would be looked for through the whole history: first find the numbers that come close.
        if first_ms is not None:
            add("created_ms >= {}", first_ms)
            add("seq >= {}", await _first_seq_since(pool, merchant_id, first_ms - _SKEW_MS))
        if end_ms is not None:
            add("created_ms < {}", end_ms)
            add("seq < {}", await _first_seq_since(pool, merchant_id, end_ms + _SKEW_MS))
    for param, condition in (("starting_after", "seq < {}"), ("ending_before", "seq > {}")):
        if (cursor := getattr(params, param)) is not None:
            add(condition, (await _event_of_cursor(pool, merchant_id, cursor, param)).seq)
    records = await pool.fetch(
        f"SELECT {_columns(Event)} FROM events WHERE {' AND '.join(conditions)} "  # noqa: S608
        f"ORDER BY seq {_direction(params)} LIMIT {params.limit + 1}",
        *arguments,
    )
    return cut([Event(*record) for record in records], params)


async def pending_counts(pool: Any, merchant_id: str, seqs: Sequence[int]) -> dict[int, int]:
    """To how many endpoints each of these events is still on its way; absent means none."""
    records = await pool.fetch(
        "SELECT d.event_seq, count(*) FROM webhook_deliveries d "
        "JOIN webhook_endpoints e ON e.merchant_id = d.merchant_id AND e.id = d.endpoint_id "
        "WHERE d.merchant_id = $1 AND e.merchant_id = $1 AND d.event_seq = ANY($2::bigint[]) "
        "AND d.state = 'pending' AND NOT e.deleted GROUP BY d.event_seq",
        merchant_id,
        list(seqs),
    )
    return dict(records)


class Told(NamedTuple):
    """A delivery with its event's id and type, and its last attempts, oldest first."""

    delivery: Delivery
    event_id: str
    event_type: str
    attempts: list[Attempt]


async def deliveries_page(
    pool: Any, merchant_id: str, endpoint_id: str, params: ListDeliveriesParams
) -> tuple[list[Told], bool]:
    """One page of an endpoint's deliveries, newest event first, and whether there is more.

    :raises InvalidRequest: if the page's cursor is no delivery's id.
    """
    arguments: list[Any] = [merchant_id, endpoint_id]
    conditions = ["d.merchant_id = $1", "d.endpoint_id = $2", "v.merchant_id = $1"]
    if params.status is not None:
        arguments.append(params.status)
        conditions.append(f"d.state = ${len(arguments)}")
    for param, operator in (("starting_after", "<"), ("ending_before", ">")):
        if (cursor := getattr(params, param)) is not None:
            event = await _event_of_cursor(pool, merchant_id, cursor.replace("whd_", "evt_", 1), param)
            arguments.append(event.seq)
            conditions.append(f"d.event_seq {operator} ${len(arguments)}")
    records = await pool.fetch(
        f"SELECT {_columns(Delivery, 'd.')}, v.id, v.type FROM webhook_deliveries d "  # noqa: S608
        f"JOIN events v ON v.merchant_id = d.merchant_id AND v.seq = d.event_seq WHERE {' AND '.join(conditions)} "
        f"ORDER BY d.event_seq {_direction(params)} LIMIT {params.limit + 1}",
        *arguments,
    )
    page, more = cut(records, params)
    attempts = await _attempts(pool, merchant_id, endpoint_id, [record["event_seq"] for record in page])
    return [_told(record, attempts) for record in page], more


def _told(record: Any, attempts: dict[int, list[Attempt]]) -> Told:
    *values, event_id, event_type = record
    found = Delivery(*values)
    return Told(found, event_id, event_type, attempts.get(found.event_seq, [])[-ATTEMPTS_MAX:])


async def _attempts(pool: Any, merchant_id: str, endpoint_id: str, seqs: list[int]) -> dict[int, list[Attempt]]:
    records = await pool.fetch(
        f"SELECT {_columns(Attempt)} FROM webhook_attempts "  # noqa: S608
        "WHERE merchant_id = $1 AND endpoint_id = $2 AND event_seq = ANY($3::bigint[]) ORDER BY event_seq, id",
        merchant_id,
        endpoint_id,
        seqs,
    )
    found: dict[int, list[Attempt]] = {}
    for record in records:
        attempt = Attempt(*record)
        found.setdefault(attempt.event_seq, []).append(attempt)
    return found


async def _event_of_cursor(pool: Any, merchant_id: str, cursor: str, param: str) -> Event:
    event = await event_by_id(pool, merchant_id, cursor)
    if event is None:
        raise InvalidRequest("resource_missing", f"No such object: '{cursor[:100]}'", param=param)
    return event


async def _first_seq_since(pool: Any, merchant_id: str, at_ms: int) -> int:
    """The number of the first event at or after ``at_ms``, by bisection: events are numbered as they happen."""
    newest = await pool.fetchval("SELECT event_seq FROM lanes WHERE merchant_id = $1", merchant_id)
    low, high = 1, (newest or 0) + 1
    while low < high:
        middle = (low + high) // 2
        created_ms = await pool.fetchval(
            "SELECT created_ms FROM events WHERE merchant_id = $1 AND seq = $2", merchant_id, middle
        )
        if created_ms is None or created_ms < at_ms:  # None: purged, so it was older.
            low = middle + 1
        else:
            high = middle
    return low


def _bounds(created: Range) -> tuple[int | None, int | None]:
    """The half-open range of milliseconds that a range of seconds means."""
    starts = [second for second in (created.gte, None if created.gt is None else created.gt + 1) if second is not None]
    ends = [second for second in (created.lt, None if created.lte is None else created.lte + 1) if second is not None]
    return (max(starts) * 1000 if starts else None), (min(ends) * 1000 if ends else None)


def _like(name: str) -> str:
    """A type, or ``name.*``, as a LIKE pattern."""
    escaped = name.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped[:-1] + "%" if escaped.endswith(".*") or escaped == "*" else escaped


def _direction(params: ListParams) -> str:
    return "ASC" if params.ending_before is not None else "DESC"
