"""Time: integer milliseconds since the epoch. Decisions get ``now_ms`` passed in and never read a clock."""

from __future__ import annotations

import time

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


def now_ms() -> int:
    """Milliseconds since 1970-01-01T00:00Z by the system's clock."""
    return time.time_ns() // 1_000_000
