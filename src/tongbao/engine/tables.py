"""The engine's own rows: lanes, idempotency keys, events and jobs."""

from __future__ import annotations

import sqlalchemy as sa

from tongbao.database.rows import Row, table


@table("lanes", key=("merchant_id",))
class Lane(Row, frozen=True):
    """One row per merchant, locked first by every batch: the one lock that puts a merchant's batches in order.

    ``event_seq`` is the number of the merchant's last event. It has no gaps, because it moves under the lock.
    """

    event_seq: int = 0


@table(
    "idempotency_keys",
    key=("merchant_id", "key"),
    indexes=[sa.Index(None, "merchant_id", "created_ms")],
)
class IdempotencyKey(Row, frozen=True):
    """The first request with a key: a hash of its input, and its reply as JSON (none while it is unfinished).

    Kept for at least 24 hours, then purged (Stripe: "keys expire after 24 hours").
    """

    key: str
    input_hash: str
    created_ms: int
    reply: str | None = None


@table("events", key=("merchant_id", "seq"), append_only=True)
class Event(Row, frozen=True):
    """Something that happened to an object, with a compact snapshot of its row at that version.

    Rendered into the API's JSON when it is read. The id ends with ``seq`` in base 62, so that an event is found
    by its id without a second index.
    """

    seq: int
    id: str
    type: str
    object_type: str
    object_id: str
    object_version: int
    created_ms: int
    snapshot: str
    request_id: str | None = None


@table(
    "jobs",
    key=("merchant_id", "id"),
    indexes=[sa.Index(None, "run_at_ms", "merchant_id")],
    upsert=True,
)
class Job(Row, frozen=True):
    """Something to do later, written in the transaction that wants it. The id is ``{kind}:{subject}``: one job
    of a kind for a subject, and scheduling it again moves it."""

    id: str
    kind: str
    subject: str
    run_at_ms: int
    tries: int = 0
