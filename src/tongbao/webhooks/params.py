"""What the routes of events and webhook endpoints take."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta

from tongbao.database import reads
from tongbao.foundation.pages import ListParams
from tongbao.foundation.params import (
    Description,
    Expand,
    Id,
    Metadata,
    OptionalDescription,
    OptionalMetadata,
    Url,
)
from tongbao.webhooks.model import ENABLED_EVENTS_MAX, DeliveryState

EventName = Annotated[str, Meta(min_length=1, max_length=100)]
EnabledEvents = Annotated[list[EventName], Meta(min_length=1, max_length=ENABLED_EVENTS_MAX)]
OverlapSeconds = Annotated[int, Meta(ge=0, le=7 * 86_400)]


class CreateEndpointParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where events go, and which: names such as ``charge.refunded``, ``payment_intent.*``, or ``*`` for all."""

    url: Url
    enabled_events: EnabledEvents
    description: Description | None = None
    metadata: Metadata = {}
    expand: Expand = []


class UpdateEndpointParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Changes to an endpoint. While it is disabled nothing is sent, and what would be due is given up."""

    url: Url | None = None
    enabled_events: EnabledEvents | None = None
    disabled: bool | None = None
    description: OptionalDescription = UNSET
    metadata: OptionalMetadata = UNSET
    expand: Expand = []


class RollSecretParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long (seconds) the old secret signs beside the new one."""

    expires_in: OverlapSeconds = 86_400
    expand: Expand = []


class ListEventsParams(reads.CreatedListParams, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Events of one type (``charge.*`` means all whose name begins so), or of several."""

    type: EventName | None = None
    types: Annotated[list[EventName], Meta(max_length=20)] = []


class ResendParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which endpoint is to get the event again."""

    webhook_endpoint: Id
    expand: Expand = []


class ListDeliveriesParams(ListParams, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Deliveries in one state."""

    status: DeliveryState | None = None
