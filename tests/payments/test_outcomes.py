"""The one door: what every fact does to an operation in every state, repeated, reordered and contradicted."""

from __future__ import annotations

import itertools
from typing import Any, get_args

import msgspec
import pytest
from tests.support_payments import House

from tongbao.channels.contract import Approved, Declined, NextStep, Pending, Unknown
from tongbao.engine import Job
from tongbao.foundation.errors import NotFound
from tongbao.payments import commands
from tongbao.payments.commands.outcomes import CONFLICTS_MAX
from tongbao.payments.model import (
    CHECK_AFTER_S,
    OUTCOMES,
    Charge,
    Fact,
    NoticeRow,
    Operation,
    OperationState,
    PaymentIntent,
    Refund,
    next_check_ms,
)

STATES: tuple[OperationState, ...] = get_args(OperationState)
FACTS: tuple[Fact, ...] = get_args(Fact)
KINDS = ("charge", "authorisation", "capture", "cancel", "refund")
PRODUCT = list(itertools.product(STATES, FACTS))
SAID: dict[Fact, Any] = {
    "approved": Approved("ref_1", 1_000, "cny"),
    "declined": Declined("card_declined", "No.", "do_not_honor", "ref_1"),
    "pending": Pending("ref_1"),
    "unknown": Unknown("no answer"),
}
EXPECTED = {
    # state       approved    declined    pending   unknown
    "sending": ("approve", "decline", "wait", "doubt"),
    "pending": ("approve", "decline", "wait", "wait"),
    "unknown": ("approve", "decline", "wait", "doubt"),
    "approved": ("repeat", "conflict", "repeat", "repeat"),
    "declined": ("conflict", "repeat", "repeat", "repeat"),
}


def test_the_table_covers_its_whole_product_and_says_what_is_written_here() -> None:
    assert set(OUTCOMES) == set(PRODUCT)
    for state, row in EXPECTED.items():
        assert tuple(OUTCOMES[state, fact] for fact in FACTS) == row  # type: ignore[index]


def test_whatever_is_said_what_is_certain_stays_and_a_doubt_never_ends_anything() -> None:
    for (state, fact), verdict in OUTCOMES.items():
        if state in ("approved", "declined"):
            assert verdict in ("repeat", "conflict")
        if fact in ("unknown", "pending"):
            assert verdict in ("wait", "doubt", "repeat")
        if verdict == "approve":
            assert fact == "approved"
        if verdict == "decline":
            assert fact == "declined"


def test_checks_become_rarer_and_never_end() -> None:
    gaps = [next_check_ms(tries, 0) for tries in range(50)]
    assert gaps == sorted(gaps)
    assert (gaps[0], gaps[-1]) == (2_000, 3_600_000)
    assert gaps[: len(CHECK_AFTER_S)] == [1_000 * seconds for seconds in CHECK_AFTER_S]


async def operation_of(house: House, kind: str, state: OperationState) -> Operation:
    """An operation of this kind in this state, with everything that belongs to it."""
    if kind in ("charge", "authorisation"):
        method = "automatic" if kind == "charge" else "manual"
        intent = await house.intent(capture_method=method)
        begun = await house.begin(house.confirm(intent))
    elif kind in ("capture", "cancel"):
        intent = (await house.reserved()).intent
        begun = await house.begin(house.capture(intent) if kind == "capture" else house.cancel(intent))
    else:
        begun = await house.begin(house.refund((await house.charged()).intent))
    assert begun.operation is not None
    if state != "sending":
        return await record(house, begun.operation, SAID[state])
    return begun.operation


async def record(house: House, operation: Operation, said: Any, **fields: Any) -> Operation:
    reply = await house.payments.record(
        house.merchant, operation.id, "card", said, fields.pop("source", "answer"), **fields
    )
    assert reply.operation is not None
    return reply.operation


async def picture(house: House) -> dict[str, Any]:
    """Everything but operations and jobs."""
    found: dict[str, Any] = {"money": await house.balances(), "told": await house.told()}
    for cls in (PaymentIntent, Charge, Refund):
        found[cls.__name__] = await house.rows(cls)
    return found


