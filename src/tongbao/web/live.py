"""News for open pages: a page that waits is told within a second that its session has changed.

One poller for the whole process asks the database about all watched sessions at once, so that a thousand waiting
shoppers cost one query a second. Pages listen by server-sent events; the number of listeners and the length of a
connection are bounded, and a page that is not let in asks ``/state`` by itself now and then.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import structlog

from tongbao.foundation.clock import now_ms

log = structlog.get_logger("tongbao.web")

LISTENERS_MAX = 1_000
LISTENERS_PER_SESSION_MAX = 8
CONNECTION_S = 45.0
"""How long one connection lasts at most; the browser then comes again by itself."""
HEARTBEAT_S = 15.0
POLL_S = 1.0
_AFTER_TROUBLE_S = 5.0

Key = tuple[str, str]
"""Merchant and session."""

_SQL = """
    SELECT s.merchant_id, s.id, s.version, o.version, coalesce(i.version, 0), s.expires_ms
    FROM unnest($1::text[], $2::text[]) AS asked(merchant_id, id)
    JOIN checkout_sessions s ON s.merchant_id = asked.merchant_id AND s.id = asked.id
    JOIN orders o ON o.merchant_id = s.merchant_id AND o.id = s.order_id
    LEFT JOIN payment_intents i ON i.merchant_id = s.merchant_id AND i.id = s.payment_intent
"""


def mark(session: int, order: int, intent: int, is_over: bool) -> str:
    """What a session looks like, in brief: the versions of its objects, and whether its time is up."""
    return f"{session}.{order}.{intent}.{int(is_over)}"


@dataclass(slots=True)
class _Watched:
    mark: str | None = None
    listeners: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Full(Exception):
    """As many pages listen as are let in."""


class Watcher:
    """Tells listeners that a session is no longer what they have seen."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._watched: dict[Key, _Watched] = {}
        self._listeners = 0
        self._poller: asyncio.Task[None] | None = None

    def check_room(self, key: Key) -> None:
        """:raises Full: if no more listeners are let in."""
        watched = self._watched.get(key)
        if self._listeners >= LISTENERS_MAX or (watched and watched.listeners >= LISTENERS_PER_SESSION_MAX):
            raise Full

    async def listen(self, key: Key, seen: str) -> AsyncIterator[bytes]:
        """Server-sent events: one ``change`` when the session is no longer as ``seen``, then the end."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + CONNECTION_S
        with self._listening(key) as watched:
            yield b"retry: %d\n\n" % (1_000 + secrets.randbelow(2_000))
            while (left := ends - loop.time()) > 0:
                if watched.mark is not None and watched.mark != seen:
                    yield b"event: change\ndata: \n\n"
                    return
                try:
                    await asyncio.wait_for(watched.changed.wait(), min(left, HEARTBEAT_S))
                except TimeoutError:
                    yield b": still here\n\n"

    @contextlib.contextmanager
    def _listening(self, key: Key) -> Iterator[_Watched]:
        watched = self._watched.setdefault(key, _Watched())
        self._listeners += 1
        watched.listeners += 1
        if self._poller is None or self._poller.done():
            self._poller = asyncio.get_running_loop().create_task(self._poll())
        try:
            yield watched
        finally:
            self._listeners -= 1
            watched.listeners -= 1
            if watched.listeners == 0:
                del self._watched[key]

    async def _poll(self) -> None:
        while self._watched:
            pause_s = POLL_S
            keys = list(self._watched)
            try:
                rows = await self._pool.fetch(_SQL, [key[0] for key in keys], [key[1] for key in keys])
            except Exception as error:
                log.warning("watcher_failed", cause=type(error).__name__)
                rows, pause_s = [], _AFTER_TROUBLE_S
            now = now_ms()
            for merchant_id, session_id, session, order, intent, expires_ms in rows:
                self._note((merchant_id, session_id), mark(session, order, intent, now >= expires_ms))
            await asyncio.sleep(pause_s)

    def _note(self, key: Key, now: str) -> None:
        watched = self._watched.get(key)
        if watched is not None and watched.mark != now:
            watched.mark = now
            watched.changed.set()
            watched.changed = asyncio.Event()
