"""A real PostgreSQL of our own, for a laptop, a demo and the tests: started here, on a local socket only.

``EmbeddedPostgres(data_dir)`` owns one data directory::

    data_dir/lock           held while an owner lives (flock); holds its process number
    data_dir/postgres.log   what the server says
    data_dir/cluster/       PostgreSQL's own data directory

All methods block (``start`` for a second or two); in async code call them through ``asyncio.to_thread``.

What happens when something dies:

* The server (``kill -9``): ``is_running()`` turns false; ``start()`` on the same object brings it back under
  the same URL, so connection pools reconnect.
* The owner (``kill -9``): a small watcher process sees its pipe close and shuts the server down, so that
  nothing lingers. The next ``start()`` waits for that, or does it itself when the watcher was killed too.
* The machine: PostgreSQL recovers from its write-ahead log on the next start. ``fsync`` and
  ``synchronous_commit`` are always on, so whatever was committed is there.

As root the server runs under an unprivileged account, because PostgreSQL insists; see ``embedded_places``.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from tongbao.database.embedded_errors import CannotStart, InUse, failure
from tongbao.database.embedded_places import (
    Account,
    account_for,
    bin_dir,
    binaries_for,
    major_version,
    reach,
    socket_dir_for,
)
from tongbao.database.embedded_processes import answers, postmaster_ready, remove_draft, stop_leftovers

__all__ = ["CannotStart", "EmbeddedPostgres", "InUse", "bin_dir"]

DATABASE = USER = "tongbao"
# Given on the command line, so that nothing stored in the data directory can weaken them.
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "max_connections": "200",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",  # compiling costs more than any of our short statements
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Failed statements are the application's to report. Their text and values could be personal, and a
    # flood of them would fill the disk.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
# The server inherits nothing: the owner's environment may hold secrets.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
START_TIMEOUT_S = 120.0  # recovery after a crash may have gigabytes of log to replay
LOG_KEPT_BYTES = 1_000_000
# Ends when its input does, that is, when the owner dies however it may, and then stops the server.
WATCHER = 'read -r _; kill -INT "$(head -n 1 "$1/postmaster.pid")"'


class EmbeddedPostgres:
    """One PostgreSQL server on one data directory. Not for use by several threads at once."""

    def __init__(self, data_dir: Path, bin_dir: Path | None = None) -> None:
        """``bin_dir`` chooses another PostgreSQL's programs, e.g. ``/usr/lib/postgresql/15/bin``."""
        self.data_dir = data_dir.resolve()
        self._cluster = self.data_dir / "cluster"
        self._log = self.data_dir / "postgres.log"
        self._chosen_bin_dir = bin_dir
        self._lock: IO[str] | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None
        self._socket_dir: Path | None = None

    def start(self) -> str:
        """Start the server, making the data directory the first time; return the URL of its database.

        The URL, ``postgresql://tongbao@/tongbao?host=…&port=5432``, is the same on every start and fits asyncpg,
        libpq and (with ``+asyncpg``) SQLAlchemy. Does nothing when already running.

        :raises InUse: another process owns this data directory.
        :raises CannotStart: whatever else is in the way.
        """
        if self._socket_dir is not None and self._alive(self._socket_dir):
            return self._url(self._socket_dir)
        self._take_lock()
        try:
            self._reap()
            stop_leftovers(self._cluster)
            account = account_for(self._cluster)
            programs = binaries_for(account, self._chosen_bin_dir or bin_dir())
            if not self._cluster.exists():
                self._initialize(account, programs)
            self._check_version(programs)
            self._socket_dir = socket_dir_for(self.data_dir, account)
            self._launch(account, programs, self._socket_dir)
        except BaseException:
            self.stop()
            raise
        return self._url(self._socket_dir)

    def stop(self, timeout_s: float = 3.0) -> None:
        """Shut down: fast (open transactions are rolled back), after ``timeout_s`` immediately. Repeatable."""
        if self._server is not None:
            for action, wait_s in ((signal.SIGINT, timeout_s), (signal.SIGQUIT, 1.0), (signal.SIGKILL, 1.0)):
                if self._server.poll() is None:
                    self._server.send_signal(action)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        self._server.wait(wait_s)
        self._reap()
        if self._lock is not None:
            if self._socket_dir is not None:
                shutil.rmtree(self._socket_dir, ignore_errors=True)
            self._lock.close()
            self._lock = None

    def is_running(self) -> bool:
        """Whether the server process lives."""
        return self._server is not None and self._server.poll() is None

    def _alive(self, socket_dir: Path) -> bool:
        """Like ``is_running``, but not deceived by a server that was killed this very moment."""
        if self._server is None or answers(socket_dir):
            return self.is_running()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._server.wait(0.5)
        return self.is_running()

    @property
    def pid(self) -> int | None:
        """The postmaster's process number, while it lives."""
        return self._server.pid if self._server is not None and self.is_running() else None

    def __enter__(self) -> EmbeddedPostgres:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _url(self, socket_dir: Path) -> str:
        # The port stands there because a PGPORT in a client's environment would count otherwise.
        return f"postgresql://{USER}@/{DATABASE}?host={socket_dir}&port=5432"

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (self.data_dir / "lock").open("a+")
        except OSError as cause:
            raise CannotStart(
                f"The database's folder {self.data_dir} cannot be used: {cause.strerror}. Remedy: choose a "
                "folder that you may write to, or start as the user to whom it belongs."
            ) from cause
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            lock.close()
            raise InUse(
                f"The database in {self.data_dir} is in use by process {owner}. "
                "Remedy: stop that process, or choose another data folder."
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock

    def _reap(self) -> None:
        """Forget a server that has ended, and dismiss its watcher."""
        if self._watcher is not None:
            self._watcher.kill()
            self._watcher.wait()
            if self._watcher.stdin is not None:
                self._watcher.stdin.close()
        self._watcher = self._server = None

    def _initialize(self, account: Account, programs: Path) -> None:
        """Make the cluster beside its final place and move it there whole: half a cluster is never met."""
        for stale in self.data_dir.glob("cluster.new-*"):
            remove_draft(stale)
        draft = Path(tempfile.mkdtemp(prefix="cluster.new-", dir=self.data_dir))
        if account.uid != os.geteuid():
            os.chown(draft, account.uid, account.gid)
        if major_version(programs) >= 17:  # its own collation, the same on every system
            locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        else:
            locale = ["--locale=C.UTF-8"]
        options = [f"--username={USER}", "--auth=trust", "--encoding=UTF8", "--data-checksums", *locale]
        try:
            with reach(draft, account) as (place, how):
                _run([str(programs / "initdb"), "-D", place, *options], how)
                single = [str(programs / "postgres"), "--single", "-D", place, "-c", "exit_on_error=true", "template1"]
                _run(single, how, f"CREATE DATABASE {DATABASE}\n")
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        draft.rename(self._cluster)
        folder = os.open(self.data_dir, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _check_version(self, programs: Path) -> None:
        try:
            made_by = (self._cluster / "PG_VERSION").read_text().strip()
        except PermissionError as cause:
            owner = Account(self._cluster.stat().st_uid, self._cluster.stat().st_gid)
            raise CannotStart(
                f"The database in {self.data_dir} belongs to the user {owner.name}. "
                "Remedy: start as that user or as root, or choose another data folder."
            ) from cause
        except FileNotFoundError as cause:
            raise CannotStart(
                f"{self._cluster} is not a PostgreSQL data directory. Remedy: choose another data folder."
            ) from cause
        version = major_version(programs)
        if made_by != str(version):
            raise CannotStart(
                f"The database in {self.data_dir} was made by PostgreSQL {made_by}; this is PostgreSQL {version}. "
                "Remedy: choose another data folder, or move the data with pg_dump or pg_upgrade."
            )

    def _launch(self, account: Account, programs: Path, socket_dir: Path) -> None:
        if self._log.exists() and self._log.stat().st_size > LOG_KEPT_BYTES:
            self._log.replace(self._log.with_suffix(".log.1"))
        settings = SETTINGS | {"unix_socket_directories": str(socket_dir)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log, reach(self._cluster, account) as (place, how):
            said_before = log.tell()
            server = _start([str(programs / "postgres"), "-D", place, *options], how, log)
            self._server = server
            self._watcher = _start(["/bin/sh", "-c", WATCHER, "watcher", place], how, log, stdin=subprocess.PIPE)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not postmaster_ready(self._cluster, server.pid):
            if server.poll() is not None:
                raise failure("PostgreSQL ended while starting", self._log.read_bytes()[said_before:])
            if time.monotonic() > deadline:
                raise failure("PostgreSQL was not ready in time", self._log.read_bytes()[said_before:])
            time.sleep(0.01)


def _start(
    command: list[str], how: dict[str, Any], output: IO[bytes] | int, stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Start a program: with nothing of our environment, and out of reach of our terminal's Ctrl-C."""
    try:
        return subprocess.Popen(
            command, stdin=stdin, stdout=output, stderr=subprocess.STDOUT, env=ENVIRONMENT, cwd="/", umask=0o077,
            start_new_session=True, **how,
        )  # fmt: skip
    except OSError as cause:
        raise failure(f"{command[0]} cannot be run: {cause}", str(cause).encode()) from cause


def _run(command: list[str], how: dict[str, Any], text: str = "") -> None:
    process = _start(command, how, subprocess.PIPE, stdin=subprocess.PIPE)
    try:
        output, _ = process.communicate(text.encode(), timeout=START_TIMEOUT_S)
    except subprocess.TimeoutExpired as cause:
        process.kill()
        process.wait()
        raise failure(f"{command[0]} did not end in time", cause.output or b"") from cause
    if process.returncode:
        raise failure("PostgreSQL's data directory could not be made", output)
