"""The acquirer's wire: who may speak, what is refused, and that every answer is signed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.sandbox.acquirer_world import MERCHANT, charge, follow, query, send_card, token
from tests.sandbox.process import OTHER_TERMINAL, SECRET, AcquirerClient, SandboxProcess, start

from tongbao.foundation.ids import new_id


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    running = start(tmp_path_factory.mktemp("acquirer") / "sandbox")
    yield running
    running.stop()


@pytest.fixture
def client(sandbox: SandboxProcess) -> AcquirerClient:
    return AcquirerClient(sandbox)


def charge_body(**change: Any) -> dict[str, Any]:
    body = {
        "operation_id": new_id("op"),
        "merchant_id": MERCHANT,
        "token": "tkn_1",
        "amount": 100,
        "currency": "cny",
    }
    return {**body, **change}


def test_nobody_is_heard_without_the_terminals_signature(sandbox: SandboxProcess, client: AcquirerClient) -> None:
    strangers = {
        "signature_wrong": AcquirerClient(sandbox, secret="x" * 40),
        "terminal_unknown": AcquirerClient(sandbox, "trm_nobody", SECRET),
    }
    for code, stranger in strangers.items():
        answer = stranger.request("GET", "/books")
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, code)
        assert "acquirer-signature" not in answer.headers
    for age_ms in (-6 * 60_000, 6 * 60_000):
        assert client.request("GET", "/books", age_ms=age_ms).json()["error"]["code"] == "timestamp_stale"
    for headers in ({}, {"acquirer-terminal": "trm_test", "acquirer-timestamp": "soon"}):
        assert httpx.get(f"{sandbox.acquirer_url}/books", headers=headers).status_code == 401
    assert client.request("GET", "/books").status_code == 200


def test_a_signature_holds_for_its_own_method_path_and_body_only(
    sandbox: SandboxProcess, client: AcquirerClient
) -> None:
    request = client.request("POST", "/charges", charge_body()).request
    headers = {name: request.headers[name] for name in request.headers if name.startswith("acquirer-")}
    url, body = f"{sandbox.acquirer_url}/charges", request.content
    assert httpx.post(url, content=body, headers=headers).status_code == 200
    assert httpx.post(url, content=body.replace(b"100", b"900"), headers=headers).status_code == 401
    assert httpx.post(f"{url}?a=b", content=body, headers=headers).status_code == 401
    assert httpx.post(f"{sandbox.acquirer_url}/tokens", content=body, headers=headers).status_code == 401


def test_every_answer_to_somebody_known_is_signed(client: AcquirerClient) -> None:
    for method, path, body in (
        ("POST", "/charges", charge_body()),
        ("POST", "/charges", charge_body(amount=-1)),
        ("GET", "/operations/op_none?merchant_id=acct_test", None),
        ("GET", "/books", None),
    ):
        answer = client.request(method, path, body)
        assert client.is_signed(answer), answer.text


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"\xff\xfe", "JSON"),
        (b"[]", "object"),
        (b"[" * 30_000, "object"),
        (json.dumps(charge_body(amount=0)).encode(), "amount"),
        (json.dumps(charge_body(amount="1")).encode(), "amount"),
        (json.dumps(charge_body(amount=1.5)).encode(), "amount"),
        (json.dumps(charge_body(amount=10**13)).encode(), "amount"),
        (json.dumps(charge_body(currency="zzz")).encode(), "currency"),
        (json.dumps(charge_body(currency="CNY")).encode(), "lower case"),
        (json.dumps(charge_body(merchant_id="a b")).encode(), "merchant_id"),
        (json.dumps(charge_body(return_url="javascript:alert(1)")).encode(), "return_url"),
        (json.dumps(charge_body(surprise=1)).encode(), "surprise"),
    ],
    ids=range(14),
)
def test_bad_input_is_refused_by_name_and_leaves_no_trace(client: AcquirerClient, content: bytes, says: str) -> None:
    answer = client.request("POST", "/charges", content=content)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")
    assert says in answer.json()["error"]["message"]


def test_a_body_beyond_the_bound_is_refused(client: AcquirerClient) -> None:
    assert client.request("POST", "/charges", content=b"x" * 70_000).status_code == 413


def test_an_operation_id_means_one_thing_for_ever(client: AcquirerClient) -> None:
    first = charge(client)
    again = charge_body(operation_id=first["operation_id"])
    answer = client.request("POST", "/charges", again)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "operation_mismatch")
    refund = follow(client, "refunds", first, amount=400)
    assert follow(client, "refunds", first, amount=400, operation_id=refund["operation_id"]) == refund
    body = {"operation_id": refund["operation_id"], "merchant_id": MERCHANT, "amount": 400, "currency": "cny"}
    assert client.request("POST", f"/charges/{first['operation_id']}/void", body).status_code == 409


def test_terminals_do_not_see_each_other(sandbox: SandboxProcess, client: AcquirerClient) -> None:
    mine = charge(client)
    other = AcquirerClient(sandbox, OTHER_TERMINAL, SECRET[::-1])
    path = f"/operations/{mine['operation_id']}?merchant_id={MERCHANT}"
    assert other.request("GET", path).status_code == 404
    stolen = other.request("POST", "/charges", charge_body(token=token(client))).json()
    assert (stolen["status"], stolen["code"]) == ("declined", "resource_missing")
    assert other.books()["totals"] == [{"currency": "cny", "captured": 0, "refunded": 0, "authorised": 0}]


def test_another_merchant_cannot_touch_a_charge(client: AcquirerClient) -> None:
    mine = charge(client)
    refused = follow(client, "refunds", mine, merchant_id="acct_stranger")
    assert (refused["status"], refused["code"]) == ("declined", "resource_missing")


def test_a_refund_in_another_currency_is_declined(client: AcquirerClient) -> None:
    refused = follow(client, "refunds", charge(client), currency="usd")
    assert (refused["status"], refused["code"]) == ("declined", "charge_invalid_parameter")


@pytest.mark.parametrize(
    ("number", "code", "decline_code"),
    [
        ("4242424242424242", None, None),
        ("5555555555554444", None, None),
        ("378282246310005", None, None),
        ("6200000000000005", None, None),
        ("6205500000000000004", None, None),
        ("6011111111111117", None, None),
        ("3566002020360505", None, None),
        ("36227206271667", None, None),
        ("4000000000000002", "card_declined", "generic_decline"),
        ("4000000000009995", "card_declined", "insufficient_funds"),
        ("4000000000009987", "card_declined", "lost_card"),
        ("4000000000009979", "card_declined", "stolen_card"),
        ("4000000000000069", "expired_card", "expired_card"),
        ("4000000000000127", "incorrect_cvc", "incorrect_cvc"),
        ("4000000000000119", "processing_error", "processing_error"),
    ],
)
def test_test_cards_do_what_stripes_do(
    client: AcquirerClient, number: str, code: str | None, decline_code: str | None
) -> None:
    answer = charge(client, number)
    assert answer["status"] == ("approved" if code is None else "declined")
    assert (answer["code"], answer["decline_code"]) == (code, decline_code)
    assert query(client, answer) == answer


@pytest.mark.parametrize("number", ["4000002500003155", "4000002760003184", "4000008400001629", "4000000000003220"])
def test_three_d_secure_cards_ask_for_the_shopper(client: AcquirerClient, number: str) -> None:
    answer = charge(client, number)
    assert answer["status"] == "requires_action"
    assert answer["challenge_url"].startswith("http://127.0.0.1:")


@pytest.mark.parametrize(
    ("card", "code"),
    [
        ({"number": "4242424242424241"}, "incorrect_number"),
        ({"number": "4242"}, "invalid_number"),
        ({"number": "4242 4242 4242 4242"}, "invalid_number"),
        ({"number": "４２４２４２４２４２４２４２４２"}, "invalid_number"),
        ({"number": ""}, "invalid_number"),
        ({"number": "9999999999999995"}, "invalid_number"),
        ({"number": "4242424242424242", "exp_month": 13}, "invalid_expiry_month"),
        ({"number": "4242424242424242", "exp_month": 0}, "invalid_expiry_month"),
        ({"number": "4242424242424242", "exp_year": 2020}, "invalid_expiry_year"),
        ({"number": "4242424242424242", "exp_year": 49}, "invalid_expiry_year"),
        ({"number": "4242424242424242", "cvc": "99"}, "invalid_cvc"),
        ({"number": "4242424242424242", "cvc": "1234"}, "invalid_cvc"),
        ({"number": "4242424242424242", "cvc": "١٢٣"}, "invalid_cvc"),
        ({"number": "4111111111111111"}, "card_declined"),
    ],
    ids=str,
)
def test_a_card_that_cannot_be_right_gets_no_token(client: AcquirerClient, card: dict[str, Any], code: str) -> None:
    answer = send_card(client, **card)
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["code"]) == ("declined", code)


def test_a_token_tells_what_may_be_shown_and_the_same_card_has_the_same_fingerprint(client: AcquirerClient) -> None:
    first, second, other = (
        send_card(client, number).json() for number in ("6200000000000005", "6200000000000005", "5555555555554444")
    )
    shown = {name: first[name] for name in ("brand", "last4", "exp_month", "exp_year", "funding", "country")}
    assert shown == {
        "brand": "unionpay",
        "last4": "0005",
        "exp_month": 12,
        "exp_year": 2049,
        "funding": "credit",
        "country": "CN",
    }
    assert first["token"] != second["token"]
    assert first["fingerprint"] == second["fingerprint"] != other["fingerprint"]


def test_a_retried_token_is_the_same_token(client: AcquirerClient) -> None:
    card = {"number": "4242424242424242", "exp_month": 1, "exp_year": 2040, "cvc": "123"}
    body = {"operation_id": new_id("op"), "card": card}
    first = client.request("POST", "/tokens", body)
    assert client.request("POST", "/tokens", body).json() == first.json()
    other = {**body, "card": {**card, "number": "5555555555554444"}}
    assert client.request("POST", "/tokens", other).status_code == 409


def test_no_card_number_or_security_code_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "sandbox"
    sandbox = start(folder)
    client = AcquirerClient(sandbox)
    charge(client, "4000000000009995")
    send_card(client, "4111111111111111")
    client.request("POST", "/tokens", {"card": {"number": "4242424242424242"}, "cvc": "4711"})
    sandbox.kill()
    kept = b"".join(path.read_bytes() for path in folder.rglob("*")) + (tmp_path / "sandbox.log").read_bytes()
    assert b"9995" in kept
    for number in (b"4000000000009995", b"400000000000", b"4111111111111111", b"4242424242424242", b"4711"):
        assert number not in kept


def test_the_books_give_totals_and_every_operation_page_by_page(client: AcquirerClient) -> None:
    merchant = new_id("acct")
    paid = charge(client, merchant_id=merchant)
    follow(client, "refunds", paid, amount=300)
    follow(client, "refunds", paid, amount=5_000)
    charge(client, merchant_id=merchant, capture=False, amount=700)
    charge(client, merchant_id=merchant, currency="usd", amount=50)
    charge(client, "4000000000000002", merchant_id=merchant)
    charge(client, "4000002500003155", merchant_id=merchant)
    first = client.books(merchant_id=merchant, limit=4)
    assert first["totals"] == [
        {"currency": "cny", "captured": 1_000, "refunded": 300, "authorised": 700},
        {"currency": "usd", "captured": 50, "refunded": 0, "authorised": 0},
    ]
    second = client.books(merchant_id=merchant, limit=4, after=first["next_after"])
    assert second["next_after"] is None
    rows = first["operations"] + second["operations"]
    assert [(row["kind"], row["status"], row["amount"]) for row in rows] == [
        ("charge", "approved", 1_000),
        ("refund", "approved", 300),
        ("refund", "declined", 5_000),
        ("charge", "approved", 700),
        ("charge", "approved", 50),
        ("charge", "declined", 1_000),
        ("charge", "requires_action", 1_000),
    ]
    assert client.request("GET", "/books?limit=0").status_code == 400
    assert client.request("GET", "/books?after=-1").status_code == 400
