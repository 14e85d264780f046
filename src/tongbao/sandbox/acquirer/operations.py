"""What becomes of an operation: charge, capture, void, refund, the shopper's answer, and time running out.

All functions run inside a transaction of the store. An operation id means the same operation for ever: asked
again with the same input, the operation's present state is returned and nothing moves; with other input, it
is an error. A refusal for good (no such charge, too much) is an operation too: it is kept as declined.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from tongbao.foundation.ids import new_id, new_secret
from tongbao.sandbox.acquirer.cards import BEHAVIOURS
from tongbao.sandbox.acquirer.judgements import APPROVED, JUDGES, Decision
from tongbao.sandbox.acquirer.wire import ChargeRequest, FollowUpRequest, Refusal, encode

FollowUpKind = Literal["capture", "void", "refund"]


class Operation(msgspec.Struct, frozen=True):
    """One row of ``operations``."""

    seq: int
    terminal: str
    operation_id: str
    merchant_id: str
    kind: str
    charge_operation_id: str
    input: str
    amount: int
    currency: str
    capture: bool
    token: str | None
    merchant_name: str | None
    description: str | None
    return_url: str | None
    notice_url: str | None
    status: str
    ref: str
    code: str | None
    decline_code: str | None
    message: str | None
    details: str
    challenge: str | None
    expires_ms: int | None
    created_ms: int
    decided_ms: int | None


class Context(msgspec.Struct, frozen=True):
    """What a decision needs besides the request."""

    db: sqlite3.Connection
    now_ms: int
    public_url: str
    challenge_ttl_ms: int
    announce: Callable[[Operation], None]
    """Called with every operation that has been decided, to queue its notice in the same transaction."""


def charge(context: Context, terminal: str, request: ChargeRequest) -> Operation:
    """Take or reserve money, or ask for 3-D Secure, or decline, as the card's behaviour says."""
    digest = _digest(["charge", request.merchant_id, request.token, request.amount, request.currency, request.capture])
    known = _known(context.db, terminal, request.operation_id, digest)
    if known is not None:
        return known
    token = context.db.execute(
        "select * from tokens where terminal = ? and token = ?", (terminal, request.token)
    ).fetchone()
    behaviour = BEHAVIOURS[token["behaviour"]] if token else None
    details = {"brand": token["brand"], "last4": token["last4"]} if token else {}
    if behaviour is None:
        decision = Decision("declined", "resource_missing", None, "No such token.")
    elif behaviour.challenge:
        decision = Decision("requires_action")
    elif behaviour.code:
        decision = Decision("declined", behaviour.code, behaviour.decline_code, behaviour.message)
    else:
        decision = APPROVED
    waits = decision.status == "requires_action"
    operation = _insert(
        context,
        {
            "terminal": terminal,
            **msgspec.structs.asdict(request),
            "kind": "charge",
            "charge_operation_id": request.operation_id,
            "input": digest,
            "details": encode(details).decode(),
            "challenge": new_secret(32) if waits else None,
            "expires_ms": context.now_ms + context.challenge_ttl_ms if waits else None,
        },
        decision,
    )
    _open_charge(context.db, operation)
    if not waits:
        context.announce(operation)
    return operation


def follow_up(
    context: Context, terminal: str, kind: FollowUpKind, charge_operation_id: str, request: FollowUpRequest
) -> Operation:
    """Capture, void or refund a charge. What cannot be done is declined, for good."""
    digest = _digest([kind, request.merchant_id, charge_operation_id, request.amount, request.currency])
    known = _known(context.db, terminal, request.operation_id, digest)
    if known is not None:
        return known
    row = context.db.execute(
        "select * from charges where terminal = ? and operation_id = ? and merchant_id = ?",
        (terminal, charge_operation_id, request.merchant_id),
    ).fetchone()
    if row is None:
        decision = Decision("declined", "resource_missing", None, "No such charge.")
    elif row["currency"] != request.currency:
        decision = Decision("declined", "charge_invalid_parameter", None, "The charge is in another currency.")
    else:
        decision = JUDGES[kind](row, request.amount)
    values = {
        "terminal": terminal,
        **msgspec.structs.asdict(request),
        "kind": kind,
        "charge_operation_id": charge_operation_id,
        "input": digest,
        "details": "{}",
    }
    operation = _insert(context, values, decision)
    if decision.status == "approved":
        _apply(context, operation, row)
    context.announce(operation)
    return operation


def answer_challenge(context: Context, challenge: str, passed: bool) -> Operation | None:
    """The shopper's answer to 3-D Secure. An operation that is decided already stays as it is. ``None``:
    there is no such challenge."""
    expire(context)
    operation = of_challenge(context.db, challenge)
    if operation is None or operation.status != "requires_action":
        return operation
    row = context.db.execute(
        "select behaviour from tokens where terminal = ? and token = ?", (operation.terminal, operation.token)
    ).fetchone()
    behaviour = BEHAVIOURS[row["behaviour"]]
    if not passed:
        decision = Decision(
            "declined",
            "payment_intent_authentication_failure",
            None,
            "The shopper failed or refused 3-D Secure.",
        )
    elif behaviour.code:
        decision = Decision("declined", behaviour.code, behaviour.decline_code, behaviour.message)
    else:
        decision = APPROVED
    return _decide_waiting(context, operation, decision)


