"""Signing deliveries: ``Stripe-Signature: t=<unix seconds>,v1=<hex>[,v1=<hex>…]``.

Each ``v1`` is HMAC-SHA256 with the endpoint's secret (the whole text, ``whsec_`` included) over ``<t>.<body>``.
Source of the rule: https://docs.stripe.com/webhooks#verify-manually
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from tongbao.foundation.ids import new_secret

HEADER = "Stripe-Signature"


def new_signing_secret() -> str:
    """A new secret: 190 random bits."""
    return f"whsec_{new_secret(32)}"


def sign(body: bytes, secrets: Sequence[str], at_s: int) -> str:
    """The header's value for ``body`` sent at ``at_s`` (unix seconds), with one ``v1`` for each secret."""
    signed = f"{at_s}.".encode() + body
    return ",".join(
        [f"t={at_s}", *(f"v1={hmac.digest(secret.encode(), signed, 'sha256').hex()}" for secret in secrets)]
    )
