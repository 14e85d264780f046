"""Webhooks: what is true of endpoints and deliveries, and when a delivery is tried again."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

import sqlalchemy as sa

from tongbao.database.rows import Row, table
from tongbao.foundation.clock import DAY_MS

EndpointStatus = Literal["enabled", "disabled"]
DeliveryState = Literal["pending", "delivered", "failed"]

ENDPOINTS_MAX = 16
"""Endpoints of one merchant (as many as Stripe allows)."""
ENABLED_EVENTS_MAX = 100
DETAIL_MAX = 500
"""Characters of an answer (or of an error) that the log keeps."""

RETRY_AFTER_S: dict[Literal["live", "test"], tuple[int, ...]] = {
    "live": (5, 60, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 70_000),
    "test": (2, 5, 15, 60, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 70_000),
}
"""Pauses after the first, second, … failure: three days in all. After the last one a delivery has failed."""
GIVE_UP_AFTER_MS = 4 * DAY_MS
"""A delivery this old is not tried any more, though the queue of a dead endpoint left it few tries."""

_PATTERN = re.compile(r"\*|[a-z_]+(\.[a-z_]+)*(\.\*)?")


@table("webhook_endpoints", key=("merchant_id", "id"))
class WebhookEndpoint(Row, frozen=True):
    """An address that wants to be told of events.

    ``secret`` is sealed by the vault. It is told of events after the merchant's event number ``created_seq``.
    While a secret is being changed, ``previous_secret`` signs too, until ``previous_until_ms``.
    """

    id: str
    created_ms: int
    url: str
    secret: str
    enabled_events: list[str]
    created_seq: int
    version: int = 1
    status: EndpointStatus = "enabled"
    description: str | None = None
    metadata: dict[str, str] = {}
    previous_secret: str | None = None
    previous_until_ms: int | None = None
    deleted: bool = False


@table("webhook_cursors", key=("merchant_id",))
class Cursor(Row, frozen=True):
    """How far a merchant's events have become deliveries. There is one as soon as there is an endpoint."""

    seq: int


@table(
    "webhook_deliveries",
    key=("merchant_id", "endpoint_id", "event_seq"),
    indexes=[
        sa.Index(
            "ix_webhook_deliveries_due",
            "merchant_id",
            "endpoint_id",
            "next_at_ms",
            "event_seq",
            postgresql_where=sa.text("state = 'pending'"),
        )
    ],
    upsert=True,
)
class Delivery(Row, frozen=True):
    """One event on its way to one endpoint.

    ``since_ms`` is when trying began: when the event was fanned out, or sent again by hand; ``tries`` counts from
    then. While a sender is at it, ``next_at_ms`` is the end of its lease. ``pending_webhooks`` is what the body
    says: to how many endpoints the event went; kept, so that every try sends the same bytes.
    """

    endpoint_id: str
    event_seq: int
    since_ms: int
    next_at_ms: int
    pending_webhooks: int = 1
    state: DeliveryState = "pending"
    tries: int = 0
    last_at_ms: int | None = None
    last_status: int | None = None


@table("webhook_attempts", key=("merchant_id", "endpoint_id", "event_seq", "id"), append_only=True)
class Attempt(Row, frozen=True):
    """One try: when, how long the answer took, its HTTP status, and its beginning, or what went wrong."""

    endpoint_id: str
    event_seq: int
    id: str
    at_ms: int
    took_ms: int
    status: int | None
    detail: str


def is_pattern(text: str) -> bool:
    """Whether this can stand in ``enabled_events``: ``*``, an event's name, or a name that ends with ``.*``."""
    return _PATTERN.fullmatch(text) is not None


def wants(patterns: Iterable[str], event_type: str) -> bool:
    """Whether an endpoint with these ``enabled_events`` is told of events of this type."""
    return any(
        pattern in ("*", event_type) or (pattern.endswith(".*") and event_type.startswith(pattern[:-1]))
        for pattern in patterns
    )


def retry_at_ms(tries: int, now_ms: int, livemode: bool, jitter: float) -> int | None:
    """When a delivery that has failed ``tries`` times (1 or more) is tried again; ``None`` if not any more.

    ``jitter`` between 0 and 1 moves it by up to a tenth, so that what failed together does not return together.
    """
    pauses = RETRY_AFTER_S["live" if livemode else "test"]
    if tries > len(pauses):
        return None
    return now_ms + round(pauses[tries - 1] * 1000 * (0.9 + 0.2 * jitter))
