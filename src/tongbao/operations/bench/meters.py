"""What a case costs: read before and after, and shared among what was done in between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, NamedTuple

from tongbao.foundation.ids import encode
from tongbao.operations.bench.results import BenchFailed, Sample, Tally, quantile
from tongbao.operations.bench.world import World

Measured = Literal["servers", "engines", "pgbench"]
"""Who does the work: the servers, for a process that causes load; or the processes that cause it, with an engine each;
or PostgreSQL alone."""


class Reading(NamedTuple):
    """The counters at one moment."""

    wal_bytes: int
    postgres_cpu_s: float | None
    servers_cpu_s: float


async def read(world: World) -> Reading:
    """Read the counters."""
    wal = await world.pool.fetchval("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint")
    return Reading(int(wal), await world.postgres_cpu_s(), sum(server.cpu_s for server in world.servers))


async def metered(world: World, who: Measured, work: Callable[[], Awaitable[Sequence[Tally]]]) -> Sample:
    """Do the work and tell its speed and what one cost.

    Speed is of the window; cost is of everything that was done, before and after the window too.

    :raises BenchFailed: not all of it succeeded.
    """
    before = await read(world)
    tallies = await work()
    after = await read(world)
    for tally in tallies:
        if tally.failures:
            raise BenchFailed("bench_failed", f"Not everything succeeded: {tally.failures}. {tally.failure}")
    done = sum(tally.done for tally in tallies)
    if not done:
        raise BenchFailed("bench_failed", "Nothing ended within the time.")
    ordered = sorted(latency for tally in tallies for latency in tally.latencies_ms)
    load_cpu_s = sum(tally.cpu_s for tally in tallies)
    server_cpu_s = {
        "servers": after.servers_cpu_s - before.servers_cpu_s,
        "engines": load_cpu_s,
        "pgbench": None,
    }[who]
    postgres_cpu_s = None
    if before.postgres_cpu_s is not None and after.postgres_cpu_s is not None:
        postgres_cpu_s = after.postgres_cpu_s - before.postgres_cpu_s
    return Sample(
        per_second=sum(tally.counted / tally.seconds for tally in tallies),
        p50_ms=quantile(ordered, 0.5),
        p99_ms=quantile(ordered, 0.99),
        p999_ms=quantile(ordered, 0.999),
        batch=tallies[0].batch,
        server_cpu_ms=None if server_cpu_s is None else server_cpu_s * 1000 / done,
        postgres_cpu_ms=None if postgres_cpu_s is None else postgres_cpu_s * 1000 / done,
        written_bytes=(after.wal_bytes - before.wal_bytes) / done,
        rss_mb=max(server.rss_mb for server in world.servers) if who == "servers" else None,
        client_cpu=None if who == "engines" else load_cpu_s / max(tally.wall_s for tally in tallies),
    )


async def batch_size(world: World, since_ms: int) -> float | None:
    """How many charges were committed together, on average: a batch is one transaction, which marks its rows."""
    row = await world.pool.fetchrow(
        "SELECT count(*) AS charges, count(DISTINCT xmin::text) AS batches FROM charges "
        "WHERE merchant_id = ANY($1) AND id >= $2",
        world.merchant_ids,
        f"ch_{encode(since_ms, 8)}",
    )
    return float(row["charges"] / row["batches"]) if row["batches"] else None
