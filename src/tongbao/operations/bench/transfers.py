"""Causes transfers through the engine, without HTTP: a process of its own with one engine, on one merchant's lane.

``python -m tongbao.operations.bench.transfers JOB.json`` writes a ``Tally`` as one line of JSON, in which "one" is a
transfer.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import msgspec
import uvloop

from tongbao.database.pool import open_pool
from tongbao.engine import Engine
from tongbao.engine.commands import Key, Rows
from tongbao.engine.store import PostgresStore
from tongbao.ledger import posting
from tongbao.ledger.model import AccountRef, credit, debit
from tongbao.operations.bench.results import Tally

CURRENCY = "cny"
OPENING = 1_000_000_000
"""What every account begins with, in minor units: more than a run can spend."""
_OPENED_AT_ONCE = 500


class Move(msgspec.Struct, frozen=True):
    """An amount from one account to another."""

    source: AccountRef
    target: AccountRef
    amount: int


class Moved(msgspec.Struct, frozen=True):
    """How many transfers were booked."""

    transfers: int


class MoveMany(msgspec.Struct, frozen=True):
    """Book transfers, all of them or none: a single one, or a file of them."""

    moves: list[Move]

    reply: ClassVar[type[msgspec.Struct]] = Moved

    def needs(self, rows: Rows) -> Iterable[Key]:
        return posting.needs(*(ref for move in self.moves for ref in (move.source, move.target)))

    def decide(self, rows: Rows, now_ms: int) -> Moved:
        for move in self.moves:
            posting.post(
                rows, "adjustment", "bench", [debit(move.source, move.amount), credit(move.target, move.amount)]
            )
        return Moved(len(self.moves))


class Job(msgspec.Struct, frozen=True):
    """What to do. ``size`` transfers in a command, ``under_way`` commands at any time, on so many accounts."""

    database_url: str
    merchant_id: str
    accounts: int
    size: int
    under_way: int
    warmup_s: float
    seconds: float


def account(number: int) -> AccountRef:
    """One of the merchant's accounts."""
    return AccountRef("customer", CURRENCY, f"bench{number}")


async def open_accounts(engine: Engine, merchant_id: str, number: int) -> None:
    """Open accounts and put money on them."""
    bank = AccountRef("bank", CURRENCY)
    for first in range(0, number, _OPENED_AT_ONCE):
        moves = [Move(bank, account(each), OPENING) for each in range(first, min(first + _OPENED_AT_ONCE, number))]
        await engine.run(merchant_id, MoveMany(moves))


async def transfer(job: Job) -> Tally:
    """Cause the transfers and tell how it went."""
    pool = await open_pool(job.database_url, name="tongbao-bench")
    batches: list[int] = []
    engine = Engine(PostgresStore(pool), on_batch=batches.append)
    accounts, chance = [account(number) for number in range(job.accounts)], random.Random(job.merchant_id)  # noqa: S311
    ends: list[tuple[float, float]] = []
    begun, cpu = time.perf_counter(), time.process_time()
    until = begun + job.warmup_s + job.seconds

    async def caller() -> None:
        while (sent := time.perf_counter()) < until:
            pairs = (chance.sample(accounts, 2) for _ in range(job.size))
            await engine.run(job.merchant_id, MoveMany([Move(source, target, 1) for source, target in pairs]))
            ends.append((sent, time.perf_counter()))

    await asyncio.gather(*(caller() for _ in range(job.under_way)))
    wall_s, cpu_s = time.perf_counter() - begun, time.process_time() - cpu
    await pool.close()
    latencies = [(end - sent) * 1000 for sent, end in ends if until - job.seconds <= end < until]
    return Tally(
        done=len(ends) * job.size,
        counted=len(latencies) * job.size,
        seconds=job.seconds,
        latencies_ms=latencies,
        cpu_s=cpu_s,
        wall_s=wall_s,
        batch=len(ends) * job.size / len(batches),
    )


def main() -> None:
    """Do the job whose file is named first."""
    job = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Job)
    tally = uvloop.run(transfer(job))
    sys.stdout.write(msgspec.json.encode(tally).decode() + "\n")


if __name__ == "__main__":
    main()
