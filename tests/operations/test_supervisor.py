"""Children are kept running, end with their parent however it ends, and cannot fill the disk with their logs."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from tongbao.operations.supervisor import LOG_BYTES_MAX, Child, ChildFailed, Log, Program

READY = "print('ready', flush=True)"
WAIT = "import time; time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"

Start = Callable[..., Child]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts a child that runs these lines of Python."""
    children: list[Child] = []

    def started(*lines: str, said: list[str] | None = None) -> Child:
        name = f"child{len(children)}"
        (tmp_path / f"{name}.py").write_text("\n".join(lines))
        program = Program(name, name, [], {**os.environ, "PYTHONPATH": str(tmp_path)})
        child = Child(program, Log(tmp_path / f"{name}.log"), tmp_path, (said if said is not None else []).append)
        children.append(child)
        child.start()
        return child

    yield started
    for child in children:
        await child.stop(0.1)


async def until(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.02)


async def test_a_child_is_ready_when_it_says_so(start: Start) -> None:
    child = start("import time; time.sleep(0.3)", READY, WAIT)
    began = time.monotonic()
    await child.ready(10)
    assert time.monotonic() - began > 0.2


async def test_a_child_that_is_killed_is_started_again(start: Start) -> None:
    said: list[str] = []
    child = start(READY, WAIT, said=said)
    await child.ready(10)
    first = child.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: child.pid not in (None, first))
    assert said == ["child0 was ended by SIGKILL; starting it again."]


async def test_a_child_that_was_ready_once_is_started_again_however_often_it_fails(
    start: Start, tmp_path: Path
) -> None:
    child = start(READY, f"open({str(tmp_path / 'runs')!r}, 'a').write('x')", "raise SystemExit(2)")
    await until(lambda: (tmp_path / "runs").exists() and len((tmp_path / "runs").read_text()) >= 3)
    await child.ready(1)


@pytest.mark.parametrize(
    ("ending", "told"),
    [
        ("import sys; sys.stderr.write('the cause\\n'); sys.exit(2)", "ended with code 2"),
        ("raise ValueError('the cause')", "ended with code 1"),
    ],
)
async def test_a_child_that_cannot_start_is_told_with_the_end_of_its_log(start: Start, ending: str, told: str) -> None:
    child = start(ending)
    with pytest.raises(ChildFailed, match=told) as failed:
        await child.ready(10)
    assert "the cause" in failed.value.message
    assert "child0.log" in failed.value.message


async def test_a_child_that_never_gets_ready_is_told(start: Start) -> None:
    with pytest.raises(ChildFailed, match="was not ready within 0 s"):
        await start(WAIT).ready(0.3)


async def test_a_child_that_does_not_stop_when_asked_is_made_to(start: Start) -> None:
    child = start(STUBBORN, READY, WAIT)
    await child.ready(10)
    pid = child.pid
    assert pid is not None
    began = time.monotonic()
    await child.stop(0.5)
    assert 0.4 < time.monotonic() - began < 2
    assert not psutil.pid_exists(pid)


async def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    (tmp_path / "stubborn.py").write_text("\n".join([STUBBORN, "import os", "print(os.getpid(), flush=True)", WAIT]))
    parent = f"""
import asyncio, os, pathlib
from tongbao.operations.supervisor import *
async def main():
    folder = pathlib.Path({str(tmp_path)!r})
    program = Program("stubborn", "stubborn", [], {{**os.environ, "PYTHONPATH": str(folder)}})
    child = Child(program, Log(folder / "log"), folder, print)
    child.start()
    await child.ready(10)
    print(child.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", parent, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    child = int(await process.stdout.readline())
    assert psutil.pid_exists(child)
    process.kill()
    await process.wait()
    await until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE, 2)


async def test_a_child_gets_only_the_environment_that_it_is_given(start: Start, tmp_path: Path) -> None:
    os.environ["TONGBAO_TEST_SECRET"] = "x"
    try:
        told = tmp_path / "told"
        program = Program("child", "child", [], {"PYTHONPATH": str(tmp_path)})
        (tmp_path / "child.py").write_text(f"import os; open({str(told)!r}, 'w').write(repr(set(os.environ)))\n{WAIT}")
        child = Child(program, Log(tmp_path / "log"), tmp_path, print)
        child.start()
        await until(lambda: told.exists() and told.read_text())
        await child.stop(1)
    finally:
        del os.environ["TONGBAO_TEST_SECRET"]
    assert "TONGBAO_TEST_SECRET" not in told.read_text()


def test_a_log_keeps_its_end_and_stays_small(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    line = b"x" * 999 + b"\n"
    for _ in range(3 * LOG_BYTES_MAX // len(line)):
        log.write(line)
    log.write(b"the end\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1"]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2 * LOG_BYTES_MAX
    assert (tmp_path / "log").read_bytes().endswith(b"the end\n")


def test_a_log_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    log = Log(tmp_path / "missing" / "log")
    log.write(b"said\n")
    assert log.tail == b"said\n"
