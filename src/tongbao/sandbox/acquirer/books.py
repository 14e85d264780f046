"""The acquirer's books, to be compared with ours: totals by currency, and every operation, page by page."""

from __future__ import annotations

import sqlite3
from typing import Any

_TOTALS = """
select currency,
       sum(captured) as captured,
       sum(refunded) as refunded,
       sum(case state when 'authorised' then authorised else 0 end) as authorised
from charges where terminal = :terminal and (:merchant is null or merchant_id = :merchant)
group by currency order by currency
"""

_PAGE = """
select seq, operation_id, merchant_id, kind, charge_operation_id, capture, status, amount, currency, ref, created_ms,
       decided_ms
from operations
where terminal = :terminal and (:merchant is null or merchant_id = :merchant) and seq > :after
order by seq limit :limit
"""

PAGE_MAX = 1_000


def read(db: sqlite3.Connection, terminal: str, merchant_id: str | None, after: int, limit: int) -> dict[str, Any]:
    """Totals, and at most ``limit`` operations after position ``after``, read at one moment.

    ``captured`` and ``refunded`` are all that ever was; ``authorised`` is what is reserved now.
    """
    given = {"terminal": terminal, "merchant": merchant_id, "after": after, "limit": limit + 1}
    rows = [dict(row) for row in db.execute(_PAGE, given)]
    page = rows[:limit]
    return {
        "terminal_id": terminal,
        "merchant_id": merchant_id,
        "totals": [dict(row) for row in db.execute(_TOTALS, given)],
        "operations": page,
        "next_after": page[-1]["seq"] if len(rows) > limit else None,
    }
