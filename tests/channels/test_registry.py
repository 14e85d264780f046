"""The registry of channels, and the channel that never calls anybody."""

from __future__ import annotations

import httpx
import pytest

from tongbao.channels.balance import BalanceChannel
from tongbao.channels.card import CardChannel, CardConfig
from tongbao.channels.contract import Channel, NoticeRefused, Order
from tongbao.channels.registry import Registry
from tongbao.foundation.errors import InvalidRequest

CONFIG = CardConfig(base_url="http://127.0.0.1:1", terminal_id="trm_1", secret="x" * 32)


def card(name: str = "card") -> CardChannel:
    return CardChannel(CONFIG, httpx.AsyncClient(), name)


def test_a_channel_is_found_by_name_and_by_method() -> None:
    first, second = card("main_acquirer"), BalanceChannel()
    registry = Registry([first, second])
    assert registry.names == ("main_acquirer", "customer_balance")
    assert registry.methods == ("card", "customer_balance")
    assert registry.by_name("main_acquirer") is first
    assert registry.for_method("card") is first
    assert registry.for_method("customer_balance") is second


def test_a_method_that_nobody_serves_is_the_callers_error() -> None:
    with pytest.raises(InvalidRequest, match="'cowrie' is not available here") as caught:
        Registry([card()]).for_method("cowrie")
    assert caught.value.code == "payment_method_type_unavailable"


def test_a_name_that_is_not_configured_is_the_operators_error() -> None:
    with pytest.raises(LookupError, match="'old_acquirer' is not configured"):
        Registry([card()]).by_name("old_acquirer")


@pytest.mark.parametrize("channels", [[card(), card()], [card("a"), card("b")]], ids=["same name", "same method"])
def test_channels_that_clash_are_refused(channels: list[Channel]) -> None:
    with pytest.raises(ValueError, match="two channels"):
        Registry(channels)


async def test_the_balance_channel_is_inside_and_never_called() -> None:
    channel: Channel = BalanceChannel()
    assert channel.capabilities.inside
    assert channel.capabilities.settles_at_once
    assert not channel.capabilities.manual_capture
    order = Order("op_1", "charge", 100, "cny", "acct_1", False)
    for verb in (channel.charge, channel.capture, channel.cancel, channel.refund, channel.query):
        with pytest.raises(AssertionError, match="decided in the engine"):
            await verb(order)
    with pytest.raises(NoticeRefused):
        channel.verify_notice({}, b"{}", 0)
