"""How endpoints and deliveries look in the API."""

from __future__ import annotations

from tongbao.foundation.http import Json
from tongbao.webhooks.events import API_VERSION
from tongbao.webhooks.model import WebhookEndpoint
from tongbao.webhooks.queries import Told


def endpoint(row: WebhookEndpoint, livemode: bool, secret: str | None = None) -> Json:
    """Stripe's WebhookEndpoint. Ours: ``version``. ``secret`` is told when it was made just now."""
    if row.deleted:
        return {"id": row.id, "object": "webhook_endpoint", "deleted": True}
    body: Json = {
        "id": row.id,
        "object": "webhook_endpoint",
        "api_version": API_VERSION,
        "application": None,
        "created": row.created_ms // 1000,
        "description": row.description,
        "enabled_events": row.enabled_events,
        "livemode": livemode,
        "metadata": row.metadata,
        "status": row.status,
        "url": row.url,
        "version": row.version,
    }
    if secret is not None:
        body["secret"] = secret
    return body


def delivery(told: Told, livemode: bool) -> Json:
    """One event's way to one endpoint, with its attempts. Ours: Stripe's API has no such object."""
    row = told.delivery
    return {
        "id": told.event_id.replace("evt_", "whd_", 1),
        "object": "webhook_delivery",
        "attempts": [
            {
                "id": attempt.id,
                "object": "webhook_attempt",
                "created": attempt.at_ms // 1000,
                "detail": attempt.detail,
                "duration_ms": attempt.took_ms,
                "status_code": attempt.status,
            }
            for attempt in told.attempts
        ],
        "created": row.since_ms // 1000,
        "event": told.event_id,
        "event_type": told.event_type,
        "livemode": livemode,
        "next_attempt_at": row.next_at_ms // 1000 if row.state == "pending" else None,
        "status": row.state,
        "webhook_endpoint": row.endpoint_id,
    }
