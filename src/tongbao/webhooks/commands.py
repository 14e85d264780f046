"""What may happen to webhook endpoints, and sending an event again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec

from tongbao.engine.commands import Key, Rows
from tongbao.engine.tables import Lane
from tongbao.foundation.errors import InvalidRequest, no_such
from tongbao.foundation.metadata import merge_metadata
from tongbao.webhooks.model import ENDPOINTS_MAX, Cursor, Delivery, WebhookEndpoint


class CreateEndpoint(msgspec.Struct, frozen=True):
    """Make an endpoint. It is told of what happens from now on. ``secret`` is sealed.

    :raises InvalidRequest: if the merchant has ``ENDPOINTS_MAX`` already (``others`` of them).
    """

    url: str
    secret: str
    enabled_events: list[str]
    others: int
    description: str | None = None
    metadata: dict[str, str] = {}

    reply: ClassVar[type[msgspec.Struct]] = WebhookEndpoint

    def needs(self, rows: Rows) -> Iterable[Key]:
        yield Lane, rows.merchant_id
        yield Cursor, rows.merchant_id

    def decide(self, rows: Rows, now_ms: int) -> WebhookEndpoint:
        if self.others >= ENDPOINTS_MAX:
            raise InvalidRequest(
                "webhook_endpoints_limit", f"You have {self.others} webhook endpoints; {ENDPOINTS_MAX} are the most."
            )
        lane = rows.get(Lane, rows.merchant_id)
        newest = lane.event_seq if lane is not None else 0
        endpoint = WebhookEndpoint(
            merchant_id=rows.merchant_id,
            id=rows.new_id("we"),
            created_ms=now_ms,
            url=self.url,
            secret=self.secret,
            enabled_events=self.enabled_events,
            created_seq=newest,
            description=self.description,
            metadata=self.metadata,
        )
        rows.insert(endpoint)
        if rows.get(Cursor, rows.merchant_id) is None:
            rows.insert(Cursor(rows.merchant_id, newest))
        return endpoint


class UpdateEndpoint(msgspec.Struct, frozen=True):
    """Change an endpoint. Absent fields stay; metadata is merged."""

    endpoint: str
    changes: dict[str, Any]
    metadata: dict[str, str] | None = None

    reply: ClassVar[type[msgspec.Struct]] = WebhookEndpoint

    def needs(self, rows: Rows) -> Iterable[Key]:
        yield WebhookEndpoint, self.endpoint

    def decide(self, rows: Rows, now_ms: int) -> WebhookEndpoint:
        endpoint = _existing(rows, self.endpoint)
        changes = dict(self.changes)
        if self.metadata is not None:
            changes["metadata"] = merge_metadata(endpoint.metadata, self.metadata)
        return _change(rows, endpoint, **changes)


class DeleteEndpoint(msgspec.Struct, frozen=True):
    """Delete an endpoint: nothing more is sent to it, its secrets are gone. Its log stays."""

    endpoint: str

    reply: ClassVar[type[msgspec.Struct]] = WebhookEndpoint

    def needs(self, rows: Rows) -> Iterable[Key]:
        yield WebhookEndpoint, self.endpoint

    def decide(self, rows: Rows, now_ms: int) -> WebhookEndpoint:
        endpoint = _existing(rows, self.endpoint)
        return _change(rows, endpoint, deleted=True, secret="", previous_secret=None, previous_until_ms=None)


class RollSecret(msgspec.Struct, frozen=True):
    """Give an endpoint a new secret. The old one signs too, for ``overlap_ms`` from now."""

    endpoint: str
    secret: str
    overlap_ms: int

    reply: ClassVar[type[msgspec.Struct]] = WebhookEndpoint

    def needs(self, rows: Rows) -> Iterable[Key]:
        yield WebhookEndpoint, self.endpoint

    def decide(self, rows: Rows, now_ms: int) -> WebhookEndpoint:
        endpoint = _existing(rows, self.endpoint)
        overlaps = self.overlap_ms > 0
        return _change(
            rows,
            endpoint,
            secret=self.secret,
            previous_secret=endpoint.secret if overlaps else None,
            previous_until_ms=now_ms + self.overlap_ms if overlaps else None,
        )


class ResendEvent(msgspec.Struct, frozen=True):
    """Send an event (which exists) to an endpoint again, now, whatever became of it before."""

    event_seq: int
    endpoint: str

    reply: ClassVar[type[msgspec.Struct]] = Delivery

    def needs(self, rows: Rows) -> Iterable[Key]:
        yield WebhookEndpoint, self.endpoint
        yield Delivery, (self.endpoint, self.event_seq)

    def decide(self, rows: Rows, now_ms: int) -> Delivery:
        endpoint = _existing(rows, self.endpoint, "webhook_endpoint")
        if endpoint.status != "enabled":
            raise InvalidRequest(
                "webhook_endpoint_disabled", "This webhook endpoint is disabled.", param="webhook_endpoint"
            )
        before = rows.get(Delivery, (self.endpoint, self.event_seq))
        delivery = Delivery(
            merchant_id=rows.merchant_id,
            endpoint_id=self.endpoint,
            event_seq=self.event_seq,
            since_ms=now_ms,
            next_at_ms=now_ms,
            pending_webhooks=before.pending_webhooks if before is not None else 1,
        )
        rows.insert(delivery)
        return delivery


def _existing(rows: Rows, endpoint_id: str, param: str = "id") -> WebhookEndpoint:
    endpoint = rows.get(WebhookEndpoint, endpoint_id)
    if endpoint is None or endpoint.deleted:
        raise no_such("webhook endpoint", endpoint_id, param)
    return endpoint


def _change(rows: Rows, endpoint: WebhookEndpoint, **changes: Any) -> WebhookEndpoint:
    changed: WebhookEndpoint = msgspec.structs.replace(endpoint, version=endpoint.version + 1, **changes)
    rows.update(changed)
    return changed
