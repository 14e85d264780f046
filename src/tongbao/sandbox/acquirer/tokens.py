"""A card becomes a token. Of the number only the last four digits and the behaviour's label are kept."""

from __future__ import annotations

import datetime
import sqlite3
from typing import Any

from tongbao.foundation.ids import new_id
from tongbao.sandbox.acquirer.cards import TEST_CARDS, brand_of, fault_of
from tongbao.sandbox.acquirer.signing import mac
from tongbao.sandbox.acquirer.wire import Card, Refusal, TokenRequest

_KEPT = ("token", "brand", "last4", "exp_month", "exp_year", "fingerprint", "funding", "country")


def tokenize(db: sqlite3.Connection, terminal: str, secret: str, request: TokenRequest, now_ms: int) -> dict[str, Any]:
    """Make a token, or return the one that this operation id made before, or say what is wrong with the card.

    A refusal is not kept: corrected input may come under the same operation id.
    """
    card = request.card
    digest = _keyed(secret, "input", f"{card.number}\n{card.exp_month}\n{card.exp_year}")
    row = db.execute(
        "select * from tokens where terminal = ? and operation_id = ?", (terminal, request.operation_id)
    ).fetchone()
    if row is not None:
        if row["input"] != digest:
            raise Refusal(409, "operation_mismatch", "This operation id was used before with another card.")
        return _render(row)
    today = datetime.datetime.fromtimestamp(now_ms / 1000, datetime.UTC).date()
    fault = fault_of(card.number, card.exp_month, card.exp_year, card.cvc, today)
    if fault is not None:
        return {
            "operation_id": request.operation_id,
            "kind": "token",
            "status": "declined",
            "code": fault.code,
            "decline_code": fault.decline_code,
            "message": fault.message,
        }
    _insert(db, terminal, secret, request.operation_id, card, digest, now_ms)
    made = db.execute(
        "select * from tokens where terminal = ? and operation_id = ?", (terminal, request.operation_id)
    ).fetchone()
    return _render(made)


def _insert(
    db: sqlite3.Connection, terminal: str, secret: str, operation_id: str, card: Card, digest: str, now_ms: int
) -> None:
    known = TEST_CARDS[card.number]
    db.execute(
        "insert into tokens values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            terminal,
            new_id("tkn", now_ms),
            operation_id,
            digest,
            brand_of(card.number),
            card.number[-4:],
            card.exp_month,
            card.exp_year,
            _keyed(secret, "fingerprint", card.number)[:16],
            known.funding,
            known.country,
            known.behaviour,
            now_ms,
        ),
    )


def _keyed(secret: str, purpose: str, text: str) -> str:
    # Keyed, with a key that is not in the file: a bare hash of a card number is soon guessed (PCI DSS 3.5.1.1).
    # The security code is never part of it: it may not be kept in any form (3.3.1).
    return mac(secret, f"{purpose}\n{text}".encode())


def _render(row: sqlite3.Row) -> dict[str, Any]:
    kept = {name: row[name] for name in _KEPT}
    return {"operation_id": row["operation_id"], "kind": "token", "status": "approved", **kept}
