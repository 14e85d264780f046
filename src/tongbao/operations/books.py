"""The proof of books: every invariant over everything that is booked, in one snapshot, with what was looked at."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from tongbao.identity.merchants import get_merchant
from tongbao.ledger.verify import CHECK_TIMEOUT_S, CHECKS, Check, Finding, verify
from tongbao.payments.verify import CHECKS as PAYMENT_CHECKS

ALL_CHECKS: list[Check] = [*CHECKS, *PAYMENT_CHECKS]
_COUNTED = ("merchants", "accounts", "transfers", "postings")


class Proof(NamedTuple):
    """What was checked, over how much, and what was found. No findings are the proof."""

    checks: list[Check]
    findings: list[Finding]
    counts: dict[str, int]
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether the books are right."""
        return not self.findings

    def findings_of(self, check: Check) -> list[Finding]:
        """What breaks one invariant, at most twenty."""
        return [finding for finding in self.findings if finding.check == check.name]


async def prove(connection: Any, merchant_id: str | None = None, checks: list[Check] | None = None) -> Proof:
    """Check the books of all merchants, or of one.

    :raises NotFound: there is no such merchant.
    """
    chosen, begun = ALL_CHECKS if checks is None else checks, time.monotonic()
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        if merchant_id is not None:
            await get_merchant(connection, merchant_id)
        counts = {table: await _count(connection, table, merchant_id) for table in _COUNTED}
        findings = await verify(connection, chosen, merchant_id)
    return Proof(chosen, findings, counts, time.monotonic() - begun)


async def _count(connection: Any, table: str, merchant_id: str | None) -> int:
    sql = f"SELECT count(*) FROM {table} WHERE ($1::text IS NULL OR merchant_id = $1)"  # noqa: S608 - our own names
    return int(await connection.fetchval(sql, merchant_id, timeout=CHECK_TIMEOUT_S))
