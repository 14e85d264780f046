"""Bad input of every kind gets a clear 4xx that names the parameter, and changes nothing."""

from __future__ import annotations

import json
import socket
from typing import Any

import httpx
import pytest
from tests.world import World

INTENT = "/v1/payment_intents"
DEEP = "a" + "[b]" * 60 + "=1"
CASES: list[tuple[str, str, bytes, str, int, str | None]] = [
    ("an unknown parameter", INTENT, b"amount=1&currency=cny&colour=red", "form", 400, "colour"),
    ("a missing amount", INTENT, b"currency=cny", "form", 400, "amount"),
    ("a missing currency", INTENT, b"amount=1", "form", 400, "currency"),
    ("an unknown currency", INTENT, b"amount=1&currency=zzz", "form", 400, "currency"),
    ("a fraction", INTENT, b"amount=1.5&currency=cny", "form", 400, "amount"),
    ("a negative amount", INTENT, b"amount=-5&currency=cny", "form", 400, "amount"),
    ("zero", INTENT, b"amount=0&currency=cny", "form", 400, "amount"),
    ("a huge amount", INTENT, b"amount=" + b"9" * 40 + b"&currency=cny", "form", 400, "amount"),
    ("text for a number", INTENT, b"amount=ten&currency=cny", "form", 400, "amount"),
    ("full-width digits", INTENT, "amount=１２&currency=cny".encode(), "form", 400, "amount"),
    ("a boolean for a number", INTENT, b'{"amount": true, "currency": "cny"}', "json", 400, "amount"),
    ("a number for text", INTENT, b'{"amount": 1, "currency": 5}', "json", 400, "currency"),
    ("a list for an object", INTENT, b'{"amount": 1, "currency": "cny", "metadata": []}', "json", 400, "metadata"),
    ("NaN", INTENT, b'{"amount": NaN, "currency": "cny"}', "json", 400, None),
    ("NUL in text", INTENT, b"amount=1&currency=cny&description=a%00b", "form", 400, "description"),
    ("NUL in JSON", INTENT, b'{"amount":1,"currency":"cny","description":"a\\u0000b"}', "json", 400, "description"),
    ("half a surrogate", INTENT, b'{"amount":1,"currency":"cny","description":"\\ud800"}', "json", 400, None),
    ("bytes that are not UTF-8", INTENT, b"amount=1&currency=cny&description=%ff%fe", "form", 400, None),
    ("deep nesting in a form", INTENT, DEEP.encode(), "form", 400, None),
    ("deep nesting in JSON", INTENT, b"[" * 5_000 + b"]" * 5_000, "json", 400, None),
    ("not JSON", INTENT, b"{amount", "json", 400, None),
    ("a JSON list", INTENT, b"[1]", "json", 400, None),
    ("two values for one name", INTENT, b"amount=1&amount=2&currency=cny", "form", 400, "amount"),
    ("51 pieces of metadata", INTENT, json.dumps(
        {"amount": 1, "currency": "cny", "metadata": {f"k{i}": "v" for i in range(51)}}
    ).encode(), "json", 400, "metadata"),
    ("a long description", INTENT, b"amount=1&currency=cny&description=" + b"x" * 1001, "form", 400, "description"),
    ("an unknown customer", INTENT, b"amount=1&currency=cny&customer=cus_nobody", "form", 404, "customer"),
    ("an unknown method", INTENT, b"amount=1&currency=cny&payment_method=pm_nothing", "form", 404, "payment_method"),
    ("an unknown order", INTENT, b"order=ord_none", "form", 404, "order"),
    ("an unknown method type", INTENT, b"amount=1&currency=cny&payment_method_types[]=beads", "form", 400,
     "payment_method_types"),
    ("a script for a way back", INTENT, b"amount=1&currency=cny&return_url=javascript:alert(1)", "form", 400,
     "return_url"),
    ("a refund of nothing", "/v1/refunds", b"amount=5", "form", 400, "payment_intent"),
    ("a refund of an unknown payment", "/v1/refunds", b"payment_intent=pi_none", "form", 404, "payment_intent"),
    ("an order without items", "/v1/orders", b"currency=cny", "form", 400, "line_items"),
    ("an order with an empty list", "/v1/orders", b'{"currency":"cny","line_items":[]}', "json", 400, "line_items"),
    ("an order of nothing", "/v1/orders", b"currency=cny&line_items[0][name]=x&line_items[0][unit_amount]=0", "form",
     400, "line_items[0][unit_amount]"),
    ("a total beyond all bounds", "/v1/orders",
     b"currency=cny&line_items[0][name]=x&line_items[0][unit_amount]=999999999999&line_items[0][quantity]=1000000",
     "form", 400, "line_items"),
    ("a session without a way back", "/v1/checkout/sessions", b"order=ord_x", "form", 400, "success_url"),
    ("a session with a script for a way back", "/v1/checkout/sessions", b"order=ord_x&success_url=javascript:alert(1)",
     "form", 400, "success_url"),
]  # fmt: skip
TYPES = {"form": "application/x-www-form-urlencoded", "json": "application/json"}


def counted(world: World) -> list[Any]:
    return world.sql(
        "SELECT (SELECT count(*) FROM payment_intents), (SELECT count(*) FROM orders),"
        " (SELECT count(*) FROM transfers), (SELECT count(*) FROM refunds),"
        " (SELECT count(*) FROM checkout_sessions), (SELECT count(*) FROM charges)"
    )


@pytest.mark.parametrize(("what", "path", "body", "form", "status", "param"), CASES, ids=[case[0] for case in CASES])
def test_bad_input_is_refused_by_name(
    world: World, what: str, path: str, body: bytes, form: str, status: int, param: str | None
) -> None:
    before = counted(world)
    with world.http() as client:
        answer = client.post(path, content=body, headers={"Content-Type": TYPES[form]})
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["code"]
    assert len(error["message"]) > 10
    assert error["doc_url"].endswith(f"#{error['code']}")
    if param is not None:
        assert error["param"] == param
    assert answer.headers["Request-Id"].startswith("req_")
    assert counted(world) == before


def test_ten_megabytes_are_refused(world: World) -> None:
    with world.http() as client:
        answer = client.post(
            INTENT, content=b"description=" + b"x" * 10_000_000, headers={"Content-Type": TYPES["form"]}
        )
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("number", "code"),
    [("4242424242424241", "incorrect_number"), ("1234", "invalid_number"), ("42424242abcd4242", "invalid_number")],
)
def test_a_card_number_that_cannot_be_is_a_card_error_and_is_not_echoed(world: World, number: str, code: str) -> None:
    form = {"type": "card", "card[number]": number, "card[exp_month]": 12, "card[exp_year]": 2049, "card[cvc]": "123"}
    with world.http() as client:
        answer = client.post("/v1/payment_methods", data=form)
    assert answer.status_code == 402, answer.text
    error = answer.json()["error"]
    assert error["type"] == "card_error"
    assert error["code"] in (code, "incorrect_number", "invalid_number")
    assert error["param"] == "number"
    assert number not in answer.text


def test_junk_that_is_not_http_ends_the_connection_and_hurts_nobody(world: World) -> None:
    with socket.create_connection(("127.0.0.1", world.port), timeout=15) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00junk\r\n\r\n")
        assert connection.recv(4096)[:10] in (b"HTTP/1.1 4", b"")
    assert httpx.get(f"{world.url}/v1/customers", trust_env=False).status_code == 401
