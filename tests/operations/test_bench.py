"""The measurement itself: that it measures what happens, and refuses to tell what is not so. Not how fast it is."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg
import pytest

from tongbao.foundation.errors import InvalidRequest
from tongbao.operations.bench import cases, load, machine
from tongbao.operations.bench.results import BenchFailed, Measured, Sample, quantile

Answer = Callable[[int], bytes]


async def test_a_quick_run_measures_every_kind_of_row_proves_the_books_and_leaves_nothing(database_url: str) -> None:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "tongbao.cli", "bench", "--quick", "--seconds", "0.3", "--json",
         "--rows", "ledger-bulk,pay-32,shops-32-x2,card-32,retrieve,list"],
        env={"PATH": os.environ["PATH"], "DATABASE_URL": database_url}, capture_output=True, text=True, timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    rows = {row["name"]: row for row in told["rows"]}
    assert list(rows) == [
        "pgbench-1", "pgbench-32", "ledger-bulk", "ledger-bulk-x2", "pay-32", "pay-32-x2", "shops-32-x2",
        "card-32", "card-32-x2", "retrieve-32", "list-32",
    ]  # fmt: skip
    for row in rows.values():
        assert row["per_second"] > 0
        assert 0 < row["p50_ms"] <= row["p99_ms"] <= row["p999_ms"]
        assert len(row["rounds"]) == 1
    assert rows["pay-32"]["batch"] >= 1
    assert rows["pay-32"]["server_cpu_ms"] > 0
    assert rows["pay-32"]["written_bytes"] > 0
    assert told["settings"]["fsync"] == told["settings"]["synchronous_commit"] == "on"
    assert told["answered"] > 0
    assert told["books"]["hold"] is True
    connection = await asyncpg.connect(database_url)
    try:
        assert await connection.fetch("SELECT datname FROM pg_database WHERE datname LIKE 'tongbao_bench%'") == []
    finally:
        await connection.close()


async def test_a_database_that_may_forget_what_it_committed_is_not_measured(database_url: str) -> None:
    connection = await asyncpg.connect(database_url, server_settings={"synchronous_commit": "off"})
    try:
        with pytest.raises(BenchFailed, match="synchronous_commit = off"):
            await machine.check_durable(connection)
    finally:
        await connection.close()


def test_rows_are_chosen_by_how_their_names_begin_and_pgbench_is_always_there() -> None:
    assert [case.name for case in cases.choose(["retrieve"])] == ["pgbench-1", "pgbench-32", "retrieve-32"]
    with pytest.raises(InvalidRequest, match="no row nonsense"):
        cases.choose(["nonsense"])


async def test_every_request_has_a_key_of_its_own_and_every_answer_is_counted() -> None:
    heard: list[bytes] = []
    async with server(heard, lambda number: ok(b"x" * (number % 3))) as address:
        tally = await load.load(job(address, connections=3))
    keys = [line for request in heard for line in request.split(b"\r\n") if line.startswith(b"Idempotency-Key: run-")]
    assert len(keys) == len(set(keys)) == len(heard) == tally.done
    assert 0 < tally.counted <= tally.done
    assert len(tally.latencies_ms) == tally.counted
    assert tally.failures == {}


async def test_an_answer_that_is_no_success_is_told_and_shown() -> None:
    refusal = b"HTTP/1.1 402 Payment Required\r\ncontent-length: 2\r\n\r\nno"
    async with server([], lambda number: refusal if number == 5 else ok(b"")) as address:
        tally = await load.load(job(address, connections=1))
    assert tally.failures == {"402": 1}
    assert tally.failure == refusal.decode()


async def test_a_lost_connection_is_a_failure_and_not_a_wait() -> None:
    async with server([], lambda number: b"" if number == 5 else ok(b"")) as address:
        tally = await load.load(job(address, connections=1))
    assert tally.failures == {"lost": 1}


def test_medians_are_taken_figure_by_figure_and_the_spread_tells_how_far_rounds_lie_apart() -> None:
    rounds = [Sample(90, 3, 4, 5, batch=None), Sample(100, 1, 9, 9, batch=2), Sample(120, 2, 5, 6, batch=4)]
    measured = Measured("pay", "payments", rounds)
    assert measured.median == Sample(100, 2, 5, 6, batch=3)
    assert measured.spread == pytest.approx(0.3)


def test_a_quantile_is_the_value_that_so_many_do_not_exceed() -> None:
    values = list(range(1, 1001))
    assert [quantile(values, share) for share in (0.5, 0.99, 0.999, 1)] == [500, 990, 999, 1000]
    assert quantile([7], 0.999) == 7


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


def job(address: tuple[str, int], connections: int) -> load.Job:
    request = load.Request("POST", "/v1/payment_intents", "sk_test_x", "amount=1", keyed=True)
    return load.Job([address], connections, [request], "run", 0.05, 0.2)


@asynccontextmanager
async def server(heard: list[bytes], answer: Answer) -> AsyncIterator[tuple[str, int]]:
    """Answers requests whose body is ``amount=1``, in two pieces; an empty answer closes the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await reader.readuntil(b"amount=1"):
                heard.append(request)
                reply = answer(len(heard))
                if not reply:
                    break
                writer.write(reply[:20])
                await asyncio.sleep(0)
                writer.write(reply[20:])
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()
