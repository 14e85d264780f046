"""Refunds from the shopkeeper's desk."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
from tests.sandbox.shop_world import World, buy, problem, shop_world


async def forms(browser: httpx.AsyncClient) -> list[dict[str, str]]:
    page = (await browser.get("admin")).text
    found = re.findall(r'<form method="post" action="/shop/admin/refunds">(.*?)</form>', page, re.DOTALL)
    return [dict(re.findall(r'name="(\w+)"[^>]*value="([^"]*)"', form)) for form in found]


async def paid(world: World, browser: httpx.AsyncClient) -> tuple[str, str]:
    number, session = await buy(world, browser, "longjing")
    await world.tell(*world.api.pays(session))
    return number, session


async def test_a_refund_names_the_payment_and_the_amount_and_shows_once_the_webhook_comes(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper() as browser:
        number, session = await paid(world, browser)
        (form,) = await forms(browser)
        assert form["amount"] == "88.00"
        answer = await browser.post("admin/refunds", data=form | {"amount": "20.5"})
        assert answer.status_code == 303
        asked = world.api.asked[-1]
        intent = world.api.sessions[session]["payment_intent"]
        assert (asked.path, asked.params) == ("/v1/refunds", {"payment_intent": intent, "amount": "2050"})
        page = await browser.get(answer.headers["Location"].removeprefix("/shop/"))
        assert "Refund submitted: ¥20.50" in page.text
        assert (await forms(browser))[0]["amount"] == "67.50"
        assert (await browser.get(f"orders/{number}/live")).json()["status"] == "paid"
        await world.tell(world.api.gives_back(session, 2050))
        assert (await browser.get(f"orders/{number}/live")).json()["status"] == "partially_refunded"
        assert (await forms(browser))[0]["amount"] == "67.50"


async def test_pressing_refund_twice_asks_once(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper() as browser:
        await paid(world, browser)
        (form,) = await forms(browser)
        for _ in range(3):
            assert (await browser.post("admin/refunds", data=form)).status_code == 303
        assert len([asked for asked in world.api.asked if asked.path == "/v1/refunds"]) == 1
        assert await forms(browser) == []


async def test_an_amount_beyond_what_is_left_or_no_amount_at_all_refunds_nothing(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper() as browser:
        await paid(world, browser)
        (form,) = await forms(browser)
        for amount in ("88.01", "0", "-5", "", "1e3", "12.345", "٣", "99999999999999999999"):
            answer = await browser.post("admin/refunds", data=form | {"amount": amount})
            assert answer.headers["Location"] == "/shop/admin?bad=1"
        for field in ({"key": "x"}, {"number": "none"}, {"payment_intent": "pi_other"}):
            answer = await browser.post("admin/refunds", data=form | field)
            assert answer.headers["Location"] == "/shop/admin?bad=1"
        assert "Nothing was refunded" in (await browser.get("admin?bad=1")).text
        assert not [asked for asked in world.api.asked if asked.path == "/v1/refunds"]


async def test_a_refund_without_an_answer_can_be_asked_again_with_the_same_key(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper() as browser:
        await paid(world, browser)
        (form,) = await forms(browser)
        world.api.next_answers = [problem(500, "internal", "Broken.")] * 3
        away = await browser.post("admin/refunds", data=form)
        assert away.status_code == 503
        assert "It is not known yet" in away.text
        (again,) = await forms(browser)
        assert again == {"key": form["key"]}
        assert (await browser.post("admin/refunds", data=again)).status_code == 303
        refunds = [asked for asked in world.api.asked if asked.path == "/v1/refunds"]
        assert len({asked.key for asked in refunds}) == 1
        assert await forms(browser) == []


async def test_a_refused_refund_says_why_and_leaves_the_amount_to_refund(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper() as browser:
        await paid(world, browser)
        (form,) = await forms(browser)
        world.api.next_answers = [problem(400, "charge_disputed", "The charge is disputed.")]
        page = await browser.post("admin/refunds", data=form)
        assert page.status_code == 502
        assert "charge_disputed" in page.text
        assert (await forms(browser))[0]["amount"] == "88.00"


async def test_an_unpaid_order_offers_no_refund(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper() as browser:
        await buy(world, browser, "longjing")
        assert await forms(browser) == []
