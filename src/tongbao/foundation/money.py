"""Money: an integer number of minor units in one currency. No float ever touches it."""

from __future__ import annotations

import msgspec

from tongbao.foundation.errors import InvalidRequest

# Minor-unit exponents, ISO 4217 (list one, 2024-06-25). Stripe's API uses the same, and so do we.
_ZERO = "bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf"
_THREE = "bhd jod kwd omr tnd"
_TWO = (
    "aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd bwp byn bzd cad cdf chf cny "
    "cop crc cve czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd hnl htg huf idr ils inr isk "
    "jmd kes kgs khr kyd kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio "
    "nok npr nzd pab pen pgk php pkr pln qar ron rsd rub sar sbd scr sek sgd shp sle sos srd std szl thb tjs "
    "top try ttd twd tzs uah usd uyu uzs wst xcd yer zar zmw"
)
EXPONENTS: dict[str, int] = (
    dict.fromkeys(_ZERO.split(), 0) | dict.fromkeys(_TWO.split(), 2) | dict.fromkeys(_THREE.split(), 3)
)
AMOUNT_MAX = 999_999_999_999
"""The largest amount of one payment, in minor units (twelve digits, as Stripe's)."""

SYMBOLS = {"cny": "¥", "usd": "$", "eur": "€", "gbp": "£", "jpy": "¥", "hkd": "HK$", "krw": "₩", "inr": "₹"}


class Money(msgspec.Struct, frozen=True, order=True):
    """``amount`` minor units of ``currency`` (lower-case ISO 4217 code)."""

    currency: str
    amount: int

    def __str__(self) -> str:
        """``cny 129.00``: for people and logs, never to be parsed."""
        return f"{self.currency} {decimal_text(self.amount, self.currency)}"


def decimal_text(amount: int, currency: str) -> str:
    """Write minor units as a decimal number in major units: ``12900, "cny"`` gives ``"129.00"``."""
    exponent = EXPONENTS[currency]
    sign, digits = ("-" if amount < 0 else ""), str(abs(amount)).rjust(exponent + 1, "0")
    return sign + (digits if exponent == 0 else f"{digits[:-exponent]}.{digits[-exponent:]}")


def check_currency(currency: str, param: str = "currency") -> str:
    """Return the currency in lower case, or raise ``InvalidRequest`` naming ``param``."""
    lowered = currency.lower()
    if lowered not in EXPONENTS:
        raise InvalidRequest(
            "currency_unknown",
            f"Invalid currency: {currency[:20]}. Use a three-letter ISO 4217 code such as cny or usd.",
            param=param,
        )
    return lowered


def check_amount(amount: int, param: str = "amount", least: int = 1) -> int:
    """Return the amount if it lies between ``least`` and ``AMOUNT_MAX``, or raise ``InvalidRequest``."""
    if amount < least:
        raise InvalidRequest("amount_too_small", f"Amount must be at least {least} minor unit(s).", param=param)
    if amount > AMOUNT_MAX:
        raise InvalidRequest("amount_too_large", f"Amount must be no more than {AMOUNT_MAX}.", param=param)
    return amount