def expire(context: Context) -> int:
    """Decline what has waited too long for the shopper; return how many."""
    rows = context.db.execute(
        "select * from operations where status = 'requires_action' and expires_ms <= ?", (context.now_ms,)
    ).fetchall()
    decision = Decision(
        "declined",
        "payment_intent_payment_attempt_expired",
        None,
        "The shopper did not answer 3-D Secure in time.",
    )
    for row in rows:
        _decide_waiting(context, _from_row(row), decision)
    return len(rows)


def find(db: sqlite3.Connection, terminal: str, operation_id: str) -> Operation | None:
    """The operation with this id, or ``None``."""
    row = db.execute(
        "select * from operations where terminal = ? and operation_id = ?", (terminal, operation_id)
    ).fetchone()
    return _from_row(row) if row else None


def of_challenge(db: sqlite3.Connection, challenge: str) -> Operation | None:
    """The charge whose 3-D Secure page has this secret, or ``None``."""
    row = db.execute("select * from operations where challenge = ?", (challenge,)).fetchone()
    return _from_row(row) if row else None


def render(operation: Operation, public_url: str) -> dict[str, Any]:
    """An operation as it goes over the wire, in answers and notices alike."""
    waits = operation.status == "requires_action"
    return {
        "operation_id": operation.operation_id,
        "merchant_id": operation.merchant_id,
        "kind": operation.kind,
        "charge_operation_id": operation.charge_operation_id,
        "status": operation.status,
        "ref": operation.ref,
        "amount": operation.amount,
        "currency": operation.currency,
        "code": operation.code,
        "decline_code": operation.decline_code,
        "message": operation.message,
        "details": msgspec.json.decode(operation.details),
        "challenge_url": f"{public_url}/challenges/{operation.challenge}" if waits else None,
        "expires_ms": operation.expires_ms if waits else None,
        "created_ms": operation.created_ms,
        "decided_ms": operation.decided_ms,
    }


def _digest(values: list[Any]) -> str:
    # The input itself, not a hash: it is short and holds no secret. Addresses and texts are left out, since a
    # retry may come from another place than the first attempt; what decides about money is all there.
    return encode(values).decode()


def _known(db: sqlite3.Connection, terminal: str, operation_id: str, digest: str) -> Operation | None:
    operation = find(db, terminal, operation_id)
    if operation is not None and operation.input != digest:
        raise Refusal(409, "operation_mismatch", "This operation id was used before with other input.")
    return operation


def _from_row(row: sqlite3.Row) -> Operation:
    return msgspec.convert(dict(row), Operation, strict=False)


def _insert(context: Context, values: dict[str, Any], decision: Decision) -> Operation:
    """Write a new operation with its first decision. Fields that a kind does not have are null."""
    decided = decision.status != "requires_action"
    full: dict[str, Any] = {
        **dict.fromkeys(Operation.__struct_fields__),
        "capture": True,
        **values,
        **msgspec.structs.asdict(decision),
        "ref": new_id("acq", context.now_ms),
        "created_ms": context.now_ms,
        "decided_ms": context.now_ms if decided else None,
    }
    names = [name for name in full if name != "seq"]
    cursor = context.db.execute(
        f"insert into operations ({', '.join(names)}) values ({', '.join('?' * len(names))})",  # noqa: S608 - our own names
        [full[name] for name in names],
    )
    full["seq"] = cursor.lastrowid
    return msgspec.convert(full, Operation)


def _open_charge(db: sqlite3.Connection, operation: Operation) -> None:
    captured = operation.amount if operation.status == "approved" and operation.capture else 0
    db.execute(
        "insert into charges values (?, ?, ?, ?, ?, ?, ?, 0)",
        (
            operation.terminal,
            operation.operation_id,
            operation.merchant_id,
            operation.currency,
            _charge_state(operation),
            operation.amount,
            captured,
        ),
    )


def _charge_state(operation: Operation) -> str:
    if operation.status == "approved":
        return "captured" if operation.capture else "authorised"
    return "declined" if operation.status == "declined" else "pending"


def _decide_waiting(context: Context, operation: Operation, decision: Decision) -> Operation:
    """Decide a charge that waited for the shopper, set the charge's state and announce it."""
    decided = msgspec.structs.replace(operation, **msgspec.structs.asdict(decision), decided_ms=context.now_ms)
    context.db.execute(
        "update operations set status = ?, code = ?, decline_code = ?, message = ?, decided_ms = ? where seq = ?",
        (decided.status, decided.code, decided.decline_code, decided.message, decided.decided_ms, decided.seq),
    )
    state = _charge_state(decided)
    context.db.execute(
        "update charges set state = ?, captured = ? where terminal = ? and operation_id = ?",
        (state, decided.amount if state == "captured" else 0, decided.terminal, decided.operation_id),
    )
    context.announce(decided)
    return decided


def _apply(context: Context, operation: Operation, charge: sqlite3.Row) -> None:
    """Move the money of an approved capture, void or refund."""
    key = (charge["terminal"], charge["operation_id"])
    if operation.kind == "void" and charge["state"] == "pending":
        waiting = find(context.db, *key)
        assert waiting is not None
        decision = Decision(
            "declined",
            "payment_intent_payment_attempt_failed",
            None,
            "The charge was called off before the shopper answered.",
        )
        _decide_waiting(context, waiting, decision)
        return
    change = {
        "capture": "state = 'captured', captured = ?1",
        "void": "state = 'voided'",
        "refund": "refunded = refunded + ?1",
    }[operation.kind]
    context.db.execute(
        f"update charges set {change} where terminal = ?2 and operation_id = ?3",  # noqa: S608 - our own text
        (operation.amount, *key),
    )
