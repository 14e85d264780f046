"""What a demo remembers between its starts, in its data folder: files that only their owner may read."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO, Any

import msgspec

from tongbao.foundation.errors import Conflict, InvalidRequest, NotPermitted
from tongbao.foundation.ids import new_secret

TERMINAL = "demo-terminal"


class DemoState(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The demo's merchant in this database, its keys, and the ports of last time."""

    merchant_id: str | None = None
    live_merchant_id: str | None = None
    secret_key: str | None = None
    publishable_key: str | None = None
    customer: str | None = None
    funded: bool = False
    webhook_endpoint: str | None = None
    webhook_secret: str | None = None
    port: int | None = None
    sandbox_port: int | None = None


class DemoFolder:
    """The data folder of one demo, held by a lock while it runs."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: IO[str] | None = None

    def take(self) -> None:
        """Make the folder if need be, and take it.

        :raises Conflict: another demo runs in it.
        :raises NotPermitted: it cannot be made or written to.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.path / "logs").mkdir(mode=0o700, exist_ok=True)
            lock = (self.path / "demo.lock").open("a+")
        except OSError as problem:
            raise NotPermitted(
                "folder_unusable",
                f"The folder {self.path} cannot be used: {problem.strerror}. Remedy: choose one that you may write "
                "to with --data.",
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            owner = lock.read().strip() or "another process"
            lock.close()
            raise Conflict(
                "demo_running",
                f"A demo already runs in {self.path}: {owner}. Remedy: use that one, stop it, or choose another "
                "folder with --data.",
            ) from None
        self._lock = lock
        self.tell(f"process {os.getpid()}")

    def tell(self, what: str) -> None:
        """Say of us what another demo shall answer that finds this folder taken."""
        assert self._lock is not None
        self._lock.truncate(0)
        self._lock.write(what)
        self._lock.flush()

    def release(self) -> None:
        """Let others have the folder."""
        if self._lock is not None:
            self._lock.truncate(0)
            self._lock.close()
            self._lock = None

    def read_state(self) -> DemoState:
        """What is remembered; nothing at the first start.

        :raises InvalidRequest: the file is damaged.
        """
        path = self.path / "demo.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=DemoState)
        except FileNotFoundError:
            return DemoState()
        except (OSError, msgspec.MsgspecError) as problem:
            raise InvalidRequest(
                "demo_damaged",
                f"{path} cannot be read: {problem}. Remedy: remove it (the demo then makes a new merchant), or choose "
                "another folder with --data.",
            ) from None

    def write_state(self, state: DemoState) -> None:
        """Remember."""
        self.write("demo.json", state)

    def write(self, name: str, content: Any) -> Path:
        """Write a JSON file that only we may read, all or nothing; return its path."""
        path, draft = self.path / name, self.path / f".{name}.new"
        file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(file, "wb") as stream:
            stream.write(msgspec.json.format(msgspec.json.encode(content), indent=2))
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
        return path

    def card_secret(self) -> str:
        """The secret that server and acquirer share, made once; it is in the acquirer's file of terminals."""
        path = self.acquirer_secret_file
        if path.exists():
            return str(msgspec.json.decode(path.read_bytes(), type=dict[str, str])[TERMINAL])
        secret = new_secret(48)
        self.write(path.name, {TERMINAL: secret})
        return secret

    @property
    def acquirer_secret_file(self) -> Path:
        """Where the acquirer finds its terminals' secrets."""
        return self.path / "acquirer.json"
