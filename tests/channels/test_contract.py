"""What every channel that leads outside must do, told against its simulated provider over real HTTP.

A new channel joins by a ``ChannelUnderTest`` in ``conftest.CHANNELS``.
"""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from tests.channels.steps import MERCHANT, RETURN_URL, after, charge_order, paid, reserved
from tests.channels.under_test import SLOW_MS, ChannelUnderTest, Moved

from tongbao.channels.contract import Approved, Declined, Pending, Unknown
from tongbao.foundation.clock import now_ms


async def test_an_approved_charge_tells_amount_and_currency_and_moves_the_money(under_test: ChannelUnderTest) -> None:
    order = charge_order(under_test, await under_test.approving(), 12_900)
    outcome = await under_test.channel.charge(order)
    assert isinstance(outcome, Approved)
    assert (outcome.amount, outcome.currency) == (12_900, "cny")
    assert outcome.ref
    assert await under_test.moved(order.operation_id) == Moved(12_900, 0)


async def test_a_declined_charge_says_why_and_moves_nothing(under_test: ChannelUnderTest) -> None:
    order = charge_order(under_test, await under_test.declining())
    outcome = await under_test.channel.charge(order)
    assert isinstance(outcome, Declined)
    assert outcome.code == "card_declined"
    assert outcome.message
    assert await under_test.moved(order.operation_id) == Moved(0, 0)


async def test_the_same_operation_is_answered_the_same_and_done_once(under_test: ChannelUnderTest) -> None:
    order = charge_order(under_test, await under_test.approving())
    first = await under_test.channel.charge(order)
    others = await asyncio.gather(*(under_test.channel.charge(order) for _ in range(8)))
    assert all(outcome == first for outcome in others)
    assert await under_test.moved(order.operation_id) == Moved(1_000, 0)


async def test_an_operation_id_with_other_input_is_unknown_and_moves_nothing_more(under_test: ChannelUnderTest) -> None:
    order = await paid(under_test)
    other = msgspec.structs.replace(order, amount=2_000)
    outcome = await under_test.channel.charge(other)
    assert isinstance(outcome, Unknown)
    assert not outcome.never_arrived
    assert await under_test.moved(order.operation_id) == Moved(1_000, 0)


async def test_a_query_tells_the_outcome_of_every_kind_of_operation(under_test: ChannelUnderTest) -> None:
    order = await paid(under_test)
    assert isinstance(await under_test.channel.query(order), Approved)
    refund = after(order, "refund", 300)
    assert await under_test.channel.refund(refund) == await under_test.channel.query(refund)
    too_much = after(order, "refund", 5_000)
    assert await under_test.channel.refund(too_much) == await under_test.channel.query(too_much)


async def test_a_query_for_what_was_never_sent_says_that_it_never_arrived(under_test: ChannelUnderTest) -> None:
    order = charge_order(under_test, await under_test.approving())
    outcome = await under_test.channel.query(order)
    assert isinstance(outcome, Unknown)
    assert outcome.never_arrived


async def test_another_merchant_cannot_learn_of_an_operation(under_test: ChannelUnderTest) -> None:
    order = await paid(under_test)
    outcome = await under_test.channel.query(msgspec.structs.replace(order, merchant_id="acct_stranger"))
    assert isinstance(outcome, Unknown)


# The shopper has to act


async def test_a_waiting_charge_is_approved_after_the_shoppers_step(under_test: ChannelUnderTest) -> None:
    order = charge_order(under_test, await under_test.waiting())
    outcome = await under_test.channel.charge(order)
    assert isinstance(outcome, Pending)
    assert outcome.next_step is not None
    assert await under_test.channel.query(order) == outcome
    assert await under_test.moved(order.operation_id) == Moved(0, 0)

    assert await under_test.shopper(outcome.next_step.url, approves=True) == RETURN_URL
    assert isinstance(await under_test.channel.query(order), Approved)
    assert await under_test.moved(order.operation_id) == Moved(1_000, 0)
    [delivery] = await under_test.inbox.wait(order.operation_id)
    notice = under_test.channel.verify_notice(delivery.headers, delivery.body, now_ms())
    assert isinstance(notice.outcome, Approved)
    assert (notice.operation_id, notice.merchant_id) == (order.operation_id, MERCHANT)


