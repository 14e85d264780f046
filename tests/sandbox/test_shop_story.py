"""What the shop concludes from webhooks does not depend on the order in which they come."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tongbao.sandbox.shop.story import Event, conclude

TOTAL = 12_900


def event(number: int, kind: str, **thing: Any) -> Event:
    return Event(
        f"evt_{number}", kind, 1_795_000_000 + number, number, {"id": f"evt_{number}", "data": {"object": thing}}
    )


FAILED = event(1, "payment_intent.payment_failed", id="pi_1", last_payment_error={"message": "Card declined."})
SUCCEEDED = event(2, "payment_intent.succeeded", id="pi_1", amount_received=TOTAL)
ORDER_PAID = event(3, "order.paid", id="ord_1", amount_paid=TOTAL)
COMPLETED = event(
    4,
    "checkout.session.completed",
    id="cs_1",
    payment_status="paid",
    payment_intent="pi_1",
    amount_total=TOTAL,
)
SOME_BACK = event(5, "charge.refunded", id="ch_1", payment_intent="pi_1", amount=TOTAL, amount_refunded=2_000)
MORE_BACK = event(6, "charge.refunded", id="ch_1", payment_intent="pi_1", amount=TOTAL, amount_refunded=5_000)
ALL_BACK = event(7, "charge.refunded", id="ch_1", payment_intent="pi_1", amount=TOTAL, amount_refunded=TOTAL)


def test_every_order_of_arrival_leads_to_the_same_conclusion() -> None:
    events = [FAILED, SUCCEEDED, ORDER_PAID, COMPLETED, SOME_BACK, MORE_BACK]
    stories = [conclude(TOTAL, arrived) for arrived in itertools.permutations(events)]
    assert all(story == stories[0] for story in stories)
    story = stories[0]
    assert (story.status, story.paid, story.refunded, story.failure) == ("partially_refunded", TOTAL, 5_000, None)
    assert [(p.payment_intent, p.received, p.refunded) for p in story.payments] == [("pi_1", TOTAL, 5_000)]


@pytest.mark.parametrize("only", [SUCCEEDED, ORDER_PAID, COMPLETED])
def test_any_one_of_the_three_tellers_is_enough_to_know_that_it_is_paid(only: Event) -> None:
    story = conclude(TOTAL, [only])
    assert (story.status, story.paid, story.paid_at_s) == ("paid", TOTAL, only.created_s)


def test_a_failed_attempt_leaves_the_order_waiting_with_its_reason() -> None:
    story = conclude(TOTAL, [FAILED])
    assert (story.status, story.failure, story.paid) == ("waiting", "Card declined.", 0)


def test_an_asynchronous_session_that_is_complete_but_unpaid_is_no_payment() -> None:
    unpaid = event(4, "checkout.session.completed", id="cs_1", payment_status="unpaid", amount_total=TOTAL)
    assert conclude(TOTAL, [unpaid]).status == "waiting"


def test_a_part_is_a_part_until_the_rest_comes() -> None:
    part = event(1, "payment_intent.succeeded", id="pi_1", amount_received=4_000)
    said = event(2, "order.partially_paid", id="ord_1", amount_paid=4_000)
    rest = event(3, "payment_intent.succeeded", id="pi_2", amount_received=8_900)
    assert conclude(TOTAL, [part]).status == conclude(TOTAL, [said]).status == "partially_paid"
    assert conclude(TOTAL, [rest, said, part]).status == "paid"


def test_an_expired_order_stays_closed_unless_the_order_itself_says_that_it_was_paid_after_all() -> None:
    expired = event(1, "order.expired", id="ord_1", amount_paid=0)
    assert conclude(TOTAL, [expired]).status == "expired"
    assert conclude(TOTAL, [SUCCEEDED, expired]).status == "expired"
    assert conclude(TOTAL, [SUCCEEDED, expired, ALL_BACK]).status == "refunded"
    assert conclude(TOTAL, [ORDER_PAID, expired]).status == "paid"


def test_money_that_came_twice_and_went_back_once_leaves_the_order_paid() -> None:
    twice = event(8, "payment_intent.succeeded", id="pi_2", amount_received=TOTAL)
    back = event(9, "charge.refunded", id="ch_2", payment_intent="pi_2", amount=TOTAL, amount_refunded=TOTAL)
    assert conclude(TOTAL, [SUCCEEDED, twice, back]).status == "paid"


def test_a_full_refund_is_final() -> None:
    story = conclude(TOTAL, [ALL_BACK, COMPLETED])
    assert (story.status, story.is_final) == ("refunded", True)


@pytest.mark.parametrize(
    "strange",
    [
        {},
        {"id": None, "amount_received": "12900"},
        {"id": ["pi_1"], "amount_received": -5},
        {"id": "pi_1", "amount_received": True},
        {"id": "pi_1", "amount_received": 1.5},
    ],
)
def test_strange_amounts_count_as_nothing(strange: dict[str, Any]) -> None:
    assert conclude(TOTAL, [event(1, "payment_intent.succeeded", **strange)]).paid == 0


def test_references_may_come_expanded() -> None:
    whole = event(
        4,
        "checkout.session.completed",
        id="cs_1",
        payment_status="paid",
        payment_intent={"id": "pi_1", "object": "payment_intent"},
        amount_total=TOTAL,
    )
    assert [p.payment_intent for p in conclude(TOTAL, [whole]).payments] == ["pi_1"]
