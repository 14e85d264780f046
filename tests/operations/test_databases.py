"""Without DATABASE_URL, whoever comes first runs the embedded server, others join, and it outlives its owner's end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import httpx
import psutil
import pytest
from tests.operations.demo_under_test import ENVIRONMENT, new_folder, remove, until

from tongbao.operations.databases import database, running_url
from tongbao.operations.settings import load


@pytest.fixture
def folder() -> Iterator[Path]:
    made = new_folder()
    yield made
    remove(made)


async def tables(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"))
    finally:
        await connection.close()


async def start(folder: Path, *command: str) -> tuple[asyncio.subprocess.Process, str]:
    """Start a command that runs on; return its process and its first line."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tongbao.cli", *command, "--data", str(folder)),
        stdout=asyncio.subprocess.PIPE, env=ENVIRONMENT,
    )  # fmt: skip
    assert process.stdout is not None
    return process, (await asyncio.wait_for(process.stdout.readline(), 60)).decode()


async def test_the_embedded_database_is_started_with_its_schema_and_stopped_again(folder: Path) -> None:
    async with database(load(data=folder)) as url:
        assert await tables(url) > 10
    with pytest.raises(FileNotFoundError):
        await asyncpg.connect(url)


async def test_a_second_command_joins_and_leaves_the_server_running(folder: Path) -> None:
    async with database(load(data=folder)) as url:
        async with database(load(data=folder)) as joined:
            assert joined == url
            assert running_url(folder / "postgres") == url
        assert await tables(url) > 10


async def test_a_server_that_is_killed_comes_back_under_the_same_address(folder: Path) -> None:
    async with database(load(data=folder), keep=True) as url:
        pid = int((folder / "postgres" / "cluster" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)

        async def answers() -> bool:
            try:
                return await tables(url) > 10
            except (OSError, asyncpg.PostgresError):
                return False

        await until(answers)


async def test_serve_and_worker_need_nothing_else_and_survive_each_other(folder: Path) -> None:
    serving, line = await start(folder, "serve", "--port", "0")
    url = line.split()[1]
    working, line = await start(folder, "worker")
    assert line == "Working (Ctrl-C stops)\n"
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            assert (await client.get(f"{url}/v1/customers")).status_code == 401
        # The server owned the database: when it is killed, the worker takes the database over.
        serving.kill()
        await serving.wait()

        async def is_taken_over() -> bool:
            children = psutil.Process(working.pid).children()
            return (
                any("postgres" in child.name() for child in children) and running_url(folder / "postgres") is not None
            )

        await until(is_taken_over)
        serving, line = await start(folder, "serve", "--port", "0")
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            assert (await client.get(f"{line.split()[1]}/v1/customers")).status_code == 401
    finally:
        for process in (serving, working):
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
        codes = [await asyncio.wait_for(process.wait(), 20) for process in (serving, working)]
    assert codes == [0, 0]
