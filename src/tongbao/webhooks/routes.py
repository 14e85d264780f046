"""How HTTP reaches webhook endpoints, the feed of events, and the log of deliveries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET

from tongbao.database import reads
from tongbao.engine import Engine, Reply
from tongbao.foundation.errors import InvalidRequest, no_such
from tongbao.foundation.http import Answer, Call, Json, NoParams, Route
from tongbao.foundation.metadata import check_metadata
from tongbao.foundation.pages import ListParams, list_object
from tongbao.vault import Vault
from tongbao.webhooks import queries, render
from tongbao.webhooks.commands import CreateEndpoint, DeleteEndpoint, ResendEvent, RollSecret, UpdateEndpoint
from tongbao.webhooks.events import Renderers, render_event
from tongbao.webhooks.model import WebhookEndpoint, is_pattern
from tongbao.webhooks.params import (
    CreateEndpointParams,
    ListDeliveriesParams,
    ListEventsParams,
    ResendParams,
    RollSecretParams,
    UpdateEndpointParams,
)
from tongbao.webhooks.secrets import open_secret, seal_secret
from tongbao.webhooks.signature import new_signing_secret
from tongbao.webhooks.targets import check_url


def routes(engine: Engine, pool: Any, vault: Vault, renderers: Renderers) -> list[Route]:
    """What is offered."""
    return [*Endpoints(engine, pool, vault).routes(), *Events(engine, pool, renderers).routes()]


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Handlers of ``/v1/webhook_endpoints``."""

    engine: Engine
    pool: Any
    vault: Vault

    def routes(self) -> list[Route]:
        """What is offered."""
        base, one, back = "/v1/webhook_endpoints", "/v1/webhook_endpoints/{id}", "webhook_endpoint"
        return [
            Route("POST", base, self.create, CreateEndpointParams, "Create a webhook endpoint", returns=back),
            Route("GET", base, self.list, ListParams, "List webhook endpoints", returns="list"),
            Route("GET", one, self.retrieve, NoParams, "Retrieve a webhook endpoint", returns=back),
            Route("POST", one, self.update, UpdateEndpointParams, "Update a webhook endpoint", returns=back),
            Route("DELETE", one, self.delete, NoParams, "Delete a webhook endpoint", returns=back),
            Route("POST", one + "/roll_secret", self.roll, RollSecretParams, "Change the secret", returns=back),
            Route("GET", one + "/deliveries", self.deliveries, ListDeliveriesParams, "List deliveries", returns="list"),
        ]

    async def create(self, call: Call[CreateEndpointParams]) -> Answer:
        """Make an endpoint. Its secret is told in this answer and never again (but when this request is repeated)."""
        wish, merchant_id = call.params, call.caller.merchant_id
        others = await self.pool.fetchval(
            "SELECT count(*) FROM webhook_endpoints WHERE merchant_id = $1 AND NOT deleted", merchant_id
        )
        command = CreateEndpoint(
            url=check_url(wish.url, call.caller.livemode),
            secret=seal_secret(self.vault, merchant_id, new_signing_secret()),
            enabled_events=_checked(wish.enabled_events),
            others=others,
            description=wish.description,
            metadata=check_metadata(wish.metadata),
        )
        return self._with_secret(call, await self._run(call, command))

    async def update(self, call: Call[UpdateEndpointParams]) -> Answer:
        """Change an endpoint."""
        wish = call.params
        changes: dict[str, Any] = {}
        if wish.url is not None:
            changes["url"] = check_url(wish.url, call.caller.livemode)
        if wish.enabled_events is not None:
            changes["enabled_events"] = _checked(wish.enabled_events)
        if wish.disabled is not None:
            changes["status"] = "disabled" if wish.disabled else "enabled"
        if wish.description is not UNSET:
            changes["description"] = wish.description
        metadata = None if isinstance(wish.metadata, msgspec.UnsetType) else (wish.metadata or {})
        return self._answer(call, await self._run(call, UpdateEndpoint(call.path["id"], changes, metadata)))

    async def roll(self, call: Call[RollSecretParams]) -> Answer:
        """Give an endpoint a new secret, which this answer tells. The old one signs beside it for a while."""
        sealed = seal_secret(self.vault, call.caller.merchant_id, new_signing_secret())
        command = RollSecret(call.path["id"], sealed, call.params.expires_in * 1000)
        return self._with_secret(call, await self._run(call, command))

    async def delete(self, call: Call[NoParams]) -> Answer:
        """Delete an endpoint."""
        return self._answer(call, await self._run(call, DeleteEndpoint(call.path["id"])))

    async def retrieve(self, call: Call[NoParams]) -> Json:
        """One endpoint."""
        return render.endpoint(await self._existing(call), call.caller.livemode)

    async def list(self, call: Call[ListParams]) -> Json:
        """A page of endpoints, newest first."""
        where = {"deleted": False}
        rows, more = await reads.page(self.pool, WebhookEndpoint, call.caller.merchant_id, call.params, where)
        return list_object("/v1/webhook_endpoints", [render.endpoint(row, call.caller.livemode) for row in rows], more)

    async def deliveries(self, call: Call[ListDeliveriesParams]) -> Json:
        """A page of what was, is and could not be sent to an endpoint, newest event first, with every attempt."""
        row = await self._existing(call)
        told, more = await queries.deliveries_page(self.pool, row.merchant_id, row.id, call.params)
        url = f"/v1/webhook_endpoints/{row.id}/deliveries"
        return list_object(url, [render.delivery(one, call.caller.livemode) for one in told], more)

    async def _existing(self, call: Call[Any]) -> WebhookEndpoint:
        row = await reads.one(self.pool, WebhookEndpoint, call.caller.merchant_id, call.path["id"])
        if row is None or row.deleted:
            raise no_such("webhook endpoint", call.path["id"])
        return row

    async def _run(self, call: Call[Any], command: Any) -> Reply:
        return await self.engine.run(call.caller.merchant_id, command, call.idempotency, call.request_id)

    def _answer(self, call: Call[Any], reply: Reply) -> Answer:
        return Answer(render.endpoint(reply.value, call.caller.livemode), replayed=reply.replayed)

    def _with_secret(self, call: Call[Any], reply: Reply) -> Answer:
        secret = open_secret(self.vault, reply.value)
        return Answer(render.endpoint(reply.value, call.caller.livemode, secret), replayed=reply.replayed)


