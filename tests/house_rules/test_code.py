"""What every source file keeps to, beyond what ruff, mypy and import-linter hold."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

from tests.house_rules.files import project_files, python_files, short

MOST_LINES_OF_A_FILE = 400  # aim for 300
MOST_LINES_OF_A_FUNCTION = 70

# Besides the standard library: what a row is declared with, and the words of the channel contract.
MODELS_MAY_IMPORT = re.compile(
    r"(msgspec|sqlalchemy|tongbao\.foundation(\..*)?|tongbao\.database\.rows|tongbao\.channels\.contract"
    r"|tongbao\.\w+\.model)$"
)
# A path on the machine of whoever wrote it; a host from which packages are fetched.
BELONGS_TO_ONE_MACHINE = re.compile(
    r"(?<![\w.$}~-])/(work|root|home|Users)/\w|pypi\.org|pythonhosted\.org|npmjs\.(org|com)|(?<!emit-)index-url"
)


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    lengths = {short(path): len(path.read_text().splitlines()) for path in python_files()}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES_OF_A_FILE} == {}


def test_no_function_is_longer_than_one_screen_or_two() -> None:
    too_long = {
        f"{short(path)}:{node.lineno} {node.name}": length
        for path in python_files()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > MOST_LINES_OF_A_FUNCTION
    }
    assert too_long == {}


def test_a_model_is_pure() -> None:
    """model.py says what is true: it imports the standard library, the foundation and other models only."""
    impure = {
        f"{short(path)}: {name}"
        for path in python_files("src")
        if path.name == "model.py"
        for name in imports(path)
        if name.split(".")[0] not in sys.stdlib_module_names and not MODELS_MAY_IMPORT.match(name)
    }
    assert impure == set()


def test_nothing_names_one_persons_machine_or_a_package_host() -> None:
    naming = [
        f"{short(path)}:{number}: {line.strip()[:80]}"
        for path in project_files()
        if path != Path(__file__) and b"\0" not in path.read_bytes()[:8000]
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if BELONGS_TO_ONE_MACHINE.search(line)
    ]
    assert naming == []


def test_nothing_is_left_to_be_done() -> None:
    unfinished = [
        f"{short(path)}:{number}: {line.strip()[:80]}"
        for path in python_files()
        if path != Path(__file__)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"\b(TODO|FIXME|XXX|HACK)\b|\bNotImplementedError\b", line)
    ]
    assert unfinished == []


def imports(path: Path) -> set[str]:
    """Every module that this file imports, by its full name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found
