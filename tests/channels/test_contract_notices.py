"""What every channel must do with its provider's notices."""

from __future__ import annotations

import pytest
from tests.channels.steps import after, is_taken, paid
from tests.channels.under_test import ChannelUnderTest

from tongbao.channels.contract import Approved, NoticeRefused
from tongbao.foundation.clock import MINUTE_MS, now_ms


async def test_a_genuine_notice_tells_the_outcome(under_test: ChannelUnderTest) -> None:
    order = await paid(under_test)
    [delivery] = await under_test.inbox.wait(order.operation_id)
    notice = under_test.channel.verify_notice(delivery.headers, delivery.body, now_ms())
    assert notice.outcome == await under_test.channel.query(order)


async def test_the_same_notice_twice_has_the_same_id(under_test: ChannelUnderTest) -> None:
    await under_test.disturb("duplicate_notice")
    order = await paid(under_test)
    deliveries = await under_test.inbox.wait(order.operation_id, count=2)
    notices = [under_test.channel.verify_notice(one.headers, one.body, now_ms()) for one in deliveries]
    assert notices[0] == notices[1]


async def test_a_forged_notice_is_refused_and_the_genuine_one_taken(under_test: ChannelUnderTest) -> None:
    await under_test.disturb("forged_notice")
    order = await paid(under_test)
    deliveries = await under_test.inbox.wait(order.operation_id, count=2)
    genuine = [one for one in deliveries if is_taken(under_test, one)]
    assert len(genuine) == 1
    notice = under_test.channel.verify_notice(genuine[0].headers, genuine[0].body, now_ms())
    assert isinstance(notice.outcome, Approved)


async def test_a_notice_is_refused_once_it_is_altered_stale_or_bare(under_test: ChannelUnderTest) -> None:
    order = await paid(under_test)
    [delivery] = await under_test.inbox.wait(order.operation_id)
    verify = under_test.channel.verify_notice
    with pytest.raises(NoticeRefused):
        verify(delivery.headers, delivery.body.replace(b"1000", b"1001"), now_ms())
    for offset in (-6 * MINUTE_MS, 6 * MINUTE_MS):
        with pytest.raises(NoticeRefused):
            verify(delivery.headers, delivery.body, now_ms() + offset)
    with pytest.raises(NoticeRefused):
        verify({}, delivery.body, now_ms())
    for name in delivery.headers:
        if "signature" in name or "timestamp" in name:
            for wrong in ("", "0", "é", "9" * 400, delivery.headers[name][::-1]):
                with pytest.raises(NoticeRefused):
                    verify({**delivery.headers, name: wrong}, delivery.body, now_ms())


async def test_a_notice_that_claims_another_amount_shows_it(under_test: ChannelUnderTest) -> None:
    await under_test.disturb("wrong_amount", where="notice")
    order = await paid(under_test)
    [delivery] = await under_test.inbox.wait(order.operation_id)
    outcome = under_test.channel.verify_notice(delivery.headers, delivery.body, now_ms()).outcome
    assert isinstance(outcome, Approved)
    assert outcome.amount != order.amount


async def test_notices_may_come_in_another_order_than_the_facts(under_test: ChannelUnderTest) -> None:
    await under_test.disturb("reordered_notice", delay_ms=5_000)
    order = await paid(under_test)
    refund = after(order, "refund", 100)
    assert isinstance(await under_test.channel.refund(refund), Approved)
    arrived = await under_test.inbox.wait(order.operation_id, refund.operation_id, count=2, seconds=4)
    assert [one.operation["operation_id"] for one in arrived] == [refund.operation_id, order.operation_id]


async def test_a_late_notice_is_as_good_as_any(under_test: ChannelUnderTest) -> None:
    await under_test.disturb("late_notice", delay_ms=250)
    order = await paid(under_test)
    assert under_test.inbox.of(order.operation_id) == []
    [delivery] = await under_test.inbox.wait(order.operation_id)
    assert isinstance(under_test.channel.verify_notice(delivery.headers, delivery.body, now_ms()).outcome, Approved)


async def test_a_notice_that_is_not_taken_comes_again(under_test: ChannelUnderTest) -> None:
    under_test.inbox.failures = 1
    order = await paid(under_test)
    deliveries = await under_test.inbox.wait(order.operation_id, count=2)
    first, second = (under_test.channel.verify_notice(one.headers, one.body, now_ms()) for one in deliveries)
    assert first == second


# Refund, capture, cancel
