"""A bank behind a channel: it keeps books of its own, and what it says can get lost, be wrong or come late."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tongbao.channels.contract import (
    Approved,
    Capabilities,
    Declined,
    NextStep,
    Notice,
    NoticeRefused,
    Order,
    Outcome,
    Pending,
    Unknown,
)

Decision = Literal["approve", "decline", "challenge", "think"]
Hearing = Literal["answer", "lost", "never", "raise"]


@dataclass
class Plan:
    """What the bank decides about the next operation, and what of it we hear.

    ``lost``: the bank does it, and we get no answer. ``never``: the request does not arrive. ``raise``: the bank
    does it, and the channel's code fails. ``told``: the amount that the bank says, if not the right one.
    """

    decide: Decision = "approve"
    hear: Hearing = "answer"
    told: int | None = None


@dataclass
class BankOperation:
    """An operation as the bank has it."""

    order: Order
    state: Literal["approved", "declined", "pending"]
    told: int
    challenge: bool = False
    code: str = "card_declined"
    captured: int = 0
    refunded: int = 0
    released: bool = False

    @property
    def outcome(self) -> Outcome:
        """What the bank says of it now."""
        ref = f"bank_{self.order.operation_id}"
        if self.state == "approved":
            return Approved(ref, self.told, self.order.currency)
        if self.state == "declined":
            return Declined(self.code, "No.", "generic_decline", ref)
        return Pending(ref, NextStep(f"https://bank.example/{ref}") if self.challenge else None)


@dataclass
class Bank:
    """A channel and the bank behind it. ``strict``: it refuses refunds of more than it took."""

    name: str = "card"
    strict: bool = True
    capabilities: Capabilities = field(
        default_factory=lambda: Capabilities(method="card", manual_capture=True, partial_capture=True)
    )
    plans: deque[Plan] = field(default_factory=deque)
    queries: deque[Hearing] = field(default_factory=deque)
    """What of the answers to the next queries we hear; afterwards all of them."""
    operations: dict[str, BankOperation] = field(default_factory=dict)
    calls: list[tuple[str, Order]] = field(default_factory=list)
    hold: asyncio.Event | None = None
    """While it is there and not set, every call waits for it before it arrives."""

    @property
    def taken(self) -> Counter[tuple[str, str]]:
        """The money that this bank owes each merchant, by currency: taken less given back."""
        total: Counter[tuple[str, str]] = Counter()
        for operation in self.operations.values():
            order = operation.order
            total[order.merchant_id, order.currency] += operation.captured - operation.refunded
        return total

    async def charge(self, order: Order) -> Outcome:
        return await self._take("charge", order)

    async def capture(self, order: Order) -> Outcome:
        return await self._take("capture", order)

    async def cancel(self, order: Order) -> Outcome:
        return await self._take("cancel", order)

    async def refund(self, order: Order) -> Outcome:
        return await self._take("refund", order)

    async def query(self, order: Order) -> Outcome:
        self.calls.append(("query", order))
        hear = self.queries.popleft() if self.queries else "answer"
        if hear == "raise":
            raise ZeroDivisionError("query")
        if hear != "answer":
            return Unknown("no answer")
        known = self.operations.get(order.operation_id)
        return known.outcome if known else Unknown("never heard of it", never_arrived=True)

    def verify_notice(self, headers: Mapping[str, str], body: bytes, now_ms: int) -> Notice:
        raise NoticeRefused("this bank's notices are brought by hand")

    async def _take(self, verb: str, order: Order) -> Outcome:
        assert verb == order.kind
        self.calls.append((verb, order))
        plan = self.plans.popleft() if self.plans else Plan()
        if self.hold is not None:
            await self.hold.wait()
        if plan.hear == "never":
            return Unknown("no answer")
        known = self.operations.get(order.operation_id)
        if known is None:
            known = self.operations[order.operation_id] = self._judge(order, plan)
        same = (known.order.kind, known.order.amount, known.order.currency, known.order.charge_operation_id)
        assert same == (order.kind, order.amount, order.currency, order.charge_operation_id), "an id is used once"
        assert known.order.token == order.token, "a repetition is the same request"
        if plan.hear == "raise":
            raise ZeroDivisionError(verb)
        return Unknown("no answer") if plan.hear == "lost" else known.outcome

    def _judge(self, order: Order, plan: Plan) -> BankOperation:
        told = order.amount if plan.told is None else plan.told
        if plan.decide in ("challenge", "think"):
            waits = plan.decide == "challenge" and order.kind == "charge"
            return BankOperation(order, "pending", told, challenge=waits)
        made = BankOperation(order, "approved" if plan.decide == "approve" else "declined", told)
        self._apply(made)
        return made

    def decide(self, operation_id: str, approve: bool) -> bool:
        """The shopper or the bank has made up their mind about what was pending; false if it was not."""
        operation = self.operations[operation_id]
        if operation.state != "pending":
            return False
        operation.state = "approved" if approve else "declined"
        self._apply(operation)
        return True

    def _apply(self, made: BankOperation) -> None:
        order = made.order
        if made.state != "approved":
            return
        if order.kind == "charge":
            assert order.token is not None, "a card is charged by its token"
            made.captured = made.told if order.capture else 0
            made.released = False
            return
        charge = self.operations.get(order.charge_operation_id or "")
        refused = _refusal(charge, order, self.strict)
        if charge is None or refused is not None:
            made.state, made.code = "declined", refused or "resource_missing"
        elif order.kind == "capture":
            charge.captured = made.told
        elif order.kind == "refund":
            charge.refunded += made.told
        else:
            charge.released = True
            if charge.state == "pending":
                charge.state, charge.code = "declined", "payment_intent_payment_attempt_failed"


def _refusal(charge: BankOperation | None, order: Order, strict: bool) -> str | None:
    """Why the bank cannot do this to the charge, or ``None``."""
    if charge is None:
        return "resource_missing"
    open_to = charge.state == "approved" and not charge.captured and not charge.released and not charge.order.capture
    if order.kind == "capture" and not open_to:
        return "charge_already_captured" if charge.captured else "capture_unauthorized_payment"
    if order.kind == "capture" and order.amount > charge.order.amount:
        return "amount_too_large"
    if order.kind == "cancel" and not open_to and charge.state != "pending":
        return "payment_intent_unexpected_state"
    if order.kind == "refund" and strict and charge.refunded + order.amount > charge.captured:
        return "amount_too_large"
    return None
