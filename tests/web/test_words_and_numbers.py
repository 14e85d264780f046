"""What stands on the pages, without any page: states, amounts, times, languages, cards as they are typed."""

from __future__ import annotations

import datetime
from typing import Any, get_args

import msgspec
import pytest

from tongbao.channels.card.wire import DECLINE_CODES
from tongbao.checkout.model import CheckoutSession
from tongbao.foundation.clock import now_ms
from tongbao.orders.model import Order, Status
from tongbao.payments.model import IntentStatus, PaymentIntent
from tongbao.payments.params import Card
from tongbao.web import show
from tongbao.web.checkout import words
from tongbao.web.checkout.cards import read_card
from tongbao.web.checkout.state import State, state_of
from tongbao.web.forms import Form, Tickets
from tongbao.web.languages import CATALOGUES, choose

NOW = 1_000_000
ORDER = Order("acct_1", "ord_1", 0, "cny", 100, [])
SESSION = CheckoutSession("acct_1", "cs_test_1", 0, "ord_1", "cny", 100, "https://shop.example", NOW + 1)
INTENT = PaymentIntent("acct_1", "pi_1", 0, 100, "cny", "pi_1_secret_x")
OVER: dict[str, State] = {"paid": "settled", "expired": "expired", "canceled": "canceled"}


def expected(order: str, intent: str | None, in_time: bool) -> State:
    """The rule, written once more and in another way."""
    if intent in ("processing", "requires_capture"):
        return "waiting"
    if intent == "succeeded" and order in OVER:
        return "paid" if order == "paid" else "late"
    if order in ("paid", "canceled"):
        return OVER[order]
    if intent == "requires_action":
        return "action"
    return "open" if in_time and order not in OVER else "expired"


@pytest.mark.parametrize("in_time", [True, False])
@pytest.mark.parametrize("intent", [None, *get_args(IntentStatus)])
@pytest.mark.parametrize("order", get_args(Status))
def test_every_combination_of_order_and_payment_has_its_page(order: Any, intent: Any, in_time: bool) -> None:
    row = msgspec.structs.replace(ORDER, status=order)
    tried = None if intent is None else msgspec.structs.replace(INTENT, status=intent)
    assert state_of(row, SESSION, tried, NOW if in_time else NOW + 1) == expected(order, intent, in_time)


@pytest.mark.parametrize(
    ("amount", "currency", "text", "machine"),
    [
        (12_900, "cny", "¥129.00", "129.00"),
        (5, "cny", "¥0.05", "0.05"),
        (99_999_999_999, "usd", "$999,999,999.99", "999999999.99"),
        (3_600, "jpy", "JP¥3,600", "3600"),
        (1_234_567, "kwd", "KWD\u00a01,234.567", "1234.567"),
    ],
)
def test_amounts_are_written_by_their_currency(amount: int, currency: str, text: str, machine: str) -> None:
    shown = show.amount(amount, currency)
    assert (shown.text, shown.machine) == (text, machine)


def test_times_are_told_in_the_shops_zone_until_the_browser_knows_better() -> None:
    at = int(datetime.datetime(2026, 11, 22, 7, 4, tzinfo=datetime.UTC).timestamp() * 1000)
    assert show.moment(at, "zh", show.zone_of("CN")) == "2026年11月22日 15:04"
    assert show.moment(at, "en", show.zone_of("CN")) == "22 Nov 2026, 15:04"
    assert show.moment(at, "en", show.zone_of("US")) == "22 Nov 2026, 07:04\u00a0UTC"
    assert show.machine_time(at) == "2026-11-22T07:04:00Z"


