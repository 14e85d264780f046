"""What payments do to an order: every state, every policy, in one table; and the sums that hold of all."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.orders.model import LatePolicy, Order, Policy, Status, cancel, expire, payable, receive, refunded

NOW = 1_700_000_000_000
ITEMS = [{"name": "tea", "unit_amount": 100, "quantity": 1, "amount": 100}]


def order(
    status: Status = "open",
    paid: int = 0,
    overpayment: Policy = "refund",
    late: LatePolicy = "refund",
    expires_ms: int | None = None,
) -> Order:
    return Order(
        "acct_a", "ord_1", NOW, "cny", 100, ITEMS, status=status, amount_paid=paid, overpayment=overpayment,
        late_payment=late, expires_ms=expires_ms,
    )  # fmt: skip


# before             in   after                paid over late  back  events
RECEIVED: list[tuple[Order, int, Status, int, int, int, int, list[str]]] = [
    (order(), 100, "paid", 100, 0, 0, 0, ["order.paid"]),
    (order(), 30, "partially_paid", 30, 0, 0, 0, ["order.partially_paid"]),
    (order("partially_paid", 30), 30, "partially_paid", 60, 0, 0, 0, ["order.partially_paid"]),
    (order("partially_paid", 30), 70, "paid", 100, 0, 0, 0, ["order.paid"]),
    (order(), 130, "paid", 100, 30, 0, 30, ["order.paid", "order.overpaid"]),
    (order(overpayment="keep"), 130, "paid", 100, 30, 0, 0, ["order.paid", "order.overpaid"]),
    (order("partially_paid", 30), 100, "paid", 100, 30, 0, 30, ["order.paid", "order.overpaid"]),
    (order("paid", 100), 100, "paid", 100, 100, 0, 100, ["order.overpaid"]),
    (order("paid", 100, "keep"), 100, "paid", 100, 100, 0, 0, ["order.overpaid"]),
    (order("expired"), 100, "expired", 0, 0, 100, 100, ["order.late_payment"]),
    (order("expired", 30), 70, "expired", 30, 0, 70, 70, ["order.late_payment"]),
    (order("canceled"), 100, "canceled", 0, 0, 100, 100, ["order.late_payment"]),
    (order("canceled", overpayment="keep"), 130, "canceled", 0, 0, 130, 130, ["order.late_payment"]),
    (order("expired", late="accept"), 100, "paid", 100, 0, 100, 0, ["order.paid"]),
    (order("expired", 30, late="accept"), 30, "partially_paid", 60, 0, 30, 0, ["order.partially_paid"]),
    (order("canceled", late="accept"), 130, "paid", 100, 30, 130, 30, ["order.paid", "order.overpaid"]),
]


@pytest.mark.parametrize("row", RECEIVED, ids=[f"{row[0].status}+{row[1]}" for row in RECEIVED])
def test_what_comes_in_is_applied_by_the_orders_policy(
    row: tuple[Order, int, Status, int, int, int, int, list[str]],
) -> None:
    before, amount, status, paid, over, late, back, events = row
    got = receive(before, amount, NOW + 5)
    after = got.order
    assert (after.status, after.amount_paid, after.amount_overpaid, after.amount_late) == (status, paid, over, late)
    assert (got.give_back, got.events) == (back, events)
    assert (got.reason is None) == (back == 0)
    assert after.version == before.version + 1
    assert after.paid_ms == (NOW + 5 if status == "paid" else None)


def test_the_reason_of_what_goes_back_is_told() -> None:
    assert receive(order(), 130, NOW).reason == "overpayment"
    assert receive(order("expired"), 130, NOW).reason == "late_payment"


def test_when_an_order_was_paid_is_not_forgotten_by_a_later_payment() -> None:
    paid = receive(order(), 100, NOW).order
    assert receive(paid, 100, NOW + 9).order.paid_ms == NOW


AMOUNTS = st.lists(st.tuples(st.sampled_from(["pay", "pay", "pay", "refund", "expire", "cancel"]), st.integers(1, 150)))


@given(AMOUNTS, st.sampled_from(get_args(Policy)), st.sampled_from(get_args(LatePolicy)))
def test_every_unit_that_came_in_is_paid_over_or_late(
    acts: list[tuple[str, int]], overpayment: Policy, late: LatePolicy
) -> None:
    now, came_in, reopened = order(overpayment=overpayment, late=late), 0, 0
    for act, amount in acts:
        before = now
        if act == "pay":
            got = receive(now, amount, NOW)
            now, came_in = got.order, came_in + amount
            assert 0 <= got.give_back <= amount
        elif act == "refund":
            now = refunded(now, min(amount, now.amount_paid))
            reopened += before.amount_paid - now.amount_paid
        elif act == "expire":
            now = expire(now) or now
        else:
            now = cancel(now, NOW) or now
        counted = now.amount_paid + now.amount_overpaid + (now.amount_late if late == "refund" else 0) + reopened
        assert counted == came_in
        assert 0 <= now.amount_paid <= now.amount_total
        assert (now.status == "paid") == (now.amount_paid == now.amount_total and now.status not in DEAD)
        assert before.status != "paid" or now.status == "paid", "what is paid stays paid"
        assert (now.status == "open") <= (now.amount_paid == 0)
        assert now.amount_remaining == now.amount_total - now.amount_paid


DEAD = ("expired", "canceled")


def test_money_that_goes_back_before_all_is_paid_is_due_again() -> None:
    partly = receive(order(), 40, NOW).order
    assert refunded(partly, 10).amount_remaining == 70
    emptied = refunded(partly, 40)
    assert (emptied.status, emptied.amount_remaining, emptied.amount_refunded) == ("open", 100, 40)
    assert receive(emptied, 60, NOW).order.status == "partially_paid"


def test_an_order_that_is_paid_stays_paid_when_the_shop_gives_money_back() -> None:
    paid = receive(order(), 100, NOW).order
    after = refunded(paid, 30)
    assert (after.status, after.amount_paid, after.amount_refunded, after.amount_remaining) == ("paid", 100, 30, 0)


ENDS: dict[Status, bool] = {"open": True, "partially_paid": True, "paid": False, "expired": False, "canceled": False}


@pytest.mark.parametrize(("status", "ends"), ENDS.items())
def test_only_what_is_not_yet_paid_or_over_can_expire_or_be_canceled(status: Status, ends: bool) -> None:
    expired, canceled = expire(order(status)), cancel(order(status), NOW)
    assert (expired is not None) == (canceled is not None) == ends
    if ends:
        assert expired is not None
        assert canceled is not None
        assert (expired.status, canceled.status, canceled.canceled_ms) == ("expired", "canceled", NOW)


@pytest.mark.parametrize("when", ["early", "at the end", "never"])
@pytest.mark.parametrize("status", get_args(Status))
def test_an_order_can_be_paid_while_it_is_open_and_its_time_has_not_run_out(status: Status, when: str) -> None:
    one = order(status, expires_ms=None if when == "never" else NOW + 10)
    expected = status in ("open", "partially_paid") and when != "at the end"
    assert payable(one, NOW + 10 if when == "at the end" else NOW + 9) == expected
