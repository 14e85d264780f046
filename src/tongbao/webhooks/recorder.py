"""Writing down what came of tries. While one write is under way the next gathers, as in the engine's batches."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from tongbao.database import bulk
from tongbao.database.rows import TABLES
from tongbao.webhooks.model import Attempt, DeliveryState

_BATCH_MAX = 200

# Only if the delivery is still as it was claimed: it may have been scheduled anew meanwhile.
_RECORD = """
UPDATE webhook_deliveries d
SET state = r.state, next_at_ms = r.next_at_ms, last_at_ms = r.at_ms, last_status = r.status
FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[], $8::bigint[], $9::bigint[])
  AS r(endpoint_id, event_seq, lease_ms, tries, state, next_at_ms, at_ms, status)
WHERE d.merchant_id = $1 AND d.endpoint_id = r.endpoint_id AND d.event_seq = r.event_seq
  AND d.next_at_ms = r.lease_ms AND d.tries = r.tries"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one try: the attempt, the claim that it was made under, and what becomes of the delivery."""

    attempt: Attempt
    lease_ms: int
    tries: int
    state: DeliveryState
    next_at_ms: int


class Recorder:
    """Records outcomes merchant by merchant: one transaction for all that are waiting."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._waiting: dict[str, list[tuple[Outcome, asyncio.Future[None]]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def record(self, outcome: Outcome) -> None:
        """Write this down; return when it is committed. Raises what the database raises."""
        merchant_id = outcome.attempt.merchant_id
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.get(merchant_id)
        if waiting is not None:
            waiting.append((outcome, future))
        else:
            self._waiting[merchant_id] = [(outcome, future)]
            task = asyncio.get_running_loop().create_task(self._write_all(merchant_id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await future

    async def _write_all(self, merchant_id: str) -> None:
        waiting = self._waiting[merchant_id]
        while waiting:
            batch = waiting[:_BATCH_MAX]
            del waiting[:_BATCH_MAX]
            error: Exception | None = None
            try:
                await self._write(merchant_id, [outcome for outcome, _ in batch])
            except Exception as problem:
                error = problem  # Told to everybody who waits.
            for _, future in batch:
                if not future.done():
                    future.set_exception(error) if error else future.set_result(None)
        del self._waiting[merchant_id]

    async def _write(self, merchant_id: str, outcomes: list[Outcome]) -> None:
        outcomes.sort(key=lambda outcome: (outcome.attempt.endpoint_id, outcome.attempt.event_seq))
        columns = zip(
            *(
                (
                    one.attempt.endpoint_id,
                    one.attempt.event_seq,
                    one.lease_ms,
                    one.tries,
                    one.state,
                    one.next_at_ms,
                    one.attempt.at_ms,
                    one.attempt.status,
                )
                for one in outcomes
            ),
            strict=True,
        )
        async with self._pool.acquire(timeout=5) as connection, connection.transaction():
            await connection.execute(_RECORD, merchant_id, *columns)
            await bulk.insert(connection, TABLES[Attempt], [one.attempt for one in outcomes])
