"""Named test cards: Stripe's ``pm_card_…`` and ``tok_…`` names, for test mode only.

Source: https://docs.stripe.com/testing. The names let server-side tests do without card numbers.
"""

from __future__ import annotations

from tongbao.channels.contract import CardDetails

_NUMBERS = {
    "visa": "4242424242424242",
    "us": "4242424242424242",
    "visa_debit": "4000056655665556",
    "mastercard": "5555555555554444",
    "mastercard_debit": "5200828282828210",
    "mastercard_prepaid": "5105105105105100",
    "amex": "378282246310005",
    "discover": "6011111111111117",
    "diners": "3056930009020004",
    "jcb": "3566002020360505",
    "unionpay": "6200000000000005",
    "chargeDeclined": "4000000000000002",
    "chargeDeclinedInsufficientFunds": "4000000000009995",
    "chargeDeclinedLostCard": "4000000000009987",
    "chargeDeclinedStolenCard": "4000000000009979",
    "chargeDeclinedFraudulent": "4100000000000019",
    "chargeDeclinedExpiredCard": "4000000000000069",
    "chargeDeclinedIncorrectCvc": "4000000000000127",
    "chargeDeclinedProcessingError": "4000000000000119",
    "chargeDeclinedVelocityLimitExceeded": "4000000000006975",
    "chargeCustomerFail": "4000000000000341",
    "threeDSecure2Required": "4000000000003220",
    "threeDSecureRequired": "4000000000003063",
    "threeDSecureRequiredChargeDeclined": "4000008400001629",
    "threeDSecureRequiredProcessingError": "4000008400001280",
    "authenticationRequired": "4000002760003184",
    "authenticationRequiredOnSetup": "4000002500003155",
    "authenticationRequiredChargeDeclinedInsufficientFunds": "4000008260003178",
}
EXPIRY = (12, 2049)


def test_card(name: str) -> CardDetails | None:
    """The card behind a name such as ``pm_card_visa``, ``pm_card_visa_chargeDeclined`` or ``tok_amex``.

    ``None`` if it is no such name. The caller makes sure that this is test mode.
    """
    for prefix in ("pm_card_", "tok_"):
        if name.startswith(prefix):
            short = name.removeprefix(prefix)
            number = _NUMBERS.get(short) or _declining_visa(short)
            return None if number is None else CardDetails(number, *EXPIRY, "1234" if short == "amex" else "123")
    return None


def _declining_visa(short: str) -> str | None:
    # Stripe has both spellings, pm_card_chargeDeclined and pm_card_visa_chargeDeclined, of most of them.
    bare = short.removeprefix("visa_")
    return _NUMBERS.get(bare) if bare.startswith("charge") else None
