"""What the checkout says when a payment does not go through: what happened, and what to do. (That nothing was
charged is said beside it, once.) By the stable codes of errors and declines, in English; translated when shown."""

from __future__ import annotations

from typing import Any

from tongbao.web.checkout import cards
from tongbao.web.languages import N_

_NO_REASON = N_("The bank declined this card and gave no reason. Try another card, or ask your bank.")
_BANK_TROUBLE = N_("The bank could not handle it just now. Try again in a moment, or use another card.")
_NOT_YOU = N_("Your bank could not confirm that it was you. Try again, or use another card.")

DECLINES: dict[str, str] = {
    "authentication_required": _NOT_YOU,
    "call_issuer": N_("The bank wants to speak with you first. Call the number on your card, or use another card."),
    "card_not_supported": N_("This card does not allow this kind of purchase. Use another card."),
    "card_velocity_exceeded": N_("The card has reached its limit for now. Use another card, or try again tomorrow."),
    "currency_not_supported": N_("This card cannot pay in this currency. Use another card."),
    "do_not_honor": _NO_REASON,
    "expired_card": N_("This card has expired. Use another card."),
    "incorrect_cvc": N_("The security code does not match the card. Check it and try again."),
    "insufficient_funds": N_("There is not enough money on this card. Use another card."),
    "issuer_not_available": _BANK_TROUBLE,
    "processing_error": _BANK_TROUBLE,
    "try_again_later": _BANK_TROUBLE,
    "withdrawal_count_limit_exceeded": N_(
        "The card has reached its limit for now. Use another card, or try again tomorrow."
    ),
}
"""By the issuer's reason. (Lost, stolen and fraudulent are not told apart from a refusal without reason: whoever
holds such a card shall not learn it from us. https://docs.stripe.com/declines/codes)"""

CODES: dict[str, str] = {
    "card_declined": _NO_REASON,
    "incorrect_number": cards.NUMBER_WRONG,
    "invalid_cvc": cards.CVC_WRONG,
    "invalid_expiry_month": cards.EXPIRY_WRONG,
    "invalid_expiry_year": cards.EXPIRY_WRONG,
    "invalid_number": cards.NUMBER_WRONG,
    "payment_intent_authentication_failure": _NOT_YOU,
    "payment_intent_payment_attempt_expired": N_("The time for confirming it with your bank ran out. Try again."),
    "payment_intent_payment_attempt_failed": _BANK_TROUBLE,
}
"""By the error's own code, where the issuer gave no reason that we know."""

BALANCE_TOO_LOW = N_("Your balance is not enough for this payment. Choose another way to pay.")

STALE = N_("This page was out of date. Check the amount and press the button again.")
CHANGED = N_("The amount due has changed. Check it and press the button again.")
TOO_MANY = N_("There have been too many attempts for this checkout. Go back to the shop and start again.")
FIELDS = N_("Check what is marked below.")
NO_METHOD = N_("Choose a way to pay.")
NOT_OFFERED = N_("This way to pay is not available here. Choose another one.")
NETWORK_AWAY = N_("We cannot reach the card network just now. Try again in a moment.")
BUSY = N_("We are very busy just now. Press the button again: you will not be charged twice.")
REFUSED = N_("This payment could not be started. Choose another way to pay.")

_MENDABLE = {
    "incorrect_cvc": "number expiry",
    "invalid_cvc": "number expiry",
    "processing_error": "number expiry cvc",
    "try_again_later": "number expiry cvc",
    "issuer_not_available": "number expiry cvc",
}
_FIELDS = {"number": cards.NUMBER, "exp_month": cards.EXPIRY, "exp_year": cards.EXPIRY, "cvc": cards.CVC}


def why(error: dict[str, Any]) -> str:
    """Why an attempt was refused, from ``last_payment_error`` or a ``PaymentFailed``'s fields."""
    reason, code = error.get("decline_code") or "", error.get("code") or ""
    if code == "insufficient_funds":
        return BALANCE_TOO_LOW  # a card's would be card_declined
    return DECLINES.get(reason) or CODES.get(code) or DECLINES.get(code) or _NO_REASON


def kept(error: dict[str, Any]) -> str:
    """The fields that the shopper's own page may keep as they were typed, for another try with the same card."""
    return _MENDABLE.get(error.get("decline_code") or error.get("code") or "", "")


def field_of(param: str | None) -> str | None:
    """The field of our form that an error's ``param`` is about."""
    return _FIELDS.get(param or "")
