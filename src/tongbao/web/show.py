"""How amounts and times are written for people."""

from __future__ import annotations

import datetime
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel.dates import format_datetime

from tongbao.foundation.money import SYMBOLS, decimal_text
from tongbao.web.languages import Language

_SIGNS = SYMBOLS | {"jpy": "JP¥"}  # ¥ alone is the yuan's
_NO_BREAK = "\N{NO-BREAK SPACE}"

_MOMENT: dict[Language, str] = {"zh": "y年M月d日 HH:mm", "en": "d MMM y, HH:mm"}
_CLOCKS = {"minute": "HH:mm", "second": "HH:mm:ss"}
_ZONES = {
    "CN": "Asia/Shanghai",
    "GB": "Europe/London",
    "HK": "Asia/Hong_Kong",
    "JP": "Asia/Tokyo",
    "KR": "Asia/Seoul",
    "MO": "Asia/Macau",
    "SG": "Asia/Singapore",
    "TW": "Asia/Taipei",
}


class Amount(NamedTuple):
    """An amount in the parts in which a page sets it."""

    sign: str
    whole: str
    minor: str
    machine: str
    """For ``<data value>``: a plain decimal number."""

    @property
    def text(self) -> str:
        """``¥1,290.00``; ``CHF 12.00`` where the currency has no sign of its own."""
        return f"{self.sign}{self.whole}{self.minor}"


def amount(minor_units: int, currency: str) -> Amount:
    """The amount in its parts, with groups of three digits, the same in both languages."""
    machine = decimal_text(minor_units, currency)
    whole, point, minor = machine.partition(".")
    sign = _SIGNS.get(currency) or currency.upper() + _NO_BREAK
    return Amount(sign, f"{int(whole):,}", point + minor, machine)


def zone_of(country: str) -> datetime.tzinfo:
    """The zone in which a shop of this country tells the time; UTC where the country has several, or is unknown."""
    try:
        return ZoneInfo(_ZONES[country])
    except (KeyError, ZoneInfoNotFoundError):
        return datetime.UTC


def moment(ms: int, language: Language, zone: datetime.tzinfo) -> str:
    """Date, hour and minute. The script on the page puts it into the reader's own zone."""
    text = format_datetime(_at(ms), _MOMENT[language], tzinfo=zone, locale=language)
    return f"{text}{_NO_BREAK}UTC" if zone is datetime.UTC else text


def clock(ms: int, language: Language, zone: datetime.tzinfo, to: Literal["minute", "second"]) -> str:
    """Hour and minute, and the second if it matters."""
    text = format_datetime(_at(ms), _CLOCKS[to], tzinfo=zone, locale=language)
    return f"{text}{_NO_BREAK}UTC" if zone is datetime.UTC else text


def machine_time(ms: int) -> str:
    """For ``<time datetime>``: ISO 8601 in UTC."""
    return _at(ms).strftime("%Y-%m-%dT%H:%M:%SZ")


def _at(ms: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(ms // 1000, datetime.UTC)


def year_and_month(ms: int) -> tuple[int, int]:
    """For comparing with the date on a card. A card is good until its last day ends everywhere."""
    earliest = _at(ms) - datetime.timedelta(hours=12)
    return earliest.year, earliest.month
