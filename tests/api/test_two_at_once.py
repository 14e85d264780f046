"""Two at once: on the same key, intent, charge, refund, order. Real concurrency over real HTTP."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from tests.world import World


def at_once(world: World, requests: list[tuple[str, dict[str, Any], str | None]]) -> list[httpx.Response]:
    """Send all of these POSTs at the same moment."""

    def send(request: tuple[str, dict[str, Any], str | None]) -> httpx.Response:
        path, form, key = request
        headers = {"Idempotency-Key": key} if key else {}
        with world.http() as client:
            return client.post(path, data=form, headers=headers)

    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(send, requests))


def test_one_key_sent_eight_times_pays_once(world: World) -> None:
    form = {"amount": 500, "currency": "cny", "payment_method": "pm_card_visa", "confirm": "true"}
    answers = at_once(world, [("/v1/payment_intents", form, "eight-times")] * 8)
    assert {answer.status_code for answer in answers} <= {200, 409}
    paid = {answer.json()["id"] for answer in answers if answer.status_code == 200}
    assert len(paid) == 1
    for answer in answers:
        if answer.status_code == 409:
            assert answer.json()["error"]["code"] == "idempotency_key_in_use"
    rows = world.sql("SELECT count(*) FROM charges WHERE payment_intent = $1", paid.pop())
    assert rows[0][0] == 1


def test_a_balance_cannot_be_spent_twice(world: World) -> None:
    customer = world.funded_customer(1_000)
    form = {
        "amount": 300,
        "currency": "cny",
        "customer": customer.id,
        "payment_method_data[type]": "customer_balance",
        "confirm": "true",
    }
    answers = at_once(world, [("/v1/payment_intents", form, None)] * 10)
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [200] * 3 + [402] * 7
    with world.http() as client:
        balance = client.get(f"/v1/customers/{customer.id}/cash_balance").json()
    assert balance["available"] == {"cny": 100}
    assert not world.broken_books()


def test_one_intent_confirmed_by_several_is_paid_once(world: World) -> None:
    with world.http() as client:
        intent = client.post("/v1/payment_intents", data={"amount": 800, "currency": "cny"}).json()
    path = f"/v1/payment_intents/{intent['id']}/confirm"
    answers = at_once(world, [(path, {"payment_method": "pm_card_visa"}, None)] * 6)
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [200] + [400] * 5
    refusals = {answer.json()["error"]["code"] for answer in answers if answer.status_code == 400}
    assert refusals == {"payment_intent_unexpected_state"}


def test_refunds_at_once_never_return_more_than_was_paid(world: World) -> None:
    form = {"amount": 1_000, "currency": "cny", "payment_method": "pm_card_visa", "confirm": "true"}
    with world.http() as client:
        intent = client.post("/v1/payment_intents", data=form).json()
    refund = {"payment_intent": intent["id"], "amount": 400}
    answers = at_once(world, [("/v1/refunds", refund, None)] * 6)
    assert sorted(answer.status_code for answer in answers) == [200] * 2 + [400] * 4
    with world.http() as client:
        charge = client.get(f"/v1/charges/{intent['latest_charge']}").json()
    assert charge["amount_refunded"] == 800
    assert not world.broken_books()


def test_two_payments_of_one_order_leave_it_paid_once_and_the_excess_given_back(world: World) -> None:
    order_form = {"currency": "cny", "line_items[0][name]": "茶", "line_items[0][unit_amount]": 900}
    with world.http() as client:
        order = client.post("/v1/orders", data=order_form).json()
    form = {"order": order["id"], "payment_method": "pm_card_visa", "confirm": "true"}
    answers = at_once(world, [("/v1/payment_intents", form, None)] * 2)
    paid = [answer for answer in answers if answer.status_code == 200]
    assert paid, [answer.text for answer in answers]
    with world.http() as client:
        order = client.get(f"/v1/orders/{order['id']}").json()
        assert (order["status"], order["amount_paid"]) == ("paid", 900)
        if len(paid) == 2:
            assert order["amount_overpaid"] == 900
            refunds = [
                client.get("/v1/refunds", params={"payment_intent": answer.json()["id"]}).json()["data"]
                for answer in paid
            ]
            assert [refund["reason"] for many in refunds for refund in many] == ["overpayment"]
    assert not world.broken_books()
