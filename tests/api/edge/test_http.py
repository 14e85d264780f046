"""The edge over real HTTP: answers, errors, keys, headers, what reaches a handler."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import Any

import pytest
import structlog
from tests.api.edge.conftest import Serve, Shop
from tests.api.edge.toys import CALLERS, CreateToy, Small

from tongbao.api.edge import Edge
from tongbao.foundation.http import ANONYMOUS

TOY = {"amount": "1200", "currency": "cny"}


async def test_a_form_reaches_its_handler_decoded(shop: Shop) -> None:
    answer = await shop.client.post(
        "/v1/toys",
        data={**TOY, "metadata[order]": "A-1", "line_items[0][name]": "铁观音", "expand[]": ["a", "b"]},
        headers={"Idempotency-Key": "k1", "Stripe-Version": "2024-06-20"},
    )
    assert answer.status_code == 200
    assert answer.json()["line_items"] == [{"name": "铁观音", "quantity": 1, "tags": []}]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["request-id"].startswith("req_")
    assert answer.headers["stripe-version"] == "2024-06-20"
    assert answer.headers["idempotency-key"] == "k1"
    assert "idempotent-replayed" not in answer.headers
    [call] = shop.toys.calls
    assert isinstance(call.params, CreateToy)
    assert call.params.expand == ["a", "b"]
    assert call.caller == CALLERS["sk_test_1"]
    assert call.request_id == answer.headers["request-id"]
    assert call.idempotency is not None
    assert call.idempotency.key == "k1"
    assert abs(call.now_ms - time.time() * 1000) < 60_000


async def hashes(shop: Shop, *requests: dict[str, Any]) -> list[str]:
    for request in requests:
        given = {"method": "POST", "url": "/v1/small", "headers": {"Idempotency-Key": "k"}, **request}
        answer = await shop.client.request(**given)
        assert answer.status_code == 200, answer.text
    return [call.idempotency.input_hash for call in shop.toys.calls if call.idempotency]


async def test_the_input_hash_tells_inputs_apart_and_formats_not(shop: Shop) -> None:
    form, as_json, reordered, other, elsewhere = await hashes(
        shop,
        {"data": TOY},
        {"json": {"amount": 1200, "currency": "cny"}},
        {"content": b"currency=cny&amount=1200", "headers": {"Idempotency-Key": "k", **FORM}},
        {"data": {**TOY, "amount": "1201"}},
        {"data": TOY, "url": "/v1/toys/a/parts/b"},
    )
    assert form == as_json == reordered
    assert len({form, other, elsewhere}) == 3
    assert len(form) == 64


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def test_the_input_hash_depends_on_the_installations_secret(shop: Shop, serve: Serve) -> None:
    async with serve(hash_key=b"another secret of 32 bytes......") as other:
        assert await hashes(shop, {"data": TOY}) != await hashes(other, {"data": TOY})
    with pytest.raises(ValueError, match="hash_key"):
        Edge([], lambda _: asyncio.sleep(0, ANONYMOUS), hash_key=b"")


async def test_only_post_has_idempotency(shop: Shop) -> None:
    await shop.client.delete("/v1/toys/toy_1", headers={"Idempotency-Key": "k"})
    assert shop.toys.calls[0].idempotency is None
    assert shop.toys.calls[0].path == {"toy": "toy_1"}


async def test_variables_are_named_and_fixed_addresses_win(shop: Shop) -> None:
    await shop.client.post("/v1/toys/toy_1/parts/p%20%E9%93%9C", data=TOY)
    await shop.client.get("/v1/toys/search")
    await shop.client.get("/v1/toys/toy_2?expand[]=x")
    assert [call.path for call in shop.toys.calls] == [{"toy": "toy_1", "part": "p 铜"}, {}, {"id": "toy_2"}]
    assert isinstance(shop.toys.calls[0].params, Small)


async def test_lists_are_asked_for_by_query(shop: Shop) -> None:
    page = (await shop.client.get("/v1/toys?limit=2")).json()
    assert page == {"object": "list", "url": "/v1/toys", "has_more": True, "data": [{"id": "toy_0"}, {"id": "toy_1"}]}
    refused = (await shop.client.get("/v1/toys?limit=101")).json()["error"]
    assert (refused["param"], refused["message"]) == ("limit", "Invalid integer: limit must be at most 100.")
    refused = (await shop.client.get("/v1/toys?starting_after=a&ending_before=b")).json()["error"]
    assert refused["code"] == "parameters_exclusive"


async def test_an_answer_can_say_more(shop: Shop) -> None:
    answer = await shop.client.post("/v1/replay", data=TOY)
    assert answer.status_code == 201
    assert (answer.headers["idempotent-replayed"], answer.headers["x-toy"]) == ("true", "yes")


async def test_an_unknown_address_is_404_in_stripes_words(shop: Shop) -> None:
    for path in ("/v1/foo", "/", "/v1/toys/", "/v1/toys//", "/v1/toys/a%00b", "/v1/toys/" + "x" * 300, "/v1/toys/a/b"):
        answer = await shop.client.get(path)
        assert answer.status_code == 404, path
        error = answer.json()["error"]
        assert error["type"] == "invalid_request_error"
        assert error["message"].startswith("Unrecognized request URL (GET: ")
        assert error["doc_url"] == "https://pay.example/docs/errors#url_unrecognized"


async def test_a_wrong_method_is_405_with_those_allowed(shop: Shop) -> None:
    answer = await shop.client.put("/v1/toys")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS, POST")
    answer = await shop.client.get("/v1/small")
    assert (answer.status_code, answer.headers["allow"]) == (405, "OPTIONS, POST")
    answer = await shop.client.patch("/v1/toys/toy_1")
    assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, GET, HEAD, OPTIONS")


async def test_head_and_options_are_sensible(shop: Shop) -> None:
    answer = await shop.client.head("/v1/toys/toy_1")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 0
    answer = await shop.client.options("/v1/toys", headers={"Authorization": ""})
    assert (answer.status_code, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")
    assert (await shop.client.options("/v1/nothing")).status_code == 404


async def test_keys_come_as_bearer_or_as_basic_user_name(shop: Shop) -> None:
    for header in ("Bearer sk_test_1", "bearer  sk_test_1", "Basic " + base64.b64encode(b"sk_test_1:").decode()):
        answer = await shop.client.get("/v1/toys/toy_1", headers={"Authorization": header})
        assert answer.status_code == 200, header


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "api_key_missing"),
        ("Bearer", "api_key_malformed"),
        ("Bearer sk_wrong", "api_key_invalid"),
        ("Bearer " + "x" * 5000, "api_key_malformed"),
        ("Bearer a\x01b", "api_key_malformed"),
        ("Bearer é", "api_key_malformed"),
        ("Basic !!!", "api_key_malformed"),
        ("Basic " + base64.b64encode(b"\xff\xfe:").decode(), "api_key_malformed"),
        ("Basic Og==", "api_key_malformed"),
        ("Digest sk_test_1", "api_key_malformed"),
        ("sk_test_1", "api_key_malformed"),
    ],
)
async def test_without_a_good_key_there_is_a_401(shop: Shop, header: str, code: str) -> None:
    answer = await shop.raw(
        b"POST /v1/toys HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: "
        + header.encode("latin-1")
        + b"\r\nContent-Length: 3\r\n\r\na=1"
    )
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"\x01" in header.encode("latin-1") and b"401" not in head:
        assert b"HTTP/1.1 400" in head
        return
    assert b"HTTP/1.1 401" in head
    assert b'www-authenticate: Bearer realm="Tongbao"' in head
    assert json.loads(body)["error"]["code"] == code
    assert not shop.toys.calls


async def test_a_publishable_key_can_do_only_what_it_must(shop: Shop) -> None:
    key = {"Authorization": "Bearer pk_test_1"}
    answer = await shop.client.post("/v1/toys", data=TOY, headers=key)
    assert answer.status_code == 403
    assert answer.json()["error"]["message"].startswith("This API call cannot be made with a publishable API key.")
    assert (await shop.client.get("/v1/toys/toy_1", headers=key)).status_code == 200


async def test_a_public_route_asks_for_no_key(shop: Shop) -> None:
    answer = await shop.client.get("/v1/hello", headers={"Authorization": ""})
    assert answer.status_code == 200
    assert shop.toys.calls[0].caller == ANONYMOUS


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\tb"])
async def test_a_malformed_idempotency_key_is_refused(shop: Shop, key: str) -> None:
    answer = await shop.client.post("/v1/toys", data=TOY, headers=[(b"Idempotency-Key", key.encode("latin-1"))])
    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.json()["error"]["message"]
    assert "idempotency-key" not in answer.headers


async def test_the_longest_idempotency_key_is_taken(shop: Shop) -> None:
    answer = await shop.client.post("/v1/toys", data=TOY, headers={"Idempotency-Key": "x" * 255})
    assert answer.status_code == 200


async def test_a_header_that_comes_twice_is_refused(shop: Shop) -> None:
    for name in ("Idempotency-Key", "Authorization", "Content-Type"):
        answer = await shop.client.post("/v1/toys", content=b"a=1", headers=[(name, "a"), (name, "b")])
        assert answer.status_code == 400, name
        assert name in answer.json()["error"]["message"]


async def test_errors_have_stripes_shape(shop: Shop) -> None:
    answer = await shop.client.post("/v1/fail", data={"how": "declined"})
    assert answer.status_code == 402
    assert answer.json() == {
        "error": {
            "type": "card_error",
            "code": "card_declined",
            "message": "Your card was declined.",
            "decline_code": "insufficient_funds",
            "payment_intent": {"id": "pi_1"},
            "doc_url": "https://pay.example/docs/errors#card_declined",
        }
    }
    error = (await shop.client.post("/v1/toys", data={**TOY, "foo[bar]": "1"})).json()["error"]
    assert (error["code"], error["param"], error["type"]) == ("parameter_unknown", "foo", "invalid_request_error")
    assert error["message"] == "Received unknown parameter: foo"


@pytest.mark.parametrize(("how", "status"), [("rate", 429), ("busy", 503), ("database", 503)])
async def test_who_should_come_back_is_told_when(shop: Shop, how: str, status: int) -> None:
    answer = await shop.client.post("/v1/fail", data={"how": how})
    assert (answer.status_code, answer.headers["retry-after"]) == (status, "1")
    assert "10.0.0.7" not in answer.text


@pytest.mark.parametrize("how", ["bug", "unencodable"])
async def test_a_bug_is_a_500_that_leaks_nothing(shop: Shop, how: str) -> None:
    with structlog.testing.capture_logs() as logs:
        answer = await shop.client.post("/v1/fail", data={"how": how})
    assert answer.status_code == 500
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("api_error", "internal_error")
    assert answer.headers["request-id"] in error["message"]
    assert "4242" not in answer.text
    assert logs[0]["event"] == "request failed"
    assert logs[0]["request_id"] == answer.headers["request-id"]


async def test_each_request_is_logged_by_template_without_its_content(shop: Shop, serve: Serve) -> None:
    with structlog.testing.capture_logs() as logs:
        await shop.client.get("/v1/toys/toy_secret?expand[]=hidden")
        await shop.client.get("/v1/nothing/secret")
    assert [(line["method"], line["path"], line["status"], line["merchant"]) for line in logs] == [
        ("GET", "/v1/toys/{id}", 200, "acct_1"),
        ("GET", None, 404, None),
    ]
    assert "secret" not in str(logs)
    assert "hidden" not in str(logs)
    async with serve(access_log=False) as quiet:
        with structlog.testing.capture_logs() as logs:
            await quiet.client.get("/v1/toys/toy_1")
    assert logs == []


async def test_more_than_can_be_served_is_refused_at_once(serve: Serve) -> None:
    async with serve(in_flight_max=2) as shop:
        slow = [asyncio.create_task(shop.client.post("/v1/wait", data={"ms": "300"})) for _ in range(2)]
        while len(shop.toys.calls) < 2:
            await asyncio.sleep(0.01)
        answer = await shop.client.get("/v1/toys/toy_1")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert [(await task).status_code for task in slow] == [200, 200]
        assert (await shop.client.get("/v1/toys/toy_1")).status_code == 200


async def test_a_handler_that_has_begun_ends_though_its_client_goes_away(shop: Shop) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    writer.write(
        b"POST /v1/wait HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk_test_1\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 6\r\n\r\nms=200"
    )
    while not shop.toys.calls:
        await asyncio.sleep(0.01)
    writer.transport.abort()
    await asyncio.wait_for(shop.toys.finished.wait(), 5)
