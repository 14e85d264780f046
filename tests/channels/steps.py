"""Orders and small steps that the contract tests share."""

from __future__ import annotations

from typing import Any

from tests.channels.under_test import ChannelUnderTest
from tests.sandbox.inbox import Delivery

from tongbao.channels.contract import Approved, NoticeRefused, OperationKind, Order
from tongbao.foundation.clock import now_ms
from tongbao.foundation.ids import new_id

MERCHANT = "acct_contract"
RETURN_URL = "http://shop.example/back?order=1&x=%2F"


def charge_order(under_test: ChannelUnderTest, token: str, amount: int = 1_000, **more: Any) -> Order:
    return Order(
        operation_id=new_id("op"),
        kind="charge",
        amount=amount,
        currency="cny",
        merchant_id=MERCHANT,
        livemode=False,
        token=token,
        return_url=RETURN_URL,
        notice_url=under_test.inbox.url,
        **more,
    )


def after(charge: Order, kind: OperationKind, amount: int | None = None) -> Order:
    return Order(
        operation_id=new_id("op"),
        kind=kind,
        amount=charge.amount if amount is None else amount,
        currency=charge.currency,
        merchant_id=charge.merchant_id,
        livemode=charge.livemode,
        charge_operation_id=charge.operation_id,
        notice_url=charge.notice_url,
    )


async def paid(under_test: ChannelUnderTest, amount: int = 1_000) -> Order:
    order = charge_order(under_test, await under_test.approving(), amount)
    assert isinstance(await under_test.channel.charge(order), Approved)
    return order


async def reserved(under_test: ChannelUnderTest, amount: int = 1_000) -> Order:
    order = charge_order(under_test, await under_test.approving(), amount, capture=False)
    assert isinstance(await under_test.channel.charge(order), Approved)
    return order


def is_taken(under_test: ChannelUnderTest, delivery: Delivery) -> bool:
    try:
        under_test.channel.verify_notice(delivery.headers, delivery.body, now_ms())
    except NoticeRefused:
        return False
    return True
