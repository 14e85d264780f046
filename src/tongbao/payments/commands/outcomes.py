"""The one door: every fact about an operation enters here, whoever tells it and however often."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Literal

import msgspec

from tongbao.channels.contract import Approved, Declined, Outcome, Pending, Unknown
from tongbao.engine.commands import Key, Rows
from tongbao.engine.tables import IdempotencyKey
from tongbao.foundation.errors import no_such
from tongbao.orders.model import Order
from tongbao.payments.commands import booking
from tongbao.payments.commands.attempts import charge_captured, charge_failed
from tongbao.payments.commands.captures import intent_canceled
from tongbao.payments.commands.refunds import refund_failed, refund_succeeded
from tongbao.payments.model import (
    OUTCOMES,
    Charge,
    Fact,
    NoticeRow,
    Operation,
    PaymentIntent,
    PaymentReply,
    Refund,
    Terms,
    next_check_ms,
)

Source = Literal["answer", "notice", "query", "bill"]
CONFLICTS_MAX = 20
_FACTS: dict[type, Fact] = {Approved: "approved", Declined: "declined", Pending: "pending", Unknown: "unknown"}


class RecordOutcome(msgspec.Struct, frozen=True):
    """Record what a channel says of an operation. The same fact twice changes nothing; a fact that contradicts
    what is certain, or names another amount, is kept in ``Operation.conflicts`` and changes nothing else."""

    operation: str
    outcome: Outcome
    terms: Terms
    source: Source
    notice: str | None = None

    reply: ClassVar[type[msgspec.Struct]] = PaymentReply

    def needs(self, rows: Rows) -> Iterable[Key]:
        yield Operation, self.operation
        if self.notice:
            yield NoticeRow, (self.terms.channel, self.notice)
        operation = rows.find(Operation, self.operation)
        if operation is None:
            return
        yield PaymentIntent, operation.payment_intent
        yield Charge, operation.charge
        if operation.refund:
            yield Refund, operation.refund
        if operation.idempotency_key:
            yield IdempotencyKey, operation.idempotency_key
        charge = rows.find(Charge, operation.charge)
        if charge is not None:
            yield from booking.account_needs(self.terms, charge.currency, charge.customer)
            if charge.operation:
                yield Operation, charge.operation
            if charge.order_id:
                yield Order, charge.order_id

    def decide(self, rows: Rows, now_ms: int) -> PaymentReply:
        operation = rows.get(Operation, self.operation)
        if operation is None or operation.channel != self.terms.channel:
            raise no_such("operation", self.operation, "operation")
        if self.notice and not self._is_new(rows):
            return _state(rows, operation)
        fact = _FACTS[type(self.outcome)]
        verdict = OUTCOMES[operation.state, fact]
        if isinstance(self.outcome, Approved) and not _amount_agrees(operation, self.outcome):
            operation = self._doubt(rows, self._conflict(rows, operation))
        elif verdict == "conflict":
            self._book_unexpected(rows, operation)
            operation = self._conflict(rows, operation)
        elif verdict == "approve":
            operation = self._approve(rows, operation)
        elif verdict == "decline":
            operation = self._decline(rows, operation)
        elif verdict == "wait":
            operation = self._wait(rows, operation)
        elif verdict == "doubt":
            operation = self._doubt(rows, operation)
        reply = _state(rows, operation)
        if operation.idempotency_key:
            rows.finish(operation.idempotency_key, reply)
        return reply

    def _is_new(self, rows: Rows) -> bool:
        assert self.notice is not None
        if rows.get(NoticeRow, (self.terms.channel, self.notice)) is not None:
            return False
        fact = _FACTS[type(self.outcome)]
        rows.insert(NoticeRow(rows.merchant_id, self.terms.channel, self.notice, self.operation, fact, rows.now_ms))
        return True

    def _conflict(self, rows: Rows, operation: Operation) -> Operation:
        told: dict[str, Any] = {"source": self.source, **msgspec.to_builtins(self.outcome)}
        full = len(operation.conflicts) >= CONFLICTS_MAX and not self._brings_news_of_money(operation)
        if full or any({**known, "at_ms": 0} == {**told, "at_ms": 0} for known in operation.conflicts):
            return operation
        return _change(rows, operation, conflicts=[*operation.conflicts, {**told, "at_ms": rows.now_ms}])

    def _book_unexpected(self, rows: Rows, operation: Operation) -> None:
        """Money came in on what was declined for good: it belongs to nothing yet, but it is there. Once."""
        automatic = _intent(rows, operation).capture_method == "automatic"
        takes = operation.kind == "capture" or (operation.kind == "charge" and automatic)
        if takes and self._brings_news_of_money(operation):
            booking.book_suspense(rows, operation, self.terms)

    def _brings_news_of_money(self, operation: Operation) -> bool:
        """Whether this is the first contradiction that says that the operation was done."""
        own = ("approved", operation.amount, operation.currency)
        told = [(known["type"], known.get("amount"), known.get("currency")) for known in operation.conflicts]
        return isinstance(self.outcome, Approved) and _amount_agrees(operation, self.outcome) and own not in told

    def _approve(self, rows: Rows, operation: Operation) -> Operation:
        assert isinstance(self.outcome, Approved)
        operation = _final(rows, operation, "approved", ref=self.outcome.ref)
        intent, charge = _intent(rows, operation), _charge(rows, operation)
        if operation.kind == "charge":
            charge = msgspec.structs.replace(charge, channel_ref=self.outcome.ref)
            if intent.capture_method == "automatic":
                charge_captured(rows, intent, charge, operation.amount, self.terms)
            else:
                _authorised(rows, intent, charge)
        elif operation.kind == "capture":
            charge_captured(rows, intent, charge, operation.amount, self.terms, event="charge.captured")
        elif operation.kind == "cancel":
            return self._canceled(rows, operation, intent, charge)
        else:
            refund = rows.get(Refund, operation.refund)
            assert refund is not None, "a refund operation has its refund"
            refund_succeeded(rows, refund, charge, self.terms)
        return operation

    def _canceled(self, rows: Rows, operation: Operation, intent: PaymentIntent, charge: Charge) -> Operation:
        if intent.status == "succeeded":
            return self._conflict(rows, operation)
        if intent.status == "canceled" or intent.latest_charge != charge.id:
            return operation  # Overtaken: the charge was decided while the cancellation was on its way.
        if charge.status == "pending":
            rows.update(booking.replace(charge, status="failed", failure_code="canceled"))
            tried = rows.get(Operation, charge.operation) if charge.operation else None
            if tried is not None and tried.state not in ("approved", "declined"):
                _final(rows, tried, "declined", reason="canceled")
        elif charge.status == "succeeded":
            rows.update(booking.replace(charge, amount_refunded=charge.amount))
        intent_canceled(rows, intent, intent.cancellation_reason)
        return operation

    def _decline(self, rows: Rows, operation: Operation) -> Operation:
        assert isinstance(self.outcome, Declined)
        said = self.outcome
        operation = _final(rows, operation, "declined", reason=said.code, ref=said.ref or operation.ref)
        intent, charge = _intent(rows, operation), _charge(rows, operation)
        if operation.kind == "charge":
            failed = charge_failed(rows, intent, charge, said.code, said.message, said.decline_code)
            if intent.canceled_ms is not None:  # It was called off meanwhile: no other method shall be tried.
                intent_canceled(rows, failed.intent, intent.cancellation_reason)
        elif operation.kind == "refund":
            refund = rows.get(Refund, operation.refund)
            assert refund is not None, "a refund operation has its refund"
            refund_failed(rows, refund, charge, self.terms, said.decline_code or said.code)
        elif intent.status == "processing":
            self._stays_reserved(rows, operation, intent, charge)
        return operation

    def _stays_reserved(self, rows: Rows, operation: Operation, intent: PaymentIntent, charge: Charge) -> None:
        """A capture or cancellation was refused: the intent is where it was before, and the charge is asked about."""
        intent = msgspec.structs.replace(intent, canceled_ms=None, cancellation_reason=None)
        if charge.status == "succeeded":
            rows.update(booking.replace(intent, status="requires_capture", next_check_ms=None))
        elif charge.operation:
            rows.update(booking.replace(intent, next_check_ms=rows.now_ms))
            rows.schedule(booking.CHASE, charge.operation, rows.now_ms)

    def _wait(self, rows: Rows, operation: Operation) -> Operation:
        ref, step = None, None
        if isinstance(self.outcome, Pending):
            ref, step = self.outcome.ref, self.outcome.next_step
        check_ms = next_check_ms(operation.tries, rows.now_ms)
        operation = _change(
            rows,
            operation,
            state="pending",
            ref=ref or operation.ref,
            tries=operation.tries + 1,
            next_check_ms=check_ms,
            reason=None,
        )
        rows.schedule(booking.CHASE, operation.id, check_ms)
        intent = _intent(rows, operation)
        acts = intent.status != "requires_action" and intent.canceled_ms is None
        if operation.kind == "charge" and step is not None and acts:
            action = {
                "type": step.kind,
                step.kind: {"url": step.url, "return_url": intent.return_url},
            }
            intent = booking.replace(intent, status="requires_action", next_action=action, next_check_ms=None)
            rows.update(intent)
            rows.event("payment_intent.requires_action", "payment_intent", intent)
        else:
            _tell_next_check(rows, operation)
        return operation

    def _doubt(self, rows: Rows, operation: Operation) -> Operation:
        if operation.state in ("approved", "declined"):
            return operation
        reason = self.outcome.reason if isinstance(self.outcome, Unknown) else "amount_mismatch"
        check_ms = next_check_ms(operation.tries, rows.now_ms)
        state = operation.state if operation.state == "pending" else "unknown"
        operation = _change(
            rows, operation, state=state, reason=reason[:200], tries=operation.tries + 1, next_check_ms=check_ms
        )
        rows.schedule(booking.CHASE, operation.id, check_ms)
        _tell_next_check(rows, operation)
        return operation


def _amount_agrees(operation: Operation, said: Approved) -> bool:
    return said.amount == operation.amount and said.currency == operation.currency


def _tell_next_check(rows: Rows, operation: Operation) -> None:
    """Say on what waits for this operation when the channel is asked next."""
    intent = _intent(rows, operation)
    if operation.kind == "refund":
        refund = rows.get(Refund, operation.refund)
        assert refund is not None, "a refund operation has its refund"
        rows.update(booking.replace(refund, next_check_ms=operation.next_check_ms))
    elif intent.status == "processing":
        first = intent.next_check_ms is None
        intent = booking.replace(intent, next_check_ms=operation.next_check_ms)
        rows.update(intent)
        if first:
            rows.event("payment_intent.processing", "payment_intent", intent)


def _authorised(rows: Rows, intent: PaymentIntent, charge: Charge) -> None:
    charge = booking.replace(charge, status="succeeded")
    called_off = intent.canceled_ms is not None  # Then the cancellation is still under way.
    intent = booking.replace(
        intent,
        status="processing" if called_off else "requires_capture",
        amount_capturable=charge.amount,
        next_action=None,
        next_check_ms=None,
    )
    rows.update(charge)
    rows.update(intent)
    rows.event("charge.succeeded", "charge", charge)
    rows.event("payment_intent.amount_capturable_updated", "payment_intent", intent)


def _change(rows: Rows, operation: Operation, **changes: Any) -> Operation:
    changed: Operation = booking.replace(operation, **changes)
    rows.update(changed)
    return changed


def _final(rows: Rows, operation: Operation, state: str, **changes: Any) -> Operation:
    rows.unschedule(booking.CHASE, operation.id)
    return _change(rows, operation, state=state, next_check_ms=None, **changes)


def _intent(rows: Rows, operation: Operation) -> PaymentIntent:
    intent = rows.get(PaymentIntent, operation.payment_intent)
    assert intent is not None, "an operation has its intent"
    return intent


def _charge(rows: Rows, operation: Operation) -> Charge:
    charge = rows.get(Charge, operation.charge)
    assert charge is not None, "an operation has its charge"
    return charge


def _state(rows: Rows, operation: Operation) -> PaymentReply:
    refund = rows.get(Refund, operation.refund) if operation.refund else None
    return PaymentReply(_intent(rows, operation), _charge(rows, operation), refund, operation)
