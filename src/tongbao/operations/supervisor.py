"""Processes that are kept running by one parent: started, watched, started again, stopped, their logs kept small.

A child is ready when it has written a line to its standard output. What it writes to standard error goes to its log.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tongbao.foundation.errors import DomainError

PAUSES_S = (0.1, 0.3, 1.0, 2.0, 5.0)
"""Before a child is started again: the more failures in a row, the longer."""
FAILURES_AT_START_MAX = 2
"""How often a child may fail before it has ever been ready. Then something is wrong that waiting does not mend."""
STEADY_S = 10.0
"""A child that has lived this long has not failed."""
LOG_BYTES_MAX = 2_000_000
_TAIL_BYTES = 4_000


@dataclass(frozen=True, slots=True)
class Program:
    """A child to be run: a module of ours with its arguments, its whole environment, and sockets it inherits."""

    name: str
    module: str
    arguments: list[str]
    environment: Mapping[str, str]
    sockets: tuple[int, ...] = ()


class ChildFailed(DomainError):
    """A child could not be started at all."""

    kind = "internal"


class Log:
    """A file of bounded size. When it is full it becomes ``.1``, and a new one begins."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tail = b""

    def write(self, data: bytes) -> None:
        """Append; a disk that is full stops nobody's work."""
        self.tail = (self.tail + data)[-_TAIL_BYTES:]
        with contextlib.suppress(OSError):
            if self.path.exists() and self.path.stat().st_size + len(data) > LOG_BYTES_MAX:
                self.path.replace(self.path.with_name(self.path.name + ".1"))
            with self.path.open("ab") as file:
                file.write(data)


class Child:
    """One program that is kept running from ``start`` to ``stop``."""

    def __init__(self, program: Program, log: Log, folder: Path, say: Callable[[str], None]) -> None:
        self.program = program
        self.log = log
        self.process: asyncio.subprocess.Process | None = None
        self._folder = folder
        self._say = say
        self._stopping = asyncio.Event()
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to keep the program running."""
        self._task = asyncio.get_running_loop().create_task(self._keep())

    async def ready(self, timeout_s: float) -> None:
        """Wait until the program says that it is ready.

        :raises ChildFailed: it ends instead, or does not say so in time.
        """
        try:
            await asyncio.wait_for(asyncio.shield(self._ready), timeout_s)
        except TimeoutError:
            raise self._failure(f"was not ready within {timeout_s:.0f} s") from None

    @property
    def pid(self) -> int | None:
        """The process number, while the program runs."""
        return self.process.pid if self.process is not None and self.process.returncode is None else None

    async def stop(self, timeout_s: float) -> None:
        """Ask the program to end, and make it end when it has not after ``timeout_s``."""
        self._stopping.set()
        if self._task is None:
            return
        self._signal(signal.SIGTERM)
        done, _ = await asyncio.wait([self._task], timeout=timeout_s)
        if not done:
            self._signal(signal.SIGKILL)
            await asyncio.wait([self._task], timeout=1.0)
        self._ready.cancel()

    def kill(self) -> None:
        """End the program at once."""
        self._signal(signal.SIGKILL)

    async def _keep(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            code = await self._run()
            if self._stopping.is_set():
                return
            failures = 0 if time.monotonic() - began > STEADY_S else failures + 1
            if not self._ready.done() and (code in range(2, 7) or failures >= FAILURES_AT_START_MAX):
                self._ready.set_exception(self._failure(_how(code)))
                return
            self._say(f"{self.program.name} {_how(code)}; starting it again.")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), PAUSES_S[min(failures, len(PAUSES_S)) - 1])

    async def _run(self) -> int:
        program = self.program
        # -P: the folder that we stand in must not be looked through for modules.
        command = [sys.executable, "-P", "-m", "tongbao.operations.child", program.module, *program.arguments]
        pipe = asyncio.subprocess.PIPE
        self.process = process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=pipe, env=dict(program.environment), cwd=self._folder,
            pass_fds=program.sockets, start_new_session=True,
        )  # fmt: skip
        if self._stopping.is_set():  # asked to stop while the process was being made
            self._signal(signal.SIGTERM)
        assert process.stdout is not None
        assert process.stderr is not None
        await asyncio.gather(self._listen(process.stdout), self._record(process.stderr))
        return await process.wait()

    async def _listen(self, stream: asyncio.StreamReader) -> None:
        heard = b""
        while chunk := await stream.read(65_536):
            heard = heard[:65_536] + chunk
            if b"\n" in heard and not self._ready.done():
                self._ready.set_result(None)

    async def _record(self, stream: asyncio.StreamReader) -> None:
        while chunk := await stream.read(65_536):
            self.log.write(chunk)

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)

    def _failure(self, what: str) -> ChildFailed:
        said = [line for line in self.log.tail.decode(errors="replace").splitlines() if line.strip()][-6:]
        more = "".join(f"\n  {line[:500]}" for line in said)
        return ChildFailed("process_failed", f"The {self.program.name} {what}. Its log is {self.log.path}{more}")


async def stop_all(children: Iterable[Child], timeout_s: float) -> None:
    """Stop all at the same time."""
    await asyncio.gather(*(child.stop(timeout_s) for child in children))


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
