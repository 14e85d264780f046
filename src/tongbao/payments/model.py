"""What is true of payments: rows, and the table by which outcomes change operations."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from tongbao.channels.contract import OperationKind
from tongbao.database.rows import Row, table

IntentStatus = Literal[
    "requires_payment_method",
    "requires_confirmation",
    "requires_action",
    "processing",
    "requires_capture",
    "succeeded",
    "canceled",
]
ChargeStatus = Literal["pending", "succeeded", "failed"]
RefundStatus = Literal["pending", "succeeded", "failed", "canceled"]
OperationState = Literal["sending", "pending", "unknown", "approved", "declined"]


@table(
    "payment_intents",
    key=("merchant_id", "id"),
    indexes=[
        sa.Index(
            "ix_payment_intents_order", "merchant_id", "order_id", postgresql_where=sa.text("order_id IS NOT NULL")
        ),
        sa.Index("ix_payment_intents_customer", "merchant_id", "customer", "id"),
    ],
)
class PaymentIntent(Row, frozen=True):
    """The wish to be paid an amount, through all its attempts (Stripe's PaymentIntent).

    ``canceled_ms`` is when it was called off: set from the moment when the channel has to be told of it.
    """

    id: str
    created_ms: int
    amount: int
    currency: str
    client_secret: str
    status: IntentStatus = "requires_payment_method"
    version: int = 1
    capture_method: Literal["automatic", "manual"] = "automatic"
    payment_method_types: list[str] = msgspec.field(default_factory=lambda: ["card"])
    customer: str | None = None
    description: str | None = None
    metadata: dict[str, str] = {}
    order_id: str | None = None
    payment_method: str | None = None
    latest_charge: str | None = None
    amount_capturable: int = 0
    amount_received: int = 0
    next_action: dict[str, Any] | None = None
    last_payment_error: dict[str, Any] | None = None
    next_check_ms: int | None = None
    canceled_ms: int | None = None
    cancellation_reason: str | None = None
    receipt_email: str | None = None
    return_url: str | None = None
    statement_descriptor: str | None = None


@table(
    "charges",
    key=("merchant_id", "id"),
    indexes=[sa.Index(None, "merchant_id", "payment_intent")],
)
class Charge(Row, frozen=True):
    """One attempt at being paid (Stripe's Charge). ``amount_refunded`` counts refunds from their reservation on."""

    id: str
    created_ms: int
    payment_intent: str
    amount: int
    currency: str
    channel: str
    status: ChargeStatus = "pending"
    version: int = 1
    captured: bool = False
    amount_captured: int = 0
    amount_refunded: int = 0
    fee: int = 0
    customer: str | None = None
    description: str | None = None
    payment_method: str | None = None
    method_details: dict[str, Any] = {}
    operation: str | None = None
    channel_ref: str | None = None
    failure_code: str | None = None
    failure_message: str | None = None
    decline_code: str | None = None
    order_id: str | None = None
    metadata: dict[str, str] = {}


@table(
    "refunds",
    key=("merchant_id", "id"),
    indexes=[sa.Index(None, "merchant_id", "charge"), sa.Index(None, "merchant_id", "payment_intent")],
)
class Refund(Row, frozen=True):
    """Money given back. ``pending`` until the channel has said so; reserved in the books meanwhile."""

    id: str
    created_ms: int
    charge: str
    payment_intent: str
    amount: int
    currency: str
    status: RefundStatus = "pending"
    version: int = 1
    reason: str | None = None
    failure_reason: str | None = None
    metadata: dict[str, str] = {}
    operation: str | None = None
    next_check_ms: int | None = None


@table(
    "operations",
    key=("merchant_id", "id"),
    indexes=[
        sa.Index(None, "merchant_id", "charge"),
    ],
)
class Operation(Row, frozen=True):
    """One movement of money through a channel. Its id is the channel's idempotency key, fixed for ever.

    ``conflicts`` keeps facts that contradict what was already certain, or name another amount: never dropped.
    ``idempotency_key`` is the key of the request that waits for its outcome.
    """

    id: str
    created_ms: int
    kind: OperationKind
    channel: str
    payment_intent: str
    charge: str
    amount: int
    currency: str
    refund: str | None = None
    state: OperationState = "sending"
    version: int = 1
    ref: str | None = None
    tries: int = 0
    next_check_ms: int | None = None
    reason: str | None = None
    conflicts: list[dict[str, Any]] = []
    idempotency_key: str | None = None


@table(
    "payment_methods",
    key=("merchant_id", "id"),
    indexes=[sa.Index(None, "merchant_id", "customer")],
)
class PaymentMethod(Row, frozen=True):
    """A way to pay that can be used again. For a card, the acquirer's token and what may be shown of it.

    ``detached``: it cannot be used again; its token stays, for a charge that has still to be sent with it.
    """

    id: str
    created_ms: int
    type: str
    version: int = 1
    customer: str | None = None
    card: dict[str, Any] | None = None
    token: str | None = None
    channel: str | None = None
    billing_details: dict[str, Any] = {}
    metadata: dict[str, str] = {}
    detached: bool = False


@table("notices", key=("merchant_id", "channel", "external_id"))
class NoticeRow(Row, frozen=True):
    """A verified message of a provider, kept under the provider's own id: the same one twice is one row."""

    channel: str
    external_id: str
    operation: str
    fact: str
    received_ms: int


class Terms(msgspec.Struct, frozen=True):
    """What a command must know of the channel: its capabilities and what it costs the merchant.

    The fee is ``fee_bps`` hundredths of a percent of the amount, rounded half up, plus ``fee_fixed`` minor units.
    """

    channel: str
    method: str
    inside: bool = False
    manual_capture: bool = False
    partial_capture: bool = False
    settles_at_once: bool = False
    fee_bps: int = 0
    fee_fixed: int = 0

    def fee(self, amount: int) -> int:
        """The fee on ``amount`` minor units, never more than the amount itself."""
        return min(amount, (amount * self.fee_bps + 5_000) // 10_000 + self.fee_fixed) if amount else 0


class PaymentReply(msgspec.Struct, frozen=True):
    """What a command on payments answers: the objects as they are after it."""

    intent: PaymentIntent
    charge: Charge | None = None
    refund: Refund | None = None
    operation: Operation | None = None
    method: PaymentMethod | None = None


Fact = Literal["approved", "declined", "pending", "unknown"]
Verdict = Literal["approve", "decline", "wait", "doubt", "repeat", "conflict"]

OUTCOMES: dict[tuple[OperationState, Fact], Verdict] = {
    ("sending", "approved"): "approve",
    ("sending", "declined"): "decline",
    ("sending", "pending"): "wait",
    ("sending", "unknown"): "doubt",
    ("pending", "approved"): "approve",
    ("pending", "declined"): "decline",
    ("pending", "pending"): "wait",
    ("pending", "unknown"): "wait",  # We knew more before we asked: the provider has it.
    ("unknown", "approved"): "approve",
    ("unknown", "declined"): "decline",
    ("unknown", "pending"): "wait",
    ("unknown", "unknown"): "doubt",
    ("approved", "approved"): "repeat",
    ("approved", "declined"): "conflict",
    ("approved", "pending"): "repeat",  # An older fact that arrives late.
    ("approved", "unknown"): "repeat",
    ("declined", "approved"): "conflict",
    ("declined", "declined"): "repeat",
    ("declined", "pending"): "repeat",
    ("declined", "unknown"): "repeat",
}
"""What a fact means for an operation in a state. ``repeat``: nothing new. ``conflict``: kept and flagged."""

CANCELABLE: frozenset[IntentStatus] = frozenset(
    ("requires_payment_method", "requires_confirmation", "requires_action", "requires_capture")
)
CONFIRMABLE: frozenset[IntentStatus] = frozenset(("requires_payment_method", "requires_confirmation"))

CHECK_AFTER_S = (2, 4, 8, 15, 30, 60, 120, 300, 600, 1800, 3600)
"""How long to wait before asking a channel again, by the number of times already asked; then hourly, for ever."""


def next_check_ms(tries: int, now_ms: int) -> int:
    """When an operation that has been asked about ``tries`` times is asked about next."""
    return now_ms + 1000 * CHECK_AFTER_S[min(tries, len(CHECK_AFTER_S) - 1)]
