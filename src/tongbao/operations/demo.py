"""Everything on one machine: PostgreSQL, server, worker and sandbox, with a merchant, a shop and working keys.

One parent process owns the database and keeps the others running. It holds their listening sockets itself, so that
a server that is started again loses no connection that was waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable
from typing import NamedTuple

import httpx
from pydantic import SecretStr

from tongbao.database.embedded import EmbeddedPostgres
from tongbao.database.migrate import migrate
from tongbao.foundation.config import Settings
from tongbao.foundation.errors import Conflict
from tongbao.operations.databases import blocking, connect, embedded_folder, keep_running, start
from tongbao.operations.demo_merchant import DemoApi, DemoBroken, ensure_customer, ensure_merchant, ensure_webhook
from tongbao.operations.demo_state import TERMINAL, DemoFolder, DemoState
from tongbao.operations.serving import address_of, http_url, listen
from tongbao.operations.settings import as_environment
from tongbao.operations.supervisor import Child, Log, Program, stop_all
from tongbao.vault import load_or_make_master_key

START_SECONDS_MAX = 60.0
CHILDREN_STOP_S = 3.2
POSTGRES_STOP_S = 1.2
PORTS_TRIED = 20
# What a child needs of our environment to run at all.
_PASSED = ("HOME", "LANG", "LC_ALL", "PATH", "PYTHONPATH", "SSL_CERT_DIR", "SSL_CERT_FILE", "TMPDIR", "TZ")


class Facts(NamedTuple):
    """Where everything is, and by which keys it is used."""

    url: str
    store_url: str
    secret_key: str
    publishable_key: str
    database_url: str
    merchant_id: str
    live_merchant_id: str
    customer: str
    webhook_endpoint: str
    webhook_secret: str
    sandbox_url: str
    acquirer_url: str
    data: str
    pids: dict[str, int]


class Demo:
    """One demo, from ``start`` to ``stop``. ``say`` is told what happens, a line at a time."""

    def __init__(self, settings: Settings, *, port: int | None, say: Callable[[str], None]) -> None:
        """``port`` was asked for, or ``None``: then that of last time, or the next that is free."""
        self.folder = DemoFolder(settings.data)
        self._settings = settings
        self._port = port
        self._say = say
        self._state = DemoState()
        self._children: dict[str, Child] = {}
        self._postgres: EmbeddedPostgres | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._leaving = asyncio.Event()
        self._listeners: list[socket.socket] = []

    async def start(self) -> Facts:
        """Start everything and wait until all of it answers.

        :raises DomainError: something is in the way; the message names it and the remedy.
        """
        self.folder.take()
        state = self._state = self.folder.read_state()
        listener, shop_listener = await self._listen(), await self._listen_for_sandbox()
        local, sandbox = http_url(*address_of(listener)), http_url(*address_of(shop_listener))
        self.folder.tell(f"process {os.getpid()} at {local}")
        settings = await self._serving_settings(local, sandbox)
        assert settings.database_url is not None
        await migrate(settings.database_url)
        self._start_serving(settings, listener)
        await self._make_merchant(settings.database_url)
        assert state.secret_key is not None
        assert state.merchant_id is not None
        api = DemoApi(local, state.secret_key, state.merchant_id)
        try:
            is_furnished = state.funded and state.webhook_secret is not None
            if is_furnished:
                self._start_sandbox(settings, shop_listener, local, sandbox)
            await self._children["server"].ready(START_SECONDS_MAX)
            await ensure_customer(api, state)
            await ensure_webhook(api, state, f"{sandbox}/shop/webhooks")
            self.folder.write_state(state)
            if not is_furnished:
                self._start_sandbox(settings, shop_listener, local, sandbox)
            await self._children["sandbox"].ready(START_SECONDS_MAX)
            await _answers(api.client, f"{sandbox}/shop/")
            await self._children["worker"].ready(START_SECONDS_MAX)
        finally:
            await api.client.aclose()
        return self._facts(settings, sandbox)

    async def stop(self) -> None:
        """Stop everything, within five seconds."""
        self._leaving.set()
        await stop_all(self._children.values(), CHILDREN_STOP_S)
        if self._keeper is not None:
            await self._keeper
        if self._postgres is not None:
            postgres = self._postgres
            await blocking(lambda: postgres.stop(POSTGRES_STOP_S))
        for listener in self._listeners:
            listener.close()
        self.folder.release()

    def hurry(self) -> None:
        """Wait for nobody any more."""
        for child in self._children.values():
            child.kill()

    async def _listen(self) -> socket.socket:
        """Take the server's address. Without a port that was asked for, the one of last time, or another."""
        host, remembered = self._settings.host, self._state.port or self._settings.port
        if self._port is not None:
            listener = await _take(host, self._port)
        else:
            listener = await _take_near(host, remembered)
            if (taken := address_of(listener)[1]) != remembered:
                self._say(f"Another program listens on port {remembered}; using {taken}.")
        self._listeners.append(listener)
        self._state.port = address_of(listener)[1]
        return listener

    async def _listen_for_sandbox(self) -> socket.socket:
        assert self._state.port is not None
        wanted = self._state.sandbox_port or min(self._state.port + 1, 65_535)
        listener = await _take_near(self._settings.host, wanted)
        self._listeners.append(listener)
        self._state.sandbox_port = address_of(listener)[1]
        return listener

    async def _serving_settings(self, local: str, sandbox: str) -> Settings:
        """The settings of server and worker, with a database that runs."""
        database_url = self._settings.database_url
        if database_url is None:
            self._postgres = EmbeddedPostgres(embedded_folder(self.folder.path))
            database_url = await start(self._postgres)
            self._keeper = asyncio.create_task(keep_running(self._postgres, self._leaving, self._say))
        if self._settings.master_key is None:
            load_or_make_master_key(self.folder.path)
        return self._settings.model_copy(
            update={
                "database_url": database_url,
                "data": self.folder.path,
                "port": self._state.port,
                "public_url": self._settings.public_url or local,
                "card_url": f"{sandbox}/acquirer",
                "card_terminal": TERMINAL,
                "card_secret": SecretStr(self.folder.card_secret()),
                "private_webhooks": True,
            }
        )

    async def _make_merchant(self, database_url: str) -> None:
        connection = await connect(database_url)
        try:
            if await ensure_merchant(connection, self._state):
                self.folder.write_state(self._state)
        finally:
            await connection.close()

    def _start_serving(self, settings: Settings, listener: socket.socket) -> None:
        environment = self._environment() | as_environment(settings)
        inherited = (listener.fileno(),)
        arguments = ["serve", "--fd", str(listener.fileno())]
        self._run(Program("server", "tongbao.cli", arguments, environment, inherited))
        self._run(Program("worker", "tongbao.cli", ["worker"], environment))

    def _start_sandbox(self, settings: Settings, listener: socket.socket, local: str, sandbox: str) -> None:
        state, path = self._state, self.folder.path
        shop = {
            "api_base": local,
            "secret_key": state.secret_key,
            "webhook_secret": state.webhook_secret,
            "public_url": f"{sandbox}/shop",
            "data_dir": str(path / "shop"),
            "customer_id": state.customer,
            "checkout_origin": settings.base_url,
        }
        arguments = ["--fd", str(listener.fileno()), "--url", sandbox, "--data", str(path / "acquirer")]
        arguments += ["--acquirer-secret-file", str(self.folder.acquirer_secret_file)]
        arguments += ["--shop-config", str(self.folder.write("shop.json", shop))]
        self._run(Program("sandbox", "tongbao.sandbox", arguments, self._environment(), (listener.fileno(),)))

    def _run(self, program: Program) -> None:
        log = Log(self.folder.path / "logs" / f"{program.name}.log")
        child = self._children[program.name] = Child(program, log, self.folder.path, self._say)
        child.start()

    def _environment(self) -> dict[str, str]:
        passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
        if self._settings.database_url is not None:  # libpq's variables may complete its address
            passed |= {name: value for name, value in os.environ.items() if name.startswith("PG")}
        return passed

    def _facts(self, settings: Settings, sandbox: str) -> Facts:
        state = self._state
        pids = {name: child.pid for name, child in self._children.items()}
        pids |= {"supervisor": os.getpid(), "postgres": self._postgres.pid if self._postgres else None}
        return Facts(
            url=settings.base_url,
            store_url=f"{sandbox}/shop/",
            secret_key=state.secret_key or "",
            publishable_key=state.publishable_key or "",
            database_url=settings.database_url or "",
            merchant_id=state.merchant_id or "",
            live_merchant_id=state.live_merchant_id or "",
            customer=state.customer or "",
            webhook_endpoint=state.webhook_endpoint or "",
            webhook_secret=state.webhook_secret or "",
            sandbox_url=sandbox,
            acquirer_url=f"{sandbox}/acquirer",
            data=str(self.folder.path),
            pids={name: pid for name, pid in sorted(pids.items()) if pid is not None},
        )


