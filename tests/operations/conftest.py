"""Fixtures of this folder.

``tongbao``            runs a command in this process, in an empty folder and an environment without settings
``migrated_database``  the URL of a new database with the schema
``on_database``        ``tongbao`` on that database
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tongbao.cli import main
from tongbao.database.migrate import migrate
from tongbao.operations import logs, settings


class Ran:
    """What a command did."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        assert self.out.count("\n") == 1, self.out
        return json.loads(self.out)


Tongbao = Callable[..., Ran]


@pytest.fixture
def tongbao(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Tongbao:
    for name in settings.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(logs, "configure", lambda level: None)  # would outlive the command in this process
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, **environment: str) -> Ran:
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            capfd.readouterr()
            code = main(arguments)
        return Ran(code, *capfd.readouterr())

    return run


@pytest.fixture
async def migrated_database(fresh_database: str) -> str:
    await migrate(fresh_database)
    return fresh_database


@pytest.fixture
def on_database(tongbao: Tongbao, migrated_database: str) -> Tongbao:
    return lambda *arguments: tongbao(*arguments, DATABASE_URL=migrated_database)
