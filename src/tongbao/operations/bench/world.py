"""What is measured: a database of its own, servers, a card acquirer, and merchants with customers who have money."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import psutil

from tongbao.database.embedded import EmbeddedPostgres
from tongbao.database.migrate import migrate
from tongbao.database.pool import open_pool
from tongbao.engine import Engine
from tongbao.engine.store import PostgresStore
from tongbao.identity.commands import CreateCustomer
from tongbao.identity.merchants import create_key, create_merchant
from tongbao.operations.bench import pgbench
from tongbao.operations.bench.processes import Running, running
from tongbao.operations.bench.results import BenchFailed
from tongbao.operations.bench.transfers import CURRENCY, open_accounts
from tongbao.operations.databases import blocking, connect, start
from tongbao.payments.commands import CreateIntent, MethodChoice
from tongbao.payments.model import Terms
from tongbao.vault import load_or_make_master_key
from tongbao.wallets.commands import FundBalance

SERVERS = 2
FUNDS = 10**12
"""What every customer has, in minor units: more than a run can spend."""
_TERMINAL = "bench-terminal"
_BALANCE = Terms("customer_balance", "customer_balance", inside=True, settles_at_once=True)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much there is of everything."""

    pgbench_scale: int = 10
    accounts: int = 10_000
    customers: int = 1_000
    shops: int = 100
    customers_of_shop: int = 10
    payments: int = 1_000
    cards: int = 50


QUICK = Sizes(1, 500, 50, 5, 2, 50, 5)


@dataclass(frozen=True, slots=True)
class Shop:
    """A merchant (a test twin) with its key and its customers."""

    merchant_id: str
    key: str
    customers: list[str]


@dataclass(slots=True)
class World:
    """Everything that a measurement meets."""

    folder: Path
    database_url: str
    sizes: Sizes
    pool: Any
    embedded_pid: int | None
    servers: list[Running] = field(default_factory=list)
    shop: Shop = field(default_factory=lambda: Shop("", "", []))
    shops: list[Shop] = field(default_factory=list)
    lanes: list[str] = field(default_factory=list)
    """Merchants whose ledgers are used without HTTP."""
    cards: list[tuple[str, str]] = field(default_factory=list)
    """Customers of the shop with their saved cards."""
    payments: list[str] = field(default_factory=list)
    """Payments of the shop, to be read."""
    answered: int = 0
    """How many payments were answered with success over HTTP."""
    charges_before: int = 0

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where the servers listen."""
        parts = [urlsplit(server.told["listens_on"]) for server in self.servers]
        return [(str(part.hostname), int(part.port or 0)) for part in parts]

    @property
    def merchant_ids(self) -> list[str]:
        """Merchants who are paid over HTTP."""
        return [shop.merchant_id for shop in (self.shop, *self.shops)]

    async def count_charges(self) -> int:
        """How many charges the database has."""
        return int(await self.pool.fetchval("SELECT count(*) FROM charges"))

    async def postgres_cpu_s(self) -> float | None:
        """CPU seconds of the embedded server's processes so far, of those too that have ended."""
        if self.embedded_pid is None:
            return None
        parent, children = psutil.Process(self.embedded_pid), None
        while True:
            total, seen = _cpu_s(parent), set[int]()
            for process in parent.children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    total += _cpu_s(process)
                    seen.add(process.pid)
            # The time of a process that ends while we look would be missed or counted twice.
            if seen == children:
                return total
            children = seen
            await asyncio.sleep(0.01)


def _cpu_s(process: psutil.Process) -> float:
    """CPU seconds of a process, and of its children that have ended."""
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


@contextlib.asynccontextmanager
async def open_world(database_url: str | None, sizes: Sizes) -> AsyncIterator[World]:
    """Start everything on an empty database, fill it, and leave nothing behind at the end."""
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="tongbao-bench-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        embedded = None if database_url else EmbeddedPostgres(folder / "postgres")
        if embedded is not None:
            stack.push_async_callback(blocking, embedded.stop)
            database_url = await start(embedded)
        assert database_url is not None
        url = await stack.enter_async_context(_own_database(database_url))
        await migrate(url)
        pool = await open_pool(url, size_max=4, name="tongbao-bench")
        stack.push_async_callback(pool.close)
        world = World(folder, url, sizes, pool, embedded.pid if embedded else None)
        await pgbench.fill(url, sizes.pgbench_scale)
        await _furnish(world)
        settings = await _acquirer(world, stack)
        load_or_make_master_key(folder)
        for number in range(SERVERS):
            log = folder / f"server-{number + 1}.log"
            arguments = ["serve", "--host", "127.0.0.1", "--port", "0", "--json"]
            server = running("tongbao.cli", *arguments, log=log, extra=settings)
            world.servers.append(await stack.enter_async_context(server))
        await _save_cards(world)
        world.charges_before = await world.count_charges()
        await pool.execute("VACUUM ANALYZE")
        with contextlib.suppress(asyncpg.InsufficientPrivilegeError):
            await pool.execute("CHECKPOINT")
        yield world


