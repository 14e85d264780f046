"""Payments of orders: partial, several, too much, too late."""

from __future__ import annotations

import asyncio

import pytest
from tests.support_payments import House

from tongbao.engine import Job
from tongbao.foundation.errors import InvalidRequest, NotFound
from tongbao.orders.commands import CancelOrder
from tongbao.orders.model import Order
from tongbao.payments.commands import ConfirmIntent, UpdateIntent
from tongbao.payments.model import PaymentIntent, Refund

HOUR_MS = 3_600_000


async def test_an_intent_of_an_order_is_over_what_is_due(house: House) -> None:
    customer = await house.customer()
    order = await house.order(1_000, customer=customer.id)
    intent = await house.intent(None, order=order.id)
    assert (intent.amount, intent.currency, intent.customer, intent.order_id) == (1_000, "cny", customer.id, order.id)


async def test_a_payment_pays_its_order_and_whoever_offered_it_is_told(house: House) -> None:
    order = await house.order(1_000, expires_ms=house.at_ms + HOUR_MS)
    await house.charged(None, order=order.id)
    paid = await house.one(Order, order.id)
    assert (paid.status, paid.amount_paid, paid.paid_ms) == ("paid", 1_000, house.at_ms)
    assert (await house.told())[-2:] == ["payment_intent.succeeded", "order.paid"]
    assert [(job.kind, job.subject) for job in await house.rows(Job)] == [("order_paid", order.id)]


async def test_several_payments_pay_an_order_together(house: House) -> None:
    customer = await house.customer(600)
    order = await house.order(1_000, customer=customer.id)
    first = await house.intent(600, order=order.id)
    await house.pay(ConfirmIntent(first.id, house.balance()))
    after = await house.one(Order, order.id)
    assert (after.status, after.amount_paid, after.amount_remaining) == ("partially_paid", 600, 400)
    rest = await house.intent(None, order=order.id)
    assert rest.amount == 400
    await house.pay(house.confirm(rest))
    after = await house.one(Order, order.id)
    assert (after.status, after.amount_paid, after.amount_remaining) == ("paid", 1_000, 0)
    with pytest.raises(InvalidRequest) as nothing_due:
        await house.intent(None, order=order.id)
    assert nothing_due.value.code == "order_not_payable"


@pytest.mark.parametrize("policy", ["refund", "keep"])
async def test_what_is_paid_too_much_goes_back_or_stays_by_the_orders_policy(house: House, policy: str) -> None:
    order = await house.order(600, overpayment=policy)
    await house.charged(1_000, order=order.id)
    after = await house.one(Order, order.id)
    assert (after.status, after.amount_paid, after.amount_overpaid) == ("paid", 600, 400)
    await house.sweep()
    left = 600 if policy == "refund" else 1_000
    assert house.bank.taken[house.merchant, "cny"] == left
    assert await house.balances() == {"channel:card:cny": left, "merchant_pending:cny": left}
    refunds = [(refund.amount, refund.reason, refund.status) for refund in await house.rows(Refund)]
    assert refunds == ([(400, "overpayment", "succeeded")] if policy == "refund" else [])
    assert (await house.one(Order, order.id)).amount_refunded == 0, "it is no return of what was paid"


async def test_what_is_paid_too_much_from_a_balance_is_back_there_at_once(house: House) -> None:
    customer = await house.customer(1_000)
    order = await house.order(600, customer=customer.id)
    intent = await house.intent(1_000, order=order.id)
    await house.pay(ConfirmIntent(intent.id, house.balance()))
    assert (await house.balances())[f"customer:{customer.id}:cny"] == 400


async def test_two_intents_at_once_on_one_order_pay_it_once_and_the_other_goes_back(house: House) -> None:
    order = await house.order(1_000)
    intents = [await house.intent(None, order=order.id) for _ in range(3)]
    house.bank.hold = asyncio.Event()
    waiting = [asyncio.ensure_future(house.pay(house.confirm(intent))) for intent in intents]
    await asyncio.sleep(0.05)
    house.bank.hold.set()
    replies = await asyncio.gather(*waiting)
    assert {reply.intent.status for reply in replies} == {"succeeded"}
    house.bank.hold = None
    await house.sweep()
    after = await house.one(Order, order.id)
    assert (after.status, after.amount_paid, after.amount_overpaid) == ("paid", 1_000, 2_000)
    assert house.bank.taken[house.merchant, "cny"] == 1_000
    assert await house.balances() == {"channel:card:cny": 1_000, "merchant_pending:cny": 1_000}
    assert (await house.told()).count("order.paid") == 1


