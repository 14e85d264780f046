"""Make `.venv` in this checkout with the locked versions; called by `script/bootstrap`.

Standard library only. Everything it says goes to standard error, because `script/demo --json` promises
that standard output carries one line of JSON and nothing else.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "tongbao-bootstrap"
LOCKS = {"runtime": ROOT / "requirements.lock", "dev": ROOT / "requirements-dev.lock"}

COMMAND = VENV / "bin" / "tongbao"
# By way of sh: the kernel cuts a `#!` line short in a deep folder and breaks it at a space.
COMMAND_TEXT = """\
#!/bin/sh
'''exec' {python} "$0" "$@"
' '''
import sys
from tongbao.cli import main
sys.exit(main())
""".format(python="'" + os.fspath(PYTHON).replace("'", "'\"'\"'") + "'")
# Wheels only: building a source package would run code whose own requirements no hash guards.
INSTALL = ("--quiet", "--require-hashes", "--only-binary", ":all:")


def say(text: str) -> None:
    print(f"bootstrap: {text}", file=sys.stderr, flush=True)


def fingerprint(lock: str) -> str:
    """What the virtual environment depends on: the locked versions, where it lies, and this program."""
    digest = hashlib.sha256()
    for path in (LOCKS[lock], Path(__file__)):
        digest.update(path.read_bytes())
    digest.update(os.fsencode(VENV))
    return digest.hexdigest()


def up_to_date(lock: str) -> bool:
    """True when the environment already holds `lock`. The dev lock holds the runtime one too."""
    try:
        have = STAMP.read_text().split()
    except OSError:
        return False
    wanted = [f"{name}:{fingerprint(name)}" for name in dict.fromkeys((lock, "dev"))]
    # A Python that was removed or upgraded away leaves a dangling link behind.
    return bool(have) and have[0] in wanted and PYTHON.exists()


def run(*command: str | Path) -> bool:
    """Run a command with its output on standard error; True when it succeeded."""
    return subprocess.run(command, stdout=sys.stderr, check=False, cwd=ROOT).returncode == 0


def works(*command: str | Path) -> bool:
    """True when the command succeeds. Says nothing."""
    return subprocess.run(command, capture_output=True, check=False, cwd=ROOT).returncode == 0


def healthy() -> bool:
    """True when there is an environment made for this very folder whose Python still runs."""
    return COMMAND.is_file() and COMMAND.read_text() == COMMAND_TEXT and works(PYTHON, "-c", "")


def with_uv(lock: Path) -> bool:
    uv = shutil.which("uv")
    if uv is None:
        return False
    say(f"installing the versions of {lock.name} with uv")
    made = healthy() or run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, VENV)
    return made and run(uv, "pip", "install", "--python", PYTHON, *INSTALL, "--requirement", lock)


def with_pip(lock: Path) -> bool:
    say(f"installing the versions of {lock.name} with pip (about a minute the first time)")
    make_venv: list[str | Path] = [sys.executable, "-m", "venv", "--clear", VENV]
    pip: list[str | Path] = [PYTHON, "-m", "pip"]
    if importlib.util.find_spec("ensurepip") is None:
        # Debian without python3-venv: the system's pip can still fill an environment that has none.
        make_venv.insert(-1, "--without-pip")
        pip = [sys.executable, "-m", "pip", "--python", PYTHON]
        if not works(sys.executable, "-m", "pip", "--version"):
            sys.exit(
                f"bootstrap: {sys.executable} has neither ensurepip nor pip, so nothing can be installed.\n"
                "Remedy: on Debian or Ubuntu `apt install python3-venv`; or install uv; then run this again."
            )
    made = (healthy() and works(*pip, "--version")) or run(*make_venv)  # one that uv made has no pip
    return made and run(*pip, "install", "--disable-pip-version-check", "--no-input", *INSTALL, "--requirement", lock)


def install_project() -> None:
    """The project itself: its source folder on the path, and the `tongbao` command. Nothing is built."""
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.run([PYTHON, "-c", ask], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    Path(site, "tongbao.pth").write_text(f"{ROOT / 'src'}\n")
    COMMAND.write_text(COMMAND_TEXT)
    COMMAND.chmod(0o755)


def main() -> None:
    parser = argparse.ArgumentParser(prog="script/bootstrap", description=__doc__)
    parser.add_argument("--runtime", action="store_true", help="leave out the tools for developers")
    lock = "runtime" if parser.parse_args().runtime else "dev"
    if up_to_date(lock):
        return
    with Path(__file__).open() as guard:
        # Two demos started together in a fresh clone: the second waits and finds the work done.
        fcntl.flock(guard, fcntl.LOCK_EX)
        if up_to_date(lock):
            return
        started = time.monotonic()
        STAMP.unlink(missing_ok=True)
        if not with_uv(LOCKS[lock]) and not with_pip(LOCKS[lock]):
            sys.exit(
                "bootstrap: the locked versions could not be installed; the cause stands above.\n"
                "Remedy: check that your package index is reachable (pip's and uv's own settings apply)."
            )
        install_project()
        STAMP.write_text(f"{lock}:{fingerprint(lock)}\n")
        say(f"ready in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
