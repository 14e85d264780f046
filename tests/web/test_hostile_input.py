"""Whatever is sent to the pages: a clear 4xx or a page, never a 5xx, and nothing done."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest
from tests.web.site_world import GOOD_CARD, SiteWorld, ticket_of

from tongbao.web import forms

NASTY = [
    "%00", "a%00b", "..%2f..%2fetc%2fpasswd", "%ff%fe", "cs_test_", "cs_test_%00", "cs_test_'OR'1'='1", "x" * 3_000,
    "{{7*7}}", "%25%25", "cs_live_" + "9" * 81, "🍵", "cs_test_" + "é" * 20,
]  # fmt: skip


@pytest.mark.parametrize("nasty", NASTY)
async def test_addresses_that_name_nothing_get_a_friendly_404(site: SiteWorld, nasty: str) -> None:
    part = site.merchant_id.removeprefix("acct_")
    client = site.browser()
    for path in (
        f"/c/{part}/{nasty}", f"/c/{nasty}/cs_test_0", f"/c/{part}/{nasty}/state",
        f"/c/{part}/{nasty}/events?seen=1.1.1.0", f"/c/{part}/cs_test_0/events?seen=1.1.1.0",
        f"/c/{part}/{nasty}/cancel", f"/o/{part}/{nasty}", f"/o/{nasty}/ord_1", f"/return/{site.merchant_id}/{nasty}",
        f"/return/{nasty}/pi_1?secret=x", f"/static/{nasty}", f"/{nasty}",
    ):  # fmt: skip
        answer = await client.get(path)
        assert answer.status_code == 404, path
        if not path.startswith("/static/"):
            assert "This page does not exist" in answer.text


@pytest.mark.parametrize("query", ["lang=%00", "lang=" + "x" * 5_000, "method=%00", "method=../..", "a=1&" * 3_000])
async def test_odd_queries_change_nothing(site: SiteWorld, query: str) -> None:
    answer = await site.browser().get(f"{site.path(await site.session())}?{query}")
    assert answer.status_code == 200
    assert 'data-state="open"' in answer.text


async def test_odd_marks_are_refused(site: SiteWorld) -> None:
    path = site.path(await site.session())
    for seen in ("", "a", "1.1.1.0%00", "1" * 61):
        assert (await site.browser().get(f"{path}/events?seen={seen}")).status_code == 400


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"a" * (forms.FORM_BYTES_MAX + 1), "application/x-www-form-urlencoded", 413),
        (b"&".join(b"a=1" for _ in range(500)), "application/x-www-form-urlencoded", 400),
        (b"ticket=%ff%fe", "application/x-www-form-urlencoded", 400),
        (b"ticket=\xff", "application/x-www-form-urlencoded", 400),
        (b"ticket=%00", "application/x-www-form-urlencoded", 400),
        (b'{"ticket": "x"}', "application/json", 415),
        (b"--x\r\n\r\n--x--", "multipart/form-data; boundary=x", 415),
        (b"x", "", 415),
        (b"", "application/x-www-form-urlencoded", 422),
        (b"method=card", "application/x-www-form-urlencoded", 409),
        (b"method=pm_card_visa", "application/x-www-form-urlencoded", 422),
        (b"method=customer_balance", "application/x-www-form-urlencoded", 422),
        (b"method=card&ticket=" + b"A" * 60_000, "application/x-www-form-urlencoded", 409),
    ],
)
async def test_odd_bodies_are_refused_and_charge_nothing(site: SiteWorld, body: bytes, kind: str, status: int) -> None:
    session, client = await site.session(), site.browser()
    answer = await client.post(f"{site.path(session)}/pay", content=body, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert "othing was charged" in answer.text
    told = await client.post(
        f"{site.path(session)}/pay", content=body, headers={"Content-Type": kind, "Accept": "application/json"}
    )
    assert told.status_code == status
    assert told.json()["problem"]
    assert await site.charges_of(session.order_id) == []


@pytest.mark.parametrize("value", ["x" * 40_000, "4" * 19, "４" * 16, "٤" * 16, "4242\u202e4242", "=cmd|' /C calc'!A0"])
@pytest.mark.parametrize("field", list(GOOD_CARD))
async def test_odd_card_fields_are_refused_politely(site: SiteWorld, field: str, value: str) -> None:
    session, client = await site.session(), site.browser()
    page = await client.get(site.path(session))
    form = {"ticket": ticket_of(page.text), "method": "card", **GOOD_CARD, field: value}
    answer = await client.post(f"{site.path(session)}/pay", data=form)
    assert answer.status_code in (402, 422)
    assert value not in answer.text
    assert await site.charges_of(session.order_id) == []


async def test_a_body_that_comes_too_slowly_is_given_up(site: SiteWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "FORM_SECONDS_MAX", 0.3)
    session = await site.session()
    parts = urlsplit(site.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head = f"POST {site.path(session)}/pay HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: 100\r\n"
    writer.write((head + "Content-Type: application/x-www-form-urlencoded\r\n\r\nmethod=").encode())
    await writer.drain()
    answer = await asyncio.wait_for(reader.read(2_000), 5)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408")


async def test_other_http_methods_are_refused(site: SiteWorld) -> None:
    session, client = await site.session(), site.browser()
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        assert (await client.request(method, site.path(session))).status_code == 405
    assert (await client.post(site.path(session))).status_code == 405
    assert (await client.get(f"{site.path(session)}/pay")).headers["location"] == site.path(session)
    assert (await client.head(site.path(session))).status_code == 200
