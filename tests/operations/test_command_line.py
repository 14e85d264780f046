"""The tongbao command: a tour, results for people and programs, and errors with their cause and remedy."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.operations.conftest import Tongbao

from tongbao.database.migrate import head
from tongbao.operations.serving import listen

COMMANDS = [
    ["demo"], ["serve"], ["worker"], ["migrate"], ["version"], ["merchant", "create"], ["merchant", "list"],
    ["merchant", "show"], ["key", "create"], ["key", "list"], ["key", "revoke"], ["books", "verify"],
    ["bench"],
]  # fmt: skip


def test_help_is_a_tour_of_every_command(tongbao: Tongbao) -> None:
    told = tongbao("--help")
    assert told.code == 0
    for command in {command[0] for command in COMMANDS} | {"sandbox"}:
        assert re.search(rf"^│ {command} ", told.out, re.M), command
    assert "tongbao demo" in told.out


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_with_an_example(tongbao: Tongbao, command: list[str]) -> None:
    told = tongbao(*command, "--help")
    assert told.code == 0
    assert re.search(rf"Example:  .*tongbao {' '.join(command)}", told.out), told.out


def test_the_documentation_tells_every_command() -> None:
    text = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text()
    for command in COMMANDS:
        assert re.search(rf"tongbao {command[0]}\b", text)
        assert f"`{command[-1]}`" in text or f"`tongbao {' '.join(command)}`" in text


def test_the_version_is_told(tongbao: Tongbao) -> None:
    assert tongbao("version", "--json").json["schema"] == head()
    assert tongbao("version").out.startswith("Tongbao ")


def test_the_sandbox_tells_its_own_options() -> None:
    done = subprocess.run([sys.executable, "-m", "tongbao.cli", "sandbox", "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "--acquirer-secret-file" in done.stdout


def test_a_merchant_and_its_keys_are_made_shown_and_revoked(on_database: Tongbao) -> None:
    made = on_database("merchant", "create", "Hillside Tea", "--name-zh", "山间茶", "--json").json
    live, test = made["live"]["id"], made["test"]["id"]
    assert made["live"]["livemode"] is True
    assert made["test"]["twin_id"] == live

    key = on_database("key", "create", test, "--json").json
    assert key["key"].startswith("sk_test_")
    assert on_database("key", "create", live, "--kind", "publishable", "--json").json["key"].startswith("pk_live_")
    [listed] = on_database("key", "list", test, "--json").json
    assert (listed["id"], listed["revoked_ms"]) == (key["id"], None)
    assert key["key"] not in on_database("key", "list", test).out

    assert on_database("key", "revoke", test, key["id"]).code == 0
    shown = on_database("merchant", "show", test, "--json").json
    assert shown["name_zh"] == "山间茶"
    assert shown["keys"][0]["revoked_ms"] is not None
    assert {each["id"] for each in on_database("merchant", "list", "--json").json} == {live, test}
    assert "山间茶" in on_database("merchant", "list").out


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        (["merchant", "show", "acct_nobody"], 5, "No such merchant: 'acct_nobody'"),
        (["key", "create", "acct_nobody"], 5, "No such merchant"),
        (["key", "revoke", "acct_nobody", "key_x"], 5, "No such API key"),
        (["books", "verify", "--merchant", "acct_nobody"], 5, "No such merchant"),
        (["merchant", "create", "Tea", "--currency", "tea"], 2, "Invalid currency: tea"),
        (["merchant", "create", "Tea", "--country", "China"], 2, "--country must be a code of two letters"),
        (["merchant", "create", " "], 2, "name must have 1 to 200 characters"),
        (["merchant", "steal"], 2, "No such command"),
        (["key", "create", "acct_x", "--kind", "master"], 2, "'master' is not one of"),
    ],
)
def test_what_cannot_be_done_is_told_without_a_traceback(
    on_database: Tongbao, command: list[str], code: int, told: str
) -> None:
    done = on_database(*command)
    assert (done.code, done.out) == (code, "")
    assert told in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("command", [["serve"], ["worker"], ["migrate"], ["merchant", "list"], ["books", "verify"]])
@pytest.mark.parametrize(
    ("url", "code", "told"),
    [
        ("postgresql://u:hidden@127.0.0.1:1/x", 6, "127.0.0.1:1/x cannot be reached: Connection refused"),
        ("postgresql://u:hidden@no-such-host.invalid/x", 6, "cannot be reached: Name or service not known"),
        ("postgresql://u:hid/den@host:port/x", 2, "DATABASE_URL is not an address that can be used"),
        ("postgresql://u:hidden@/x?host=/nowhere&sslmode=maybe", 2, "`sslmode` parameter must be one of"),
        ("mysql://u:hidden@host/x", 2, "DATABASE_URL must be the address of a PostgreSQL"),
    ],
)
def test_a_database_that_cannot_be_reached_is_told_without_its_password(
    tongbao: Tongbao, command: list[str], url: str, code: int, told: str
) -> None:
    port = ["--port", "0"] if command == ["serve"] else []
    done = tongbao(*command, *port, DATABASE_URL=url)
    assert (done.code, done.out) == (code, "")
    assert told in done.err
    assert "Traceback" not in done.err
    assert "hid" not in done.err


def test_a_database_that_does_not_exist_is_told(tongbao: Tongbao, database_url: str) -> None:
    done = tongbao("merchant", "list", DATABASE_URL=database_url.replace("/tongbao?", "/nothing?"))
    assert done.code == 2
    assert 'refuses: database "nothing" does not exist' in done.err


def test_a_database_without_the_schema_is_told_and_migrated(tongbao: Tongbao, fresh_database: str) -> None:
    refused = tongbao("serve", "--port", "0", DATABASE_URL=fresh_database)
    assert refused.code == 6
    assert "Remedy: run `tongbao migrate`" in refused.err
    assert tongbao("migrate", "--json", DATABASE_URL=fresh_database).json == {"before": None, "after": head()}
    assert "up to date" in tongbao("migrate", DATABASE_URL=fresh_database).err


def test_a_port_that_is_taken_is_told(tongbao: Tongbao) -> None:
    with listen("127.0.0.1", 0) as taken:
        done = tongbao("serve", "--port", str(taken.getsockname()[1]))
    assert done.code == 6
    assert "Another program listens on" in done.err


def test_a_folder_that_cannot_be_made_is_told(tongbao: Tongbao, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for command in (["demo"], ["merchant", "list"]):
        done = tongbao(*command, "--data", str(tmp_path / "file" / "data"))
        assert done.code in (3, 6)
        assert re.search(r"cannot be used: Not a directory.*Remedy: choose", done.err), done.err
        assert "Traceback" not in done.err


def test_an_unknown_setting_is_told(tongbao: Tongbao) -> None:
    done = tongbao("demo", TONGBAO_PROT="1")
    assert done.code == 2
    assert "TONGBAO_PROT is not a setting of Tongbao. Did you mean TONGBAO_PORT?" in done.err
