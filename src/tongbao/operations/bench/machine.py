"""What the figures were measured on: the machine, its disk, the programs and PostgreSQL's settings."""

from __future__ import annotations

import os
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

import tongbao
from tongbao.operations.bench.results import BenchFailed

SHOWN = (
    "fsync", "synchronous_commit", "full_page_writes", "wal_sync_method", "wal_level",
    "shared_buffers", "max_wal_size", "checkpoint_timeout",
)  # fmt: skip
_DURABLE = {"fsync": {"on"}, "synchronous_commit": {"on", "remote_apply"}, "full_page_writes": {"on"}}
_SYNCS = 100


async def check_durable(connection: Any) -> dict[str, str]:
    """PostgreSQL's settings that matter, asked of the server itself.

    :raises BenchFailed: what it answers as committed could be lost when power fails.
    """
    settings = {name: str(await connection.fetchval(f"SHOW {name}")) for name in SHOWN}
    for name, wanted in _DURABLE.items():
        if settings[name] not in wanted:
            raise BenchFailed("bench_failed", f"PostgreSQL runs with {name} = {settings[name]}: nothing is proved so.")
    return settings


async def describe(connection: Any, folder: Path, embedded: bool) -> dict[str, str]:
    """The machine and the programs, as lines of a name and a value."""
    server = str(await connection.fetchval("SHOW server_version"))
    memory = psutil.virtual_memory().total / 2**30
    told = {
        "Processor": f"{_processor()}, {os.cpu_count()} cores",
        "Memory": f"{memory:.0f} GB",
        "System": f"{platform.system()} {platform.release()}",
        "Busy before": f"load average {os.getloadavg()[0]:.2f}",
        "PostgreSQL": f"{server}, {'embedded, over a local socket' if embedded else 'of DATABASE_URL'}",
    }
    if embedded:
        told["Disk"] = f"{_filesystem(folder)}; writing and syncing 8 KB takes {_sync_ms(folder):.2f} ms"
    told["Programs"] = f"Tongbao {tongbao.__version__}, Python {platform.python_version()}, " + ", ".join(
        f"{name} {version(name)}" for name in ("asyncpg", "uvloop", "uvicorn", "msgspec")
    )
    return told


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _filesystem(folder: Path) -> str:
    """The kind of file system, with a warning if it is in memory, where syncing means nothing."""
    mounts = [part for part in psutil.disk_partitions(all=True) if folder.is_relative_to(part.mountpoint)]
    kind = max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else "unknown"
    return f"{kind} (IN MEMORY: set TMPDIR to a folder on a disk)" if kind in ("tmpfs", "ramfs") else kind


def _sync_ms(folder: Path) -> float:
    """The median time of writing one page and having it on the disk, in milliseconds."""
    file = folder / "sync"
    descriptor, page, took = os.open(file, os.O_RDWR | os.O_CREAT, 0o600), b"\1" * 8192, []
    try:
        os.pwrite(descriptor, page, 0)
        for _ in range(_SYNCS):
            begun = time.perf_counter()
            os.pwrite(descriptor, page, 0)
            os.fdatasync(descriptor) if hasattr(os, "fdatasync") else os.fsync(descriptor)
            took.append(time.perf_counter() - begun)
    finally:
        os.close(descriptor)
        file.unlink()
    return statistics.median(took) * 1000
