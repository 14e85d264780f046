"""The webhook signature: ``Stripe-Signature: t=<unix seconds>,v1=<hex>[,v1=<hex>…]``.

Each ``v1`` is HMAC-SHA256 with the endpoint's secret over ``<t>.<body as received>``. There are several while a
secret is being changed. Source of the rule: https://docs.stripe.com/webhooks#verify-manually
"""

from __future__ import annotations

import hashlib
import hmac

TOLERANCE_S = 300
"""How far the signature's time may lie from ours: replaying an old capture must not work."""
HEADER_MAX = 2_000


class SignatureRefused(Exception):
    """The message cannot be shown to come from the payment system. The text says why; it holds no secret."""


def sign(body: bytes, secret: str, at_s: int) -> str:
    """Write the header for ``body``, sent at ``at_s`` (unix seconds)."""
    return f"t={at_s},v1={_mac(body, secret, str(at_s))}"


def verify(body: bytes, header: str, secret: str, now_s: float) -> None:
    """Return if ``header`` signs ``body`` within the tolerance of ``now_s``, or raise ``SignatureRefused``."""
    if not header or len(header) > HEADER_MAX:
        raise SignatureRefused("The Stripe-Signature header is missing or too long.")
    stamp, candidates = "", []
    for part in header.split(","):
        name, _, value = part.strip().partition("=")
        if name == "t":
            stamp = value
        elif name == "v1":
            candidates.append(value)
    if not (stamp.isascii() and stamp.isdigit()) or len(stamp) > 12 or not candidates:
        raise SignatureRefused("The Stripe-Signature header has no usable t or v1.")
    expected = _mac(body, secret, stamp).encode()
    # Every candidate is compared, and each in constant time: how long it takes tells nothing about the secret.
    matches = [hmac.compare_digest(expected, candidate.encode()) for candidate in candidates]
    if not any(matches):
        raise SignatureRefused("No v1 signature fits this body and secret.")
    if abs(now_s - int(stamp)) > TOLERANCE_S:
        raise SignatureRefused(f"The signature's time lies more than {TOLERANCE_S} seconds from ours.")


def _mac(body: bytes, secret: str, stamp: str) -> str:
    return hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
