"""Every route says who may call it: all routes are walked with every kind of key, and with another merchant's."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from tests.world import World

PUBLISHABLE = {
    ("GET", "/v1/payment_intents/{intent}"),
    ("POST", "/v1/payment_intents/{intent}/confirm"),
    ("POST", "/v1/payment_methods"),
}
"""All that a publishable key may do."""


def offered(world: World) -> list[tuple[str, str]]:
    document = httpx.get(f"{world.url}/openapi.json", trust_env=False).json()
    found = [
        (verb.upper(), path) for path, verbs in document["paths"].items() for verb in verbs if verb != "parameters"
    ]
    assert len(found) > 40
    return sorted(found)


def call(world: World, method: str, path: str, key: str | None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.request(method, world.url + path, headers=headers, trust_env=False, timeout=20)


def test_no_route_answers_without_a_key_or_with_an_unknown_one(world: World) -> None:
    for method, path in offered(world):
        for key in (None, "sk_test_nobody_0000000000000000", world.secret_key[:-1] + "x", world.live_key[:-2]):
            answer = call(world, method, path, key)
            assert answer.status_code == 401, (method, path, answer.text)


def test_a_publishable_key_may_do_only_what_a_browser_must(world: World) -> None:
    allowed = set()
    for method, path in offered(world):
        answer = call(world, method, path, world.publishable_key)
        if answer.status_code != 403:
            allowed.add((method, path))
        else:
            assert answer.json()["error"]["code"] == "secret_key_required"
    assert allowed == PUBLISHABLE


def test_a_publishable_key_sees_an_intent_only_with_its_client_secret(world: World) -> None:
    with world.http() as client:
        intent = client.post("/v1/payment_intents", data={"amount": 100, "currency": "cny"}).json()
    with world.http(world.publishable_key) as browser:
        path = f"/v1/payment_intents/{intent['id']}"
        assert browser.get(path).status_code == 400
        assert browser.get(path, params={"client_secret": intent["client_secret"] + "x"}).status_code == 404
        assert browser.get(path, params={"client_secret": intent["client_secret"]}).json()["id"] == intent["id"]
        confirmed = browser.post(
            path + "/confirm", data={"client_secret": intent["client_secret"], "payment_method": "pm_card_visa"}
        )
        assert confirmed.json()["status"] == "succeeded"


@pytest.fixture
def mine(world: World) -> dict[str, str]:
    """An object of each kind, by the name of its variable in paths."""
    customer = world.funded_customer(5_000)
    with world.http() as client:

        def post(path: str, **form: Any) -> Any:
            answer = client.post(path, data={name.replace("__", "["): value for name, value in form.items()})
            assert answer.status_code == 200, answer.text
            return answer.json()

        paid = post("/v1/payment_intents", amount=100, currency="cny", payment_method="pm_card_visa", confirm="true")
        order = client.post(
            "/v1/orders", data={"currency": "cny", "line_items[0][name]": "x", "line_items[0][unit_amount]": 5}
        ).json()
        endpoint = client.post(
            "/v1/webhook_endpoints", data={"url": "http://127.0.0.1:9/", "enabled_events[]": "order.paid"}
        ).json()
        method = client.post("/v1/payment_methods", json={"type": "card", "card": {"token": "tok_visa"}}).json()
        moves = client.get(f"/v1/customers/{customer.id}/cash_balance_transactions").json()["data"]
        return {
            "intent": paid["id"],
            "charge": paid["latest_charge"],
            "refund": post("/v1/refunds", payment_intent=paid["id"], amount=1)["id"],
            "customer": customer.id,
            "order": order["id"],
            "session": post("/v1/checkout/sessions", order=order["id"], success_url="https://x.example")["id"],
            "payment_method": method["id"],
            "transaction": moves[0]["id"],
            "webhook_endpoints": endpoint["id"],
            "events": client.get("/v1/events").json()["data"][0]["id"],
        }


def test_another_merchants_key_never_sees_or_changes_what_is_mine(world: World, mine: dict[str, str]) -> None:
    walked = 0
    for method, path in offered(world):
        variables = re.findall(r"\{(\w+)\}", path)
        if not variables:
            continue
        collection = path.split("/")[2]
        filled = path
        for name in variables:
            filled = filled.replace("{" + name + "}", mine[collection if name == "id" else name])
        for key in (world.other_key, world.live_key):
            answer = call(world, method, filled, key)
            assert answer.status_code in (400, 403, 404), (method, filled, answer.status_code, answer.text)
            if answer.status_code != 404:
                assert answer.json()["error"]["code"] in ("parameter_missing", "livemode_mismatch"), answer.text
        walked += 1
    assert walked > 20


def test_another_merchants_lists_hold_nothing_of_mine(world: World, mine: dict[str, str]) -> None:
    ids = set(mine.values())
    for method, path in offered(world):
        if method != "GET" or "{" in path:
            continue
        answer = call(world, method, path, world.other_key)
        if answer.status_code == 200:
            assert not ids & {row["id"] for row in answer.json()["data"]}, path
