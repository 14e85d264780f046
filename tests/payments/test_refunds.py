"""Giving money back: reserved first, then sent; never more than came in."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from tests.support_engine import pool_of
from tests.support_payments import House, postgres_house

from tongbao.engine import Engine
from tongbao.engine.store import PostgresStore
from tongbao.foundation.errors import InvalidRequest, NotFound, Overloaded
from tongbao.identity.commands import DeleteCustomer
from tongbao.payments.commands import CreateRefund
from tongbao.payments.model import Charge, PaymentReply, Refund
from tongbao.payments.service import Fees, Payments


async def test_a_refund_is_reserved_before_the_channel_is_called(house: House) -> None:
    paid = await house.charged()
    await house.begin(house.refund(paid.intent, 400))
    assert await house.balances() == {
        "channel:card:cny": 1_000,
        "merchant_pending:cny": 600,
        "refunds_reserved:cny": 400,
    }
    [charge] = await house.rows(Charge)
    assert charge.amount_refunded == 400
    assert [verb for verb, _ in house.bank.calls] == ["charge"]


@pytest.mark.parametrize("amount", [None, 1, 999, 1_000])
async def test_a_refund_gives_back_all_or_a_part(house: House, amount: int | None) -> None:
    paid = await house.charged()
    given = await house.pay(house.refund(paid.intent, amount, reason="requested_by_customer"))
    back = amount or 1_000
    assert given.refund is not None
    assert given.charge is not None
    assert (given.refund.status, given.refund.amount, given.refund.reason) == (
        "succeeded",
        back,
        "requested_by_customer",
    )
    assert given.charge.amount_refunded == back
    assert given.intent.status == "succeeded"
    assert house.bank.taken[house.merchant, "cny"] == 1_000 - back
    left = {"channel:card:cny": 1_000 - back, "merchant_pending:cny": 1_000 - back}
    assert await house.balances() == {name: value for name, value in left.items() if value}
    assert (await house.told())[-3:] == ["refund.created", "refund.updated", "charge.refunded"]
    [_, (_, order)] = house.bank.calls
    assert (order.kind, order.amount, order.charge_operation_id) == (
        "refund",
        back,
        paid.charge and paid.charge.operation,
    )


async def test_parts_are_given_back_until_nothing_is_left(house: House) -> None:
    paid = await house.charged()
    for amount in (300, 300, None):
        assert (await house.pay(house.refund(paid.intent, amount))).refund is not None
    assert sorted(refund.amount for refund in await house.rows(Refund)) == [300, 300, 400]
    with pytest.raises(InvalidRequest) as refused:
        await house.run(house.refund(paid.intent))
    assert refused.value.code == "charge_already_refunded"
    assert await house.balances() == {}


async def test_more_than_is_left_is_refused_with_what_is_left(house: House) -> None:
    paid = await house.charged()
    await house.pay(house.refund(paid.intent, 700))
    with pytest.raises(InvalidRequest, match=r"\(400\).*\(300\)") as refused:
        await house.run(house.refund(paid.intent, 400))
    assert (refused.value.code, refused.value.param) == ("refund_amount_too_large", "amount")


async def test_what_is_reserved_for_a_refund_under_way_cannot_be_refunded_again(house: House) -> None:
    paid = await house.charged()
    house.plan(hear="lost")
    await house.pay(house.refund(paid.intent, 700))
    with pytest.raises(InvalidRequest):
        await house.run(house.refund(paid.intent, 400))
    await house.pay(house.refund(paid.intent, 300))
    with pytest.raises(InvalidRequest):
        await house.run(house.refund(paid.intent, 1))
    await house.sweep()
    assert house.bank.taken[house.merchant, "cny"] == 0
    assert await house.balances() == {}


@pytest.mark.parametrize("amounts", [(600, 600), (600, 400), (1_000, 1_000, 1_000), (None, None)])
async def test_refunds_at_the_same_time_never_give_back_more_than_came_in(
    house: House, amounts: tuple[int | None, ...]
) -> None:
    house.bank.strict = False
    paid = await house.charged()
    house.bank.hold = asyncio.Event()
    waiting = [asyncio.ensure_future(house.pay(house.refund(paid.intent, amount))) for amount in amounts]
    await asyncio.sleep(0.05)
    house.bank.hold.set()
    replies = await asyncio.gather(*waiting, return_exceptions=True)
    given = [reply.refund.amount for reply in replies if isinstance(reply, PaymentReply) and reply.refund]
    assert sum(given) <= 1_000
    assert len(given) == (2 if amounts == (600, 400) else 1)
    assert house.bank.taken[house.merchant, "cny"] == 1_000 - sum(given)
    assert (await house.balances()).get("channel:card:cny", 0) == 1_000 - sum(given)


async def test_refunds_on_two_nodes_at_the_same_time_never_give_back_more_than_came_in(
    payments_db: str, payments_pool: Any
) -> None:
    house = await postgres_house(payments_pool)
    house.bank.strict = False
    paid = await house.charged()
    async with pool_of(payments_db) as other_pool:
        other = Payments(Engine(PostgresStore(other_pool)), other_pool, house.payments.channels, "https://pay.example")
        nodes = [house.payments, other]
        replies = await asyncio.gather(
            *(
                nodes[number % 2].run(house.merchant, house.refund(paid.intent, 300), None, None)
                for number in range(12)
            ),
            return_exceptions=True,
        )
    assert sum(not isinstance(reply, Exception) for reply in replies) == 3
    assert {type(reply) for reply in replies if isinstance(reply, Exception)} == {InvalidRequest}
    assert house.bank.taken[house.merchant, "cny"] == 100
    assert await house.balances() == {"channel:card:cny": 100, "merchant_pending:cny": 100}
    assert await house.faults() == []


async def test_a_refund_that_the_channel_refuses_gives_the_reservation_back(house: House) -> None:
    paid = await house.charged()
    house.plan("decline")
    refused = await house.pay(house.refund(paid.intent, 400))
    assert refused.refund is not None
    assert refused.charge is not None
    assert (refused.refund.status, refused.refund.failure_reason) == ("failed", "generic_decline")
    assert refused.charge.amount_refunded == 0
    assert await house.balances() == {"channel:card:cny": 1_000, "merchant_pending:cny": 1_000}
    assert (await house.told())[-1] == "refund.failed"
    assert (await house.pay(house.refund(paid.intent))).charge is not None
    assert await house.balances() == {}


@pytest.mark.parametrize("hear", ["lost", "never", "raise"])
@pytest.mark.parametrize("decide", ["approve", "decline"])
async def test_a_refund_whose_answer_is_lost_stays_pending_until_it_is_found_out(
    house: House, decide: Any, hear: Any
) -> None:
    paid = await house.charged()
    house.plan(decide, hear)
    unclear = await house.pay(house.refund(paid.intent, 400))
    assert unclear.refund is not None
    assert (unclear.refund.status, unclear.refund.next_check_ms) == ("pending", house.at_ms + 2_000)
    assert (await house.balances())["refunds_reserved:cny"] == 400
    if hear == "never" and decide == "decline":
        house.plan("decline")
    await house.sweep()
    refund = await house.one(Refund, unclear.refund.id)
    assert (refund.status, refund.next_check_ms) == ("succeeded" if decide == "approve" else "failed", None)
    left = 600 if decide == "approve" else 1_000
    assert await house.balances() == {"channel:card:cny": left, "merchant_pending:cny": left}
    assert house.bank.taken[house.merchant, "cny"] == left


async def test_a_refund_that_the_bank_thinks_about_is_pending_until_a_notice_comes(house: House) -> None:
    paid = await house.charged()
    house.plan("think")
    pending = await house.pay(house.refund(paid.intent, 400))
    assert pending.refund is not None
    assert pending.refund.status == "pending"
    assert pending.operation is not None
    house.bank.decide(pending.operation.id, True)
    for _ in range(2):
        told = await house.notice(pending.operation.id, "ntc_1")
        assert told.refund is not None
        assert told.refund.status == "succeeded"
    assert await house.balances() == {"channel:card:cny": 600, "merchant_pending:cny": 600}


async def test_the_fee_of_a_payment_is_not_given_back(house: House) -> None:
    house.fees = {"card": Fees(100, 0)}
    house.__post_init__()
    paid = await house.charged()
    await house.pay(house.refund(paid.intent))
    assert await house.balances() == {"merchant_pending:cny": -10, "fees:cny": 10}


async def test_what_was_captured_in_part_is_all_that_can_be_given_back(house: House) -> None:
    reserved = await house.reserved()
    with pytest.raises(InvalidRequest) as early:
        await house.run(house.refund(reserved.intent))
    assert early.value.code == "charge_not_captured"
    await house.pay(house.capture(reserved.intent, 600))
    with pytest.raises(InvalidRequest):
        await house.run(house.refund(reserved.intent, 601))
    given = await house.pay(house.refund(reserved.intent))
    assert given.refund is not None
    assert given.refund.amount == 600
    assert await house.balances() == {}


@pytest.mark.parametrize("status", ["untried", "declined", "processing"])
async def test_what_was_not_paid_cannot_be_given_back(house: House, status: str) -> None:
    if status == "untried":
        intent = await house.intent()
    else:
        house.plan("decline") if status == "declined" else house.plan(hear="lost")
        intent = (await house.charged()).intent
    with pytest.raises(InvalidRequest) as refused:
        await house.run(house.refund(intent))
    assert refused.value.code == "charge_not_captured"


async def test_a_refund_names_an_intent_or_a_charge_that_exist_and_belong_together(house: House) -> None:
    paid, other = await house.charged(), await house.charged()
    assert paid.charge is not None
    terms = house.payments.terms
    with pytest.raises(InvalidRequest) as nothing:
        await house.run(CreateRefund(terms))
    assert nothing.value.code == "parameter_missing"
    for command in (CreateRefund(terms, payment_intent="pi_x"), CreateRefund(terms, charge="ch_x")):
        with pytest.raises(NotFound):
            await house.run(command)
    with pytest.raises(InvalidRequest) as mismatch:
        await house.run(CreateRefund(terms, payment_intent=other.intent.id, charge=paid.charge.id))
    assert mismatch.value.code == "charge_mismatch"
    by_charge = await house.pay(CreateRefund(terms, charge=paid.charge.id, amount=5))
    assert by_charge.intent.id == paid.intent.id


@pytest.mark.parametrize("verb", ["refund", "capture"])
async def test_without_the_channel_that_took_it_money_cannot_be_moved_now_but_perhaps_later(
    house: House, verb: str
) -> None:
    paid = await (house.charged() if verb == "refund" else house.reserved())
    command: Any = house.refund(paid.intent) if verb == "refund" else house.capture(paid.intent)
    elsewhere = msgspec.structs.replace(command, terms={})
    with pytest.raises(Overloaded) as refused:
        await house.run(elsewhere)
    assert refused.value.code == "channel_unavailable"
    assert (await house.run(command)).finished


async def test_the_same_refund_twice_gives_back_once(house: House) -> None:
    paid = await house.charged()
    command = house.refund(paid.intent, 400)
    first, again = await house.run(command, "key-1"), await house.run(command, "key-1")
    assert again.replayed
    assert again.value == first.value
    assert len(await house.rows(Refund)) == 1


async def test_refunds_of_a_customer_who_was_deleted_still_go_through(house: House) -> None:
    customer = await house.customer()
    paid = await house.charged(customer=customer.id)
    await house.run(DeleteCustomer(customer.id))
    assert (await house.pay(house.refund(paid.intent))).refund is not None
    assert await house.balances() == {}