async def test_a_waiting_charge_is_declined_if_the_shopper_refuses(under_test: ChannelUnderTest) -> None:
    order = charge_order(under_test, await under_test.waiting())
    outcome = await under_test.channel.charge(order)
    assert isinstance(outcome, Pending)
    assert outcome.next_step is not None
    await under_test.shopper(outcome.next_step.url, approves=False)
    refused = await under_test.channel.query(order)
    assert isinstance(refused, Declined)
    assert refused.code == "payment_intent_authentication_failure"
    await under_test.shopper(outcome.next_step.url, approves=True)
    assert await under_test.channel.query(order) == refused
    assert await under_test.moved(order.operation_id) == Moved(0, 0)


async def test_a_waiting_charge_can_be_called_off(under_test: ChannelUnderTest) -> None:
    order = charge_order(under_test, await under_test.waiting())
    outcome = await under_test.channel.charge(order)
    assert isinstance(outcome, Pending)
    assert outcome.next_step is not None
    assert isinstance(await under_test.channel.cancel(after(order, "cancel")), Approved)
    await under_test.shopper(outcome.next_step.url, approves=True)
    assert isinstance(await under_test.channel.query(order), Declined)
    assert await under_test.moved(order.operation_id) == Moved(0, 0)


# Broken ways: the outcome is unknown, and later the truth is told


async def test_a_timeout_is_unknown_and_a_query_tells_the_truth(under_test: ChannelUnderTest) -> None:
    order = charge_order(under_test, await under_test.approving())
    await under_test.disturb("slow", delay_ms=SLOW_MS)
    outcome = await under_test.impatient.charge(order)
    assert isinstance(outcome, Unknown)
    assert not outcome.never_arrived
    assert isinstance(await under_test.channel.query(order), Approved)


async def test_a_slow_answer_within_the_timeout_is_an_answer(under_test: ChannelUnderTest) -> None:
    order = charge_order(under_test, await under_test.approving())
    await under_test.disturb("slow", delay_ms=50, when="before")
    assert isinstance(await under_test.channel.charge(order), Approved)


async def test_a_lost_answer_is_unknown_and_sent_again_it_is_the_same_and_moved_once(
    under_test: ChannelUnderTest,
) -> None:
    order = charge_order(under_test, await under_test.approving())
    await under_test.disturb("answer_lost")
    assert isinstance(await under_test.channel.charge(order), Unknown)
    assert await under_test.moved(order.operation_id) == Moved(1_000, 0)
    assert isinstance(await under_test.channel.charge(order), Approved)
    assert await under_test.moved(order.operation_id) == Moved(1_000, 0)


async def test_a_lost_answer_to_a_refund_is_given_back_once(under_test: ChannelUnderTest) -> None:
    order = await paid(under_test)
    refund = after(order, "refund", 400)
    await under_test.disturb("answer_lost")
    assert isinstance(await under_test.channel.refund(refund), Unknown)
    assert isinstance(await under_test.channel.refund(refund), Approved)
    assert await under_test.moved(order.operation_id) == Moved(1_000, 400)


async def test_a_request_that_never_arrived_is_told_so_and_can_be_sent_again(under_test: ChannelUnderTest) -> None:
    order = charge_order(under_test, await under_test.approving())
    await under_test.disturb("never_arrived")
    outcome = await under_test.channel.charge(order)
    assert isinstance(outcome, Unknown)
    assert not outcome.never_arrived, "a broken connection proves nothing"
    asked = await under_test.channel.query(order)
    assert isinstance(asked, Unknown)
    assert asked.never_arrived
    assert isinstance(await under_test.channel.charge(order), Approved)
    assert await under_test.moved(order.operation_id) == Moved(1_000, 0)


@pytest.mark.parametrize(("when", "moved"), [("before", 0), ("after", 1_000)])
async def test_a_server_error_is_unknown_whether_or_not_it_was_done(
    under_test: ChannelUnderTest, when: str, moved: int
) -> None:
    order = charge_order(under_test, await under_test.approving())
    await under_test.disturb("server_error", when=when)
    assert isinstance(await under_test.channel.charge(order), Unknown)
    assert await under_test.moved(order.operation_id) == Moved(moved, 0)


@pytest.mark.parametrize("form", ["unreadable", "unknown_status"])
async def test_an_answer_in_words_that_we_do_not_know_is_unknown(under_test: ChannelUnderTest, form: str) -> None:
    order = charge_order(under_test, await under_test.approving())
    await under_test.disturb("garbage", form=form)
    assert isinstance(await under_test.channel.charge(order), Unknown)
    assert isinstance(await under_test.channel.query(order), Approved)


