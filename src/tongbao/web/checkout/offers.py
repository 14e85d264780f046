"""How an order can be paid here: each method with what the shopper should know of it."""

from __future__ import annotations

from typing import Literal, NamedTuple

from tongbao.foundation.clock import now_ms
from tongbao.payments.model import PaymentMethod
from tongbao.payments.service import Payments
from tongbao.web import show
from tongbao.web.checkout.queries import Shown
from tongbao.web.languages import N_, Language, say

CARD, BALANCE = "card", "customer_balance"

BRANDS = {
    "amex": "American Express",
    "diners": "Diners Club",
    "discover": "Discover",
    "jcb": "JCB",
    "mastercard": "Mastercard",
    "unionpay": "UnionPay",
    "visa": "Visa",
}


class Offer(NamedTuple):
    """One way to pay. ``name`` is what the form sends; ``off`` says why it cannot be used."""

    name: str
    kind: Literal["card", "saved", "balance"]
    title: str
    note: str
    off: str | None = None


def offers(payments: Payments, shown: Shown, language: Language) -> list[Offer]:
    """What is offered for this session, the readiest first. Names of test cards never get here: only what is kept."""
    found: list[Offer] = []
    takes_cards = _is_offered(payments, shown, CARD)
    if takes_cards:
        found += [_saved(method, language) for method in shown.saved]
    if shown.customer is not None and _is_offered(payments, shown, BALANCE):
        found.append(_balance(shown, language))
    if takes_cards:
        title = say(language, N_("Another card")) if shown.saved else say(language, N_("Card"))
        note = say(language, N_("Credit or debit card"))
        found.append(Offer(CARD, "card", title, note))
    return sorted(found, key=lambda offer: offer.off is not None)


def card_title(card: dict[str, object], language: Language) -> str:
    """``Visa •••• 4242``."""
    brand = str(card.get("brand", ""))
    name = say(language, N_("UnionPay")) if brand == "unionpay" else BRANDS.get(brand, say(language, N_("Card")))
    return f"{name} •••• {card.get('last4', '')}"


def _is_offered(payments: Payments, shown: Shown, method: str) -> bool:
    terms = payments.terms_for(method)
    if terms is None:
        return False
    currencies = payments.channels.by_name(terms.channel).capabilities.currencies
    types = shown.session.payment_method_types if shown.session else []
    return (currencies is None or shown.order.currency in currencies) and (not types or method in types)


def _saved(method: PaymentMethod, language: Language) -> Offer:
    card = method.card or {}
    month, year = int(card.get("exp_month", 12)), int(card.get("exp_year", 9999))
    is_expired = (year, month) < show.year_and_month(now_ms())
    note = say(language, N_("Saved card · expires %(date)s"), date=f"{month:02d}/{year % 100:02d}")
    return Offer(
        method.id,
        "saved",
        card_title(card, language),
        note,
        say(language, N_("This card has expired")) if is_expired else None,
    )


def _balance(shown: Shown, language: Language) -> Offer:
    has = show.amount(shown.balance, shown.order.currency).text
    off = None
    if shown.balance < shown.order.amount_remaining:
        off = say(language, N_("Balance %(amount)s, not enough for this order"), amount=has)
    note = say(language, N_("Balance %(amount)s"), amount=has)
    return Offer(BALANCE, "balance", say(language, N_("Account balance")), note, off)
