"""Open pages learn of news within a second, at a bounded price."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import Any

import pytest
from tests.web.site_world import SiteWorld

from tongbao.checkout.model import CheckoutSession
from tongbao.web import live
from tongbao.web.live import Full, Watcher


async def mark_of(site: SiteWorld, session: CheckoutSession) -> tuple[str, str]:
    told = (await site.browser().get(f"{site.path(session)}/state")).json()
    return told["state"], told["mark"]


async def test_a_listening_page_is_told_of_a_change_within_two_seconds(site: SiteWorld) -> None:
    session, client = await site.session(), site.browser()
    _, mark = await mark_of(site, session)

    async def listen() -> tuple[str, float]:
        async with client.stream("GET", f"{site.path(session)}/events?seen={mark}") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["cache-control"] == "no-store"
            text = "".join([part async for part in answer.aiter_text()])
            return text, time.monotonic()

    listening = asyncio.create_task(listen())
    await asyncio.sleep(1.2)
    assert not listening.done(), "nothing has changed yet"
    await site.pay(site.browser(), session)
    paid_at = time.monotonic()
    text, told_at = await asyncio.wait_for(listening, 5)
    assert "event: change" in text
    assert told_at - paid_at < 2
    assert await mark_of(site, session) != ("open", mark)


async def test_a_page_that_has_seen_less_is_told_at_once(site: SiteWorld) -> None:
    session = await site.session()
    answer = await asyncio.wait_for(site.browser().get(f"{site.path(session)}/events?seen=0.0.0.0"), 5)
    assert "event: change" in answer.text


async def test_the_end_of_a_sessions_time_is_news(site: SiteWorld) -> None:
    session = await site.session()
    state, mark = await mark_of(site, session)
    await site.expire(session)
    answer = await asyncio.wait_for(site.browser().get(f"{site.path(session)}/events?seen={mark}"), 5)
    assert "event: change" in answer.text
    assert (state, (await mark_of(site, session))[0]) == ("open", "expired")


class CountingPool:
    """A database in which nothing changes, and that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def fetch(self, _: str, merchants: list[str], sessions: list[str]) -> list[tuple[Any, ...]]:
        self.asked += 1
        return [(merchant, session, 1, 1, 0, 10**15) for merchant, session in zip(merchants, sessions, strict=True)]


async def take(watcher: Watcher, number: int, seen: str = "1.1.0.0") -> list[bytes]:
    async with aclosing(watcher.listen(("acct_1", f"cs_{number}"), seen)) as events:  # type: ignore[type-var]
        return [event async for event in events]


async def test_many_listeners_cost_one_query_at_a_time_and_leave_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "CONNECTION_S", 0.5)
    monkeypatch.setattr(live, "POLL_S", 0.1)
    pool = CountingPool()
    watcher = Watcher(pool)
    heard = await asyncio.gather(*(take(watcher, number % 50) for number in range(300)))
    assert all(b"event: change" not in b"".join(events) for events in heard)
    assert pool.asked <= 8
    asked = pool.asked
    await asyncio.sleep(0.3)
    assert pool.asked <= asked + 1, "nobody listens, so nobody asks"
    watcher.check_room(("acct_1", "cs_1"))


async def test_listeners_are_bounded_in_all_and_by_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LISTENERS_PER_SESSION_MAX", 2)
    monkeypatch.setattr(live, "CONNECTION_S", 0.5)
    watcher = Watcher(CountingPool())
    listening = [asyncio.create_task(take(watcher, 1)) for _ in range(2)]
    await asyncio.sleep(0.05)
    with pytest.raises(Full):
        watcher.check_room(("acct_1", "cs_1"))
    watcher.check_room(("acct_1", "cs_2"))
    monkeypatch.setattr(live, "LISTENERS_MAX", 2)
    with pytest.raises(Full):
        watcher.check_room(("acct_1", "cs_2"))
    await asyncio.gather(*listening)


async def test_a_page_that_is_not_let_in_gets_503_and_can_still_ask(
    site: SiteWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LISTENERS_MAX", 0)
    session = await site.session()
    _, mark = await mark_of(site, session)
    answer = await site.browser().get(f"{site.path(session)}/events?seen={mark}")
    assert answer.status_code == 503
    assert (await mark_of(site, session))[1] == mark


async def test_the_watcher_survives_a_database_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "CONNECTION_S", 1.0)
    monkeypatch.setattr(live, "_AFTER_TROUBLE_S", 0.1)
    pool = CountingPool()
    honest, failures = pool.fetch, [OSError("gone"), TimeoutError()]

    async def fetch(*arguments: Any) -> list[tuple[Any, ...]]:
        if failures:
            raise failures.pop()
        return await honest(*arguments)

    monkeypatch.setattr(pool, "fetch", fetch)
    events = await take(Watcher(pool), 1, seen="0.9.0.0")
    assert b"event: change" in b"".join(events)
