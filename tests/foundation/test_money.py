"""Money: exponents, bounds, and how amounts are written."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.foundation.errors import InvalidRequest
from tongbao.foundation.money import (
    AMOUNT_MAX,
    EXPONENTS,
    SYMBOLS,
    Money,
    check_amount,
    check_currency,
    decimal_text,
)
from tongbao.payments.model import Terms

CURRENCIES = st.sampled_from(sorted(EXPONENTS))
AMOUNTS = st.integers(-AMOUNT_MAX, AMOUNT_MAX)


@pytest.mark.parametrize(
    ("currency", "amount", "text"),
    [
        ("cny", 12_900, "129.00"),
        ("cny", 5, "0.05"),
        ("cny", 0, "0.00"),
        ("cny", -5, "-0.05"),
        ("cny", -12_345, "-123.45"),
        ("jpy", 500, "500"),
        ("jpy", -1, "-1"),
        ("jpy", 0, "0"),
        ("kwd", 1, "0.001"),
        ("kwd", 1_234_567, "1234.567"),
        ("cny", AMOUNT_MAX, "9999999999.99"),
    ],
)
def test_minor_units_are_written_in_major_units_with_all_their_digits(currency: str, amount: int, text: str) -> None:
    assert decimal_text(amount, currency) == text
    assert str(Money(currency, amount)) == f"{currency} {text}"


@given(CURRENCIES, AMOUNTS)
def test_what_is_written_is_exactly_what_is_meant(currency: str, amount: int) -> None:
    text = decimal_text(amount, currency)
    assert Decimal(text) * 10 ** EXPONENTS[currency] == amount
    assert len(text.partition(".")[2]) == EXPONENTS[currency]


def test_exponents_are_those_of_iso_4217() -> None:
    known = {"cny": 2, "usd": 2, "eur": 2, "jpy": 0, "krw": 0, "vnd": 0, "clp": 0, "bhd": 3, "kwd": 3, "tnd": 3}
    assert {currency: EXPONENTS[currency] for currency in known} == known
    assert all(len(currency) == 3 and currency.islower() and currency.isascii() for currency in EXPONENTS)
    assert set(EXPONENTS.values()) == {0, 2, 3}
    assert set(SYMBOLS) <= set(EXPONENTS)


def test_currencies_are_taken_in_any_case_and_kept_in_lower() -> None:
    assert {check_currency(text) for text in ("cny", "CNY", "Cny")} == {"cny"}


@pytest.mark.parametrize("text", ["", "cn", "cnyy", "xxx", "¥", "cny ", " cny", "ｃｎｙ", "x" * 5_000, "cny\0"])
def test_what_is_no_currency_is_refused_by_name_and_briefly(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_currency(text, "line_items[0][currency]")
    assert (refused.value.code, refused.value.param) == ("currency_unknown", "line_items[0][currency]")
    assert len(refused.value.message) < 200


def test_amounts_have_bounds() -> None:
    assert check_amount(1) == 1
    assert check_amount(AMOUNT_MAX) == AMOUNT_MAX
    assert check_amount(0, least=0) == 0
    for amount, code in ((0, "amount_too_small"), (-1, "amount_too_small"), (AMOUNT_MAX + 1, "amount_too_large")):
        with pytest.raises(InvalidRequest) as refused:
            check_amount(amount, "unit_amount")
        assert (refused.value.code, refused.value.param) == (code, "unit_amount")


def test_the_largest_payments_of_a_lifetime_fit_an_account() -> None:
    assert AMOUNT_MAX * 9_000_000 < 2**63


@given(st.integers(0, AMOUNT_MAX), st.integers(0, 10_000), st.integers(0, 10_000))
def test_a_fee_is_rounded_half_up_and_never_more_than_the_amount(amount: int, bps: int, fixed: int) -> None:
    fee = Terms("card", "card", fee_bps=bps, fee_fixed=fixed).fee(amount)
    assert 0 <= fee <= amount
    exact = Decimal(amount) * bps / 10_000 + fixed
    assert fee == amount or abs(fee - exact) <= Decimal("0.5")


def test_half_a_minor_unit_of_fee_is_rounded_up() -> None:
    terms = Terms("card", "card", fee_bps=50)
    assert [terms.fee(amount) for amount in (99, 100, 101, 300)] == [0, 1, 1, 2]
