"""Every error code that the program can answer with is explained in docs/errors.md, and none that it cannot."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tongbao.foundation import errors

ROOT = Path(__file__).resolve().parents[2]
RAISERS = {
    name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, errors.DomainError)
} | {"InsufficientFunds", "Wrong", "_empty_or"}


def codes_in(path: Path) -> set[str]:
    """The codes written out in calls of an error's class."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        name = getattr(node.func, "id", getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else ""
        if name in RAISERS and isinstance(node, ast.Call) and node.args:
            for argument in node.args[:2]:
                if isinstance(argument, ast.Constant) and re.fullmatch("[a-z]+(_[a-z]+)+", str(argument.value)):
                    found.add(str(argument.value))
    return found


def test_every_code_is_explained() -> None:
    sources = [path for path in (ROOT / "src/tongbao").rglob("*.py") if "sandbox" not in path.parts]
    raised = set().union(*map(codes_in, sources))
    explained = set(re.findall(r"`([a-z_]+)`", (ROOT / "docs/errors.md").read_text()))
    assert sorted(raised - explained) == []
