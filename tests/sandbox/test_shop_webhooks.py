"""Webhooks as they really come: signed, forged, late, twice, in the wrong order, and around a crash."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import msgspec
from tests.sandbox.shop_world import (
    FakeApi,
    World,
    buy,
    config_for,
    listen,
    serving,
    shop_world,
    signature,
)


async def status(browser: httpx.AsyncClient, number: str) -> str:
    news = await browser.get(f"orders/{number}/live")
    assert news.status_code == 200
    found: str = news.json()["status"]
    return found


async def test_an_order_becomes_paid_when_the_webhooks_say_so(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper() as browser:
        number, session = await buy(world, browser, "longjing")
        assert await status(browser, number) == "waiting"
        await world.tell(*world.api.pays(session))
        assert await status(browser, number) == "paid"


async def test_webhooks_in_the_wrong_order_and_twice_lead_to_the_same(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper() as browser:
        number, session = await buy(world, browser, "longjing")
        intent, paid, completed = world.api.pays(session)
        refunded = world.api.gives_back(session, 8800)
        # The refund and the payment name only each other: they find the order once the session has told of both.
        await world.tell(refunded, refunded, intent)
        assert await status(browser, number) == "waiting"
        await world.tell(completed)
        assert await status(browser, number) == "refunded"
        await world.tell(paid, completed, intent, refunded)
        page = (await browser.get(f"orders/{number}")).text
        assert await status(browser, number) == "refunded"
        assert page.count(f'id="{refunded["id"]}"') == page.count(f'id="{completed["id"]}"') == 1


async def test_a_forged_webhook_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper() as browser:
        number, session = await buy(world, browser, "longjing")
        body = json.dumps(world.api.pays(session)[2]).encode()
        now = int(time.time())
        forgeries = {
            "no header": "",
            "other secret": signature(body, "whsec_of_somebody_else"),
            "other body": signature(body.replace(b"paid", b"paix")),
            "old": signature(body, at=now - 400),
            "from the future": signature(body, at=now + 400),
        }
        for name, header in forgeries.items():
            answer = await world.post_webhook(body, header)
            assert (answer.status_code, "message" in answer.json()["error"]) == (400, True), name
        assert await status(browser, number) == "waiting"


NO_EVENTS = [
    b"",
    b"not json",
    b"[]",
    b"{}",
    b"\xff\xfe",
    b'{"id":"evt_1","type":"order.paid","created":1,"data":{"object":[]}}',
    b'{"id":"","type":"order.paid","created":1,"data":{"object":{}}}',
    b'{"id":"evt_1","type":"order.paid","created":99999999999999999999999,"data":{"object":{}}}',
    b'{"id":"evt_1","type":"order.paid","created":1.5,"data":{"object":{}}}',
    b"[" * 100_000,
]


async def test_a_signed_body_that_is_no_event_gets_400(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world:
        for body in NO_EVENTS:
            assert (await world.post_webhook(body)).status_code == 400, body[:100]


async def test_a_body_beyond_the_bound_gets_413(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world:
        assert (await world.post_webhook(b" " * 300_000)).status_code == 413


async def test_other_types_of_event_are_acknowledged(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world:
        await world.tell(world.api.event("customer.created", {"id": "cus_1", "object": "customer"}))


async def test_twenty_copies_at_once_are_stored_once(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper() as browser:
        number, session = await buy(world, browser, "longjing")
        completed = world.api.pays(session)[2]
        await asyncio.gather(*(world.tell(completed) for _ in range(20)))
        assert (await browser.get(f"orders/{number}")).text.count(f'id="{completed["id"]}"') == 1


async def test_an_event_of_one_order_leaves_others_alone(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper() as browser:
        first, session = await buy(world, browser, "longjing", shopper="lin")
        second, _ = await buy(world, browser, "longjing", shopper="lin")
        await world.tell(*world.api.pays(session))
        assert (await status(browser, first), await status(browser, second)) == ("paid", "waiting")


SERVE = """
import sys, msgspec, uvicorn
from pathlib import Path
from starlette.applications import Starlette
from starlette.routing import Mount
from tongbao.sandbox.shop.app import create
from tongbao.sandbox.shop.config import load
app = Starlette(routes=[Mount("/shop", app=create(load(Path(sys.argv[1]))))])
uvicorn.run(app, port=int(sys.argv[2]), log_level="warning", lifespan="off")
"""


async def started(config: Path, port: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", SERVE, str(config), str(port)])
    for _ in range(400):
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return process
        except OSError:
            await asyncio.sleep(0.05)
    raise TimeoutError("the shop did not start")


async def test_what_was_answered_survives_kill_minus_nine(tmp_path: Path) -> None:
    held, origin = listen()
    port = held.getsockname()[1]
    held.close()
    api_socket, api_url = listen()
    config = tmp_path / "shop.json"
    settings = config_for(api_url, origin, tmp_path / "data")
    config.write_bytes(msgspec.json.encode(settings))
    process = await started(config, port)
    try:
        world = World(f"{origin}/shop", FakeApi(url=api_url), tmp_path)
        with serving(world.api.app(), api_socket):
            async with world.shopper() as browser:
                number, session = await buy(world, browser, "longjing")
                await browser.post("cart/add", data={"product": "puer"})
                await world.tell(*world.api.pays(session))
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                process = await started(config, port)
                assert await status(browser, number) == "paid"
                assert "puer:0" in (await browser.get("cart")).text
    finally:
        process.kill()
        process.wait()
