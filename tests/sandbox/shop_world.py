"""The shop with the world around it: a small honest payment API that records what it is asked, over real HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from tongbao.sandbox.shop.app import create
from tongbao.sandbox.shop.config import ShopConfig

SECRET_KEY = "sk_test_tea_1234567890"
WEBHOOK_SECRET = "whsec_tea_1234567890"
LIN = "cus_linyue"


@dataclass
class Asked:
    """One request that the API got."""

    path: str
    params: dict[str, str]
    key: str
    authorization: str
    replayed: bool = False


@dataclass
class FakeApi:
    """Orders, sessions and refunds in memory, with idempotency keys. ``next_answers`` come before honest ones."""

    url: str = ""
    checkout_url: str = ""
    asked: list[Asked] = field(default_factory=list)
    next_answers: list[Response] = field(default_factory=list)
    replies: dict[str, tuple[dict[str, str], dict[str, Any]]] = field(default_factory=dict)
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    sessions: dict[str, dict[str, Any]] = field(default_factory=dict)
    slow_s: float = 0.0
    counter: int = 0

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/orders", self.answer, methods=["POST"]),
                Route("/v1/checkout/sessions", self.answer, methods=["POST"]),
                Route("/v1/refunds", self.answer, methods=["POST"]),
                Route("/pay/{id}", self.hosted),
            ]
        )

    async def answer(self, request: Request) -> Response:
        params = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
        key = request.headers.get("Idempotency-Key", "")
        asked = Asked(request.url.path, params, key, request.headers.get("Authorization", ""))
        self.asked.append(asked)
        await asyncio.sleep(self.slow_s)
        if self.next_answers:
            return self.next_answers.pop(0)
        if asked.authorization != f"Bearer {SECRET_KEY}":
            return problem(401, "api_key_invalid", "Invalid API key.")
        if key in self.replies:
            before, reply = self.replies[key]
            asked.replayed = True
            if before != params:
                return problem(400, "idempotency_key_reused", "Keys for idempotent requests cannot change.")
            return JSONResponse(reply)
        makers = {"/v1/orders": self.order, "/v1/checkout/sessions": self.session, "/v1/refunds": self.refund}
        reply = makers[asked.path](params)
        self.replies[key] = (params, reply)
        return JSONResponse(reply)

    async def hosted(self, request: Request) -> Response:
        return HTMLResponse("<!doctype html><title>Checkout</title>")

    def next_id(self, prefix: str) -> str:
        self.counter += 1
        return f"{prefix}_{self.counter:06d}"

    def order(self, params: dict[str, str]) -> dict[str, Any]:
        indexes = {name.split("[")[1].rstrip("]") for name in params if name.startswith("line_items[")}
        total = sum(
            int(params[f"line_items[{i}][quantity]"]) * int(params[f"line_items[{i}][unit_amount]"]) for i in indexes
        )
        made: dict[str, Any] = {
            "id": self.next_id("ord"), "object": "order", "status": "open", "currency": params["currency"],
            "amount_total": total, "amount_paid": 0, "amount_remaining": total, "customer": params.get("customer"),
            "metadata": {"shop_order": params["metadata[shop_order]"]},
        }  # fmt: skip
        self.orders[made["id"]] = made
        return made

    def session(self, params: dict[str, str]) -> dict[str, Any]:
        name = self.next_id("cs_test")
        made = {
            "id": name, "object": "checkout.session", "order": params["order"], "status": "open",
            "payment_status": "unpaid", "amount_total": self.orders[params["order"]]["amount_total"],
            "payment_intent": None, "url": f"{self.checkout_url or self.url}/pay/{name}", "metadata": {},
            "success_url": params["success_url"].replace("{CHECKOUT_SESSION_ID}", name),
            "cancel_url": params["cancel_url"],
        }  # fmt: skip
        self.sessions[name] = made
        return made

    def refund(self, params: dict[str, str]) -> dict[str, Any]:
        return {
            "id": self.next_id("re"), "object": "refund", "status": "succeeded",
            "amount": int(params["amount"]), "payment_intent": params["payment_intent"],
        }  # fmt: skip

    # What happens at the checkout, as events in the order in which they happen

    def event(self, kind: str, thing: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": self.next_id("evt"), "object": "event", "type": kind, "created": int(time.time()),
            "data": {"object": json.loads(json.dumps(thing))},
        }  # fmt: skip

    def pays(self, session_id: str) -> list[dict[str, Any]]:
        session = self.sessions[session_id]
        order = self.orders[session["order"]]
        total = order["amount_total"]
        intent = {
            "id": self.next_id("pi"), "object": "payment_intent", "amount": total, "amount_received": total,
            "status": "succeeded", "latest_charge": self.next_id("ch"), "metadata": {},
        }  # fmt: skip
        order |= {"status": "paid", "amount_paid": total, "amount_remaining": 0}
        session |= {"status": "complete", "payment_status": "paid", "payment_intent": intent["id"]}
        return [
            self.event("payment_intent.succeeded", intent),
            self.event("order.paid", order),
            self.event("checkout.session.completed", session),
        ]

    def fails(self, session_id: str, message: str) -> dict[str, Any]:
        intent = {
            "id": self.next_id("pi"), "object": "payment_intent", "status": "requires_payment_method",
            "order": self.sessions[session_id]["order"], "last_payment_error": {"message": message}, "metadata": {},
        }  # fmt: skip
        return self.event("payment_intent.payment_failed", intent)

    def gives_back(self, session_id: str, so_far: int) -> dict[str, Any]:
        session = self.sessions[session_id]
        charge = {
            "id": f"ch_of_{session['payment_intent']}", "object": "charge", "amount": session["amount_total"],
            "amount_captured": session["amount_total"], "amount_refunded": so_far,
            "payment_intent": session["payment_intent"], "metadata": {},
        }  # fmt: skip
        return self.event("charge.refunded", charge)


def problem(status: int, code: str, message: str) -> Response:
    body = {"error": {"type": "invalid_request_error", "code": code, "message": message}}
    return JSONResponse(body, status, headers={"Request-Id": "req_1"})


@dataclass
class World:
    """A shop at ``url`` and the API that it talks to."""

    url: str
    api: FakeApi
    data_dir: Path

    def shopper(self, language: str = "en") -> httpx.AsyncClient:
        """A browser of its own: keeps cookies, tells its origin, follows no redirects."""
        origin = self.url.removesuffix("/shop")
        headers = {"Accept-Language": language, "Origin": origin}
        return httpx.AsyncClient(base_url=self.url + "/", headers=headers, timeout=20, trust_env=False, verify=False)

    async def tell(self, *events: dict[str, Any]) -> None:
        """Deliver events to the shop's webhook endpoint, signed."""
        for event in events:
            answer = await self.post_webhook(json.dumps(event, ensure_ascii=False).encode())
            assert answer.status_code == 200, answer.text

    async def post_webhook(self, body: bytes, header: str | None = None) -> httpx.Response:
        signed = header if header is not None else signature(body)
        async with httpx.AsyncClient(trust_env=False, verify=False) as client:
            return await client.post(f"{self.url}/webhooks", content=body, headers={"Stripe-Signature": signed})


