"""Lists for whoever runs an installation: its merchants, and a merchant's keys."""

from __future__ import annotations

from typing import Any

from tongbao.database.rows import TABLES, Row
from tongbao.identity.merchants import get_merchant
from tongbao.identity.model import ApiKey, Merchant


async def list_merchants(connection: Any, limit: int) -> list[Merchant]:
    """Merchants and their test twins, the newest first."""
    return [Merchant(*record) for record in await connection.fetch(f"{_all(Merchant)} ORDER BY created_ms DESC, "
            "merchant_id LIMIT $1", limit)]  # fmt: skip


async def list_keys(connection: Any, merchant_id: str) -> list[ApiKey]:
    """A merchant's API keys, the newest first, revoked ones too.

    :raises NotFound: there is no such merchant.
    """
    await get_merchant(connection, merchant_id)
    sql = f"{_all(ApiKey)} WHERE merchant_id = $1 ORDER BY id DESC LIMIT 1000"
    return [ApiKey(*record) for record in await connection.fetch(sql, merchant_id)]


def _all(row: type[Row]) -> str:
    table = TABLES[row]
    return f"SELECT {', '.join(column.name for column in table.columns)} FROM {table.name}"  # noqa: S608 - our own names
