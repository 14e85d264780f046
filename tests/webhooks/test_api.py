"""Endpoints, the feed of events and the log of deliveries, over HTTP with Stripe's own library."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import stripe
from tests.webhooks.receiver import Receiver, Way, serving
from tests.webhooks.world import RENDERERS, World

from tongbao.api.edge import Edge
from tongbao.identity.keys import Authenticator
from tongbao.identity.merchants import create_key
from tongbao.webhooks.routes import routes

# Stripe's library hands its bytes to httpx in a way that httpx wishes to be rid of.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@dataclass
class Api:
    """A served API, with a client of Stripe's for either mode and a plain one."""

    test: stripe.StripeClient
    live: stripe.StripeClient
    http: httpx.AsyncClient


@pytest.fixture
async def api(world: World) -> AsyncIterator[Api]:
    offered = routes(world.engine, world.pool, world.vault, RENDERERS)
    edge = Edge(offered, Authenticator(world.pool), hash_key=b"0" * 32, access_log=False)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    base = f"http://127.0.0.1:{listener.getsockname()[1]}"
    test_key, _ = await create_key(world.pool, world.test, "secret")
    live_key, _ = await create_key(world.pool, world.live, "secret")
    client = stripe.HTTPXClient()
    made = [
        stripe.StripeClient(key, http_client=client, base_addresses={"api": base}, max_network_retries=0)
        for key in (test_key, live_key)
    ]
    async with (
        serving(edge, listener),
        httpx.AsyncClient(base_url=base, headers={"Authorization": f"Bearer {test_key}"}) as http,
    ):
        yield Api(made[0], made[1], http)


@contextlib.contextmanager
def refused(param: str | None, code: str | None = None) -> Any:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        yield
    assert caught.value.param == param
    if code is not None:
        assert caught.value.code == code


async def test_an_endpoint_is_made_changed_listed_and_deleted(api: Api) -> None:
    endpoints = api.test.v1.webhook_endpoints
    made = await endpoints.create_async(
        {
            "url": "https://shop.example/hook",
            "enabled_events": ["charge.refunded", "payment_intent.*", "charge.refunded"],  # type: ignore[list-item]
            "description": "the shop",
            "metadata": {"a": "1", "b": "2"},
        }
    )
    assert made.secret is not None
    assert made.secret.startswith("whsec_")
    assert made.status == "enabled"
    assert list(made.enabled_events) == ["charge.refunded", "payment_intent.*"]
    found = await endpoints.retrieve_async(made.id)
    assert found.url == "https://shop.example/hook"
    assert getattr(found, "secret", None) is None
    changed = await endpoints.update_async(
        made.id,
        {"url": "https://shop.example/other", "disabled": True, "metadata": {"a": ""}, "description": ""},
    )
    assert (changed.url, changed.status, changed.description) == ("https://shop.example/other", "disabled", None)
    assert changed.metadata.to_dict() == {"b": "2"}
    assert [one.id for one in (await endpoints.list_async()).data] == [made.id]
    deleted = await endpoints.delete_async(made.id)
    assert deleted.deleted is True
    assert (await endpoints.list_async()).data == []
    with refused("id", "resource_missing"):
        await endpoints.retrieve_async(made.id)
    with refused("id", "resource_missing"):
        await endpoints.delete_async(made.id)


async def test_a_repeated_request_makes_one_endpoint_and_tells_the_same_secret(api: Api) -> None:
    endpoints = api.test.v1.webhook_endpoints
    wish: Any = {"url": "https://shop.example/hook", "enabled_events": ["*"]}
    first = await endpoints.create_async(wish, {"idempotency_key": "k1"})
    again = await endpoints.create_async(wish, {"idempotency_key": "k1"})
    assert (first.id, first.secret) == (again.id, again.secret)
    assert len((await endpoints.list_async()).data) == 1


@pytest.mark.parametrize(
    ("wish", "param"),
    [
        ({"url": "https://shop.example/"}, "enabled_events"),
        ({"enabled_events": ["*"]}, "url"),
        ({"url": "gopher://x/", "enabled_events": ["*"]}, "url"),
        ({"url": "https://shop.example/" + "x" * 3000, "enabled_events": ["*"]}, "url"),
        ({"url": "https://shop.example/", "enabled_events": ["charge.refunded", "Charge"]}, "enabled_events[1]"),
        ({"url": "https://shop.example/", "enabled_events": ["*"], "colour": "red"}, "colour"),
        ({"url": "https://shop.example/", "enabled_events": ["*"], "metadata": {"x" * 41: "1"}}, "metadata"),
    ],
)
async def test_a_wrong_endpoint_is_refused_by_name(api: Api, wish: Any, param: str) -> None:
    with refused(param):
        await api.test.v1.webhook_endpoints.create_async(wish)


