"""How an event looks in the API and in deliveries: Stripe's Event, rendered from the snapshot it was stored with."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tongbao.engine.tables import Event
from tongbao.foundation.http import Json

API_VERSION = "2024-06-20"
"""The version of Stripe's API whose shapes our objects have."""

Renderer = Callable[[str, bool], Json]
"""``(snapshot, livemode)`` to the API's object. The same snapshot always gives the same object, in one order."""

Renderers = Mapping[str, Renderer]
"""By ``object_type``."""


def render_event(event: Event, livemode: bool, renderers: Renderers, pending_webhooks: int) -> Json:
    """The event as Stripe's Event object. Ours: ``object_version``, which orders the events of one object.

    :raises KeyError: if there is no renderer for the event's object.
    """
    return {
        "id": event.id,
        "object": "event",
        "api_version": API_VERSION,
        "created": event.created_ms // 1000,
        "data": {"object": renderers[event.object_type](event.snapshot, livemode)},
        "livemode": livemode,
        "pending_webhooks": pending_webhooks,
        "request": {"id": event.request_id, "idempotency_key": None},
        "type": event.type,
        "object_version": event.object_version,
    }
