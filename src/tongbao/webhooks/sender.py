"""Sending deliveries: a queue for every endpoint, so that nobody waits for somebody else's slow server.

An endpoint is served by one task at a time, in rounds: claim up to a window of due deliveries, send them, record
what came of it. Those about one object are sent one after another, in order; the others at the same time. The
window is one until an endpoint has answered well, and after every failure.

Tasks of endpoints that answer well and soon, and those of all others, take their turns from two separate sets of
slots: however many servers are dead or slow, they only wait for each other.

A claim is a lease in the database: what a dead sender left is sent again by another. So an event can arrive twice,
always with the same id and the same bytes.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from tongbao.database import bulk
from tongbao.database.rows import TABLES
from tongbao.engine.jobs import AWAY, GRACE_S, POLL_S, pause, poll, wind_up
from tongbao.engine.tables import Event
from tongbao.foundation.clock import SECOND_MS
from tongbao.foundation.clock import now_ms as system_now_ms
from tongbao.foundation.ids import new_id
from tongbao.vault import Vault
from tongbao.webhooks.client import TIMEOUT_S, Client, Sent
from tongbao.webhooks.dispatcher import dispatch
from tongbao.webhooks.events import Renderers, render_event
from tongbao.webhooks.model import GIVE_UP_AFTER_MS, Attempt, DeliveryState, WebhookEndpoint, retry_at_ms
from tongbao.webhooks.recorder import Outcome, Recorder
from tongbao.webhooks.secrets import open_secrets
from tongbao.webhooks.signature import HEADER, sign

log = structlog.get_logger()

WINDOW = 8
"""Requests under way to one endpoint that answers well."""
SLOTS = 64
"""Endpoints that are served at the same time, in each of the two sets."""
SLOW_MS = 2 * SECOND_MS
"""An endpoint that takes longer to answer has its turns among the slow."""
LEASE_MS = 30 * SECOND_MS
"""How long a claimed delivery is ours. Sending takes at most ``TIMEOUT_S``, and begins in the first half."""
_ERROR_PAUSE_S = 10.0
_KNOWN_MAX = 20_000
_SERVED_MAX = 20_000
_random = random.SystemRandom().random

_DUE = """
SELECT e.merchant_id, e.id FROM webhook_endpoints e WHERE NOT e.id = ANY($2::text[]) AND EXISTS (
  SELECT 1 FROM webhook_deliveries d WHERE d.merchant_id = e.merchant_id AND d.endpoint_id = e.id
  AND d.state = 'pending' AND d.next_at_ms <= $1)
LIMIT 1000"""
_TARGET = f"""
SELECT {", ".join(f"e.{column.name}" for column in TABLES[WebhookEndpoint].columns)}, m.livemode
FROM webhook_endpoints e JOIN merchants m ON m.merchant_id = e.merchant_id
WHERE e.merchant_id = $1 AND m.merchant_id = $1 AND e.id = $2 AND e.status = 'enabled' AND NOT e.deleted"""  # noqa: S608
_CLAIM = """
UPDATE webhook_deliveries SET next_at_ms = $4, tries = tries + 1
WHERE merchant_id = $1 AND endpoint_id = $2 AND event_seq = ANY(ARRAY(
  SELECT event_seq FROM webhook_deliveries
  WHERE merchant_id = $1 AND endpoint_id = $2 AND state = 'pending' AND next_at_ms <= $3
  ORDER BY next_at_ms, event_seq LIMIT $5 FOR UPDATE SKIP LOCKED))
