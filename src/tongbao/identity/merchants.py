"""Making merchants and keys: rare acts of the operator, plain SQL in one transaction."""

from __future__ import annotations

from typing import Any

from tongbao.database import bulk
from tongbao.database.rows import TABLES
from tongbao.engine.tables import Lane
from tongbao.foundation.clock import now_ms
from tongbao.foundation.errors import no_such
from tongbao.foundation.ids import new_id
from tongbao.identity.keys import make_key
from tongbao.identity.model import ApiKey, Merchant


async def create_merchant(
    connection: Any, name: str, *, name_zh: str | None = None, country: str = "CN", currency: str = "cny"
) -> tuple[Merchant, Merchant]:
    """Make a merchant and its test twin, each with its lane. Returns (live, test)."""
    live_id, test_id, now = new_id("acct"), new_id("acct"), now_ms()
    live = Merchant(live_id, name, True, test_id, now, country, currency, name_zh)
    test = Merchant(test_id, name, False, live_id, now, country, currency, name_zh)
    async with connection.transaction():
        for merchant in (live, test):
            await bulk.insert(connection, TABLES[Merchant], [merchant])
            await bulk.insert(connection, TABLES[Lane], [Lane(merchant.merchant_id)])
    return live, test


async def get_merchant(connection: Any, merchant_id: str) -> Merchant:
    """The merchant with this id.

    :raises NotFound: if there is none.
    """
    rows = await bulk.select(connection, TABLES[Merchant], merchant_id, [merchant_id])
    if not rows:
        raise no_such("merchant", merchant_id)
    merchant = rows[0]
    assert isinstance(merchant, Merchant)
    return merchant


async def create_key(connection: Any, merchant_id: str, kind: str) -> tuple[str, ApiKey]:
    """Make an API key. The key is returned this once and kept only as a hash."""
    merchant = await get_merchant(connection, merchant_id)
    key, row = make_key(merchant, kind)
    await bulk.insert(connection, TABLES[ApiKey], [row])
    return key, row


async def revoke_key(connection: Any, merchant_id: str, key_id: str) -> None:
    """Revoke a key; every node refuses it within ``keys.CACHE_S`` seconds.

    :raises NotFound: if there is none, or it is revoked already.
    """
    status = await connection.execute(
        "UPDATE api_keys SET revoked_ms = $3 WHERE merchant_id = $1 AND id = $2 AND revoked_ms IS NULL",
        merchant_id,
        key_id,
        now_ms(),
    )
    if status != "UPDATE 1":
        raise no_such("API key", key_id)
