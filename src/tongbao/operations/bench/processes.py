"""Processes of a measurement. None outlives us, and none is started again: one that ends has spoilt the run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import psutil

from tongbao.operations.bench.results import BenchFailed

T = TypeVar("T")

_START_S = 60.0
_STOP_S = 10.0
_PASSED = ("HOME", "LANG", "LC_ALL", "PATH", "PYTHONPATH", "TMPDIR")


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a process needs of our environment, and ``extra``."""
    passed = {name: value for name, value in os.environ.items() if name in _PASSED or name.startswith("PG")}
    return passed | dict(extra or {})


def _command(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "tongbao.operations.child", module, *arguments]


class Running:
    """A process that told where it is in a line of JSON, and serves until it is stopped."""

    def __init__(self, process: asyncio.subprocess.Process, told: dict[str, Any]) -> None:
        self.told = told
        self._process = process
        self._seen = psutil.Process(process.pid)

    @property
    def cpu_s(self) -> float:
        """CPU seconds so far."""
        times = self._seen.cpu_times()
        return float(times.user + times.system)

    @property
    def rss_mb(self) -> float:
        """Memory now, in megabytes."""
        return float(self._seen.memory_info().rss / 1e6)


@contextlib.asynccontextmanager
async def running(module: str, *arguments: str, log: Path, extra: Mapping[str, str]) -> AsyncIterator[Running]:
    """Run a server until the block ends.

    :raises BenchFailed: it does not say where it is.
    """
    pipe = asyncio.subprocess.PIPE
    with log.open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            *_command(module, *arguments), stdin=pipe, stdout=pipe, stderr=file, env=environment(extra), cwd=log.parent
        )
    try:
        assert process.stdout is not None
        line = b""
        with contextlib.suppress(TimeoutError):
            line = await asyncio.wait_for(process.stdout.readline(), _START_S)
        if not line:
            raise BenchFailed("bench_failed", f"{module} did not start: {_end_of(log)}")
        yield Running(process, msgspec.json.decode(line))
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()


async def run_job(module: str, job: msgspec.Struct, file: Path, returns: type[T]) -> T:
    """Run a process that does ``job`` and tells its result.

    :raises BenchFailed: it ends otherwise.
    """
    _write(file, job)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *_command(module, str(file)), stdin=pipe, stdout=pipe, stderr=pipe, env=environment(), cwd=file.parent
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        said, complaint = await asyncio.gather(process.stdout.read(), process.stderr.read())
        if await process.wait():
            raise BenchFailed("bench_failed", f"{module} failed: {complaint.decode(errors='replace')[-2000:]}")
        return msgspec.json.decode(said, type=returns)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _write(file: Path, job: msgspec.Struct) -> None:
    file.write_bytes(msgspec.json.encode(job))


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]
