"""Reserved money: taken whole, taken in part, released; and payments that are called off in every state."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from tests.support_payments import House

from tongbao.foundation.errors import InvalidRequest, NotFound
from tongbao.payments.commands import CancelIntent, CaptureIntent
from tongbao.payments.model import Charge, Operation, PaymentIntent
from tongbao.payments.service import Fees


async def test_reserved_money_is_not_booked_until_it_is_taken(house: House) -> None:
    reserved = await house.reserved()
    assert (reserved.intent.status, reserved.intent.amount_capturable, reserved.intent.amount_received) == (
        "requires_capture",
        1_000,
        0,
    )
    assert reserved.charge is not None
    assert (reserved.charge.status, reserved.charge.captured) == ("succeeded", False)
    assert await house.balances() == {}
    assert (await house.told())[-2:] == ["charge.succeeded", "payment_intent.amount_capturable_updated"]
    taken = await house.pay(house.capture(reserved.intent))
    assert (taken.intent.status, taken.intent.amount_capturable, taken.intent.amount_received) == (
        "succeeded",
        0,
        1_000,
    )
    assert taken.charge is not None
    assert (taken.charge.captured, taken.charge.amount_captured) == (True, 1_000)
    assert await house.balances() == {"channel:card:cny": 1_000, "merchant_pending:cny": 1_000}
    assert (await house.told())[-2:] == ["charge.captured", "payment_intent.succeeded"]
    assert [verb for verb, _ in house.bank.calls] == ["charge", "capture"]
    assert [order.capture for _, order in house.bank.calls] == [False, False]
    assert house.bank.calls[1][1].charge_operation_id == reserved.charge.operation


async def test_a_part_is_taken_and_the_fee_is_of_that_part(house: House) -> None:
    house.fees = {"card": Fees(100, 0)}
    house.__post_init__()
    reserved = await house.reserved()
    taken = await house.pay(house.capture(reserved.intent, 300))
    assert (taken.intent.amount_received, taken.intent.amount_capturable) == (300, 0)
    assert await house.balances() == {"channel:card:cny": 300, "merchant_pending:cny": 297, "fees:cny": 3}


async def test_more_than_is_reserved_cannot_be_taken(house: House) -> None:
    reserved = await house.reserved()
    with pytest.raises(InvalidRequest) as refused:
        await house.run(house.capture(reserved.intent, 1_001))
    assert (refused.value.code, refused.value.param) == ("amount_too_large", "amount_to_capture")
    assert (await house.one(PaymentIntent, reserved.intent.id)).status == "requires_capture"


async def test_a_channel_that_takes_all_or_nothing_is_not_asked_for_a_part(house: House) -> None:
    reserved = await house.reserved()
    terms = {"card": msgspec.structs.replace(house.payments.terms["card"], partial_capture=False)}
    with pytest.raises(InvalidRequest) as refused:
        await house.run(CaptureIntent(reserved.intent.id, terms, 300))
    assert refused.value.code == "capture_method_not_supported"
    assert (await house.pay(CaptureIntent(reserved.intent.id, terms, 1_000))).intent.status == "succeeded"


@pytest.mark.parametrize("status", ["requires_payment_method", "succeeded", "canceled", "processing"])
async def test_only_what_is_reserved_can_be_taken(house: House, status: str) -> None:
    intent = await in_state(house, status)
    with pytest.raises(InvalidRequest) as refused:
        await house.run(house.capture(intent))
    assert refused.value.message == f"You cannot capture this PaymentIntent because it has a status of {status}."
    assert (await house.one(PaymentIntent, intent.id)).status == status


async def test_a_capture_that_is_refused_leaves_the_money_reserved(house: House) -> None:
    reserved = await house.reserved()
    house.plan("decline")
    refused = await house.pay(house.capture(reserved.intent))
    assert (refused.intent.status, refused.intent.amount_capturable) == ("requires_capture", 1_000)
    assert refused.operation is not None
    assert refused.operation.state == "declined"
    assert await house.balances() == {}
    assert (await house.pay(house.capture(reserved.intent))).intent.status == "succeeded"


@pytest.mark.parametrize("hear", ["lost", "never", "raise"])
async def test_a_capture_whose_answer_is_lost_is_found_out(house: House, hear: Any) -> None:
    reserved = await house.reserved()
    house.plan("approve", hear)
    unclear = await house.pay(house.capture(reserved.intent, 600))
    assert (unclear.intent.status, unclear.intent.next_check_ms) == ("processing", house.at_ms + 2_000)
    for command in (house.capture(reserved.intent), house.cancel(reserved.intent)):
        with pytest.raises(InvalidRequest):
            await house.run(command)
    await house.sweep()
    intent = await house.one(PaymentIntent, reserved.intent.id)
    assert (intent.status, intent.amount_received) == ("succeeded", 600)
    assert house.bank.taken[house.merchant, "cny"] == 600
    assert await house.balances() == {"channel:card:cny": 600, "merchant_pending:cny": 600}


async def test_two_captures_at_once_take_once(house: House) -> None:
    reserved = await house.reserved()
    replies = await asyncio.gather(
        *(house.run(house.capture(reserved.intent, amount)) for amount in (300, 400, 500)), return_exceptions=True
    )
    assert sum(isinstance(reply, InvalidRequest) for reply in replies) == 2
    assert await house.balances() == {"channel:card:cny": 300, "merchant_pending:cny": 300}


# Calling off.


async def in_state(house: House, status: str) -> PaymentIntent:
    """An intent in this state."""
    if status in ("requires_payment_method", "canceled"):
        intent = await house.intent()
        return (await house.pay(house.cancel(intent))).intent if status == "canceled" else intent
    if status == "declined":
        house.plan("decline")
        return (await house.charged()).intent
    if status == "requires_action":
        house.plan("challenge")
        return (await house.charged()).intent
    if status == "processing":
        house.plan(hear="lost")
        return (await house.charged()).intent
    if status == "requires_capture":
        return (await house.reserved()).intent
    assert status == "succeeded"
    return (await house.charged()).intent


@pytest.mark.parametrize("status", ["requires_payment_method", "declined", "requires_action", "requires_capture"])
async def test_a_payment_can_be_called_off_as_long_as_no_money_has_moved(house: House, status: str) -> None:
    intent = await in_state(house, status)
    canceled = (await house.pay(house.cancel(intent))).intent
    assert (canceled.status, canceled.cancellation_reason, canceled.canceled_ms) == (
        "canceled",
        "requested_by_customer",
        house.at_ms,
    )
    assert (canceled.amount_capturable, canceled.next_action) == (0, None)
    assert (await house.told()).count("payment_intent.canceled") == 1
    called = [verb for verb, _ in house.bank.calls]
    outside = status in ("requires_action", "requires_capture")
    assert ("cancel" in called) == outside, "what the channel knows of is called off there first"
    await house.sweep()
    assert await house.unfinished() == []
    assert await house.balances() == {}
    for command in (house.cancel(intent), house.confirm(intent), house.capture(intent)):
        with pytest.raises(InvalidRequest):
            await house.run(command)


@pytest.mark.parametrize("status", ["processing", "succeeded"])
async def test_it_is_too_late_to_call_off_when_money_moves_or_has_moved(house: House, status: str) -> None:
    intent = await in_state(house, status)
    with pytest.raises(InvalidRequest) as refused:
        await house.run(house.cancel(intent))
    assert refused.value.code == "payment_intent_unexpected_state"


async def test_an_intent_that_does_not_exist_cannot_be_called_off_or_captured(house: House) -> None:
    for command in (CancelIntent("pi_x"), CaptureIntent("pi_x", house.payments.terms)):
        with pytest.raises(NotFound):
            await house.run(command)


async def test_reserved_money_that_is_released_counts_as_returned(house: House) -> None:
    reserved = await house.reserved()
    assert reserved.charge is not None
    await house.pay(house.cancel(reserved.intent))
    charge = await house.one(Charge, reserved.charge.id)
    assert (charge.captured, charge.amount_refunded, charge.amount_captured) == (False, 1_000, 0)
    with pytest.raises(InvalidRequest) as refused:
        await house.run(house.refund(reserved.intent))
    assert refused.value.code == "charge_not_captured"


async def test_a_charge_that_waited_for_the_shopper_is_over_when_it_is_called_off(house: House) -> None:
    intent = await in_state(house, "requires_action")
    await house.pay(house.cancel(intent))
    [charge] = await house.rows(Charge)
    assert (charge.status, charge.failure_code) == ("failed", "canceled")
    first, second = await house.rows(Operation)
    assert {(first.kind, first.state), (second.kind, second.state)} == {("charge", "declined"), ("cancel", "approved")}
    assert charge.operation is not None
    after = await house.notice(charge.operation, "ntc_1")
    assert after.intent.status == "canceled"
    assert after.operation is not None
    assert after.operation.conflicts == []


@pytest.mark.parametrize("status", ["requires_action", "requires_capture"])
async def test_a_cancellation_that_the_channel_refuses_leaves_the_payment_where_it_was(
    house: House, status: str
) -> None:
    intent = await in_state(house, status)
    house.plan("decline")
    refused = await house.pay(house.cancel(intent))
    assert refused.operation is not None
    assert refused.operation.state == "declined"
    await house.work()
    after = await house.one(PaymentIntent, intent.id)
    assert after.status == status
    assert (after.next_action is None) == (status == "requires_capture")
    assert (await house.pay(house.cancel(intent))).intent.status == "canceled"


@pytest.mark.parametrize("hear", ["lost", "never", "raise"])
@pytest.mark.parametrize("status", ["requires_action", "requires_capture"])
async def test_a_cancellation_whose_answer_is_lost_is_found_out(house: House, status: str, hear: Any) -> None:
    intent = await in_state(house, status)
    house.plan("approve", hear)
    unclear = await house.pay(house.cancel(intent))
    assert unclear.intent.status == "processing"
    await house.sweep()
    assert (await house.one(PaymentIntent, intent.id)).status == "canceled"
    assert await house.unfinished() == []
    assert house.bank.taken[house.merchant, "cny"] == 0
    assert await house.balances() == {}


async def test_a_shopper_who_pays_while_the_payment_is_called_off_has_paid(house: House) -> None:
    intent = await in_state(house, "requires_action")
    cancel = await house.begin(house.cancel(intent))
    [charge] = await house.rows(Charge)
    assert charge.operation is not None
    house.bank.decide(charge.operation, True)
    paid = await house.notice(charge.operation, "ntc_1")
    assert paid.intent.status == "succeeded"
    after = await house.payments.carry_out(cancel)
    assert after.operation is not None
    assert (after.operation.state, after.intent.status) == ("declined", "succeeded")
    assert await house.balances() == {"channel:card:cny": 1_000, "merchant_pending:cny": 1_000}


async def test_a_shopper_who_gives_up_while_the_payment_is_called_off_ends_it_all_the_same(house: House) -> None:
    intent = await in_state(house, "requires_action")
    cancel = await house.begin(house.cancel(intent))
    [charge] = await house.rows(Charge)
    assert charge.operation is not None
    house.bank.decide(charge.operation, False)
    await house.notice(charge.operation, "ntc_1")
    await house.payments.carry_out(cancel)
    assert (await house.one(PaymentIntent, intent.id)).status == "canceled"
    assert (await house.told()).count("payment_intent.canceled") == 1
    assert await house.unfinished() == []


async def test_money_reserved_while_the_payment_is_called_off_is_released(house: House) -> None:
    """The shopper passes 3-D Secure after the shop has called the payment off, and before the channel knows."""
    house.plan("challenge")
    waiting = await house.reserved()
    cancel = await house.begin(house.cancel(waiting.intent))
    [charge] = await house.rows(Charge)
    assert charge.operation is not None
    house.bank.decide(charge.operation, True)
    told = await house.notice(charge.operation, "ntc_1")
    assert told.intent.status == "processing", "the cancellation is still under way"
    with pytest.raises(InvalidRequest):
        await house.run(house.capture(waiting.intent))
    after = await house.payments.carry_out(cancel)
    assert (after.intent.status, after.intent.amount_capturable) == ("canceled", 0)
    assert house.bank.operations[charge.operation].released


async def test_money_reserved_while_a_cancellation_is_refused_can_be_taken(house: House) -> None:
    house.plan("challenge")
    waiting = await house.reserved()
    cancel = await house.begin(house.cancel(waiting.intent))
    [charge] = await house.rows(Charge)
    assert charge.operation is not None
    house.bank.decide(charge.operation, True)
    await house.notice(charge.operation, "ntc_1")
    house.plan("decline")
    after = await house.payments.carry_out(cancel)
    assert (after.intent.status, after.intent.amount_capturable) == ("requires_capture", 1_000)
    assert (await house.pay(house.capture(waiting.intent))).intent.status == "succeeded"
