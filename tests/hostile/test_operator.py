"""What careless operators type is refused in words, without a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.world import World


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `tongbao` in a process of its own, with no settings but these."""
    return subprocess.run(
        [sys.executable, "-m", "tongbao.cli", *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_unusable_master_key_ends_the_start_without_a_traceback(tmp_path: Path) -> None:
    ran = run("serve", "--port", "0", TONGBAO_DATA=str(tmp_path), TONGBAO_MASTER_KEY="short")
    assert ran.returncode == 2
    assert "TONGBAO_MASTER_KEY does not hold 32 bytes" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    "names", [["a\x01b"], ["a\u2028b"], ["Tea", "--name-zh", "茶" * 201], ["Tea", "--name-zh", " "]]
)
def test_a_merchants_name_that_no_page_could_show_is_refused(world: World, names: list[str]) -> None:
    ran = run("merchant", "create", *names, DATABASE_URL=world.database_url)
    assert ran.returncode == 2
    assert "1 to 200 characters, all of them printable" in ran.stderr
