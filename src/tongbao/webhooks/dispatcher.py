"""From the event sequence to deliveries: each event once, to every endpoint that wants it.

The cursor and the deliveries move in one transaction, so that nothing is skipped and nothing fanned out twice,
whenever a worker dies. Workers do not wait for each other: a locked cursor is another worker's business.
"""

from __future__ import annotations

from typing import Any

from tongbao.database import bulk
from tongbao.database.rows import TABLES
from tongbao.webhooks.model import Delivery, wants

EVENTS_MAX = 500
"""Events that become deliveries in one transaction."""

_BEHIND = """
SELECT c.merchant_id FROM webhook_cursors c JOIN lanes l ON l.merchant_id = c.merchant_id
WHERE l.event_seq > c.seq ORDER BY random() LIMIT 1000"""
_LOCK = "SELECT seq FROM webhook_cursors WHERE merchant_id = $1 FOR UPDATE SKIP LOCKED"
_EVENTS = "SELECT seq, type FROM events WHERE merchant_id = $1 AND seq > $2 ORDER BY seq LIMIT $3"
_ENDPOINTS = """
SELECT id, enabled_events, created_seq FROM webhook_endpoints
WHERE merchant_id = $1 AND status = 'enabled' AND NOT deleted"""
_ADVANCE = "UPDATE webhook_cursors SET seq = $2 WHERE merchant_id = $1"


async def dispatch(pool: Any, now_ms: int) -> bool:
    """Turn new events of all merchants into deliveries. Returns whether there were any.

    A merchant with more than ``EVENTS_MAX`` new events gets the rest in the next round, after the others' turn.
    """
    merchants = await pool.fetch(_BEHIND)
    for (merchant_id,) in merchants:
        await _fan_out(pool, merchant_id, now_ms)
    return bool(merchants)


async def _fan_out(pool: Any, merchant_id: str, now_ms: int) -> None:
    async with pool.acquire(timeout=5) as connection, connection.transaction():
        cursor = await connection.fetchval(_LOCK, merchant_id)
        if cursor is None:
            return
        # Events first, endpoints after: an endpoint that was made before any of these events is then seen.
        events = await connection.fetch(_EVENTS, merchant_id, cursor, EVENTS_MAX)
        if not events:
            return
        endpoints = await connection.fetch(_ENDPOINTS, merchant_id)
        deliveries: list[Delivery] = []
        for seq, event_type in events:
            chosen = [id for id, patterns, after in endpoints if seq > after and wants(patterns, event_type)]
            deliveries += [Delivery(merchant_id, id, seq, now_ms, now_ms, len(chosen)) for id in chosen]
        if deliveries:
            await bulk.insert(connection, TABLES[Delivery], deliveries)
        await connection.execute(_ADVANCE, merchant_id, events[-1]["seq"])