async def test_a_live_endpoint_must_be_public_and_secure(api: Api) -> None:
    for url in ("http://shop.example/hook", "https://127.0.0.1/hook", "https://localhost/hook"):
        with refused("url"):
            await api.live.v1.webhook_endpoints.create_async({"url": url, "enabled_events": ["*"]})
        made = await api.test.v1.webhook_endpoints.create_async({"url": url, "enabled_events": ["*"]})
        with refused("id"):
            await api.live.v1.webhook_endpoints.retrieve_async(made.id)


async def test_there_are_at_most_sixteen_endpoints(api: Api) -> None:
    for n in range(16):
        await api.test.v1.webhook_endpoints.create_async({"url": f"https://shop.example/{n}", "enabled_events": ["*"]})
    with refused(None, "webhook_endpoints_limit"):
        await api.test.v1.webhook_endpoints.create_async({"url": "https://shop.example/", "enabled_events": ["*"]})


async def test_the_secret_is_told_when_made_and_when_rolled_and_kept_sealed(api: Api, world: World) -> None:
    made = await api.test.v1.webhook_endpoints.create_async(
        {"url": "https://shop.example/hook", "enabled_events": ["*"]}
    )
    rolled = (await api.http.post(f"/v1/webhook_endpoints/{made.id}/roll_secret", data={"expires_in": "60"})).json()
    assert rolled["secret"].startswith("whsec_")
    assert rolled["secret"] != made.secret
    (row,) = await world.pool.fetch("SELECT * FROM webhook_endpoints")
    kept = await world.pool.fetch("SELECT * FROM idempotency_keys")
    for secret in (str(made.secret), str(rolled["secret"])):
        assert secret not in str(row)
        assert secret not in str(kept)
    await api.test.v1.webhook_endpoints.delete_async(made.id)
    (row,) = await world.pool.fetch("SELECT * FROM webhook_endpoints")
    assert (row["secret"], row["previous_secret"]) == ("", None)


async def test_events_are_listed_newest_first_and_paged_both_ways(api: Api, world: World) -> None:
    for n in range(25):
        await world.happen((f"customer.{'created' if n % 2 else 'updated'}", f"cus_{n}"))
    await world.happen("order.paid", merchant=world.live)
    events = api.test.v1.events
    everything = [event async for event in (await events.list_async({"limit": 10})).auto_paging_iter()]
    assert [event.data.object["id"] for event in everything] == [f"cus_{n}" for n in range(24, -1, -1)]
    ids = [event.id for event in everything]
    older = await events.list_async({"starting_after": ids[4], "limit": 3})
    assert [event.id for event in older.data] == ids[5:8]
    newer = await events.list_async({"ending_before": ids[4], "limit": 3})
    assert [event.id for event in newer.data] == ids[1:4]
    assert newer.has_more
    last = await events.list_async({"starting_after": ids[-2]})
    assert [event.id for event in last.data] == ids[-1:]
    assert not last.has_more
    created = await events.list_async({"type": "customer.created", "limit": 100})
    assert len(created.data) == 12
    assert len((await events.list_async({"type": "customer.*", "limit": 100})).data) == 25
    assert len((await events.list_async({"types": ["customer.created", "customer.updated"], "limit": 100})).data) == 25
    assert (await events.list_async({"type": "customer_created"})).data == []
    with refused("starting_after", "resource_missing"):
        await events.list_async({"starting_after": "evt_nothing"})


