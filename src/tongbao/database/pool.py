"""Connections to PostgreSQL."""

from __future__ import annotations

from typing import Any

import asyncpg

from tongbao.database import bulk

LOCK_TIMEOUT = "10s"
"""How long a batch waits for its lane before it lets other lanes go on and tries again."""


class _Connection(asyncpg.Connection):  # type: ignore[misc]
    """A connection that keeps no session state, so that the pool need not reset it (a round trip saved)."""

    def get_reset_query(self) -> str:
        return ""


async def open_pool(url: str, *, size_min: int = 1, size_max: int = 10, name: str = "tongbao") -> Any:
    """Open a pool. ``url`` is a libpq URL; ``postgresql+asyncpg://`` is understood too.

    :raises OSError, asyncpg.PostgresError: if the server cannot be reached.
    """
    return await asyncpg.create_pool(
        plain_url(url),
        min_size=size_min,
        max_size=size_max,
        init=bulk.configure,
        connection_class=_Connection,
        command_timeout=30,
        timeout=5,
        statement_cache_size=500,
        max_cached_statement_lifetime=0,
        server_settings={"application_name": name, "jit": "off", "TimeZone": "UTC", "lock_timeout": LOCK_TIMEOUT},
    )


def plain_url(url: str) -> str:
    """The URL as libpq and asyncpg read it: without SQLAlchemy's driver name."""
    scheme, separator, rest = url.partition("://")
    return scheme.partition("+")[0] + separator + rest
