"""API keys: ``sk_test_{merchant part}_{secret}``. The merchant part leads to the merchant's rows without a search."""

from __future__ import annotations

import hashlib
import time
from typing import Any

from tongbao.foundation.clock import now_ms
from tongbao.foundation.errors import NotAuthenticated
from tongbao.foundation.http import Caller
from tongbao.foundation.ids import new_id, new_secret
from tongbao.identity.model import ApiKey, Merchant

CACHE_S = 5.0
"""How long a key that was found is trusted without asking the database again: so long a revocation may take."""
_CACHE_MAX = 10_000
_PREFIXES = {"sk": "secret", "pk": "publishable"}


def make_key(merchant: Merchant, kind: str) -> tuple[str, ApiKey]:
    """A new key and the row to keep. The key itself is nowhere else."""
    prefix = "sk" if kind == "secret" else "pk"
    mode = "live" if merchant.livemode else "test"
    key = f"{prefix}_{mode}_{merchant.merchant_id.removeprefix('acct_')}_{new_secret(32)}"
    row = ApiKey(
        merchant_id=merchant.merchant_id,
        id=new_id("key"),
        kind="secret" if kind == "secret" else "publishable",
        hash=digest(key),
        last4=key[-4:],
        created_ms=now_ms(),
    )
    return key, row


def digest(key: str) -> str:
    """The form in which a key is kept: SHA-256 in hexadecimal."""
    return hashlib.sha256(key.encode()).hexdigest()


class Authenticator:
    """Finds who is calling. Keys that were found are remembered for ``CACHE_S`` seconds."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._known: dict[str, tuple[float, Caller]] = {}

    async def __call__(self, token: str) -> Caller:
        """The caller who holds this key.

        :raises NotAuthenticated: if the key is malformed, unknown or revoked.
        """
        known = self._known.get(token)
        if known is not None and time.monotonic() - known[0] < CACHE_S:
            return known[1]
        caller = await self._look_up(token)
        if len(self._known) >= _CACHE_MAX:
            self._known.clear()
        self._known[token] = (time.monotonic(), caller)
        return caller

    async def _look_up(self, token: str) -> Caller:
        prefix, _, rest = token.partition("_")
        mode, _, rest = rest.partition("_")
        part, _, secret = rest.partition("_")
        refused = NotAuthenticated("api_key_invalid", f"Invalid API Key provided: {masked(token)}")
        if prefix not in _PREFIXES or mode not in ("test", "live") or not secret or len(token) > 200:
            raise refused
        if not token.isascii() or not token.replace("_", "").isalnum():
            raise refused
        row = await self._pool.fetchrow(
            "SELECT k.id, k.kind, m.livemode FROM api_keys k JOIN merchants m ON m.merchant_id = k.merchant_id "
            "WHERE k.merchant_id = $1 AND k.hash = $2 AND k.revoked_ms IS NULL",
            f"acct_{part}",
            digest(token),
        )
        if row is None or row["livemode"] != (mode == "live"):
            raise refused
        return Caller(f"acct_{part}", row["id"], row["kind"], row["livemode"])


def masked(token: str) -> str:
    """A key as it may be shown: its first eight and last four characters, if it is long enough to hide the rest."""
    if len(token) < 24:
        return "*" * min(len(token), 12)
    return f"{token[:8]}{'*' * 12}{token[-4:]}"