@pytest.mark.parametrize(("state", "fact"), PRODUCT)
@pytest.mark.parametrize("kind", KINDS)
async def test_every_fact_has_its_effect_in_every_state(
    house: House, kind: str, state: OperationState, fact: Fact
) -> None:
    before = await operation_of(house, kind, state)
    seen = await picture(house)
    after = await record(house, before, SAID[fact])
    verdict = OUTCOMES[state, fact]
    jobs = {job.subject: job for job in await house.rows(Job) if job.kind == "chase"}
    if verdict in ("approve", "decline"):
        assert after.state == fact
        assert (after.next_check_ms, after.ref) == (None, "ref_1")
        assert before.id not in jobs, "what is certain is not chased"
    elif verdict in ("wait", "doubt"):
        assert after.state == ("pending" if verdict == "wait" else "unknown")
        assert after.tries == before.tries + 1
        assert after.next_check_ms == jobs[before.id].run_at_ms == next_check_ms(before.tries, house.at_ms)
        assert await house.balances() == seen["money"], "no money moves on a doubt"
    else:
        assert after.state == state
        assert len(after.conflicts) == (1 if verdict == "conflict" else 0)
        if kind in ("charge", "capture") and (state, fact) == ("declined", "approved"):
            for source in ("notice", "query"):
                await record(house, before, SAID[fact], source=source)
            money = await house.balances()
            assert money["suspense:cny"] == before.amount, "it is there, once, and belongs to nothing"
            seen["money"] = money
        assert await picture(house) == seen, "nothing else but the conflict is recorded"
    assert await house.faults() == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("last", ["approved", "declined"])
async def test_facts_repeated_in_every_order_end_where_the_decisive_one_alone_ends(
    house: House, kind: str, last: Fact
) -> None:
    pictures = []
    for order in itertools.permutations(["pending", "unknown", last]):
        operation = await operation_of(house, kind, "sending")
        for fact in [*order, *order, last]:
            operation = await record(house, operation, SAID[fact])
        assert (operation.state, operation.conflicts) == (last, [])
        intent = await house.one(PaymentIntent, operation.payment_intent)
        charge = await house.one(Charge, operation.charge)
        pictures.append((intent.status, intent.amount_received, charge.status, charge.amount_refunded, charge.captured))
    assert len(set(pictures)) == 1
    money = await house.balances()
    assert money == {name: amount for name, amount in money.items() if amount % 6 == 0}, "six times the same"


async def test_a_contradiction_is_kept_with_its_source_and_time_and_only_once(house: House) -> None:
    operation = await operation_of(house, "charge", "approved")
    for source in ("notice", "query", "notice"):
        house.at_ms += 5
        operation = await record(house, operation, SAID["declined"], source=source)
    told = {
        "type": "declined",
        "code": "card_declined",
        "message": "No.",
        "decline_code": "do_not_honor",
        "ref": "ref_1",
    }
    at_ms = house.at_ms - 10
    assert operation.conflicts == [
        {**told, "source": "notice", "at_ms": at_ms},
        {**told, "source": "query", "at_ms": at_ms + 5},
    ]


async def test_the_number_of_contradictions_is_bounded(house: House) -> None:
    operation = await operation_of(house, "charge", "approved")
    for number in range(CONFLICTS_MAX + 5):
        operation = await record(house, operation, Declined("card_declined", f"No {number}."))
    assert len(operation.conflicts) == CONFLICTS_MAX


async def test_money_that_comes_in_after_many_other_contradictions_is_booked_once_all_the_same(house: House) -> None:
    operation = await operation_of(house, "charge", "declined")
    for number in range(CONFLICTS_MAX + 5):
        await record(house, operation, Approved("ref_1", 1 + number, "cny"))
    for _ in range(3):
        after = await record(house, operation, SAID["approved"])
    assert (await house.balances())["suspense:cny"] == 1_000
    assert len(after.conflicts) == CONFLICTS_MAX + 1


async def test_an_approval_in_another_currency_does_not_hide_one_that_brings_money(house: House) -> None:
    operation = await operation_of(house, "charge", "sending")
    await record(house, operation, Approved("ref_1", 1_000, "usd"))
    await record(house, operation, SAID["declined"])
    await record(house, operation, SAID["approved"])
    assert (await house.balances())["suspense:cny"] == 1_000


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrong", [Approved("ref_1", 999, "cny"), Approved("ref_1", 1_000, "usd")])
async def test_an_approval_of_another_amount_is_no_approval(house: House, kind: str, wrong: Approved) -> None:
    operation = await operation_of(house, kind, "sending")
    money = await house.balances()
    after = await record(house, operation, wrong)
    assert (after.state, after.reason) == ("unknown", "amount_mismatch")
    assert [conflict["amount"] for conflict in after.conflicts] == [wrong.amount]
    assert await house.balances() == money
    assert operation.id in {job.subject for job in await house.rows(Job)}, "it is chased"
    right = await record(house, operation, SAID["approved"])
    assert right.state == "approved"
    assert len(right.conflicts) == 1, "what was said is kept"


