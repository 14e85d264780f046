"""The way of a payment through a channel: record the operation, call the channel, bring back what it says.

Nothing here decides anything: decisions are commands in the engine. Between the two commits the channel is
called outside of any transaction; if this process dies there, the operation's job makes the sweeper ask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from tongbao.channels.contract import (
    CardDetails,
    CardToken,
    Channel,
    Declined,
    Order,
    Outcome,
    Unknown,
)
from tongbao.channels.registry import Registry
from tongbao.database import bulk
from tongbao.database.rows import TABLES
from tongbao.engine import Command, Engine, Reply
from tongbao.foundation.clock import MINUTE_MS, now_ms
from tongbao.foundation.errors import Overloaded, PaymentFailed
from tongbao.foundation.http import Idempotency
from tongbao.foundation.ids import new_id
from tongbao.identity.model import Merchant
from tongbao.payments.commands import RecordOutcome
from tongbao.payments.commands.outcomes import Source
from tongbao.payments.model import Charge, Operation, PaymentIntent, PaymentMethod, PaymentReply, Terms

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Fees:
    """What a channel costs the merchant; see ``Terms``."""

    bps: int = 0
    fixed: int = 0


class Payments:
    """Carries payments through channels. One per process."""

    def __init__(
        self,
        engine: Engine,
        pool: Any,
        channels: Registry,
        base_url: str,
        fees: Mapping[str, Fees] | None = None,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        """:param base_url: our public address, for notices and for the shopper's way back.
        :param fees: by channel name; none means free."""
        self._clock = clock
        self.engine = engine
        self.channels = channels
        self._pool = pool
        self._base_url = base_url
        self.terms = {name: _terms(channels.by_name(name), (fees or {}).get(name, Fees())) for name in channels.names}
        self._merchants: dict[str, Merchant] = {}
        self._by_method = {terms.method: terms for terms in self.terms.values()}

    def terms_for(self, method: str) -> Terms | None:
        """The terms of the channel that serves a payment method type, or ``None`` if none does."""
        return self._by_method.get(method)

    def test_card(self, name: str) -> CardDetails | None:
        """The card that a test name such as ``pm_card_visa`` stands for, or ``None``."""
        if "card" not in self._by_method:
            return None
        channel: Any = self.channels.for_method("card")
        card: CardDetails | None = channel.test_card(name)
        return card

    async def tokenize(self, card: CardDetails, merchant_id: str) -> CardToken:
        """Exchange a card for a token.

        :raises PaymentFailed: if the card's details are refused.
        :raises Overloaded: if the acquirer cannot be reached. Nothing was charged.
        """
        channel: Any = self.channels.for_method("card")
        said = await channel.tokenize(card, new_id("tok"))
        if isinstance(said, CardToken):
            return said
        if isinstance(said, Declined):
            extra = {"decline_code": said.decline_code} if said.decline_code else {}
            raise PaymentFailed(said.code, said.message, param=_CARD_PARAMS.get(said.code, "number"), extra=extra)
        raise Overloaded(
            "channel_unavailable", "The card network cannot be reached. Nothing was charged; try again shortly."
        )

    async def run(
        self, merchant_id: str, command: Command, idempotency: Idempotency | None, request_id: str | None
    ) -> Reply:
        """Run a command and, if it recorded an operation, carry that out and return the state after it."""
        reply = await self.engine.run(merchant_id, command, idempotency, request_id)
        if reply.finished:
            return reply
        value: PaymentReply = reply.value
        assert value.operation is not None, "an unfinished payment has its operation"
        return Reply(await self.carry_out(value, request_id))

    async def carry_out(self, value: PaymentReply, request_id: str | None = None) -> PaymentReply:
        """Send the operation to its channel and record what comes back."""
        operation, charge = value.operation, value.charge
        assert operation is not None
        assert charge is not None
        channel = self.channels.by_name(operation.channel)
        order = await self._order(operation, charge, value.intent, value.method)
        outcome = await _call(channel, order)
        return await self.record(operation.merchant_id, operation.id, operation.channel, outcome, "answer", request_id)

    async def record(
        self,
        merchant_id: str,
        operation_id: str,
        channel: str,
        outcome: Outcome,
        source: Source,
        request_id: str | None = None,
        notice: str | None = None,
    ) -> PaymentReply:
        """Bring a fact through the one door."""
        command = RecordOutcome(operation_id, outcome, self.terms[channel], source, notice)
        reply = await self.engine.run(merchant_id, command, request_id=request_id)
        value: PaymentReply = reply.value
        return value

    async def chase(self, merchant_id: str, operation_id: str) -> None:
        """Ask the channel what became of an operation; send it (again) if the channel has never heard of it."""
        found = await self._load(merchant_id, operation_id)
        if found is None:
            return
        operation, charge, intent = found
        if operation.state in ("approved", "declined"):
            return
        channel = self.channels.by_name(operation.channel)
        method = await self._method(merchant_id, charge.payment_method)
        order = await self._order(operation, charge, intent, method)
        outcome = await _guarded(channel.query(order))
        if isinstance(outcome, Unknown) and outcome.never_arrived:
            if operation.kind == "charge" and self._clock() - operation.created_ms > SEND_WITHIN_MS:
                outcome = _EXPIRED
            else:
                outcome = await _call(channel, order)
        await self.record(merchant_id, operation_id, operation.channel, outcome, "query")

    async def chase_intent(self, merchant_id: str, intent: PaymentIntent) -> None:
        """Ask now about an intent that waits for its shopper, who has just come back."""
        if intent.latest_charge is None or intent.status not in ("requires_action", "processing"):
            return
        charge = await self._one(Charge, merchant_id, intent.latest_charge)
        if charge is not None and charge.operation is not None:
            await self.chase(merchant_id, charge.operation)

    async def _load(self, merchant_id: str, operation_id: str) -> tuple[Operation, Charge, PaymentIntent] | None:
        operation = await self._one(Operation, merchant_id, operation_id)
        if operation is None:
            return None
        charge = await self._one(Charge, merchant_id, operation.charge)
        intent = await self._one(PaymentIntent, merchant_id, operation.payment_intent)
        assert charge is not None
        assert intent is not None
        return operation, charge, intent

    async def _one(self, cls: Any, merchant_id: str, key: str) -> Any:
        async with self._pool.acquire() as connection:
            rows = await bulk.select(connection, TABLES[cls], merchant_id, [key])
        return rows[0] if rows else None

    async def _method(self, merchant_id: str, method_id: str | None) -> PaymentMethod | None:
        if method_id is None:
            return None
        method: PaymentMethod | None = await self._one(PaymentMethod, merchant_id, method_id)
        return method

    async def _merchant(self, merchant_id: str) -> Merchant:
        """The payee, as channels show it to the shopper. Remembered: a merchant's mode never changes."""
        merchant = self._merchants.get(merchant_id)
        if merchant is None:
            merchant = await self._one(Merchant, merchant_id, merchant_id)
            assert merchant is not None, "an operation has its merchant"
            if len(self._merchants) >= _MERCHANTS_MAX:
                self._merchants.clear()
            self._merchants[merchant_id] = merchant
        return merchant

    async def _order(
        self, operation: Operation, charge: Charge, intent: PaymentIntent, method: PaymentMethod | None
    ) -> Order:
        if method is None and operation.kind == "charge":
            method = await self._method(operation.merchant_id, charge.payment_method)
        merchant = await self._merchant(operation.merchant_id)
        return Order(
            operation_id=operation.id,
            kind=operation.kind,
            amount=operation.amount,
            currency=operation.currency,
            merchant_id=operation.merchant_id,
            merchant_name=merchant.name,
            livemode=merchant.livemode,
            charge_operation_id=charge.operation,
            charge_ref=charge.channel_ref,
            token=method.token if method else None,
            capture=intent.capture_method == "automatic",
            description=intent.description,
            return_url=f"{self._base_url}/return/{operation.merchant_id}/{intent.id}"
            f"?secret={intent.client_secret.rpartition('_')[2]}",
            notice_url=f"{self._base_url}/notices/{operation.channel}/{operation.merchant_id}",
        )