@pytest.mark.parametrize("end", ["expired", "canceled"])
@pytest.mark.parametrize("policy", ["refund", "accept"])
async def test_money_that_comes_too_late_goes_back_or_revives_the_order(house: House, end: str, policy: str) -> None:
    order = await house.order(1_000, late_payment=policy, expires_ms=house.at_ms + HOUR_MS)
    house.plan("challenge")
    waiting = await house.charged(None, order=order.id)
    assert waiting.operation is not None
    if end == "canceled":
        await house.run(CancelOrder(order.id))
    else:
        house.bank.queries.extend(["lost"] * 100)
        house.at_ms += HOUR_MS
        await house.work()
    house.bank.queries.clear()
    assert (await house.one(Order, order.id)).status == end
    house.bank.decide(waiting.operation.id, True)
    await house.notice(waiting.operation.id, "ntc_1")
    after = await house.one(Order, order.id)
    assert after.amount_late == 1_000
    await house.sweep()
    if policy == "refund":
        assert (after.status, after.amount_paid) == (end, 0)
        assert house.bank.taken[house.merchant, "cny"] == 0
        assert [refund.reason for refund in await house.rows(Refund)] == ["late_payment"]
    else:
        assert (after.status, after.amount_paid) == ("paid", 1_000)
        assert house.bank.taken[house.merchant, "cny"] == 1_000
        assert await house.rows(Refund) == []


async def test_no_payment_is_started_on_an_order_that_is_over(house: House) -> None:
    order = await house.order(1_000, expires_ms=house.at_ms + HOUR_MS)
    intent = await house.intent(None, order=order.id)
    house.at_ms += HOUR_MS
    with pytest.raises(InvalidRequest, match="expired") as refused:
        await house.run(house.confirm(intent))
    assert refused.value.code == "order_not_payable"
    other = await house.order(1_000)
    intent = await house.intent(None, order=other.id)
    await house.run(CancelOrder(other.id))
    with pytest.raises(InvalidRequest, match="canceled"):
        await house.run(house.confirm(intent))
    assert house.bank.calls == []


async def test_an_order_that_is_paid_is_not_paid_again(house: House) -> None:
    order = await house.order(1_000)
    first, second = await house.intent(None, order=order.id), await house.intent(None, order=order.id)
    await house.pay(house.confirm(first))
    with pytest.raises(InvalidRequest, match="paid"):
        await house.run(house.confirm(second))
    assert (await house.one(PaymentIntent, second.id)).status == "requires_payment_method"


async def test_a_declined_payment_leaves_the_order_open(house: House) -> None:
    order = await house.order(1_000)
    house.plan("decline")
    await house.charged(None, order=order.id)
    assert await house.one(Order, order.id) == order


async def test_a_part_that_is_captured_pays_that_part(house: House) -> None:
    order = await house.order(1_000)
    reserved = await house.charged(None, order=order.id, capture_method="manual")
    assert (await house.one(Order, order.id)).status == "open", "reserved is not paid"
    await house.pay(house.capture(reserved.intent, 300))
    after = await house.one(Order, order.id)
    assert (after.status, after.amount_paid) == ("partially_paid", 300)


async def test_what_is_given_back_of_a_paid_order_is_recorded_on_it(house: House) -> None:
    order = await house.order(1_000)
    paid = await house.charged(None, order=order.id)
    await house.pay(house.refund(paid.intent, 300))
    after = await house.one(Order, order.id)
    assert (after.status, after.amount_paid, after.amount_refunded) == ("paid", 1_000, 300)
    assert (await house.told())[-1] == "order.refunded"


async def test_an_order_is_not_paid_by_money_that_was_given_back(house: House) -> None:
    order = await house.order(1_000)
    first = await house.charged(400, order=order.id)
    await house.pay(house.refund(first.intent))
    after = await house.one(Order, order.id)
    assert (after.status, after.amount_paid, after.amount_remaining) == ("open", 0, 1_000)
    await house.charged(600, order=order.id)
    after = await house.one(Order, order.id)
    assert (after.status, after.amount_remaining) == ("partially_paid", 400)
    assert house.bank.taken[house.merchant, "cny"] == 600


async def test_an_order_and_its_payments_are_in_one_currency(house: House) -> None:
    order = await house.order(1_000)
    intent = await house.intent(None, order=order.id)
    with pytest.raises(InvalidRequest) as refused:
        await house.run(UpdateIntent(intent.id, {"currency": "usd"}))
    assert refused.value.code == "currency_mismatch"
    assert (await house.one(PaymentIntent, intent.id)).currency == "cny"


async def test_an_intent_of_an_order_that_does_not_exist_is_refused(house: House) -> None:
    with pytest.raises(NotFound) as refused:
        await house.intent(None, order="ord_x")
    assert refused.value.param == "order"
