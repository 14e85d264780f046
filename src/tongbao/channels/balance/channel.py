"""The inside channel ``customer_balance``: its capabilities, and verbs that must never be called.

A payment from a balance is a transfer between two accounts of our own ledger, in the transaction of the command
that decides it. There is nobody to call, nothing to ask and no notice to expect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from tongbao.channels.contract import Capabilities, Notice, NoticeRefused, Order, Outcome


class BalanceChannel:
    """The customer's cash balance as a way to pay."""

    name = "customer_balance"
    capabilities = Capabilities(method="customer_balance", inside=True, settles_at_once=True)

    async def charge(self, order: Order) -> Outcome:
        """:raises AssertionError: always; the engine decides it."""
        _never(order)

    async def capture(self, order: Order) -> Outcome:
        """:raises AssertionError: always; a balance payment is captured as it is made."""
        _never(order)

    async def cancel(self, order: Order) -> Outcome:
        """:raises AssertionError: always; the engine decides it."""
        _never(order)

    async def refund(self, order: Order) -> Outcome:
        """:raises AssertionError: always; the engine decides it."""
        _never(order)

    async def query(self, order: Order) -> Outcome:
        """:raises AssertionError: always; our own books know the outcome at once."""
        _never(order)

    def verify_notice(self, headers: Mapping[str, str], body: bytes, now_ms: int) -> Notice:
        """:raises NoticeRefused: always; nobody outside can have anything to say about a balance."""
        raise NoticeRefused("customer_balance has no provider that could send a notice")


def _never(order: Order) -> NoReturn:
    raise AssertionError(
        f"customer_balance is an inside channel: {order.kind} {order.operation_id} is decided in the engine,"
        " never by a call. Whoever dispatches orders has to look at capabilities.inside first."
    )
