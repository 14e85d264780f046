"""A card as it was typed: checked field by field before it goes anywhere, and never shown again."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from tongbao.foundation.clock import now_ms
from tongbao.payments.params import Card
from tongbao.web.forms import Form
from tongbao.web.languages import N_
from tongbao.web.show import year_and_month

NUMBER, EXPIRY, CVC = "number", "expiry", "cvc"

NUMBER_MISSING = N_("Enter the card number.")
NUMBER_WRONG = N_("This card number is not right. Check the digits.")
EXPIRY_MISSING = N_("Enter the date")
EXPIRY_WRONG = N_("Month, then year")
EXPIRY_PAST = N_("This card has expired")
CVC_MISSING = N_("Enter the code")
CVC_WRONG = N_("3 digits (Amex: 4)")

_EXPIRY = re.compile(r"(\d{1,2})\s*[/.\-年]?\s*(20\d{2}|\d{2})\s*月?", re.ASCII)
_YEARS_AHEAD_MAX = 50

FieldErrors = dict[str, str]
"""By field, what is wrong with it, in English; translated when shown."""


class _Expiry(NamedTuple):
    month: int
    year: int


def read_card(form: Form) -> Card | FieldErrors:
    """The card in a form, or what is wrong with each of its fields."""
    number, expiry, cvc = (_plain(form.get(name)) for name in (NUMBER, EXPIRY, CVC))
    digits = re.sub(r"[ \-]", "", number)
    errors: FieldErrors = {}
    if not digits:
        errors[NUMBER] = NUMBER_MISSING
    elif not _is_card_number(digits):
        errors[NUMBER] = NUMBER_WRONG
    date = _expiry(expiry)
    if not expiry:
        errors[EXPIRY] = EXPIRY_MISSING
    elif date is None:
        errors[EXPIRY] = EXPIRY_WRONG
    elif (date.year, date.month) < year_and_month(now_ms()):
        errors[EXPIRY] = EXPIRY_PAST
    if not cvc:
        errors[CVC] = CVC_MISSING
    elif not re.fullmatch(r"\d{3,4}", cvc, re.ASCII):
        errors[CVC] = CVC_WRONG
    if errors or date is None:
        return errors
    return Card(number=digits, exp_month=date.month, exp_year=date.year, cvc=cvc)


def _plain(text: str) -> str:
    """Full-width digits, as Chinese keyboards type them, become ordinary ones."""
    return unicodedata.normalize("NFKC", text[:100]).strip()


def _expiry(text: str) -> _Expiry | None:
    match = _EXPIRY.fullmatch(text)
    if match is None:
        return None
    month, year = int(match[1]), int(match[2])
    year += 2000 if year < 100 else 0
    this_year, _ = year_and_month(now_ms())
    return _Expiry(month, year) if 1 <= month <= 12 and year <= this_year + _YEARS_AHEAD_MAX else None


def _is_card_number(digits: str) -> bool:
    """Length and check digit (ISO/IEC 7812-1: 8 to 19 digits, annex B; no card in use has fewer than 12)."""
    if not re.fullmatch(r"\d{12,19}", digits, re.ASCII):
        return False
    doubled = (int(digit) * (1 + position % 2) for position, digit in enumerate(reversed(digits)))
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0