RETURNING event_seq, since_ms, tries, pending_webhooks"""
_RELEASE = """
UPDATE webhook_deliveries SET next_at_ms = $6, tries = tries - 1
WHERE merchant_id = $1 AND endpoint_id = $2 AND event_seq = $3 AND next_at_ms = $4 AND tries = $5"""
_GIVE_UP = """
UPDATE webhook_deliveries SET state = 'failed'
WHERE merchant_id = $1 AND endpoint_id = $2 AND state = 'pending' AND next_at_ms <= $3"""


@dataclass(frozen=True, slots=True)
class _Manners:
    """How an endpoint has answered last. Of one that we do not know, we think well but carefully."""

    window: int = 1
    slow: bool = False


@dataclass(frozen=True, slots=True)
class _Target:
    """An endpoint as one round needs it."""

    merchant_id: str
    id: str
    url: str
    secrets: tuple[str, ...]
    livemode: bool


@dataclass(frozen=True, slots=True)
class _Item:
    """A claimed delivery and its event."""

    event: Event
    since_ms: int
    tries: int
    pending_webhooks: int
    lease_ms: int


class WebhookSender:
    """Turns events into deliveries and sends them. Any number of senders share a database."""

    def __init__(
        self,
        pool: Any,
        vault: Vault,
        renderers: Renderers,
        *,
        home_url: str = "",
        private_targets: bool = False,
        timeout_s: float = TIMEOUT_S,
        window: int = WINDOW,
        slots: int = SLOTS,
        lease_ms: int = LEASE_MS,
        poll_s: float = POLL_S,
        clock: Callable[[], int] = system_now_ms,
        jitter: Callable[[], float] = _random,
    ) -> None:
        """:param home_url: where to read who sends this, for the ``User-Agent``.
        :param private_targets: in test mode, send to private addresses too."""
        self._pool = pool
        self._vault = vault
        self._renderers = renderers
        self._agent = f"Tongbao/1.0 (+{home_url})" if home_url else "Tongbao/1.0"
        self._client = Client(timeout_s, private_targets=private_targets)
        self._recorder = Recorder(pool)
        self._window = window
        self._lease_ms = lease_ms
        self._poll_s = poll_s
        self._clock = clock
        self._jitter = jitter
        self._prompt, self._others = asyncio.Semaphore(slots), asyncio.Semaphore(slots)
        self._manners: dict[str, _Manners] = {}
        self._served: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()

    async def run(self, stop: asyncio.Event, grace_s: float = GRACE_S) -> None:
        """Work until ``stop`` is set; then let requests under way end within ``grace_s`` and hand back the rest."""
        self._stop = stop
        try:
            await poll(stop, "webhooks", self._look, self._poll_s)
        finally:
            await wind_up(self._tasks, grace_s)
            await self._client.close()

    async def _look(self) -> bool:
        await self._client.tidy()
        dispatched = await dispatch(self._pool, self._clock())
        if len(self._served) >= _SERVED_MAX:
            return dispatched
        due = await self._pool.fetch(_DUE, self._clock(), list(self._served))
        for merchant_id, endpoint_id in due:
            self._served.add(endpoint_id)
            task = asyncio.get_running_loop().create_task(self._serve(merchant_id, endpoint_id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return dispatched

    async def _serve(self, merchant_id: str, endpoint_id: str) -> None:
        """Rounds of one endpoint, until nothing is due."""
        try:
            more = True
            while more and not self._stop.is_set():
                manners = self._manners.get(endpoint_id, _Manners())
                async with self._others if manners.slow else self._prompt:
                    more = await self._round(merchant_id, endpoint_id, manners.window)
        except AWAY as error:
            log.warning("webhook_round_lost", endpoint=endpoint_id, cause=type(error).__name__)
            await pause(self._stop, 1)
        except Exception:
            log.exception("webhook_round_failed", endpoint=endpoint_id, merchant=merchant_id)
            await pause(self._stop, _ERROR_PAUSE_S)
        finally:
            self._served.discard(endpoint_id)

    async def _round(self, merchant_id: str, endpoint_id: str, window: int) -> bool:
        """Claim, send and record once. Returns whether more may be due."""
        now = self._clock()
        target = await self._target(merchant_id, endpoint_id, now)
        if target is None:  # Deleted or disabled: what is due is not sent any more.
            await self._pool.execute(_GIVE_UP, merchant_id, endpoint_id, now)
            return False
        items = await self._claim(target, now, window)
        about: dict[str, list[_Item]] = {}
        for item in items:
            about.setdefault(item.event.object_id, []).append(item)
        # Not a TaskGroup: what goes wrong with one must not cut off the others amid their requests.
        ends = await asyncio.gather(
            *(self._send_in_order(target, queue) for queue in about.values()), return_exceptions=True
        )
        for end in ends:
            if end is not None:
                raise end
        return len(items) == window

    async def _target(self, merchant_id: str, endpoint_id: str, now: int) -> _Target | None:
        record = await self._pool.fetchrow(_TARGET, merchant_id, endpoint_id)
        if record is None:
            return None
        *values, livemode = record
        endpoint = WebhookEndpoint(*values)
        secrets = open_secrets(self._vault, endpoint, now)
        return _Target(merchant_id, endpoint_id, endpoint.url, secrets, livemode)

    async def _claim(self, target: _Target, now: int, window: int) -> list[_Item]:
        lease_ms = now + self._lease_ms
        claimed = {
            row["event_seq"]: row
            for row in await self._pool.fetch(_CLAIM, target.merchant_id, target.id, now, lease_ms, window)
        }
        if not claimed:
            return []
        events = await bulk.select(self._pool, TABLES[Event], target.merchant_id, list(claimed))
        found = sorted((event for event in events if isinstance(event, Event)), key=lambda event: event.seq)
        return [
            _Item(event, row["since_ms"], row["tries"], row["pending_webhooks"], lease_ms)
            for event in found
            for row in [claimed[event.seq]]
        ]

    async def _send_in_order(self, target: _Target, items: list[_Item]) -> None:
        """Send what is about one object, one after another. After a failure the rest waits for the next round."""
        waiting = list(items)
        begin_until = items[0].lease_ms - self._lease_ms // 2
        try:
            while waiting and self._clock() < begin_until and not self._stop.is_set():
                sent = await self._send(target, waiting[0])
                await self._record(target, waiting.pop(0), sent)
                if not sent.ok:
                    break
        finally:
            await self._release(target, waiting)

    async def _send(self, target: _Target, item: _Item) -> Sent:
        now = self._clock()
        try:
            event = render_event(item.event, target.livemode, self._renderers, item.pending_webhooks)
            body = msgspec.json.encode(event)
        except Exception:
            # A mistake of ours in one kind of object must not hold up the others; it is sent once it is mended.
            log.exception("webhook_not_rendered", event_id=item.event.id, object_type=item.event.object_type)
            return Sent(None, "The event could not be written. This is our mistake; it will be sent later.", 0)
        headers = {
            "User-Agent": self._agent,
            "Content-Type": "application/json; charset=utf-8",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Content-Length": str(len(body)),
            HEADER: sign(body, target.secrets, now // 1000),
        }
        sent = await self._client.post(target.url, headers, body, livemode=target.livemode)
        if len(self._manners) >= _KNOWN_MAX:
            self._manners.clear()
        self._manners[target.id] = _Manners(self._window if sent.ok else 1, not sent.ok or sent.took_ms > SLOW_MS)
        return sent

    async def _record(self, target: _Target, item: _Item, sent: Sent) -> None:
        """Write the attempt, and what becomes of the delivery unless it was scheduled anew meanwhile."""
        now = self._clock()
        next_at_ms = retry_at_ms(item.tries, now, target.livemode, self._jitter())
        state: DeliveryState = "pending"
        if sent.ok:
            state, next_at_ms = "delivered", None
        elif next_at_ms is None or now - item.since_ms > GIVE_UP_AFTER_MS:
            state, next_at_ms = "failed", None
        event = item.event
        attempt = Attempt(
            merchant_id=target.merchant_id,
            endpoint_id=target.id,
            event_seq=event.seq,
            id=new_id("wa", now),
            at_ms=now - sent.took_ms,
            took_ms=sent.took_ms,
            status=sent.status,
            detail=sent.detail,
        )
        await self._recorder.record(Outcome(attempt, item.lease_ms, item.tries, state, next_at_ms or now))

    async def _release(self, target: _Target, items: list[_Item]) -> None:
        """Hand back what was claimed and not sent: it is due at once, and no try was used."""
        for item in items:
            ours = (target.merchant_id, target.id, item.event.seq, item.lease_ms, item.tries)
            await self._pool.execute(_RELEASE, *ours, self._clock())