async def test_events_are_filtered_by_time(api: Api, world: World) -> None:
    for n in range(6):
        await world.happen(("customer.created", f"cus_{n}"))
    await world.pool.execute("ALTER TABLE events DISABLE TRIGGER ALL")
    await world.pool.execute("UPDATE events SET created_ms = (1000000 + seq * 100) * 1000 + 500")

    async def found(**created: int) -> list[int]:
        wish: Any = {"created": created, "limit": 100}
        page = await api.test.v1.events.list_async(wish)
        return [int(event.data.object["id"].removeprefix("cus_")) + 1 for event in page.data]

    assert await found(gte=1_000_300) == [6, 5, 4, 3]
    assert await found(gt=1_000_300) == [6, 5, 4]
    assert await found(lt=1_000_300) == [2, 1]
    assert await found(lte=1_000_300) == [3, 2, 1]
    assert await found(gte=1_000_200, lt=1_000_400) == [3, 2]
    assert await found(gt=1_000_600) == []
    assert await found(lt=1_000_000) == []
    assert await found(gte=0) == [6, 5, 4, 3, 2, 1]


async def test_an_event_is_found_by_its_id_by_its_merchant_only(api: Api, world: World) -> None:
    await world.happen("customer.created")
    (event,) = (await api.test.v1.events.list_async()).data
    found = await api.test.v1.events.retrieve_async(event.id)
    assert found.to_dict() == event.to_dict()
    assert found.pending_webhooks == 0
    other = event.id[:-1] + ("0" if event.id[-1] != "0" else "1")
    for client, id in ((api.live, event.id), (api.test, other), (api.test, "evt_é"), (api.test, "x" * 200)):
        with refused("id", "resource_missing"):
            await client.v1.events.retrieve_async(id)


async def test_the_log_tells_every_attempt_and_an_event_can_be_sent_again(
    api: Api, world: World, receiver: Receiver
) -> None:
    receiver.ways["/hook"] = Way(status=500, body=b"out of tea")
    endpoint = await api.test.v1.webhook_endpoints.create_async({"url": receiver.url(), "enabled_events": ["*"]})
    deliveries = f"/v1/webhook_endpoints/{endpoint.id}/deliveries"
    async with world.sending():
        await world.happen("customer.created", "customer.updated")
        await receiver.wait(1)
        async with asyncio.timeout(5):
            while not (log := (await api.http.get(deliveries)).json())["data"][-1:] or not log["data"][-1]["attempts"]:
                await asyncio.sleep(0.02)
        one = log["data"][-1]
        assert (one["object"], one["status"], one["event_type"]) == ("webhook_delivery", "pending", "customer.created")
        assert one["next_attempt_at"] is not None
        assert one["attempts"][0]["status_code"] == 500
        assert one["attempts"][0]["detail"] == "out of tea"
        event = await api.test.v1.events.retrieve_async(one["event"])
        assert event.pending_webhooks == 1
        receiver.ways["/hook"] = Way()
        sent = await api.http.post(f"/v1/events/{event.id}/retry", data={"webhook_endpoint": endpoint.id})
        assert sent.json()["status"] == "pending"
        await world.until_states("delivered", "delivered")
        assert (await api.test.v1.events.retrieve_async(one["event"])).pending_webhooks == 0
    log = (await api.http.get(deliveries, params={"status": "delivered"})).json()
    assert [entry["event_type"] for entry in log["data"]] == ["customer.updated", "customer.created"]
    assert [attempt["status_code"] for attempt in log["data"][-1]["attempts"]] == [500, 200]
    assert log["data"][-1]["next_attempt_at"] is None
    page = (await api.http.get(deliveries, params={"limit": 1})).json()
    assert page["has_more"]
    rest = (await api.http.get(deliveries, params={"starting_after": page["data"][0]["id"]})).json()
    assert [entry["event_type"] for entry in rest["data"]] == ["customer.created"]
    assert (await api.http.get(deliveries, params={"status": "lost"})).status_code == 400


@pytest.mark.parametrize("what", ["event", "endpoint", "disabled"])
async def test_what_cannot_be_sent_again_is_refused_by_name(api: Api, world: World, what: str) -> None:
    await world.happen("customer.created")
    (event,) = (await api.test.v1.events.list_async()).data
    endpoint = await api.test.v1.webhook_endpoints.create_async(
        {"url": "https://shop.example/", "enabled_events": ["*"]}
    )
    event_id, endpoint_id, status, param = event.id, endpoint.id, 404, "id"
    if what == "event":
        event_id = "evt_unknown"
    elif what == "endpoint":
        endpoint_id, param = "we_unknown", "webhook_endpoint"
    else:
        await api.test.v1.webhook_endpoints.update_async(endpoint.id, {"disabled": True})
        status, param = 400, "webhook_endpoint"
    answer = await api.http.post(f"/v1/events/{event_id}/retry", data={"webhook_endpoint": endpoint_id})
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)
