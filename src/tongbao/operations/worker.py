"""The worker process: jobs, the sweeper that chases unknown outcomes, webhooks, housekeeping."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from tongbao.api.assembly import Services, open_services
from tongbao.checkout import commands as checkout
from tongbao.checkout.jobs import complete_sessions, expire_session
from tongbao.engine.jobs import Handler, Worker, poll
from tongbao.foundation.clock import DAY_MS, now_ms
from tongbao.foundation.config import Settings
from tongbao.orders import commands as orders
from tongbao.orders.commands import ExpireOrder
from tongbao.payments.commands import booking
from tongbao.webhooks.sender import WebhookSender

log = structlog.get_logger()

KEEP_KEYS_MS = DAY_MS + DAY_MS // 24
"""Idempotency keys are kept 25 hours: a day, and an hour for clocks that differ."""
PURGE_EVERY_S = 600.0
_PURGE_MAX = 5_000


def job_handlers(services: Services) -> dict[str, Handler]:
    """What is done for each kind of job."""
    engine, pool, payments = services.engine, services.pool, services.payments

    async def chase(merchant_id: str, operation_id: str, tries: int) -> None:
        await payments.chase(merchant_id, operation_id)

    async def order_paid(merchant_id: str, order_id: str, tries: int) -> None:
        await complete_sessions(engine, pool, merchant_id, order_id)

    async def expire_order(merchant_id: str, order_id: str, tries: int) -> None:
        await engine.run(merchant_id, ExpireOrder(order_id))

    async def expire_checkout(merchant_id: str, session_id: str, tries: int) -> None:
        await expire_session(engine, merchant_id, session_id)

    return {
        booking.CHASE: chase,
        booking.ORDER_PAID: order_paid,
        orders.EXPIRE: expire_order,
        checkout.EXPIRE: expire_checkout,
    }


async def run_worker(settings: Settings, stop: asyncio.Event) -> None:
    """Work until ``stop`` is set. ``settings.database_url`` must be set by now."""
    async with open_services(settings, "tongbao-worker") as services:
        jobs = Worker(services.pool, job_handlers(services))
        webhooks = WebhookSender(
            services.pool,
            services.vault,
            services.renderers,
            home_url=settings.base_url,
            private_targets=settings.private_webhooks,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(jobs.run(stop))
            group.create_task(webhooks.run(stop))
            group.create_task(_housekeeping(services.pool, stop))


async def _housekeeping(pool: Any, stop: asyncio.Event) -> None:
    async def look() -> bool:
        return await purge_idempotency_keys(pool) > 0

    await poll(stop, "housekeeping", look, PURGE_EVERY_S)


async def purge_idempotency_keys(pool: Any) -> int:
    """Delete keys whose time is over, a bounded number per merchant; returns how many.

    A key whose request has not ended is kept: its outcome is still being chased.
    """
    before_ms, purged = now_ms() - KEEP_KEYS_MS, 0
    for row in await pool.fetch("SELECT merchant_id FROM merchants ORDER BY merchant_id"):
        status = await pool.execute(
            "DELETE FROM idempotency_keys WHERE merchant_id = $1 AND key = ANY(ARRAY("
            "SELECT key FROM idempotency_keys WHERE merchant_id = $1 AND created_ms < $2 AND reply IS NOT NULL "
            "ORDER BY created_ms LIMIT $3))",
            row["merchant_id"],
            before_ms,
            _PURGE_MAX,
        )
        purged += int(status.rpartition(" ")[2])
    return purged
