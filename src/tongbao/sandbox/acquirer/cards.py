"""Test cards: which numbers the acquirer knows, what each does, and what is wrong with any other.

The numbers, codes and decline codes are those of Stripe's published test data
(https://docs.stripe.com/testing, https://docs.stripe.com/declines/codes), so that a test written for one
runs against the other.
"""

from __future__ import annotations

import datetime
from typing import NamedTuple


class Behaviour(NamedTuple):
    """What happens to a charge of a card. ``code`` is ``None`` when it is approved."""

    challenge: bool = False
    """The shopper has to pass 3-D Secure first."""
    code: str | None = None
    decline_code: str | None = None
    message: str = ""


_DECLINED = "Your card was declined."
_NO_FUNDS = "Your card has insufficient funds."

BEHAVIOURS: dict[str, Behaviour] = {
    "approve": Behaviour(),
    "generic_decline": Behaviour(False, "card_declined", "generic_decline", _DECLINED),
    "insufficient_funds": Behaviour(False, "card_declined", "insufficient_funds", _NO_FUNDS),
    "lost_card": Behaviour(False, "card_declined", "lost_card", _DECLINED),
    "stolen_card": Behaviour(False, "card_declined", "stolen_card", _DECLINED),
    "fraudulent": Behaviour(False, "card_declined", "fraudulent", _DECLINED),
    "card_velocity_exceeded": Behaviour(
        False,
        "card_declined",
        "card_velocity_exceeded",
        "Your card was declined for making repeated attempts too frequently or exceeding its amount limit.",
    ),
    "expired_card": Behaviour(False, "expired_card", "expired_card", "Your card has expired."),
    "incorrect_cvc": Behaviour(False, "incorrect_cvc", "incorrect_cvc", "Your card's security code is incorrect."),
    "processing_error": Behaviour(
        False,
        "processing_error",
        "processing_error",
        "An error occurred while processing your card. Try again in a little bit.",
    ),
    "challenge": Behaviour(True),
    "challenge_generic_decline": Behaviour(True, "card_declined", "generic_decline", _DECLINED),
    "challenge_insufficient_funds": Behaviour(True, "card_declined", "insufficient_funds", _NO_FUNDS),
    "challenge_processing_error": Behaviour(
        True,
        "processing_error",
        "processing_error",
        "An error occurred while processing your card. Try again in a little bit.",
    ),
}
"""Behaviour by the label under which a token keeps it (the number itself is not kept)."""


class TestCard(NamedTuple):
    """One known number: what it does, and what may be told of it."""

    behaviour: str = "approve"
    funding: str = "credit"
    country: str = "US"


TEST_CARDS: dict[str, TestCard] = {
    "4242424242424242": TestCard(),
    "4000056655665556": TestCard(funding="debit"),
    "5555555555554444": TestCard(),
    "2223003122003222": TestCard(),
    "5200828282828210": TestCard(funding="debit"),
    "5105105105105100": TestCard(funding="prepaid"),
    "378282246310005": TestCard(),
    "371449635398431": TestCard(),
    "6011111111111117": TestCard(),
    "6011000990139424": TestCard(),
    "6011981111111113": TestCard(funding="debit"),
    "3056930009020004": TestCard(),
    "36227206271667": TestCard(),
    "3566002020360505": TestCard(country="JP"),
    "6200000000000005": TestCard(country="CN"),
    "6200000000000047": TestCard(funding="debit", country="CN"),
    "6205500000000000004": TestCard(country="CN"),
    "4000000000000002": TestCard("generic_decline"),
    "4000000000000341": TestCard("generic_decline"),
    "4000000000009995": TestCard("insufficient_funds"),
    "4000000000009987": TestCard("lost_card"),
    "4000000000009979": TestCard("stolen_card"),
    "4100000000000019": TestCard("fraudulent"),
    "4000000000006975": TestCard("card_velocity_exceeded"),
    "4000000000000069": TestCard("expired_card"),
    "4000000000000127": TestCard("incorrect_cvc"),
    "4000000000000119": TestCard("processing_error"),
    "4000000000003220": TestCard("challenge"),
    "4000000000003063": TestCard("challenge"),
    "4000002500003155": TestCard("challenge", country="FR"),
    "4000002760003184": TestCard("challenge", country="DE"),
    "4000008400001629": TestCard("challenge_generic_decline"),
    "4000008260003178": TestCard("challenge_insufficient_funds", country="GB"),
    "4000008400001280": TestCard("challenge_processing_error"),
}

_BRANDS: tuple[tuple[str, tuple[str, ...], tuple[int, ...]], ...] = (
    ("amex", ("34", "37"), (15,)),
    ("diners", ("300", "301", "302", "303", "304", "305", "36", "38", "39"), (14, 16)),
    ("discover", ("6011", "644", "645", "646", "647", "648", "649", "65"), (16, 19)),
    ("jcb", tuple(str(prefix) for prefix in range(3528, 3590)), (16, 19)),
    ("unionpay", ("62", "81"), (16, 17, 18, 19)),
    ("mastercard", ("51", "52", "53", "54", "55", *(str(p) for p in range(2221, 2721))), (16,)),
    ("visa", ("4",), (13, 16, 19)),
)
"""Brand, first digits (issuer identification numbers, ISO/IEC 7812) and lengths. First match wins."""


class Fault(NamedTuple):
    """Why a card is refused, in Stripe's codes."""

    code: str
    message: str
    decline_code: str | None = None


def luhn(number: str) -> bool:
    """Whether the check digit is right (ISO/IEC 7812-1, annex B)."""
    total = 0
    for position, character in enumerate(reversed(number)):
        digit = int(character)
        if position % 2:
            digit = digit * 2 - 9 if digit > 4 else digit * 2
        total += digit
    return total % 10 == 0


def brand_of(number: str) -> str | None:
    """The card scheme by first digits and length, or ``None``."""
    for brand, prefixes, lengths in _BRANDS:
        if len(number) in lengths and number.startswith(prefixes):
            return brand
    return None


def fault_of(number: str, exp_month: int, exp_year: int, cvc: str | None, today: datetime.date) -> Fault | None:
    """What is wrong with a card as typed, or ``None``. A number that is right but not a test card is refused
    too: real cards have no business here."""
    brand = brand_of(number) if number.isascii() and number.isdigit() else None
    if brand is None:
        return Fault("invalid_number", "The card number is not a valid credit card number.")
    if not luhn(number):
        return Fault("incorrect_number", "Your card number is incorrect.")
    if not 1 <= exp_month <= 12:
        return Fault("invalid_expiry_month", "Your card's expiration month is invalid.")
    if not today.year <= exp_year <= today.year + 50:
        return Fault("invalid_expiry_year", "Your card's expiration year is invalid.")
    if (exp_year, exp_month) < (today.year, today.month):
        return Fault("invalid_expiry_month", "Your card's expiration month is invalid.")
    if cvc is not None:
        lengths = (3, 4) if brand == "amex" else (3,)
        if len(cvc) not in lengths or not (cvc.isascii() and cvc.isdigit()):
            return Fault("invalid_cvc", "Your card's security code is invalid.")
    if number not in TEST_CARDS:
        return Fault(
            "card_declined",
            "Your card was declined. Your request was in test mode, but used a non test card.",
            "test_mode_live_card",
        )
    return None
