"""The server processes of one data directory that an earlier run left behind.

A postmaster killed with SIGKILL leaves a stale ``postmaster.pid`` and children that may still be writing;
a new server must not start before they are gone. What belongs to a data directory is told by its processes'
working directory, which PostgreSQL sets in all of them, never by a process number alone: after a reboot the
number in ``postmaster.pid`` may be anybody's.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import struct
import time
from pathlib import Path

import psutil


def server_processes(cluster: Path) -> list[psutil.Process]:
    """Every live PostgreSQL process that works in this data directory."""
    found = []
    for process in psutil.process_iter(["name"]):
        with contextlib.suppress(psutil.Error, OSError):
            if process.info["name"] == "postgres" and Path(process.cwd()).samefile(cluster):
                found.append(process)
    return found


def postmaster_pid(cluster: Path) -> int | None:
    """The process number in ``postmaster.pid``, whether or not that process lives."""
    try:
        return int((cluster / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def postmaster_ready(cluster: Path, pid: int) -> bool:
    """True when the server with this number has said in ``postmaster.pid`` that it accepts connections."""
    try:
        lines = (cluster / "postmaster.pid").read_text().splitlines()
    except OSError:
        return False
    return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"


def answers(socket_dir: Path) -> bool:
    """True when the server behind the socket in this folder answers the first question of the protocol."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2.0)
        connection.connect(str(socket_dir / ".s.PGSQL.5432"))
        connection.sendall(struct.pack("!II", 8, 80877103))  # SSLRequest; the answer is one letter
        return connection.recv(1) != b""
    return False


def stop_leftovers(cluster: Path, patience_s: float = 3.0) -> None:
    """End whatever an earlier run left in this data directory. The caller must own its lock.

    A living postmaster is asked to shut down (fast), then told to (immediate). Children without a postmaster
    end by themselves as soon as they notice; one too busy to notice is killed. No committed transaction is
    lost by any of it: what is not in the tables' files yet is in the write-ahead log.
    """
    pid = postmaster_pid(cluster)
    for action, wait_s in ((signal.SIGINT, patience_s), (signal.SIGQUIT, 1.0)):
        for process in server_processes(cluster):
            if process.pid == pid:
                _send(process, action)
                _wait_until_gone(cluster, wait_s)
    _wait_until_gone(cluster, 0.5)
    for process in server_processes(cluster):
        _send(process, signal.SIGKILL)
    _wait_until_gone(cluster, 2.0)
    if pid is not None and psutil.pid_exists(pid):
        # The number is somebody else's by now, and PostgreSQL would take that process for a server.
        (cluster / "postmaster.pid").unlink(missing_ok=True)


def remove_draft(draft: Path) -> None:
    """Remove what a first start that was killed left, though its orphaned initdb may still be writing there."""
    stop_leftovers(draft)
    deadline = time.monotonic() + 5.0
    while draft.exists() and time.monotonic() < deadline:
        shutil.rmtree(draft, ignore_errors=True)
        time.sleep(0.02)


def _send(process: psutil.Process, action: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(action)


def _wait_until_gone(cluster: Path, longest_s: float) -> None:
    # Not psutil's own waiting: it also waits for zombies, which stay where process 1 does not reap.
    deadline = time.monotonic() + longest_s
    while server_processes(cluster) and time.monotonic() < deadline:
        time.sleep(0.02)
