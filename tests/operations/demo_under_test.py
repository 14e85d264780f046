"""A demo as a user starts it, and what the tests ask of it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import psutil

from tongbao.operations import settings

ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in settings.VARIABLES}


def command_of(process: psutil.Process) -> str:
    """With what a process was started; nothing if it has just ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


class RunningDemo:
    """A demo that has said where it is."""

    def __init__(self, process: asyncio.subprocess.Process, line: bytes, ready_s: float) -> None:
        self.process = process
        self.facts: dict[str, Any] = json.loads(line)
        self.ready_s = ready_s
        self.api = httpx.AsyncClient(
            base_url=self.facts["url"], auth=(self.facts["secret_key"], ""), trust_env=False, timeout=30
        )

    def children(self) -> dict[str, psutil.Process]:
        """Its processes that live, by what they are."""
        found = {}
        for child in psutil.Process(self.process.pid).children(recursive=False):
            command = command_of(child)
            for name, sign in (
                ("server", "cli serve"),
                ("worker", "cli worker"),
                ("sandbox", "tongbao.sandbox"),
                ("postgres", "/bin/postgres "),
            ):
                if sign in command:
                    found[name] = child
        return found

    async def pay(self) -> dict[str, Any]:
        """Pay 28 yuan by card."""
        answer = await self.api.post(
            "/v1/payment_intents",
            data={
                "amount": "2800",
                "currency": "cny",
                "payment_method": "pm_card_visa",
                "payment_method_types[]": "card",
                "confirm": "true",
            },
        )
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Stop it, and return how many seconds it took."""
        began = time.monotonic()
        if self.process.returncode is None:
            self.process.send_signal(number)
        await asyncio.wait_for(self.process.wait(), 15)
        await self.api.aclose()
        return time.monotonic() - began


async def start_demo(data: Path, *options: str, **environment: str) -> RunningDemo:
    """Start ``tongbao demo --json`` and wait for its line."""
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tongbao.cli", "demo", "--json", "--data", str(data), *options),
        stdout=asyncio.subprocess.PIPE,
        env=ENVIRONMENT | environment,
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 60)
    assert line, f"the demo ended with {await process.wait()}"
    return RunningDemo(process, line, time.monotonic() - began)


async def refused_demo(data: Path, *options: str, **environment: str) -> tuple[int, str]:
    """Start a demo that cannot start; return its exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tongbao.cli", "demo", "--json", "--data", str(data), *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=ENVIRONMENT | {"COLUMNS": "1000"} | environment,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert out == b""
    return process.returncode or 0, err.decode()


async def until(condition: Callable[[], Awaitable[Any]], timeout_s: float = 15.0) -> Any:
    """Wait until ``condition`` holds; a server that is away does not count as an error."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            held = await condition()
        except (httpx.HTTPError, AssertionError, KeyError):
            held = None
        if held:
            return held
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.1)


def allowed(seconds: float) -> float:
    """A bound on time that holds on a machine with nothing else to do, stretched by how busy this one is."""
    return seconds * max(1.0, 1.5 * os.getloadavg()[0] / (os.cpu_count() or 1))


def new_folder() -> Path:
    """A new folder, to be removed by the caller."""
    return Path(tempfile.mkdtemp(prefix="tongbao-demo-"))


def remove(folder: Path) -> None:
    """Remove a folder and all in it."""
    shutil.rmtree(folder, ignore_errors=True)
