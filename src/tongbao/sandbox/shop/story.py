"""What the webhooks say, taken together, about one order.

Webhooks arrive twice, late, and in any order. So nothing is updated step by step: the events of an order are kept,
and its state is concluded from all of them each time. The same events give the same state in whatever order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

Status = Literal["waiting", "partially_paid", "paid", "partially_refunded", "refunded", "expired"]
HEARD = frozenset(
    {
        "checkout.session.completed",
        "order.paid",
        "order.partially_paid",
        "order.expired",
        "payment_intent.succeeded",
        "payment_intent.payment_failed",
        "charge.refunded",
    }
)
"""The types of event that the shop listens to; any other is acknowledged and forgotten."""


class Event(msgspec.Struct, frozen=True):
    """A webhook event as received. ``created_s`` is the sender's clock in seconds, ``received_ms`` ours."""

    id: str
    type: str
    created_s: int
    received_ms: int
    body: dict[str, Any]

    @property
    def object(self) -> dict[str, Any]:
        """The object that the event is about, as it was when the event happened."""
        found = self.body["data"]["object"]
        return found if isinstance(found, dict) else {}


class Payment(msgspec.Struct):
    """One payment intent that brought money. Amounts in minor units."""

    payment_intent: str
    received: int
    refunded: int = 0


class Story(msgspec.Struct, frozen=True):
    """The conclusion. ``failure`` is the last refused attempt's reason, while the order is still unpaid."""

    status: Status
    paid: int
    refunded: int
    paid_at_s: int | None
    failure: str | None
    receipt_url: str | None
    payments: list[Payment]

    @property
    def is_final(self) -> bool:
        """Whether nothing more is expected to happen."""
        return self.status in ("refunded", "expired")


def mentions(body: dict[str, Any]) -> set[str]:
    """The ids by which an event is tied to an order: its object, the order and payment that it names, and ours."""
    thing = body["data"]["object"]
    named = [thing.get("id"), thing.get("order"), thing.get("payment_intent"), thing.get("latest_charge")]
    metadata = thing.get("metadata")
    if isinstance(metadata, dict):
        named.append(metadata.get("shop_order"))
    # A reference may come expanded: then it is an object with an id.
    ids = (value.get("id") if isinstance(value, dict) else value for value in named)
    return {value for value in ids if isinstance(value, str) and 0 < len(value) <= 255}


def conclude(total: int, events: Iterable[Event]) -> Story:
    """Conclude the state of an order of ``total`` minor units from its events, in whatever order they came."""
    by_type: dict[str, list[Event]] = {}
    for event in sorted(events, key=lambda e: (e.created_s, e.id)):
        by_type.setdefault(event.type, []).append(event)
    payments = _payments(by_type)
    paid = max(sum(p.received for p in payments), _said_by_order(total, by_type))
    refunded = sum(p.refunded for p in payments)
    # An order that was paid after its time, and accepted, says so itself.
    expired = "order.expired" in by_type and "order.paid" not in by_type
    return Story(
        status=_status(total, paid, refunded, expired=expired),
        paid=paid,
        refunded=refunded,
        paid_at_s=_paid_at(by_type) if paid >= total and not expired else None,
        failure=_failure(by_type) if paid < total else None,
        receipt_url=_receipt(by_type),
        payments=payments,
    )


def _status(total: int, paid: int, refunded: int, *, expired: bool) -> Status:
    net = paid - refunded
    if refunded > 0 and net <= 0:
        return "refunded"
    if expired:
        return "expired"  # whatever came after that was too late, and goes back
    if net >= total:
        return "paid"  # also if too much came and the excess went back
    if refunded > 0 and paid >= total:
        return "partially_refunded"
    return "partially_paid" if paid > 0 else "waiting"


def _payments(by_type: dict[str, list[Event]]) -> list[Payment]:
    found: dict[str, Payment] = {}

    def note(intent: object, received: int) -> None:
        if isinstance(intent, dict):
            intent = intent.get("id")
        if isinstance(intent, str) and intent:
            found.setdefault(intent, Payment(intent, received))

    # From the surest teller of the amount to the least sure: the first one counts.
    for event in by_type.get("payment_intent.succeeded", []):
        thing = event.object
        note(thing.get("id"), _whole(thing.get("amount_received") or thing.get("amount")))
    refunds: dict[str, tuple[object, int]] = {}
    for event in by_type.get("charge.refunded", []):
        thing = event.object
        note(thing.get("payment_intent"), _whole(thing.get("amount_captured") or thing.get("amount")))
        charge, so_far = str(thing.get("id")), _whole(thing.get("amount_refunded"))
        if so_far >= refunds.get(charge, (None, 0))[1]:  # it only ever grows: the largest is the latest
            refunds[charge] = (thing.get("payment_intent"), so_far)
    for event in by_type.get("checkout.session.completed", []):
        thing = event.object
        if thing.get("payment_status") == "paid":
            note(thing.get("payment_intent"), _whole(thing.get("amount_total")))
    for intent, so_far in refunds.values():
        name = intent.get("id") if isinstance(intent, dict) else intent
        if isinstance(name, str) and name in found:
            found[name].refunded += so_far
    return list(found.values())


def _said_by_order(total: int, by_type: dict[str, list[Event]]) -> int:
    said = [
        _whole(e.object.get("amount_paid"))
        for t in ("order.partially_paid", "order.expired", "order.paid")
        for e in by_type.get(t, [])
    ]
    if "order.paid" in by_type:
        said.append(total)
    return max(said, default=0)


def _paid_at(by_type: dict[str, list[Event]]) -> int | None:
    tellers = ("order.paid", "payment_intent.succeeded", "checkout.session.completed")
    return min((e.created_s for t in tellers for e in by_type.get(t, [])), default=None)


def _failure(by_type: dict[str, list[Event]]) -> str | None:
    failures = by_type.get("payment_intent.payment_failed", [])
    if not failures:
        return None
    error = failures[-1].object.get("last_payment_error")
    message = error.get("message") if isinstance(error, dict) else None
    return message[:300] if isinstance(message, str) else ""


def _receipt(by_type: dict[str, list[Event]]) -> str | None:
    for events in by_type.values():
        for event in events:
            charge = event.object.get("latest_charge")
            for thing in (event.object, charge if isinstance(charge, dict) else {}):
                url = thing.get("receipt_url")
                if isinstance(url, str) and url.startswith(("https://", "http://")):
                    return url
    return None


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
