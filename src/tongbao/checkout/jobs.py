"""What happens later to checkout sessions."""

from __future__ import annotations

from typing import Any

from tongbao.checkout.commands import CompleteSession, ExpireSession
from tongbao.engine import Engine


async def complete_sessions(engine: Engine, pool: Any, merchant_id: str, order_id: str) -> None:
    """An order is paid: complete the sessions that offered it."""
    rows = await pool.fetch(
        "SELECT id FROM checkout_sessions WHERE merchant_id = $1 AND order_id = $2 AND status <> 'complete'",
        merchant_id,
        order_id,
    )
    for row in rows:
        await engine.run(merchant_id, CompleteSession(row["id"]))


async def expire_session(engine: Engine, merchant_id: str, session_id: str) -> None:
    """A session's time has run out."""
    await engine.run(merchant_id, ExpireSession(session_id))
