"""PostgreSQL's own benchmark, beside which everything stands: TPC-B, prepared, on the same server and database."""

from __future__ import annotations

import asyncio
import re
import resource
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tongbao.database.embedded import bin_dir
from tongbao.database.pool import plain_url
from tongbao.operations.bench.processes import environment
from tongbao.operations.bench.results import BenchFailed, Tally

_LOG = "pgbench_log"


async def fill(database_url: str, scale: int) -> None:
    """Make pgbench's tables: ``scale`` times 100,000 accounts."""
    await _run(database_url, "-i", "-q", "-s", str(scale))


async def transactions(database_url: str, clients: int, seconds: float, folder: Path) -> Tally:
    """Run transactions for whole seconds; "one" is a transaction."""
    begun, cpu = time.perf_counter(), _children_cpu_s()
    said = await _run(
        database_url, "-n", "-M", "prepared", "-c", str(clients), "-j", str(min(clients, 2)),
        "-T", str(max(1, round(seconds))), "--log", f"--log-prefix={folder / _LOG}",
    )  # fmt: skip
    wall_s, cpu_s = time.perf_counter() - begun, _children_cpu_s() - cpu
    latencies = _take_log(folder)
    rate = re.search(r"tps = ([\d.]+)", said)
    if rate is None or not latencies or re.search(r"number of failed transactions: [1-9]", said):
        raise BenchFailed("bench_failed", f"pgbench: {said[-1000:]}")
    done = len(latencies)
    return Tally(done, done, done / float(rate[1]), latencies, cpu_s, wall_s)


def _take_log(folder: Path) -> list[float]:
    """How long each transaction took, in milliseconds. The log's third column is microseconds."""
    latencies: list[float] = []
    for file in folder.glob(f"{_LOG}.*"):
        latencies += [int(line.split(" ", 3)[2]) / 1000 for line in file.read_text().splitlines()]
        file.unlink()
    return latencies


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


async def _run(database_url: str, *arguments: str) -> str:
    address, password = _without_password(database_url)
    process = await asyncio.create_subprocess_exec(
        str(bin_dir() / "pgbench"), *arguments, address, env=environment(password),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        said = (await process.communicate())[0].decode(errors="replace")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise BenchFailed("bench_failed", f"pgbench: {said[-1000:]}")
    return said


def _without_password(url: str) -> tuple[str, dict[str, str]]:
    """The address, and a password apart: every user of the machine sees what commands are given."""
    parts = urlsplit(plain_url(url))
    if parts.password is None:
        return parts.geturl(), {}
    user, _, host = parts.netloc.rpartition("@")
    netloc = f"{user.partition(':')[0]}@{host}"
    return parts._replace(netloc=netloc).geturl(), {"PGPASSWORD": unquote(parts.password)}