@dataclass(frozen=True, slots=True)
class Events:
    """Handlers of ``/v1/events``."""

    engine: Engine
    pool: Any
    renderers: Renderers

    def routes(self) -> list[Route]:
        """What is offered."""
        base, one = "/v1/events", "/v1/events/{id}"
        return [
            Route("GET", base, self.list, ListEventsParams, "List events", returns="list"),
            Route("GET", one, self.retrieve, NoParams, "Retrieve an event", returns="event"),
            Route("POST", one + "/retry", self.resend, ResendParams, "Send an event again", returns="webhook_delivery"),
        ]

    async def list(self, call: Call[ListEventsParams]) -> Json:
        """A page of events, newest first."""
        merchant_id = call.caller.merchant_id
        rows, more = await queries.events_page(self.pool, merchant_id, call.params)
        pending = await queries.pending_counts(self.pool, merchant_id, [row.seq for row in rows])
        data = [render_event(row, call.caller.livemode, self.renderers, pending.get(row.seq, 0)) for row in rows]
        return list_object("/v1/events", data, more)

    async def retrieve(self, call: Call[NoParams]) -> Json:
        """One event."""
        row = await queries.event_by_id(self.pool, call.caller.merchant_id, call.path["id"])
        if row is None:
            raise no_such("event", call.path["id"])
        pending = await queries.pending_counts(self.pool, row.merchant_id, [row.seq])
        return render_event(row, call.caller.livemode, self.renderers, pending.get(row.seq, 0))

    async def resend(self, call: Call[ResendParams]) -> Answer:
        """Send an event to one endpoint again, whatever became of it before."""
        merchant_id, wish = call.caller.merchant_id, call.params
        row = await queries.event_by_id(self.pool, merchant_id, call.path["id"])
        if row is None:
            raise no_such("event", call.path["id"])
        command = ResendEvent(row.seq, wish.webhook_endpoint)
        reply = await self.engine.run(merchant_id, command, call.idempotency, call.request_id)
        told = queries.Told(reply.value, row.id, row.type, [])
        return Answer(render.delivery(told, call.caller.livemode), replayed=reply.replayed)


def _checked(patterns: list[str]) -> list[str]:
    for index, pattern in enumerate(patterns):
        if not is_pattern(pattern):
            raise InvalidRequest(
                "event_type_invalid",
                f"'{pattern}' is no event's name. Use a name such as charge.refunded, charge.* or *.",
                param=f"enabled_events[{index}]",
            )
    return list(dict.fromkeys(patterns))