async def test_an_approval_of_another_amount_after_the_right_one_is_a_contradiction(house: House) -> None:
    operation = await operation_of(house, "charge", "approved")
    money = await house.balances()
    after = await record(house, operation, Approved("ref_1", 2_000, "cny"))
    assert (after.state, len(after.conflicts)) == ("approved", 1)
    assert await house.balances() == money


async def test_the_same_notice_twice_is_one_notice(house: House) -> None:
    operation = await operation_of(house, "charge", "sending")
    first = await record(house, operation, SAID["pending"], notice="ntc_1", source="notice")
    again = await record(house, operation, SAID["pending"], notice="ntc_1", source="notice")
    assert again == first
    [kept] = await house.rows(NoticeRow)
    assert (kept.channel, kept.external_id, kept.operation, kept.fact) == ("card", "ntc_1", operation.id, "pending")


async def test_a_notice_with_a_known_id_brings_nothing_new_even_if_it_says_something_else(house: House) -> None:
    operation = await operation_of(house, "charge", "sending")
    await record(house, operation, SAID["pending"], notice="ntc_1", source="notice")
    after = await record(house, operation, SAID["approved"], notice="ntc_1", source="notice")
    assert after.state == "pending"


async def test_a_notice_may_come_before_the_answer(house: House) -> None:
    operation = await operation_of(house, "charge", "sending")
    await record(house, operation, SAID["approved"], notice="ntc_1", source="notice")
    after = await record(house, operation, SAID["approved"])
    assert (after.state, after.conflicts) == ("approved", [])
    assert await house.balances() == {"channel:card:cny": 1_000, "merchant_pending:cny": 1_000}


async def test_a_notice_of_an_unknown_operation_or_of_another_channel_is_refused_and_not_kept(house: House) -> None:
    operation = await operation_of(house, "charge", "sending")
    with pytest.raises(NotFound):
        await record(house, msgspec.structs.replace(operation, id="op_x"), SAID["approved"], notice="ntc_1")
    terms = house.payments.terms["customer_balance"]
    with pytest.raises(NotFound):
        await house.run(commands.RecordOutcome(operation.id, SAID["approved"], terms, "notice", "ntc_2"))
    assert await house.rows(NoticeRow) == []
    assert (await house.one(Operation, operation.id)).state == "sending"


async def test_a_step_of_the_shoppers_is_told_once_and_stays_while_it_is_asked_about(house: House) -> None:
    operation = await operation_of(house, "charge", "sending")
    step = Pending("ref_1", NextStep("https://bank.example/3ds"))
    for said in (step, step, SAID["unknown"], SAID["pending"]):
        await record(house, operation, said)
    intent = await house.one(PaymentIntent, operation.payment_intent)
    assert intent.status == "requires_action"
    assert intent.next_action == {
        "type": "redirect_to_url",
        "redirect_to_url": {"url": "https://bank.example/3ds", "return_url": None},
    }
    assert (await house.told()).count("payment_intent.requires_action") == 1


async def test_while_the_outcome_is_unknown_the_intent_says_when_it_is_asked_about_next(house: House) -> None:
    operation = await operation_of(house, "charge", "sending")
    for _ in range(3):
        after = await record(house, operation, SAID["unknown"])
        intent = await house.one(PaymentIntent, operation.payment_intent)
        assert (intent.status, intent.next_check_ms) == ("processing", after.next_check_ms)
    assert (await house.told()).count("payment_intent.processing") == 1


async def test_while_a_refund_is_under_way_it_says_when_it_is_asked_about_next(house: House) -> None:
    operation = await operation_of(house, "refund", "sending")
    for fact in ("unknown", "pending", "unknown"):
        after = await record(house, operation, SAID[fact])
        [refund] = await house.rows(Refund)
        assert (refund.status, refund.next_check_ms) == ("pending", after.next_check_ms)


async def test_reasons_that_are_very_long_are_kept_shortened(house: House) -> None:
    operation = await operation_of(house, "charge", "sending")
    after = await record(house, operation, Unknown("x" * 5_000))
    assert after.reason is not None
    assert len(after.reason) == 200
