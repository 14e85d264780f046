"""The files that belong to the project, for the house rules to look at."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@cache
def project_files() -> tuple[Path, ...]:
    """Every file that git tracks or would track, so that a rule speaks before the commit and not after."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return tuple(sorted({ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()}))


def python_files(folder: str = "") -> list[Path]:
    return [path for path in project_files() if path.suffix == ".py" and (ROOT / folder) in path.parents]


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()
