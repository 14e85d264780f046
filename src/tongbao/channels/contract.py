"""What a channel is: the few verbs by which an operation reaches the outside world, and what it may answer.

A channel is stateless: everything it needs comes in its configuration and in each call. It is never called
inside a database transaction. It decides nothing about our books: it returns facts (``Outcome``), and the one
door (``payments.commands.RecordOutcome``) acts on them.

Rules for every channel:

* ``operation_id`` is the provider's idempotency key and the same on every retry, for ever.
* ``Approved`` and ``Declined`` only when the provider said so in words we know. Anything else (time-out,
  broken connection, unknown code, a bad signature on the answer) is ``Unknown``: never success, never failure.
* ``verify_notice`` raises ``NoticeRefused`` unless the signature is right and fresh. There is no way around it.
* No method raises for what the provider does; raising means a bug of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

OperationKind = Literal["charge", "capture", "cancel", "refund"]


class Capabilities(msgspec.Struct, frozen=True):
    """What a channel can do. The core asks here and never tests a channel's name."""

    method: str
    """The payment method type it serves, in Stripe's words: ``card``, ``customer_balance``, …"""
    inside: bool = False
    """Decided wholly inside the engine: no call leaves the house."""
    manual_capture: bool = False
    partial_capture: bool = False
    partial_refund: bool = True
    currencies: frozenset[str] | None = None
    """``None``: every currency."""
    settles_at_once: bool = False
    """True: the money is the merchant's ``available`` balance at once; False: ``pending`` until settled."""


class Order(msgspec.Struct, frozen=True):
    """One operation to be carried out. Amounts in minor units. Secrets never appear here.

    ``charge`` carries the token and says whether to capture at once; ``capture``, ``cancel`` and ``refund``
    carry ``charge_operation_id`` and ``charge_ref`` (the provider's own reference of the charge, if known).
    """

    operation_id: str
    kind: OperationKind
    amount: int
    currency: str
    merchant_id: str
    livemode: bool
    charge_operation_id: str | None = None
    charge_ref: str | None = None
    token: str | None = None
    """The provider's token of the payment method."""
    capture: bool = True
    description: str | None = None
    merchant_name: str | None = None
    """How the provider may name the merchant to the shopper (on a 3-D Secure page, in a wallet)."""
    return_url: str | None = None
    """Where the shopper's browser goes after a step at the provider's."""
    notice_url: str | None = None
    """Where the provider sends its signed notices."""


class NextStep(msgspec.Struct, frozen=True):
    """What the shopper has to do: go to ``url`` (3-D Secure, a wallet's page)."""

    url: str
    kind: str = "redirect_to_url"


class Approved(msgspec.Struct, frozen=True, tag="approved"):
    """The provider did it. ``amount`` and ``currency`` are what the provider says, to be compared with ours."""

    ref: str
    amount: int
    currency: str
    details: dict[str, str] = {}


class Declined(msgspec.Struct, frozen=True, tag="declined"):
    """The provider refused, for good. ``code``/``decline_code`` in Stripe's vocabulary."""

    code: str
    message: str
    decline_code: str | None = None
    ref: str | None = None


class Pending(msgspec.Struct, frozen=True, tag="pending"):
    """The provider knows the operation and has not decided: perhaps the shopper has to act."""

    ref: str | None = None
    next_step: NextStep | None = None


class Unknown(msgspec.Struct, frozen=True, tag="unknown"):
    """We cannot say what happened. The sweeper will ask. ``never_arrived`` is only for a provider that, asked
    with the operation's id, says that it has never heard of it: then the operation may be sent again."""

    reason: str
    never_arrived: bool = False


Outcome = Approved | Declined | Pending | Unknown


class Notice(msgspec.Struct, frozen=True):
    """A verified message of the provider: about which operation, and what it says."""

    external_id: str
    """The provider's own id of the message: the same message twice has the same id."""
    operation_id: str
    outcome: Outcome
    merchant_id: str | None = None
    """Whose operation it is, where the provider says so: part of what the signature covers."""


class NoticeRefused(Exception):
    """The notice is forged, altered, too old or unreadable. The message says which, and holds no secret."""


class CardDetails(msgspec.Struct, frozen=True):
    """A card as the shopper typed it. Lives only between decoding and ``tokenize``; its repr is masked."""

    number: str
    exp_month: int
    exp_year: int
    cvc: str | None = None

    def __repr__(self) -> str:
        return f"CardDetails(…{self.number[-4:]})"


class CardToken(msgspec.Struct, frozen=True):
    """What may be kept of a card: the provider's token and what may be shown."""

    token: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int
    fingerprint: str
    funding: str = "credit"
    country: str | None = None


class Channel(Protocol):
    """One way for money to move. See the module's docstring for the rules."""

    name: str
    capabilities: Capabilities

    async def charge(self, order: Order) -> Outcome:
        """Take (or, with ``capture=False``, reserve) the money."""
        ...

    async def capture(self, order: Order) -> Outcome:
        """Take reserved money, the whole or a part; the rest is released."""
        ...

    async def cancel(self, order: Order) -> Outcome:
        """Release reserved money, or call off a charge that waits for the shopper."""
        ...

    async def refund(self, order: Order) -> Outcome:
        """Give back the whole or a part of a charge."""
        ...

    async def query(self, order: Order) -> Outcome:
        """Ask what became of ``order.operation_id`` (of any kind)."""
        ...

    def verify_notice(self, headers: Mapping[str, str], body: bytes, now_ms: int) -> Notice:
        """Check signature and freshness and decode. ``headers`` have lower-case names.

        :raises NoticeRefused: always, unless the notice is proven to be the provider's.
        """
        ...


class Tokenizer(Protocol):
    """A channel that turns a card into a token."""

    async def tokenize(self, card: CardDetails, operation_id: str) -> CardToken | Declined | Unknown:
        """Exchange a card for a token. ``operation_id`` makes a retry return the same token."""
        ...

    def test_card(self, name: str) -> CardDetails | None:
        """The card that a test name such as ``pm_card_visa`` stands for, if it is one. For test mode only."""
        ...