async def test_an_answer_that_is_not_the_providers_is_unknown(under_test: ChannelUnderTest) -> None:
    order = charge_order(under_test, await under_test.declining())
    await under_test.disturb("forged_answer")
    assert isinstance(await under_test.channel.charge(order), Unknown)
    assert isinstance(await under_test.channel.query(order), Declined)


async def test_a_provider_that_is_away_is_unknown(under_test: ChannelUnderTest) -> None:
    order = charge_order(under_test, await under_test.approving())
    outcome = await under_test.unreachable.charge(order)
    assert isinstance(outcome, Unknown)
    assert not outcome.never_arrived


async def test_another_amount_is_visible_in_the_outcome(under_test: ChannelUnderTest) -> None:
    order = charge_order(under_test, await under_test.approving())
    await under_test.disturb("wrong_amount")
    outcome = await under_test.channel.charge(order)
    assert isinstance(outcome, Approved)
    assert outcome.amount != order.amount


async def test_refunds_may_be_partial_and_repeated_and_never_over(under_test: ChannelUnderTest) -> None:
    order = await paid(under_test, 1_000)
    assert isinstance(await under_test.channel.refund(after(order, "refund", 600)), Approved)
    too_much = await under_test.channel.refund(after(order, "refund", 401))
    assert isinstance(too_much, Declined)
    assert too_much.code == "amount_too_large"
    rest = await under_test.channel.refund(after(order, "refund", 400))
    assert isinstance(rest, Approved)
    assert rest.amount == 400
    nothing_left = await under_test.channel.refund(after(order, "refund", 1))
    assert isinstance(nothing_left, Declined)
    assert nothing_left.code == "charge_already_refunded"
    assert await under_test.moved(order.operation_id) == Moved(1_000, 1_000)


async def test_racing_refunds_do_not_exceed_the_charge(under_test: ChannelUnderTest) -> None:
    order = await paid(under_test, 1_000)
    refunds = [after(order, "refund", 300) for _ in range(6)]
    outcomes = await asyncio.gather(*(under_test.channel.refund(one) for one in refunds))
    assert sum(isinstance(one, Approved) for one in outcomes) == 3
    assert await under_test.moved(order.operation_id) == Moved(1_000, 900)


async def test_a_refund_of_an_unknown_charge_is_declined(under_test: ChannelUnderTest) -> None:
    order = charge_order(under_test, await under_test.approving())
    outcome = await under_test.channel.refund(after(order, "refund"))
    assert isinstance(outcome, Declined)
    assert outcome.code == "resource_missing"


async def test_reserved_money_is_captured_in_part_and_once(reserving: ChannelUnderTest) -> None:
    order = await reserved(reserving, 1_000)
    assert await reserving.moved(order.operation_id) == Moved(0, 0)
    too_much = await reserving.channel.capture(after(order, "capture", 1_001))
    assert isinstance(too_much, Declined)
    capture = after(order, "capture", 700)
    outcome = await reserving.channel.capture(capture)
    assert isinstance(outcome, Approved)
    assert outcome.amount == 700
    assert await reserving.channel.capture(capture) == outcome
    again = await reserving.channel.capture(after(order, "capture", 300))
    assert isinstance(again, Declined)
    assert again.code == "charge_already_captured"
    assert isinstance(await reserving.channel.refund(after(order, "refund", 701)), Declined)
    assert isinstance(await reserving.channel.refund(after(order, "refund", 700)), Approved)
    assert await reserving.moved(order.operation_id) == Moved(700, 700)


async def test_cancelled_money_is_released_and_cannot_be_captured(reserving: ChannelUnderTest) -> None:
    order = await reserved(reserving)
    cancel = after(order, "cancel")
    assert isinstance(await reserving.channel.cancel(cancel), Approved)
    assert isinstance(await reserving.channel.cancel(cancel), Approved)
    outcome = await reserving.channel.capture(after(order, "capture"))
    assert isinstance(outcome, Declined)
    assert outcome.code == "capture_unauthorized_payment"
    assert await reserving.moved(order.operation_id) == Moved(0, 0)


async def test_captured_money_cannot_be_cancelled(reserving: ChannelUnderTest) -> None:
    order = await paid(reserving)
    outcome = await reserving.channel.cancel(after(order, "cancel"))
    assert isinstance(outcome, Declined)
    assert outcome.code == "charge_already_captured"
    assert await reserving.moved(order.operation_id) == Moved(1_000, 0)
