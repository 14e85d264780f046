"""From the cart to the hosted checkout: what the shop asks of the API, and what it does when the API says no."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount
from tests.sandbox.shop_world import (
    LIN,
    SECRET_KEY,
    FakeApi,
    World,
    buy,
    config_for,
    listen,
    problem,
    serving,
    shop_world,
    version,
)

from tongbao.sandbox.shop.app import create


async def test_checking_out_makes_an_order_and_a_session_and_goes_to_its_url(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper("zh-CN") as browser:
        number, session = await buy(world, browser, "longjing", "gaiwan", "gaiwan", shopper="lin")
        order, checkout = world.api.asked
        assert order.authorization == f"Bearer {SECRET_KEY}"
        assert (order.path, order.params["currency"], order.params["customer"]) == ("/v1/orders", "cny", LIN)
        assert order.params["line_items[0][name]"] == "明前龙井 50 克"
        assert order.params["line_items[1][quantity]"] == "2"
        assert order.params["line_items[1][unit_amount]"] == "4100"
        assert order.params["metadata[shop_order]"] == number
        assert checkout.path == "/v1/checkout/sessions"
        assert (checkout.params["mode"], checkout.params["locale"]) == ("payment", "zh")
        assert checkout.params["order"] in world.api.orders
        assert checkout.params["success_url"] == f"{world.url}/orders/{number}?session={{CHECKOUT_SESSION_ID}}"
        assert checkout.params["cancel_url"] == f"{world.url}/orders/{number}?canceled=1"
        assert order.key
        assert checkout.key
        assert order.key != checkout.key
        assert world.api.sessions[session]["amount_total"] == 17_000
        assert "还是空的" in (await browser.get("cart")).text


async def test_a_guest_buys_without_a_customer(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper() as browser:
        await buy(world, browser, "puer")
        assert all("customer" not in asked.params for asked in world.api.asked)
        assert world.api.asked[1].params["locale"] == "en"


async def test_pressing_check_out_many_times_makes_one_order(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper() as browser:
        await browser.post("cart/add", data={"product": "longjing"})
        form = {"version": await version(browser), "shopper": "guest"}
        world.api.slow_s = 0.05
        answers = await asyncio.gather(*(browser.post("checkout", data=form) for _ in range(5)))
        answers.append(await browser.post("checkout", data=form))
        assert {a.status_code for a in answers} == {303}
        assert len({a.headers["Location"] for a in answers}) == 1
        assert len(world.api.orders) == len({asked.key for asked in world.api.asked if "orders" in asked.path}) == 1


async def test_a_cart_that_changed_elsewhere_is_shown_again_instead_of_ordered(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper() as browser:
        await browser.post("cart/add", data={"product": "longjing"})
        form = {"version": await version(browser), "shopper": "guest"}
        await browser.post("cart/add", data={"product": "puer"})
        answer = await browser.post("checkout", data=form)
        assert answer.headers["Location"] == "/shop/cart?changed=1"
        assert "The cart has just changed" in (await browser.get("cart?changed=1")).text
        assert not world.api.asked


async def test_lost_answers_and_passing_trouble_are_tried_again_with_the_same_key(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper() as browser:
        world.api.next_answers = [
            problem(503, "overloaded", "Try later."),
            problem(409, "idempotency_key_in_use", "Another request with this key is running."),
        ]
        await buy(world, browser, "longjing")
        assert len({asked.key for asked in world.api.asked if asked.path == "/v1/orders"}) == 1
        assert [asked.path for asked in world.api.asked].count("/v1/orders") == 3


@pytest.mark.parametrize(
    "answer",
    [
        problem(500, "internal", "Broken."),
        Response("<html>Bad gateway</html>", 502),
        Response("not json", 200),
        JSONResponse([1]),
    ],
)
async def test_when_the_api_is_away_the_page_says_so_and_the_cart_is_kept(tmp_path: Path, answer: Response) -> None:
    async with shop_world(tmp_path) as world, world.shopper() as browser:
        await browser.post("cart/add", data={"product": "longjing"})
        world.api.next_answers = [answer] * 3
        form = {"version": await version(browser), "shopper": "guest"}
        page = await browser.post("checkout", data=form)
        assert (page.status_code, page.headers["Retry-After"]) == (503, "5")
        assert "You have not been charged" in page.text
        assert "longjing:0" in (await browser.get("cart")).text
        assert (await browser.post("checkout", data=form)).status_code == 303
        assert len(world.api.orders) == 1


async def test_nobody_listening_at_the_api_is_the_same_friendly_page(tmp_path: Path) -> None:
    closed, api_url = listen()
    closed.close()
    listener, origin = listen()
    app = Starlette(routes=[Mount("/shop", app=create(config_for(api_url, origin, tmp_path)))])
    with serving(app, listener):
        world = World(f"{origin}/shop", FakeApi(), tmp_path)
        async with world.shopper("zh") as browser:
            await browser.post("cart/add", data={"product": "longjing"})
            page = await browser.post("checkout", data={"version": await version(browser)})
            assert page.status_code == 503
            assert "没有扣款，购物车原样保留" in page.text


async def test_an_order_that_the_api_refuses_is_explained_and_the_cart_is_kept(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper() as browser:
        await browser.post("cart/add", data={"product": "longjing"})
        world.api.next_answers = [problem(400, "parameter_invalid", "No such customer: <b>x</b>")]
        page = await browser.post("checkout", data={"version": await version(browser), "shopper": "lin"})
        assert page.status_code == 502
        assert "You have not been charged" in page.text
        assert "parameter_invalid: No such customer: &lt;b&gt;x&lt;/b&gt; (req_1)" in page.text
        assert "longjing:0" in (await browser.get("cart")).text
        again = await browser.post("checkout", data={"version": await version(browser)})
        assert again.status_code == 303
        assert len({asked.key for asked in world.api.asked if asked.path == "/v1/orders"}) == 2


async def test_a_checkout_at_an_unforeseen_address_is_reached_by_a_link(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper() as browser:
        world.api.checkout_url = "http://pay.example.test"
        await browser.post("cart/add", data={"product": "longjing"})
        page = await browser.post("checkout", data={"version": await version(browser)})
        assert page.status_code == 200
        assert '<a class="primary" href="http://pay.example.test/pay/cs_test_' in page.text


async def test_a_session_without_a_web_address_is_not_followed(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper() as browser:
        for url in ("javascript:alert(1)", "/relative", "", None, 5):
            await browser.post("cart/add", data={"product": "longjing"})
            order = JSONResponse({"id": "ord_1", "object": "order"})
            world.api.next_answers = [order, JSONResponse({"id": "cs_1", "url": url})]
            page = await browser.post("checkout", data={"version": await version(browser)})
            assert page.status_code == 503, url


async def test_paying_later_leads_back_to_the_same_session(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper() as browser:
        number, session = await buy(world, browser, "longjing")
        back = await browser.get(f"orders/{number}?canceled=1")
        assert "You left the checkout. You have not been charged." in back.text
        again = await browser.post(f"orders/{number}/pay", data={"ok": "1"})
        assert again.headers["Location"].endswith(session)
        assert len(world.api.asked) == 2


async def test_the_rest_of_a_part_payment_gets_a_session_of_its_own(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper() as browser:
        number, session = await buy(world, browser, "longjing")
        intent, _, completed = world.api.pays(session)
        intent["data"]["object"]["amount_received"] = 3_800
        await world.tell(intent, completed)
        page = (await browser.get(f"orders/{number}")).text
        assert "¥38.00 paid, still to pay" in page
        again = await browser.post(f"orders/{number}/pay", data={"ok": "1"})
        assert again.status_code == 303
        assert not again.headers["Location"].endswith(session)


async def test_a_paid_order_is_not_sent_to_the_checkout_again(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper() as browser:
        number, session = await buy(world, browser, "longjing")
        await world.tell(*world.api.pays(session))
        again = await browser.post(f"orders/{number}/pay", data={"ok": "1"})
        assert again.headers["Location"] == f"/shop/orders/{number}"


async def test_the_lines_of_an_expired_order_can_go_back_into_the_cart(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper() as browser:
        number, session = await buy(world, browser, "longjing", "longjing")
        order = world.api.orders[world.api.sessions[session]["order"]]
        await world.tell(world.api.event("order.expired", order | {"status": "expired"}))
        assert "Put back in the cart" in (await browser.get(f"orders/{number}")).text
        await browser.post(f"orders/{number}/again", data={"ok": "1"})
        assert "¥176.00" in (await browser.get("cart")).text
