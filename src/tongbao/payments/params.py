"""What callers may send about payments."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct

from tongbao.database.reads import CreatedListParams
from tongbao.foundation.params import (
    Amount,
    Currency,
    Description,
    Email,
    Expand,
    Id,
    Metadata,
    Name,
    OptionalDescription,
    OptionalEmail,
    OptionalMetadata,
    Phone,
    Url,
)

CaptureMethod = Literal["automatic", "automatic_async", "manual"]
MethodTypes = Annotated[list[Annotated[str, Meta(max_length=50)]], Meta(min_length=1, max_length=20)]
Descriptor = Annotated[str, Meta(max_length=22)]


class Address(Struct, frozen=True, forbid_unknown_fields=True):
    """A postal address."""

    city: Name | None = None
    country: Annotated[str, Meta(max_length=2)] | None = None
    line1: Name | None = None
    line2: Name | None = None
    postal_code: Annotated[str, Meta(max_length=20)] | None = None
    state: Name | None = None


class BillingDetails(Struct, frozen=True, forbid_unknown_fields=True):
    """Who pays, as the payment method's issuer knows them."""

    address: Address | None = None
    email: Email | None = None
    name: Name | None = None
    phone: Phone | None = None


class Card(Struct, frozen=True, forbid_unknown_fields=True):
    """A card as it was typed, or the token of one. It is exchanged for a token and never kept; never printed."""

    number: Annotated[str, Meta(max_length=30)] | None = None
    exp_month: int | None = None
    exp_year: int | None = None
    cvc: Annotated[str, Meta(max_length=10)] | None = None
    token: Id | None = None

    def __repr__(self) -> str:
        return "Card(…)"


class NoDetails(Struct, frozen=True, forbid_unknown_fields=True):
    """A method that needs nothing more."""


class PaymentMethodData(Struct, frozen=True, forbid_unknown_fields=True):
    """A new payment method within another request."""

    type: Literal["card", "customer_balance"]
    card: Card | None = None
    customer_balance: NoDetails | None = None
    billing_details: BillingDetails | None = None
    metadata: Metadata = {}


class CreatePaymentMethod(PaymentMethodData, frozen=True, forbid_unknown_fields=True):
    """A new payment method."""

    expand: Expand = []


class AttachPaymentMethod(Struct, frozen=True, forbid_unknown_fields=True):
    """Attach a payment method to a customer."""

    customer: Id
    expand: Expand = []


class AutomaticMethods(Struct, frozen=True, forbid_unknown_fields=True):
    """Let the installation's channels decide which methods are offered."""

    enabled: bool
    allow_redirects: Literal["always", "never"] = "always"


class CreatePaymentIntent(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Stripe's parameters, and ``order``: pay (a part of) one of our orders."""

    amount: Amount | None = None
    currency: Currency | None = None
    order: Id | None = None
    customer: Id | None = None
    confirm: bool = False
    capture_method: CaptureMethod = "automatic"
    confirmation_method: Literal["automatic"] = "automatic"
    payment_method: Id | None = None
    payment_method_data: PaymentMethodData | None = None
    payment_method_types: MethodTypes | None = None
    automatic_payment_methods: AutomaticMethods | None = None
    description: Description | None = None
    metadata: Metadata = {}
    receipt_email: Email | None = None
    return_url: Url | None = None
    statement_descriptor: Descriptor | None = None
    off_session: bool = False
    expand: Expand = []


class UpdatePaymentIntent(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Changes to an intent that has not been tried yet."""

    amount: Amount | None = None
    currency: Currency | None = None
    customer: Id | None = None
    payment_method: Id | None = None
    payment_method_types: MethodTypes | None = None
    description: OptionalDescription = UNSET
    metadata: OptionalMetadata = UNSET
    receipt_email: OptionalEmail = UNSET
    expand: Expand = []


class ConfirmPaymentIntent(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How to pay."""

    payment_method: Id | None = None
    payment_method_data: PaymentMethodData | None = None
    return_url: Url | None = None
    receipt_email: Email | None = None
    client_secret: Id | None = None
    off_session: bool = False
    expand: Expand = []


class CapturePaymentIntent(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much to take; by default all that is reserved."""

    amount_to_capture: Amount | None = None
    expand: Expand = []


class CancelPaymentIntent(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Why it is called off."""

    cancellation_reason: Literal["abandoned", "duplicate", "fraudulent", "requested_by_customer"] | None = None
    expand: Expand = []


class RetrievePaymentIntent(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """With a publishable key the intent's ``client_secret`` proves that the caller may see it."""

    client_secret: Id | None = None
    expand: Expand = []


class ListPaymentIntents(CreatedListParams, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Intents of a customer or an order."""

    customer: Id | None = None
    order: Id | None = None


class ListCharges(CreatedListParams, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Charges of an intent or a customer."""

    payment_intent: Id | None = None
    customer: Id | None = None


class ListRefunds(CreatedListParams, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Refunds of an intent or a charge."""

    payment_intent: Id | None = None
    charge: Id | None = None


class ListPaymentMethods(CreatedListParams, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Methods attached to a customer."""

    customer: Id
    type: Literal["card", "customer_balance"] | None = None


class CreateRefundParams(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to give back: all that is left of the payment, or an amount."""

    payment_intent: Id | None = None
    charge: Id | None = None
    amount: Amount | None = None
    reason: Literal["duplicate", "fraudulent", "requested_by_customer"] | None = None
    metadata: Metadata = {}
    expand: Expand = []
