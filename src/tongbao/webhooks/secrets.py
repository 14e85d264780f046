"""The secrets that deliveries are signed with, sealed in the database."""

from __future__ import annotations

from tongbao.vault import Vault
from tongbao.webhooks.model import WebhookEndpoint


def seal_secret(vault: Vault, merchant_id: str, secret: str) -> str:
    """The secret as an endpoint's row holds it."""
    return vault.seal(secret.encode(), _context(merchant_id))


def open_secret(vault: Vault, endpoint: WebhookEndpoint) -> str:
    """The endpoint's secret.

    :raises CannotOpen: if the master key that sealed it is not here.
    """
    return vault.open(endpoint.secret, _context(endpoint.merchant_id)).decode()


def open_secrets(vault: Vault, endpoint: WebhookEndpoint, now_ms: int) -> tuple[str, ...]:
    """The secrets that sign now: the endpoint's, and the one before as long as that is to be honoured.

    :raises CannotOpen: if the master key that sealed them is not here.
    """
    current = open_secret(vault, endpoint)
    if endpoint.previous_secret is None or now_ms >= (endpoint.previous_until_ms or 0):
        return (current,)
    return current, vault.open(endpoint.previous_secret, _context(endpoint.merchant_id)).decode()


def _context(merchant_id: str) -> str:
    return f"{merchant_id}/webhook_secret"
