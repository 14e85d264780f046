"""A process that dies between recording an operation and its answer: the sweeper ends what it began."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support_payments import House

from tongbao.engine import Job
from tongbao.foundation.errors import Conflict
from tongbao.payments.commands import CreateIntent
from tongbao.payments.commands.booking import CALL_TIME_MS
from tongbao.payments.model import Operation, PaymentIntent, Refund


async def make(house: House, kind: str) -> Any:
    """A command that records an operation of this kind."""
    if kind == "charge":
        return house.confirm(await house.intent())
    if kind == "create":
        return CreateIntent(1_000, "cny", confirm=house.card())
    if kind == "capture":
        return house.capture((await house.reserved()).intent, 700)
    if kind == "cancel":
        return house.cancel((await house.reserved()).intent)
    return house.refund((await house.charged()).intent, 700)


KINDS = ["charge", "create", "capture", "cancel", "refund"]
LEFT = {"charge": 1_000, "create": 1_000, "capture": 700, "cancel": 0, "refund": 300}


@pytest.mark.parametrize("arrived", [True, False], ids=["after the call", "before the call"])
@pytest.mark.parametrize("kind", KINDS)
async def test_what_a_dead_process_began_is_ended_by_the_sweeper(house: House, kind: str, arrived: bool) -> None:
    command = await make(house, kind)
    begun = await house.begin(command, "key-1")
    assert begun.operation is not None
    assert begun.operation.state == "sending"
    [job] = [job for job in await house.rows(Job) if job.subject == begun.operation.id]
    assert job.run_at_ms == house.at_ms + CALL_TIME_MS, "the living have time to call the channel themselves"
    if arrived:
        house.plan(hear="lost")
        await house.call_only(begun)
    with pytest.raises(Conflict):
        await house.run(command, "key-1")
    await house.sweep()
    assert (await house.one(Operation, begun.operation.id)).state == "approved"
    assert await house.unfinished() == []
    assert house.bank.taken[house.merchant, "cny"] == LEFT[kind]
    assert (await house.balances()).get("channel:card:cny", 0) == LEFT[kind]
    again = await house.run(command, "key-1")
    assert again.replayed
    assert again.value.operation == await house.one(Operation, begun.operation.id)
    assert again.value.intent == await house.one(PaymentIntent, begun.intent.id)


async def test_an_answer_that_comes_after_the_sweepers_finding_changes_nothing(house: House) -> None:
    begun = await house.begin(await make(house, "charge"), "key-1")
    await house.sweep()
    money = await house.balances()
    late = await house.payments.carry_out(begun)
    assert late.operation is not None
    assert (late.operation.state, late.operation.conflicts) == ("approved", [])
    assert await house.balances() == money
    assert len(house.bank.operations) == 1


async def test_a_request_in_doubt_is_answered_so_and_repeated_so_while_the_object_goes_on(house: House) -> None:
    command = await make(house, "charge")
    house.plan(hear="lost")
    first = await house.run(command, "key-1")
    assert first.value.intent.status == "processing"
    await house.sweep()
    again = await house.run(command, "key-1")
    assert again.replayed
    assert again.value.intent.status == "processing", "a stored reply is repeated as it was"
    assert (await house.one(PaymentIntent, again.value.intent.id)).status == "succeeded"


async def test_chasing_what_is_decided_or_unknown_to_us_asks_nobody(house: House) -> None:
    paid = await house.charged()
    assert paid.operation is not None
    calls = len(house.bank.calls)
    await house.payments.chase(house.merchant, paid.operation.id)
    await house.payments.chase(house.merchant, "op_x")
    assert len(house.bank.calls) == calls


async def test_the_sweeper_stops_when_everything_is_decided(house: House) -> None:
    house.plan("approve", "lost")
    await house.charged()
    house.plan("decline", "lost")
    await house.charged()
    await house.sweep()
    assert [job for job in await house.rows(Job) if job.kind == "chase"] == []


async def test_a_refund_that_an_orders_policy_makes_is_sent_by_the_sweeper_at_once(house: House) -> None:
    order = await house.order(600)
    paid = await house.charged(1_000, order=order.id)
    [refund] = await house.rows(Refund)
    assert (refund.status, refund.amount, refund.reason) == ("pending", 400, "overpayment")
    assert paid.intent.status == "succeeded"
    await house.work()
    [refund] = await house.rows(Refund)
    assert refund.status == "succeeded"
    assert house.bank.taken[house.merchant, "cny"] == 600