_MERCHANTS_MAX = 10_000
SEND_WITHIN_MS = 10 * MINUTE_MS
"""A charge that never reached its channel is sent this long after it was asked for, and then not any more: the
shopper has gone, and may have paid elsewhere. (A channel that answers that late has long dropped the first try.)"""
_EXPIRED = Declined(
    "payment_intent_payment_attempt_expired", "The card network could not be reached in time. Nothing was charged."
)
_CARD_PARAMS = {
    "invalid_expiry_month": "exp_month",
    "invalid_expiry_year": "exp_year",
    "expired_card": "exp_month",
    "invalid_cvc": "cvc",
    "incorrect_cvc": "cvc",
}


def _terms(channel: Channel, fees: Fees) -> Terms:
    can = channel.capabilities
    return Terms(
        channel=channel.name,
        method=can.method,
        inside=can.inside,
        manual_capture=can.manual_capture,
        partial_capture=can.partial_capture,
        settles_at_once=can.settles_at_once,
        fee_bps=fees.bps,
        fee_fixed=fees.fixed,
    )


async def _call(channel: Channel, order: Order) -> Outcome:
    verbs = {
        "charge": channel.charge,
        "capture": channel.capture,
        "cancel": channel.cancel,
        "refund": channel.refund,
    }
    return await _guarded(verbs[order.kind](order))


async def _guarded(call: Any) -> Outcome:
    """A channel must not raise; if it does, that is a bug of ours, and what happened outside is unknown."""
    try:
        outcome: Outcome = await call
    except Exception:
        log.exception("channel_raised")
        return Unknown("internal_error")
    return outcome
