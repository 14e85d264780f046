"""Short ways to use the acquirer in its tests."""

from __future__ import annotations

from typing import Any

import httpx
from tests.sandbox.process import AcquirerClient

from tongbao.foundation.ids import new_id

MERCHANT = "acct_test"


def send_card(client: AcquirerClient, number: str, **more: Any) -> httpx.Response:
    """``POST /tokens`` with a card that is otherwise right."""
    card = {"number": number, "exp_month": 12, "exp_year": 2049, "cvc": "123", **more}
    if number.startswith("3") and number[1] in "47" and "cvc" not in more:
        card["cvc"] = "1234"
    return client.request("POST", "/tokens", {"operation_id": new_id("op"), "card": card})


def token(client: AcquirerClient, number: str = "4242424242424242") -> str:
    """A token of a test card."""
    answer = send_card(client, number).json()
    assert answer["status"] == "approved", answer
    made: str = answer["token"]
    return made


def charge(client: AcquirerClient, number: str = "4242424242424242", **more: Any) -> dict[str, Any]:
    """Charge a test card; the operation as answered."""
    body = {
        "operation_id": new_id("op"),
        "merchant_id": MERCHANT,
        "token": token(client, number),
        "amount": 1_000,
        "currency": "cny",
        **more,
    }
    return checked(client.request("POST", "/charges", body))


def follow(client: AcquirerClient, verb: str, charged: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Capture, void or refund a charge."""
    body = {
        "operation_id": new_id("op"),
        "merchant_id": charged["merchant_id"],
        "amount": charged["amount"],
        "currency": charged["currency"],
        **more,
    }
    return checked(client.request("POST", f"/charges/{charged['operation_id']}/{verb}", body))


def query(client: AcquirerClient, operation: dict[str, Any]) -> dict[str, Any]:
    """Ask what became of an operation."""
    path = f"/operations/{operation['operation_id']}?merchant_id={operation['merchant_id']}"
    return checked(client.request("GET", path))


def checked(answer: httpx.Response) -> dict[str, Any]:
    """The body of a good answer."""
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body