def signature(body: bytes, secret: str = WEBHOOK_SECRET, at: int | None = None) -> str:
    """Written from the rule, not with the shop's own code."""
    stamp = str(int(time.time()) if at is None else at)
    mac = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={mac}"


async def buy(world: World, browser: httpx.AsyncClient, *products: str, shopper: str = "guest") -> tuple[str, str]:
    """Fill the cart and check out. Returns the shop's order number and the checkout session's id."""
    for product in products:
        assert (await browser.post("cart/add", data={"product": product})).status_code == 303
    gone = await browser.post("checkout", data={"version": await version(browser), "shopper": shopper})
    assert gone.status_code == 303, gone.text
    session = gone.headers["Location"].rpartition("/")[2]
    return world.api.sessions[session]["success_url"].partition("/orders/")[2].partition("?")[0], session


async def version(browser: httpx.AsyncClient) -> str:
    """The cart's version, as the cart page's form carries it."""
    found = re.search(r'name="version" value="([0-9a-f]+)"', (await browser.get("cart")).text)
    assert found
    return found[1]


@contextmanager
def serving(app: ASGIApp, listener: socket.socket) -> Iterator[None]:
    """Serve over real HTTP from a thread."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        while not server.started:
            time.sleep(0.005)
        yield
    finally:
        server.should_exit = True
        thread.join()


def listen() -> tuple[socket.socket, str]:
    """A socket on a free port, and its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    return listener, f"http://127.0.0.1:{listener.getsockname()[1]}"


def config_for(api_base: str, origin: str, data_dir: Path) -> ShopConfig:
    return ShopConfig(
        api_base=api_base,
        secret_key=SECRET_KEY,
        webhook_secret=WEBHOOK_SECRET,
        public_url=f"{origin}/shop",
        data_dir=str(data_dir),
        customer_id=LIN,
    )


@asynccontextmanager
async def shop_world(tmp_path: Path) -> AsyncIterator[World]:
    """A shop mounted under /shop as the sandbox mounts it, with its API."""
    api_socket, api_url = listen()
    shop_socket, origin = listen()
    api = FakeApi(url=api_url)
    app = Starlette(routes=[Mount("/shop", app=create(config_for(api_url, origin, tmp_path)))])
    with serving(api.app(), api_socket), serving(app, shop_socket):
        yield World(f"{origin}/shop", api, tmp_path)
