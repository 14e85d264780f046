"""A whole Tongbao for tests: PostgreSQL, `tongbao serve`, `tongbao worker` and the sandbox, each its own process."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import httpx
import stripe
from tests.sandbox import process as sandbox_process

from tongbao.database.migrate import migrate
from tongbao.database.pool import open_pool
from tongbao.identity.merchants import create_key, create_merchant
from tongbao.ledger.verify import Finding, verify
from tongbao.operations.books import ALL_CHECKS

T = TypeVar("T")
HERE = Path(__file__).parent.parent


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def eventually(look: Callable[[], T | None], within_s: float = 15.0, what: str = "it") -> T:
    """The first truthy answer of ``look``, or a failure that says what did not happen."""
    deadline = time.monotonic() + within_s
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"{what} did not happen within {within_s} s"
        time.sleep(0.05)


@dataclass
class World:
    """Addresses, keys and processes of one running installation."""

    folder: Path
    database_url: str
    sandbox: sandbox_process.SandboxProcess
    port: int
    merchant_id: str = ""
    live_id: str = ""
    secret_key: str = ""
    publishable_key: str = ""
    live_key: str = ""
    other_key: str = ""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where the API and the pages are."""
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        """What `serve` and `worker` are told."""
        return {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": self.database_url,
            "TONGBAO_DATA": str(self.folder / "data"),
            "TONGBAO_HOST": "127.0.0.1",
            "TONGBAO_PRIVATE_WEBHOOKS": "true",
            "TONGBAO_PORT": str(self.port),
            "TONGBAO_CARD_URL": self.sandbox.acquirer_url,
            "TONGBAO_CARD_TERMINAL": self.sandbox.terminal_id,
            "TONGBAO_CARD_SECRET": self.sandbox.secret,
        }

    def start(self, name: str) -> None:
        """Start `tongbao serve` or `tongbao worker`."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "tongbao.cli", name], env=self.environment(), stdout=log, stderr=log
            )
        if name == "serve":
            self.wait_until_serving()

    def wait_until_serving(self) -> None:
        """Wait until the API answers."""

        def answers() -> bool:
            assert self.processes["serve"].poll() is None, (self.folder / "serve.log").read_text()[-3000:]
            try:
                return httpx.get(f"{self.url}/v1/", timeout=2, trust_env=False).status_code in (401, 404)
            except httpx.TransportError:
                return False

        eventually(answers, 30, "the server's start")

    def kill(self, name: str) -> None:
        """kill -9."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        """Stop everything."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(timeout=10)
        self.sandbox.stop()

    def stripe(self, key: str | None = None) -> stripe.StripeClient:
        """The official client, with nothing changed but the address."""
        return stripe.StripeClient(key or self.secret_key, base_addresses={"api": self.url}, max_network_retries=0)

    def http(self, key: str | None = None) -> httpx.Client:
        """A plain client with the secret key."""
        return httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key or self.secret_key}"},
            timeout=30,
            trust_env=False,
        )

    def funded_customer(self, amount: int = 1_000_000, currency: str = "cny") -> Any:
        """A new customer with this much on their balance."""
        client = self.stripe()
        customer = client.v1.customers.create({"name": "Lin Yue"})
        client.v1.test_helpers.customers.fund_cash_balance(customer.id, {"amount": amount, "currency": currency})
        return customer

    def sql(self, query: str, *arguments: Any) -> list[Any]:
        """Look into the database."""

        async def ask() -> list[Any]:
            connection = await asyncpg.connect(self.database_url)
            try:
                rows: list[Any] = await connection.fetch(query, *arguments)
                return rows
            finally:
                await connection.close()

        rows: list[Any] = run_apart(ask)
        return rows

    def broken_books(self) -> list[Finding]:
        """What `tongbao books verify` finds; nothing is the proof."""

        async def ask() -> list[Finding]:
            connection = await asyncpg.connect(self.database_url)
            try:
                return await verify(connection, ALL_CHECKS)
            finally:
                await connection.close()

        findings: list[Finding] = run_apart(ask)
        return findings


def run_apart(work: Callable[[], Any]) -> Any:
    """Run a coroutine in a thread of its own, so that synchronous tests may ask although a loop is running."""
    import threading

    box: dict[str, Any] = {}

    def run() -> None:
        try:
            box["value"] = asyncio.run(work())
        except BaseException as error:
            box["error"] = error

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if "error" in box:
        raise box["error"]
    return box["value"]


async def _prepare(world: World) -> None:
    await migrate(world.database_url)
    pool = await open_pool(world.database_url)
    try:
        async with pool.acquire() as connection:
            live, test = await create_merchant(connection, "Hillside Tea", name_zh="山间茶")
            _, other = await create_merchant(connection, "Another Shop")
            world.merchant_id, world.live_id = test.merchant_id, live.merchant_id
            world.secret_key, _ = await create_key(connection, test.merchant_id, "secret")
            world.publishable_key, _ = await create_key(connection, test.merchant_id, "publishable")
            world.live_key, _ = await create_key(connection, live.merchant_id, "secret")
            world.other_key, _ = await create_key(connection, other.merchant_id, "secret")
    finally:
        await pool.close()


def build(folder: Path, database_url: str, *, worker: bool = True) -> World:
    """Start a whole installation on an empty database."""
    sandbox = sandbox_process.start(folder / f"sandbox-{secrets.token_hex(3)}")
    world = World(folder, database_url, sandbox, free_port())
    run_apart(lambda: _prepare(world))
    world.start("serve")
    if worker:
        world.start("worker")
    return world