@pytest.mark.parametrize(
    ("asked", "remembered", "shop", "header", "language"),
    [
        ("zh", "en", "en", "en", "zh"),
        (None, "zh", "en", "en", "zh"),
        (None, None, "zh-TW", "en", "zh"),
        (None, None, "auto", "fr, zh-CN;q=0.9, en;q=0.8", "zh"),
        (None, None, None, "en-GB,zh;q=0.2", "en"),
        ("xx", "yy", None, "", "en"),
        ("../../etc", "\x00", None, "zh;q=nonsense;;;,," * 100, "en"),
    ],
)
def test_the_reader_chooses_then_the_shop_then_the_browser(
    asked: str | None, remembered: str | None, shop: str | None, header: str, language: str
) -> None:
    assert choose(asked, remembered, shop, header) == language


def typed(**fields: str) -> Form:
    return Form({"number": "4242 4242 4242 4242", "expiry": "12 / 49", "cvc": "123"} | fields)


@pytest.mark.parametrize("number", ["4242424242424242", "4242-4242-4242-4242", "４２４２ ４２４２ ４２４２ ４２４２"])
@pytest.mark.parametrize("expiry", ["12/49", "12 / 2049", "1249", "122049", "12.49", "１２／４９", "12月49"])
def test_a_card_may_be_typed_as_people_type_it(number: str, expiry: str) -> None:
    if "月" in expiry:
        expiry = "12 / 49月"
    card = read_card(typed(number=number, expiry=expiry))
    assert isinstance(card, Card)
    assert (card.number, card.exp_month, card.exp_year, card.cvc) == ("4242424242424242", 12, 2049, "123")
    assert "4242" not in repr(card)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        (
            "number",
            ["", "4242424242424241", "4242", "4" * 20, "abcd efgh ijkl mnop", "٤٢٤٢٤٢٤٢٤٢٤٢", "<b>" * 9],
        ),
        ("expiry", ["", "13/49", "00/49", "12/20", "12/99", "1/2/3", "soon", "12/2101"]),
        ("cvc", ["", "12", "12345", "abc"]),
    ],
)
def test_each_field_of_a_card_is_told_what_is_wrong_with_it(field: str, values: list[str]) -> None:
    for value in values:
        errors = read_card(typed(**{field: value}))
        assert isinstance(errors, dict), (field, value)
        assert list(errors) == [field], (field, value)


def test_a_card_is_good_until_its_month_is_over_everywhere() -> None:
    year, month = show.year_and_month(now_ms())
    assert isinstance(read_card(typed(expiry=f"{month:02d}/{year % 100:02d}")), Card)
    before = f"{(month - 2) % 12 + 1:02d}/{(year - (month == 1)) % 100:02d}"
    assert isinstance(read_card(typed(expiry=before)), dict)


def test_a_form_never_shows_what_was_typed() -> None:
    assert "4242" not in repr(typed()) + str(typed())


def test_a_ticket_is_good_for_its_session_and_amount_only() -> None:
    tickets = Tickets(b"k" * 32)
    ticket = tickets.make("cs_1", 12_900)
    read = tickets.read(ticket, "cs_1")
    assert read is not None
    assert read.amount == 12_900
    assert tickets.make("cs_1", 12_900) != ticket
    assert tickets.read(ticket, "cs_2") is None
    assert Tickets(b"x" * 32).read(ticket, "cs_1") is None
    for wrong in ("", "é", ticket[:-4], ticket + "AAAA", "A" * len(ticket), ticket.swapcase()):
        assert tickets.read(wrong, "cs_1") is None


def test_every_refusal_that_a_card_can_meet_has_words_in_both_languages() -> None:
    reasons = {words.why({"code": code}) for code in DECLINE_CODES}
    reasons |= set(words.DECLINES.values()) | set(words.CODES.values())
    assert all(CATALOGUES["zh"].gettext(text) != text for text in reasons)


def test_a_stolen_card_is_refused_in_the_same_words_as_any_other() -> None:
    plain = words.why({"code": "card_declined", "decline_code": "generic_decline"})
    for reason in ("lost_card", "stolen_card", "fraudulent", "pickup_card", "never_heard_of"):
        assert words.why({"code": "card_declined", "decline_code": reason}) == plain