@contextlib.asynccontextmanager
async def _own_database(url: str) -> AsyncIterator[str]:
    """A database for this run alone, on the server of ``url``: whatever else is there stays untouched."""
    name = f"tongbao_bench_{secrets.token_hex(4)}"
    connection = await connect(url)
    try:
        try:
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        except asyncpg.InsufficientPrivilegeError as problem:
            raise BenchFailed("bench_failed", f"The user of DATABASE_URL must be allowed to: {problem}") from None
        try:
            yield urlsplit(url)._replace(path=f"/{name}").geturl()
        finally:
            await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    finally:
        await connection.close()


async def _furnish(world: World) -> None:
    sizes = world.sizes
    engine = Engine(PostgresStore(world.pool))
    world.shop = await _open_shop(world.pool, engine, sizes.customers)
    world.shops = [await _open_shop(world.pool, engine, sizes.customers_of_shop) for _ in range(sizes.shops)]
    world.lanes = [(await _open_shop(world.pool, engine, 0)).merchant_id for _ in range(2)]
    for merchant_id in world.lanes:
        await open_accounts(engine, merchant_id, sizes.accounts)
    kinds = ["customer_balance"]
    pays = [
        CreateIntent(
            amount=100, currency=CURRENCY, customer=customer, payment_method_types=kinds, confirm=MethodChoice(_BALANCE)
        )
        for customer in _in_turn(world.shop.customers, sizes.payments)
    ]
    made = await asyncio.gather(*(engine.run(world.shop.merchant_id, command) for command in pays))
    world.payments = [reply.value.intent.id for reply in made]
    await engine.drain()


async def _open_shop(pool: Any, engine: Engine, customers: int) -> Shop:
    async with pool.acquire() as connection:
        _, test = await create_merchant(connection, "Bench")
        key, _ = await create_key(connection, test.merchant_id, "secret")
    create = [CreateCustomer({"name": f"Customer {number}"}) for number in range(customers)]
    made = await asyncio.gather(*(engine.run(test.merchant_id, command) for command in create))
    ids = [reply.value.id for reply in made]
    await asyncio.gather(*(engine.run(test.merchant_id, FundBalance(each, FUNDS, CURRENCY)) for each in ids))
    return Shop(test.merchant_id, key, ids)


def _in_turn(values: Sequence[str], number: int) -> list[str]:
    return [values[each % len(values)] for each in range(number)]


async def _acquirer(world: World, stack: contextlib.AsyncExitStack) -> dict[str, str]:
    """Start the sandbox's card acquirer; return the servers' settings."""
    secret = secrets.token_hex(32)
    terminals = world.folder / "terminals.json"
    with os.fdopen(os.open(terminals, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(f'{{"{_TERMINAL}": "{secret}"}}')
    arguments = ["--port", "0", "--data", str(world.folder / "acquirer"), "--acquirer-secret-file", str(terminals)]
    sandbox = running("tongbao.sandbox", *arguments, log=world.folder / "sandbox.log", extra={})
    told = (await stack.enter_async_context(sandbox)).told
    return {
        "DATABASE_URL": world.database_url,
        "TONGBAO_DATA": str(world.folder),
        "TONGBAO_CARD_URL": told["acquirer_url"],
        "TONGBAO_CARD_TERMINAL": _TERMINAL,
        "TONGBAO_CARD_SECRET": secret,
        "TONGBAO_LOG_LEVEL": "warning",
    }


async def _save_cards(world: World) -> None:
    host, port = world.addresses[0]
    headers = {"Authorization": f"Bearer {world.shop.key}"}
    async with httpx.AsyncClient(base_url=f"http://{host}:{port}", headers=headers, trust_env=False) as client:
        for customer in world.shop.customers[: world.sizes.cards]:
            answer = await client.post("/v1/payment_methods/pm_card_visa/attach", data={"customer": customer})
            if answer.status_code != 200:
                raise BenchFailed("bench_failed", f"A card could not be saved: {answer.text[:500]}")
            world.cards.append((customer, answer.json()["id"]))
