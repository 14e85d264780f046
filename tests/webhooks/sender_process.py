"""A sender in a process of its own, for tests that kill it. Arguments: database URL, lease in ms."""

from __future__ import annotations

import asyncio
import sys

from tests.webhooks.world import MASTER, RENDERERS

from tongbao.database.pool import open_pool
from tongbao.vault import Vault
from tongbao.webhooks.sender import WebhookSender


async def main(url: str, lease_ms: int) -> None:
    pool = await open_pool(url)
    sender = WebhookSender(pool, Vault({"k": MASTER}, "k"), RENDERERS, lease_ms=lease_ms, private_targets=True)
    await sender.run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
