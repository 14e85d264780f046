"""Start the sandbox: ``python -m tongbao.sandbox --port N --data DIR --acquirer-secret-file F``."""

from __future__ import annotations

import argparse
import json
import logging
import socket
import sqlite3
import stat
import sys
from pathlib import Path
from typing import TypeVar

import msgspec
from starlette.types import ASGIApp

from tongbao.sandbox.acquirer.app import Acquirer, AcquirerConfig
from tongbao.sandbox.acquirer.faults import Plan
from tongbao.sandbox.acquirer.store import StoreBroken
from tongbao.sandbox.server import assemble, listen, serve

SECRET_LENGTH_MIN = 32

T = TypeVar("T")


class BadConfiguration(Exception):
    """The sandbox cannot start; the message says why and what to do."""


def main(arguments: list[str] | None = None) -> int:
    """Run until stopped. Returns the exit code: 0 stopped, 2 bad configuration."""
    options = _options(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        terminals = _terminals(options.acquirer_secret_file)
        plan = _read(options.faults, Plan) if options.faults else Plan()
        shop = _shop(options.shop_config) if options.shop_config else None
        _make_folder(options.data)
        listener = _listener(options)
        url = (options.url or f"http://{options.host}:{listener.getsockname()[1]}").rstrip("/")
        config = AcquirerConfig(
            data=options.data,
            terminals=terminals,
            public_url=f"{url}/acquirer",
            challenge_ttl_ms=options.challenge_seconds * 1000,
            faults=plan,
        )
        acquirer = Acquirer(config).app()
    except (BadConfiguration, StoreBroken) as problem:
        sys.stderr.write(f"sandbox: {problem}\n")
        return 2
    told = {"url": url, "acquirer_url": f"{url}/acquirer"}
    if shop is not None:
        told["shop_url"] = f"{url}/shop"

    def ready() -> None:
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()

    serve(assemble(acquirer, shop), listener, ready)
    return 0


def _listener(options: argparse.Namespace) -> socket.socket:
    if options.fd is not None:
        return socket.socket(fileno=options.fd)
    try:
        return listen(options.host, options.port)
    except OSError as problem:
        raise BadConfiguration(
            f"Cannot listen on {options.host}:{options.port}: {problem.strerror}. Choose another --port."
        ) from None


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tongbao.sandbox",
        description="The simulated outside world: a card acquirer under /acquirer, a shop under /shop."
        " Prints one line of JSON with its addresses once it answers.",
    )
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--port", type=int, help="port to listen on; 0 takes a free one")
    place.add_argument("--fd", type=int, help="listening socket that was inherited, by its number")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--url", help="how browsers reach this server (default: http://HOST:PORT)")
    parser.add_argument("--data", type=Path, required=True, help="folder for the acquirer's books")
    parser.add_argument(
        "--acquirer-secret-file",
        type=Path,
        required=True,
        help='JSON object of terminals: {"terminal id": "secret of at least 32 characters", …}',
    )
    parser.add_argument("--shop-config", type=Path, help="JSON configuration of the shop; without it, no shop")
    parser.add_argument("--faults", type=Path, help="JSON file of seeded faults, as for POST /acquirer/faults")
    parser.add_argument(
        "--challenge-seconds", type=int, default=900, help="time to answer 3-D Secure (default: %(default)s)"
    )
    return parser.parse_args(arguments)


def _read(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as problem:
        raise BadConfiguration(f"Cannot read {path}: {problem.strerror}.") from None
    except msgspec.MsgspecError as problem:
        raise BadConfiguration(f"{path} is not as expected: {problem}.") from None


def _terminals(path: Path) -> dict[str, str]:
    terminals = _read(path, dict[str, str])
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise BadConfiguration(f"Others may read {path}, and it holds secrets. Run: chmod 600 {path}")
    if not terminals:
        raise BadConfiguration(f'{path} names no terminal. Write {{"terminal id": "secret"}} into it.')
    for terminal, secret in terminals.items():
        if not (terminal.isascii() and terminal.isprintable() and 1 <= len(terminal) <= 64 and " " not in terminal):
            raise BadConfiguration(f"{path}: a terminal id has 1 to 64 visible ASCII characters.")
        if len(secret) < SECRET_LENGTH_MIN:
            raise BadConfiguration(f"{path}: the secret of {terminal} is shorter than {SECRET_LENGTH_MIN} characters.")
    return terminals


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        raise BadConfiguration(f"Cannot make the folder {path}: {problem.strerror}.") from None


def _shop(path: Path) -> ASGIApp:
    # Imported only when asked for: the acquirer runs without the shop.
    from tongbao.sandbox.shop import app, config

    try:
        return app.create(config.load(path))
    except (ValueError, OSError, sqlite3.Error) as problem:
        raise BadConfiguration(str(problem)) from None


if __name__ == "__main__":
    sys.exit(main())
