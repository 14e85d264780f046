"""From what a caller says of a payment method to what a command can decide on. Cards become tokens here."""

from __future__ import annotations

from typing import Any

import msgspec

from tongbao.channels.contract import CardDetails, CardToken
from tongbao.database import reads
from tongbao.foundation.clock import now_ms
from tongbao.foundation.errors import InvalidRequest, PaymentFailed, missing, no_such
from tongbao.foundation.http import Caller
from tongbao.foundation.ids import new_id
from tongbao.foundation.metadata import check_metadata
from tongbao.payments.commands import MethodChoice
from tongbao.payments.model import PaymentIntent, PaymentMethod, Terms
from tongbao.payments.params import BillingDetails, Card, PaymentMethodData
from tongbao.payments.service import Payments


async def new_method(payments: Payments, caller: Caller, data: PaymentMethodData) -> PaymentMethod:
    """Make (not yet keep) the payment method that a caller describes. A card is exchanged for a token.

    :raises PaymentFailed: if the card's details are refused.
    """
    terms_of(payments, data.type)
    check_metadata(data.metadata, "payment_method_data[metadata]")
    if data.type != "card":
        return PaymentMethod(caller.merchant_id, new_id("pm"), now_ms(), data.type, metadata=data.metadata)
    if data.card is None:
        raise missing("card")
    token = await payments.tokenize(_card(payments, data.card, caller), caller.merchant_id)
    return _from_token(token, caller, data.billing_details, data.metadata)


async def named_method(payments: Payments, pool: Any, caller: Caller, name: str) -> PaymentMethod:
    """The method with this id, or in test mode a new one for a name such as ``pm_card_visa``.

    :raises NotFound: if there is none.
    """
    details = None if caller.livemode else payments.test_card(name)
    if details is not None:
        token = await payments.tokenize(details, caller.merchant_id)
        return _from_token(token, caller, None, {})
    method = await reads.one(pool, PaymentMethod, caller.merchant_id, name)
    if method is None:
        raise no_such("PaymentMethod", name, "payment_method")
    return method


def is_test_name(payments: Payments, name: str, caller: Caller) -> bool:
    """Whether this is one of the names that stand for a test card."""
    return not caller.livemode and payments.test_card(name) is not None


async def choose(
    payments: Payments,
    pool: Any,
    caller: Caller,
    name: str | None,
    data: PaymentMethodData | None,
    intent: PaymentIntent | None = None,
    types: list[str] | None = None,
) -> MethodChoice:
    """What to pay with: a named or new method, the intent's own, or (if nothing else is possible) the balance."""
    if name is not None and data is not None:
        raise InvalidRequest(
            "parameters_exclusive",
            "You may only specify one of these parameters: payment_method, payment_method_data.",
            param="payment_method_data",
        )
    if name is not None:
        method = await named_method(payments, pool, caller, name)
        terms = terms_of(payments, method.type)
        if is_test_name(payments, name, caller):
            return MethodChoice(terms, new=method)
        return MethodChoice(terms, payment_method=None if terms.inside else name)
    if data is not None:
        terms = terms_of(payments, data.type)
        if terms.inside:
            return MethodChoice(terms)
        return MethodChoice(terms, new=await new_method(payments, caller, data))
    if intent is not None and intent.payment_method is not None:
        method = await named_method(payments, pool, caller, intent.payment_method)
        return MethodChoice(terms_of(payments, method.type), payment_method=intent.payment_method)
    offered = types or (intent.payment_method_types if intent else [])
    if offered == ["customer_balance"]:
        return MethodChoice(terms_of(payments, "customer_balance"))
    outside = next((terms for terms in map(payments.terms_for, offered) if terms and not terms.inside), None)
    if intent is not None and outside is not None:
        # The command refuses this, unless it is a repetition whose stored reply comes first: a declined attempt
        # takes the method off its intent.
        return MethodChoice(outside)
    raise InvalidRequest(
        "payment_intent_payment_method_missing",
        "You cannot confirm this PaymentIntent because it's missing a payment method. "
        "Send payment_method or payment_method_data.",
        param="payment_method",
    )


def terms_of(payments: Payments, method: str) -> Terms:
    """The terms of the channel that serves a method type.

    :raises InvalidRequest: if no channel does.
    """
    terms = payments.terms_for(method)
    if terms is None:
        raise InvalidRequest(
            "payment_method_type_unavailable",
            f"The payment method type {method[:50]} is not offered here.",
            param="payment_method_types",
        )
    return terms


def _card(payments: Payments, card: Card, caller: Caller) -> CardDetails:
    if card.token is not None:
        details = None if caller.livemode else payments.test_card(card.token)
        if details is None:
            raise no_such("token", card.token, "card[token]")
        return details
    for field in ("number", "exp_month", "exp_year"):
        if getattr(card, field) is None:
            raise missing(f"card[{field}]")
    assert card.number is not None
    assert card.exp_month is not None
    assert card.exp_year is not None
    if not 1 <= card.exp_month <= 12:
        raise PaymentFailed("invalid_expiry_month", "Your card's expiration month is invalid.", param="exp_month")
    year = card.exp_year + 2000 if 0 <= card.exp_year < 100 else card.exp_year
    if not 2000 <= year <= 2100:
        raise PaymentFailed("invalid_expiry_year", "Your card's expiration year is invalid.", param="exp_year")
    number = "".join(character for character in card.number if character not in " -")
    if not number.isascii() or not number.isdigit():
        raise PaymentFailed("invalid_number", "The card number is not a valid credit card number.", param="number")
    return CardDetails(number, card.exp_month, year, card.cvc)


def _from_token(
    token: CardToken, caller: Caller, billing: BillingDetails | None, metadata: dict[str, str]
) -> PaymentMethod:
    return PaymentMethod(
        merchant_id=caller.merchant_id,
        id=new_id("pm"),
        created_ms=now_ms(),
        type="card",
        card={
            "brand": token.brand,
            "country": token.country,
            "display_brand": token.brand,
            "exp_month": token.exp_month,
            "exp_year": token.exp_year,
            "fingerprint": token.fingerprint,
            "funding": token.funding,
            "last4": token.last4,
        },
        token=token.token,
        channel="card",
        billing_details=msgspec.to_builtins(billing) if billing else {},
        metadata=metadata,
    )
