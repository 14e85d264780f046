"""What the documents tell a reader to type works as it stands there, but for the address and the key."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.world import World

ROOT = Path(__file__).resolve().parents[2]
READMES = ["README.md", "README.zh-CN.md"]


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / name).read_text(), re.S | re.M)


def made_real(world: World, text: str) -> str:
    real = text.replace("http://127.0.0.1:8080", world.url).replace("$URL", world.url)
    return real.replace("sk_test_…", world.secret_key).replace("$SECRET_KEY", world.secret_key)


@pytest.mark.parametrize("name", READMES)
def test_the_python_of_the_readme_pays(world: World, name: str) -> None:
    (example,) = blocks(name, "python")
    subprocess.run([sys.executable, "-c", made_real(world, example)], check=True, timeout=60)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl: apt-get install curl")
@pytest.mark.parametrize("name", [*READMES, "docs/payments.md"])
def test_the_commands_of_the_documents_are_answered(world: World, name: str) -> None:
    commands = [
        command
        for block in blocks(name, "sh")
        for command in re.split(r"\n(?=curl)", block.replace("\\\n", " "))
        if command.strip().startswith("curl")
    ]
    assert commands
    order = ""
    for command in commands:
        typed = made_real(world, command.strip().replace("ord_…", order))
        answer = json.loads(subprocess.run(["bash", "-c", f"{typed} -s"], capture_output=True, check=True).stdout)
        assert "error" not in answer, (typed, answer)
        order = answer["id"] if answer["object"] == "order" else order
