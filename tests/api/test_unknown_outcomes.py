"""What the acquirer does wrong: answers lost, garbage, forged and late notices. Unknown is never guessed."""

from __future__ import annotations

from typing import Any

import pytest
from tests.sandbox.process import AcquirerClient
from tests.world import World, eventually

CARD = {"amount": 1_100, "currency": "cny", "payment_method": "pm_card_visa", "confirm": "true"}


def settled(world: World, intent_id: str) -> dict[str, Any] | None:
    with world.http() as client:
        intent: dict[str, Any] = client.get(f"/v1/payment_intents/{intent_id}").json()
    return None if intent["status"] == "processing" else intent


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "answer_lost", "next": 1, "verbs": ["charge"]},
        {"kind": "never_arrived", "next": 1, "verbs": ["charge"]},
        {"kind": "server_error", "next": 1, "verbs": ["charge"], "when": "after"},
        {"kind": "server_error", "next": 1, "verbs": ["charge"], "when": "before"},
        {"kind": "garbage", "next": 1, "verbs": ["charge"], "form": "unknown_status"},
        {"kind": "garbage", "next": 1, "verbs": ["charge"], "form": "unreadable"},
        {"kind": "wrong_amount", "next": 1, "verbs": ["charge"], "where": "answer"},
        {"kind": "wrong_amount", "next": 1, "verbs": ["charge"], "where": "notice"},
        {"kind": "forged_answer", "next": 1, "verbs": ["charge"]},
        {"kind": "forged_notice", "next": 1, "verbs": ["charge"]},
        {"kind": "duplicate_notice", "next": 1, "verbs": ["charge"]},
    ],
    ids=lambda rule: f"{rule['kind']}-{rule.get('when') or rule.get('form') or rule.get('where') or ''}".rstrip("-"),
)
def test_whatever_the_acquirer_does_the_payment_ends_right_and_once(world: World, rule: dict[str, Any]) -> None:
    acquirer = AcquirerClient(world.sandbox)
    before = acquirer.books()
    acquirer.set_faults(rule)
    try:
        with world.http() as client:
            answer = client.post("/v1/payment_intents", data=CARD)
        assert answer.status_code == 200, answer.text
        intent = answer.json()
        assert intent["status"] in ("processing", "succeeded")
        if intent["status"] == "processing":
            assert intent["next_check_at"] >= intent["created"]
        done = eventually(lambda: settled(world, intent["id"]), 20, "the outcome")
    finally:
        acquirer.set_faults()
    assert (done["status"], done["amount_received"]) == ("succeeded", 1_100)
    assert captured(acquirer.books()) - captured(before) == 1_100
    assert not world.broken_books()


def captured(books: dict[str, Any]) -> int:
    return sum(total["captured"] for total in books["totals"] if total["currency"] == "cny")


def test_a_refund_whose_answer_is_lost_is_pending_and_then_done_once(world: World) -> None:
    acquirer = AcquirerClient(world.sandbox)
    with world.http() as client:
        intent = client.post("/v1/payment_intents", data=CARD).json()
        acquirer.set_faults({"kind": "answer_lost", "next": 1, "verbs": ["refund"]})
        refund = client.post("/v1/refunds", data={"payment_intent": intent["id"]}).json()
        assert refund["status"] in ("pending", "succeeded")
        again = client.post("/v1/refunds", data={"payment_intent": intent["id"]})
        assert again.json()["error"]["code"] == "charge_already_refunded"

        def done() -> bool:
            return bool(client.get(f"/v1/refunds/{refund['id']}").json()["status"] == "succeeded")

        eventually(done, 20, "the refund")
    acquirer.set_faults()
    assert not world.broken_books()