async def _answers(client: httpx.AsyncClient, url: str) -> None:
    answer = await client.get(url)
    if not answer.is_success:
        raise DemoBroken("demo_broken", f"{url} was answered {answer.status_code}: {answer.text[:200]}")


async def _take(host: str, port: int) -> socket.socket:
    """Listen there. A demo that was killed leaves children that let go of their ports within the second."""
    for _ in range(10):
        with contextlib.suppress(Conflict):
            return listen(host, port)
        await asyncio.sleep(0.1)
    return listen(host, port)


async def _take_near(host: str, wanted: int) -> socket.socket:
    """Listen there, or on the next port that is free."""
    with contextlib.suppress(Conflict):
        return await _take(host, wanted)
    for port in range(wanted + 1, min(wanted + PORTS_TRIED, 65_536)):
        with contextlib.suppress(Conflict):
            return listen(host, port)
    return listen(host, 0)


async def run(
    settings: Settings, *, port: int | None, say: Callable[[str], None], ready: Callable[[Facts], None]
) -> None:
    """Start a demo, call ``ready`` once all of it answers, and stop it at SIGTERM, SIGINT or SIGHUP.

    :raises DomainError: it could not start.
    """
    demo = Demo(settings, port=port, say=say)
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            demo.hurry()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, on_signal)
    starting, stopping = loop.create_task(demo.start()), loop.create_task(stop.wait())
    try:
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            ready(starting.result())
            await stopping
            say("Stopping.")
    finally:
        stopping.cancel()
        starting.cancel()
        await asyncio.wait([starting, stopping])
        await demo.stop()
