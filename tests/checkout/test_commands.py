"""Checkout sessions: offered, paid, tried again, completed, expired."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support_payments import House

from tongbao.checkout.commands import CompleteSession, CreateSession, ExpireSession, PaySession
from tongbao.checkout.model import SESSION_LIFE_MS, CheckoutSession
from tongbao.engine import Job
from tongbao.foundation.errors import InvalidRequest, NotFound
from tongbao.identity.commands import DeleteCustomer
from tongbao.orders.commands import CancelOrder, CreateOrder
from tongbao.orders.model import Order
from tongbao.payments.model import PaymentIntent

ITEMS = [{"name": "tea", "unit_amount": 1_000, "quantity": 1, "amount": 1_000}]
HOUR_MS = 3_600_000


async def session(house: House, **fields: Any) -> CheckoutSession:
    """A session, by default over an order of its own."""
    if "order" not in fields:
        fields.setdefault("new_order", CreateOrder("cny", ITEMS, 1_000, customer=fields.get("customer")))
    made: CheckoutSession = (await house.run(CreateSession("https://shop.example/thanks", False, **fields))).value
    return made


async def test_a_session_offers_an_order_of_its_own_and_ends_with_it(house: House) -> None:
    made = await session(house, metadata={"a": "b"}, locale="zh")
    order = await house.one(Order, made.order_id)
    assert (made.status, made.amount_total, made.currency, made.own_order) == ("open", 1_000, "cny", True)
    assert made.expires_ms == order.expires_ms == house.at_ms + SESSION_LIFE_MS
    assert made.id.startswith("cs_test_")
    assert len(made.id) == len("cs_test_") + 40
    assert sorted(job.kind for job in await house.rows(Job)) == ["expire_order", "expire_session"]


async def test_a_session_offers_what_is_still_due_on_an_order_that_exists(house: House) -> None:
    order = await house.order(1_000, expires_ms=house.at_ms + HOUR_MS)
    await house.charged(300, order=order.id)
    made = await session(house, order=order.id)
    assert (made.amount_total, made.expires_ms, made.own_order) == (700, order.expires_ms, False)


async def test_a_session_over_nothing_that_can_be_paid_is_refused(house: House) -> None:
    with pytest.raises(NotFound):
        await session(house, order="ord_x")
    order = await house.order()
    await house.run(CancelOrder(order.id))
    with pytest.raises(InvalidRequest) as refused:
        await session(house, order=order.id)
    assert refused.value.code == "order_not_payable"


async def test_a_session_names_a_customer_who_exists(house: House) -> None:
    order, customer = await house.order(), await house.customer()
    assert (await session(house, order=order.id, customer=customer.id)).customer == customer.id
    await house.run(DeleteCustomer(customer.id))
    for name in (customer.id, "cus_x"):
        with pytest.raises(NotFound):
            await session(house, order=order.id, customer=name)


async def test_paying_a_session_pays_its_order_and_completes_it(house: House) -> None:
    made = await session(house, customer_email="lin@example.com", intent_data={"description": "tea"})
    paid = await house.pay(PaySession(made.id, house.card(), made.amount_total, "https://pay.example/c/1"))
    assert paid.intent.status == "succeeded"
    assert (paid.intent.order_id, paid.intent.description, paid.intent.receipt_email) == (
        made.order_id,
        "tea",
        "lin@example.com",
    )
    assert (await house.one(CheckoutSession, made.id)).payment_intent == paid.intent.id
    await house.work()
    done = await house.one(CheckoutSession, made.id)
    assert done.status == "complete"
    assert (await house.told()).count("checkout.session.completed") == 1
    await house.sweep(days=3)
    assert (await house.one(CheckoutSession, made.id)).status == "complete"
    assert await house.rows(Job) == []
    with pytest.raises(InvalidRequest):
        await house.run(PaySession(made.id, house.card(), made.amount_total))
    assert house.bank.taken[house.merchant, "cny"] == 1_000


async def test_after_a_decline_another_card_pays_on_the_same_intent(house: House) -> None:
    made = await session(house)
    house.plan("decline")
    first = await house.pay(PaySession(made.id, house.card(), made.amount_total))
    assert first.intent.status == "requires_payment_method"
    second = await house.pay(PaySession(made.id, house.card(), made.amount_total))
    assert (second.intent.status, second.intent.id) == ("succeeded", first.intent.id)
    assert len(await house.rows(PaymentIntent)) == 1


async def test_another_way_to_pay_may_be_tried_after_a_decline(house: House) -> None:
    customer = await house.customer(1_000)
    made = await session(house, customer=customer.id)
    house.plan("decline")
    first = await house.pay(PaySession(made.id, house.card(), made.amount_total))
    second = await house.pay(PaySession(made.id, house.balance(), made.amount_total))
    assert (second.intent.status, second.intent.id) == ("succeeded", first.intent.id)


async def test_a_session_takes_only_the_ways_to_pay_that_it_offers(house: House) -> None:
    customer = await house.customer(1_000)
    made = await session(house, customer=customer.id, payment_method_types=["card"])
    with pytest.raises(InvalidRequest) as refused:
        await house.run(PaySession(made.id, house.balance(), made.amount_total))
    assert refused.value.param == "payment_method"
    assert (await house.pay(PaySession(made.id, house.card(), made.amount_total))).intent.status == "succeeded"


@pytest.mark.parametrize("plan", ["challenge", "lost"])
async def test_while_a_payment_is_under_way_no_other_is_started(house: House, plan: str) -> None:
    made = await session(house)
    house.plan("challenge") if plan == "challenge" else house.plan(hear="lost")
    await house.pay(PaySession(made.id, house.card(), made.amount_total))
    with pytest.raises(InvalidRequest) as refused:
        await house.run(PaySession(made.id, house.card(), made.amount_total))
    assert refused.value.code == "payment_in_progress"
    assert len(house.bank.operations) == 1


async def test_the_shopper_pays_what_is_due_and_only_what_they_agreed_to(house: House) -> None:
    order = await house.order(1_000)
    made = await session(house, order=order.id)
    house.plan("decline")
    await house.pay(PaySession(made.id, house.card(), made.amount_total))
    await house.charged(400, order=order.id)
    with pytest.raises(InvalidRequest) as changed:
        await house.run(PaySession(made.id, house.card(), 1_000))
    assert changed.value.code == "amount_changed"
    paid = await house.pay(PaySession(made.id, house.card(), 600))
    assert paid.intent.amount_received == 600
    assert (await house.one(Order, order.id)).status == "paid"


async def test_two_sessions_of_one_order_are_both_complete_when_it_is_paid(house: House) -> None:
    order = await house.order(1_000)
    one, other = await session(house, order=order.id), await session(house, order=order.id)
    await house.pay(PaySession(one.id, house.card(), one.amount_total))
    with pytest.raises(InvalidRequest):
        await house.run(PaySession(other.id, house.card(), other.amount_total))
    await house.work()
    assert {row.status for row in await house.rows(CheckoutSession)} == {"complete"}


async def test_a_session_is_not_complete_before_its_order_is_paid(house: House) -> None:
    made = await session(house)
    assert (await house.run(CompleteSession(made.id))).value.status == "open"
    with pytest.raises(NotFound):
        await house.run(CompleteSession("cs_x"))


async def test_a_session_expires_with_its_own_order_when_its_time_comes(house: House) -> None:
    made = await session(house)
    house.at_ms = made.expires_ms - 1
    assert (await house.run(ExpireSession(made.id))).value.status == "open"
    house.at_ms += 1
    with pytest.raises(InvalidRequest):
        await house.run(PaySession(made.id, house.card(), made.amount_total))
    await house.work()
    assert (await house.one(CheckoutSession, made.id)).status == "expired"
    assert (await house.one(Order, made.order_id)).status == "expired"
    assert (await house.told()).count("order.expired") == 1
    assert (await house.told()).count("checkout.session.expired") == 1


async def test_a_session_that_is_ended_early_leaves_an_order_that_was_not_its_own(house: House) -> None:
    order = await house.order(1_000)
    foreign, own = await session(house, order=order.id), await session(house)
    for made, status in ((foreign, "open"), (own, "expired")):
        assert (await house.run(ExpireSession(made.id, now=True))).value.status == "expired"
        assert (await house.one(Order, made.order_id)).status == status
        with pytest.raises(InvalidRequest):
            await house.run(ExpireSession(made.id, now=True))
        with pytest.raises(InvalidRequest):
            await house.run(PaySession(made.id, house.card(), made.amount_total))


async def test_a_session_that_is_paid_cannot_be_ended(house: House) -> None:
    made = await session(house)
    await house.pay(PaySession(made.id, house.card(), made.amount_total))
    with pytest.raises(InvalidRequest):
        await house.run(ExpireSession(made.id, now=True))
    assert (await house.run(ExpireSession(made.id))).value.status == "open", "until it is told that it is complete"
    await house.work()
    assert (await house.run(ExpireSession(made.id))).value.status == "complete"


@pytest.mark.parametrize("plan", ["challenge", "lost"])
async def test_a_session_whose_payment_is_under_way_is_not_ended_at_will(house: House, plan: str) -> None:
    made = await session(house)
    house.plan("challenge") if plan == "challenge" else house.plan(hear="lost")
    await house.pay(PaySession(made.id, house.card(), made.amount_total))
    with pytest.raises(InvalidRequest) as refused:
        await house.run(ExpireSession(made.id, now=True))
    assert refused.value.code == "payment_in_progress"


async def test_a_payment_that_ends_after_its_session_is_given_back(house: House) -> None:
    made = await session(house)
    house.plan("challenge")
    waiting = await house.pay(PaySession(made.id, house.card(), made.amount_total))
    assert waiting.operation is not None
    house.bank.queries.extend(["lost"] * 100)
    house.at_ms = made.expires_ms
    await house.work()
    house.bank.queries.clear()
    house.bank.decide(waiting.operation.id, True)
    await house.notice(waiting.operation.id, "ntc_1")
    await house.sweep()
    assert (await house.one(CheckoutSession, made.id)).status == "expired"
    assert house.bank.taken[house.merchant, "cny"] == 0


async def test_a_payment_accepted_late_completes_even_an_expired_session(house: House) -> None:
    order = await house.order(1_000, late_payment="accept", expires_ms=house.at_ms + HOUR_MS)
    made = await session(house, order=order.id)
    house.plan("challenge")
    waiting = await house.pay(PaySession(made.id, house.card(), made.amount_total))
    assert waiting.operation is not None
    house.bank.queries.extend(["lost"] * 100)
    house.at_ms += HOUR_MS
    await house.work()
    assert (await house.one(CheckoutSession, made.id)).status == "expired"
    house.bank.decide(waiting.operation.id, True)
    await house.notice(waiting.operation.id, "ntc_1")
    await house.work()
    assert (await house.one(CheckoutSession, made.id)).status == "complete"


async def test_the_same_request_to_pay_twice_charges_once(house: House) -> None:
    made = await session(house)
    command = PaySession(made.id, house.card(), made.amount_total)
    first, again = await house.run(command, "key-1"), await house.run(command, "key-1")
    assert again.replayed
    assert again.value.intent == first.value.intent
    assert len(house.bank.operations) == 1


async def test_a_session_that_does_not_exist_is_named(house: House) -> None:
    for command in (PaySession("cs_x", house.card(), 1), ExpireSession("cs_x", now=True)):
        with pytest.raises(NotFound) as refused:
            await house.run(command)
        assert refused.value.param == "session"
