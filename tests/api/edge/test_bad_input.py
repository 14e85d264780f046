"""Hostile and broken requests over real HTTP: a clear 4xx, never a 5xx, and the server goes on serving."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from tests.api.edge.conftest import Serve, Shop

KEY = b"Host: x\r\nAuthorization: Bearer sk_test_1\r\n"
HEAD = b"POST /v1/toys HTTP/1.1\r\n" + KEY
CLOSE = b"Connection: close\r\n"
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
CHUNKED = HEAD + FORM + CLOSE + b"Transfer-Encoding: chunked\r\n\r\n"


def told(answer: httpx.Response | bytes, status: int) -> dict[str, Any]:
    """The error object of an answer that has this status."""
    if isinstance(answer, bytes):
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status), answer[:300]
        assert b"\r\nrequest-id: req_" in head
    else:
        assert answer.status_code == status, answer.text
        assert answer.headers["request-id"].startswith("req_")
        body = answer.content
    error: dict[str, Any] = json.loads(body)["error"]
    return error


async def post(shop: Shop, body: bytes, kind: str = "application/x-www-form-urlencoded") -> httpx.Response:
    return await shop.client.post("/v1/toys", content=body, headers={"Content-Type": kind})


async def still_serves(shop: Shop) -> bool:
    return (await shop.client.post("/v1/small", data={"amount": "1", "currency": "cny"})).status_code == 200


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"amount=abc&currency=cny", "amount"),
        (b"amount=&currency=cny", "amount"),
        (b"amount=1000000000000000000000000000000&currency=cny", "amount"),
        (b"amount=-5&currency=cny", "amount"),
        (b"currency=cny", "amount"),
        (b"amount=1&currency=cny&metadata[a]=x%00y", "metadata[a]"),
        (b"amount=1&currency=cny&description=%ff%fe", "description"),
        (b"amount=1&currency=cny&description=\xff", "description"),
        (b"amount=1&currency=cny&x" + b"[a]" * 5_000 + b"=1", "…"),
        (b"amount=1&currency=cny&x" + b"[a]" * 20 + b"=1", "x"),
        (b"amount=1&amount=2&currency=cny", "amount"),
        (b"amount=1&currency=cny&metadata=1&metadata[a]=1", "metadata[a]"),
        (b"amount=1&currency=cny&line_items[0][quantity]=1", "line_items[0][name]"),
        (b"amount=1&currency=cny&" + b"x" * 100_000 + b"=1", "x" * 50),
        (b"amount=1&currency=cny&description=" + b"x" * 900_000, "description"),
        (b"&".join(b"p%d=1" % number for number in range(5_000)), None),
    ],
)
async def test_a_bad_form_is_a_400_that_names_the_parameter(shop: Shop, body: bytes, param: str | None) -> None:
    error = told(await post(shop, body), 400)
    assert error.get("param") == param
    assert len(error["message"]) < 400


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"amount": 1000000000000000000000000000000, "currency": "cny"}', "amount"),
        (b'{"amount": "1", "currency": "cny"}', "amount"),
        (b'{"amount": 1.5, "currency": "cny"}', "amount"),
        (b'{"amount": 1e400, "currency": "cny"}', "amount"),
        (b'{"amount": NaN, "currency": "cny"}', None),
        (b'{"amount": 1, "currency": "c\\u0000y"}', "currency"),
        (b'{"amount": 1, "currency": "\\ud800"}', "currency"),
        (b'{"amount": 1, "currency": "\xff"}', None),
        (b'{"amount": 1, "currency": "cny", "metadata": {"a": {"b": 1}}}', "metadata[a]"),
        (
            b'{"amount": 1, "currency": "cny", "line_items": [{"name": "a", "quantity": "2"}]}',
            "line_items[0][quantity]",
        ),
        (b"[" * 500_000, None),
        (b'{"a":' * 150_000, None),
        (b'{"metadata": ' + b"[" * 100 + b"]" * 100 + b"}", None),
        (b"", "amount"),
        (b"null", None),
        (b"{", None),
    ],
)
async def test_bad_json_is_a_400_that_names_the_parameter(shop: Shop, body: bytes, param: str | None) -> None:
    error = told(await post(shop, body, "application/json"), 400)
    assert error.get("param") == param
    assert len(error["message"]) < 400


async def test_a_query_is_held_to_the_same_rules(shop: Shop) -> None:
    for query, param in [
        ("limit=x", "limit"),
        ("limit=10000000000000000000000", "limit"),
        ("foo=1", "foo"),
        ("starting_after=%00", "starting_after"),
        ("starting_after=%ff", "starting_after"),
        ("created[gte]=x", "created[gte]"),
        ("created[foo]=1", "created[foo]"),
        ("limit[a]=1", "limit"),
    ]:
        assert told(await shop.client.get(f"/v1/toys?{query}"), 400)["param"] == param
    long = b"GET /v1/toys?starting_after=" + b"x" * 40_000 + b" HTTP/1.1\r\n" + CLOSE + KEY + b"\r\n"
    assert told(await shop.raw(long), 413)["code"] == "query_too_large"


async def test_another_format_or_a_compressed_body_is_415(shop: Shop) -> None:
    told(await post(shop, b"<amount/>", "application/xml"), 415)
    told(await shop.client.post("/v1/toys", files={"amount": b"1"}), 415)
    told(await shop.client.post("/v1/toys", content=b"amount=1"), 415)
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    told(await shop.client.post("/v1/toys", content=b"\x1f\x8b", headers=headers), 415)
    assert await still_serves(shop)


async def test_a_body_of_10_mb_is_refused_and_the_client_can_read_why(shop: Shop) -> None:
    error = told(await post(shop, b"description=" + b"x" * 10_000_000), 413)
    assert "1048576 bytes" in error["message"]
    assert await still_serves(shop)


async def test_a_body_of_10_mb_without_a_length_is_refused(shop: Shop) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 100_000

    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    told(await shop.client.post("/v1/toys", content=parts(), headers=kind), 413)
    assert await still_serves(shop)


async def send_for_ever(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        await writer.drain()


async def test_a_body_without_end_is_cut_off(shop: Shop) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    writer.write(CHUNKED)
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(send_for_ever(writer), 10)
    writer.close()
    assert await still_serves(shop)


async def test_nobody_without_a_key_has_a_body_read(shop: Shop) -> None:
    request = HEAD.replace(b"sk_test_1", b"sk_wrong") + FORM + b"Content-Length: 900000\r\n\r\n" + b"a=1"
    begun = time.monotonic()
    assert told(await shop.raw(request), 401)["code"] == "api_key_invalid"
    assert time.monotonic() - begun < 4  # answered at once, then closed after a short wait for the rest


async def test_chunked_bodies_are_read(shop: Shop) -> None:
    answer = await shop.raw(CHUNKED + b"9\r\namount=12\r\nF\r\n00&currency=cny\r\n0\r\n\r\n", wait_s=1)
    assert answer.startswith(b"HTTP/1.1 200 OK"), answer
    assert b'"amount":1200' in answer


@pytest.mark.parametrize(
    "request_bytes",
    [
        CHUNKED + b"zz\r\namount",
        CHUNKED + b"ffffffffffffffffff\r\namount",
        HEAD + FORM + b"Content-Length: -1\r\n\r\n",
        HEAD + FORM + b"Content-Length: abc\r\n\r\n",
        HEAD + FORM + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\na=1",
        HEAD + FORM + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"X: " + b"a\x00b" + b"\r\n\r\n",
        HEAD + b" folded: header\r\n\r\n",
        b"POST /v1/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/toys?starting_after=\xff HTTP/1.1\r\n" + CLOSE + KEY + b"\r\n",
        b"POST // HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"POST http:// HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/toys%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"BREW /v1/toys HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"GET\r\n\r\n",
    ],
)
async def test_what_is_not_http_gets_a_4xx(shop: Shop, request_bytes: bytes) -> None:
    answer = await shop.raw(request_bytes, wait_s=1)
    assert answer.startswith(b"HTTP/1.1 4"), answer
    assert await still_serves(shop)


async def test_many_and_long_headers_are_no_trouble(shop: Shop) -> None:
    many = b"".join(b"X-%d: %d\r\n" % (number, number) for number in range(2_000))
    answer = await shop.raw(HEAD + many + FORM + b"Connection: close\r\nContent-Length: 3\r\n\r\na=1")
    assert told(answer, 400)["param"] == "a"
    for name in (b"Content-Type", b"Stripe-Version", b"Idempotency-Key"):
        long = HEAD + name + b": " + b"x" * 50_000 + b"\r\n" + CLOSE + b"Content-Length: 3\r\n\r\na=1"
        assert name.decode() in told(await shop.raw(long), 400)["message"]
    assert await still_serves(shop)


@pytest.mark.parametrize("sent", [b"", b"amount=12"])
async def test_a_slow_body_is_408_and_the_connection_is_closed(serve: Serve, sent: bytes) -> None:
    async with serve(body_seconds_max=0.3) as shop:
        reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
        writer.write(HEAD + FORM + b"Content-Length: 100\r\n\r\n" + sent)
        answer = await asyncio.wait_for(reader.read(), 5)
        assert "within 0.3 seconds" in told(answer, 408)["message"]
        writer.close()
        assert await still_serves(shop)


async def test_a_dripping_body_is_408(serve: Serve) -> None:
    async with serve(body_seconds_max=0.5) as shop:
        reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
        writer.write(CHUNKED)

        async def drip() -> None:
            while True:
                writer.write(b"1\r\na\r\n")
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        answer = await asyncio.wait_for(reader.readuntil(b"}}"), 5)
        dripping.cancel()
        told(answer, 408)
        writer.close()


async def test_a_client_that_goes_away_amid_its_body_disturbs_nobody(shop: Shop) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    writer.write(HEAD + FORM + b"Content-Length: 100\r\n\r\namount=12")
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.transport.abort()
    assert await still_serves(shop)
    assert not [call for call in shop.toys.calls if call.params.__class__.__name__ == "CreateToy"]


async def test_a_connection_goes_on_after_an_error(shop: Shop) -> None:
    good = b"amount=1200&currency=cny"
    pair = b""
    for body in (b"amount=x", good):
        pair += HEAD + FORM + b"Content-Length: %d\r\n\r\n" % len(body) + body
    answer = await shop.raw(pair, wait_s=1)
    assert answer.count(b"HTTP/1.1 ") == 2
    assert b"HTTP/1.1 400" in answer
    assert b"HTTP/1.1 200" in answer
