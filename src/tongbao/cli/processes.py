"""Commands that run the system: demo, sandbox, serve, worker, migrate."""

from __future__ import annotations

import asyncio
import os
import platform
import signal
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

import tongbao
from tongbao.cli.screen import Json, out, run, say, write_json

Data = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="DIR", help="Folder of the embedded database and of generated keys.", show_default=False
    ),
]
Port = Annotated[int | None, typer.Option("--port", min=0, max=65535, help="Port to listen on.", show_default="8080")]
Host = Annotated[str | None, typer.Option("--host", help="Address to listen on.", show_default="127.0.0.1")]


def demo(port: Port = None, host: Host = None, data: Data = None, json: Json = False) -> None:
    """Start everything on this machine, with a shop to buy from.

    Starts PostgreSQL in the data folder, the server, a worker and the sandbox (a card acquirer and a tea shop), makes
    a merchant with keys and a customer with money, prints where everything is, and runs until Ctrl-C. What was done
    is still there at the next start. With DATABASE_URL it uses that PostgreSQL instead.

    Example:  tongbao demo --port 9000 --data /tmp/tea
    """
    from tongbao.cli.welcome import welcome
    from tongbao.operations import demo as demos
    from tongbao.operations import settings as all_settings

    settings = all_settings.load(data=data, host=host)
    asked = port if port is not None else settings.port if "port" in settings.model_fields_set else None

    def ready(facts: demos.Facts) -> None:
        if json:
            write_json(facts._asdict())
        else:
            welcome(facts)

    run(demos.run(settings, port=asked, say=say, ready=ready), asyncio.new_event_loop)


def sandbox(context: typer.Context) -> None:
    """Start the simulated outside world: a card acquirer, and a shop.

    The demo starts it by itself. It is a program of its own that knows nothing of the rest; its options are told by
    tongbao sandbox --help.

    Example:  tongbao sandbox --port 8090 --data ./acquirer --acquirer-secret-file terminals.json
    """
    # Not imported, not even here: nothing of Tongbao may lean on it.
    os.execv(sys.executable, [sys.executable, "-m", "tongbao.sandbox", *context.args])  # noqa: S606


def serve(
    port: Port = None,
    host: Host = None,
    data: Data = None,
    json: Json = False,
    fd: Annotated[int | None, typer.Option("--fd", hidden=True, help="A listening socket that was inherited.")] = None,
) -> None:
    """Serve the API and the hosted pages.

    Stops at SIGTERM or Ctrl-C: what is under way is finished first, within four seconds. Several servers may run on
    one database. Without DATABASE_URL, the embedded PostgreSQL of the data folder is used, and started if need be.

    Example:  DATABASE_URL=postgresql://tongbao@db/tongbao tongbao serve --host 0.0.0.0 --port 80
    """
    from tongbao.operations import logs, serving
    from tongbao.operations import settings as all_settings
    from tongbao.operations.databases import database

    settings = all_settings.load(data=data, host=host, port=port)
    logs.configure(settings.log_level)
    listener = socket.socket(fileno=fd) if fd is not None else serving.listen(settings.host, settings.port)
    url = serving.http_url(*serving.address_of(listener))
    settings = settings.model_copy(
        update={"port": listener.getsockname()[1], "public_url": settings.public_url or url}
    )  # fmt: skip

    def ready() -> None:
        if json:
            write_json({"url": settings.base_url, "listens_on": url})
        else:
            sys.stdout.write(f"Serving {settings.base_url} (Ctrl-C stops)\n")
            sys.stdout.flush()

    async def work() -> None:
        async with database(settings, keep=True) as database_url:
            await serving.serve(settings.model_copy(update={"database_url": database_url}), listener, ready)

    run(work())


def worker(data: Data = None) -> None:
    """Do what happens later: jobs, the chase of unknown outcomes, webhooks.

    Any number of workers may run on one database. Stops at SIGTERM or Ctrl-C.

    Example:  DATABASE_URL=postgresql://tongbao@db/tongbao tongbao worker
    """
    from tongbao.operations import logs
    from tongbao.operations import settings as all_settings
    from tongbao.operations.databases import database
    from tongbao.operations.worker import run_worker

    settings = all_settings.load(data=data)
    logs.configure(settings.log_level)

    async def work() -> None:
        async with database(settings, keep=True) as database_url:
            stop = asyncio.Event()
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
            sys.stdout.write("Working (Ctrl-C stops)\n")
            sys.stdout.flush()
            await run_worker(settings.model_copy(update={"database_url": database_url}), stop)

    run(work())


def migrate(data: Data = None, json: Json = False) -> None:
    """Bring the database to this program's schema.

    Safe at any time, also by several at once: it is one transaction behind one lock. Back up first all the same.

    Example:  DATABASE_URL=postgresql://tongbao@db/tongbao tongbao migrate
    """
    from tongbao.database import migrate as migration
    from tongbao.operations import settings as all_settings
    from tongbao.operations.databases import database

    settings = all_settings.load(data=data)

    async def work() -> migration.Migrated:
        async with database(settings, migrated=False) as url:
            return await migration.migrate(url)

    done = run(work())
    if json:
        write_json(done._asdict())
    elif done.before == done.after:
        say(f"The schema is up to date (revision {done.after}).")
    else:
        say(f"The schema is now revision {done.after} (it was {done.before or 'not there'}).")


def version(json: Json = False) -> None:
    """Tell which version this is.

    Example:  tongbao version --json
    """
    from tongbao.database.migrate import head

    told = {"tongbao": tongbao.__version__, "schema": head(), "python": platform.python_version()}
    if json:
        write_json(told)
    else:
        out.print(f"Tongbao {told['tongbao']} (schema {told['schema']}, Python {told['python']})")
