"""The sandbox as a process: nothing answered is lost, and a bad configuration is told at the start."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tests.sandbox.acquirer_world import MERCHANT, charge, query, token
from tests.sandbox.inbox import open_inbox
from tests.sandbox.process import TERMINAL, AcquirerClient, command, start

from tongbao.foundation.ids import new_id


def test_a_kill_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    folder = tmp_path / "sandbox"
    sandbox = start(folder)
    card = token(AcquirerClient(sandbox))
    answered: list[str] = []

    def charge_until_dead(_: int) -> None:
        client = AcquirerClient(sandbox)
        body = {"merchant_id": MERCHANT, "token": card, "amount": 1, "currency": "cny"}
        while True:
            operation_id = new_id("op")
            try:
                answer = client.request("POST", "/charges", {**body, "operation_id": operation_id})
            except httpx.TransportError:
                return
            assert answer.json()["status"] == "approved"
            answered.append(operation_id)

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(charge_until_dead, number) for number in range(4)]
        time.sleep(0.4)
        sandbox.kill()
        for one in running:
            one.result(10)
    assert len(answered) > 5

    sandbox = start(folder, port=sandbox.port)
    try:
        client = AcquirerClient(sandbox)
        kept = {row["operation_id"] for row in client.books(limit=1000)["operations"]}
        assert kept.issuperset(answered)
        assert client.books()["totals"][0]["captured"] == len(kept)
    finally:
        sandbox.stop()


async def test_notices_survive_a_kill_and_are_delivered_after_the_next_start(tmp_path: Path) -> None:
    sandbox = start(tmp_path / "sandbox")
    async with open_inbox() as inbox:
        inbox.failures = 1_000
        decided = charge(AcquirerClient(sandbox), notice_url=inbox.url)
        await inbox.wait(decided["operation_id"])
        sandbox.kill()
        inbox.failures = 0
        already = len(inbox.deliveries)
        sandbox = start(tmp_path / "sandbox")
        try:
            [*_, last] = await inbox.wait(decided["operation_id"], count=already + 1)
            assert last.operation == decided
            assert query(AcquirerClient(sandbox), decided) == decided
        finally:
            sandbox.stop()


def test_it_stops_when_told(tmp_path: Path) -> None:
    sandbox = start(tmp_path / "sandbox")
    assert httpx.get(f"{sandbox.acquirer_url}/health").status_code == 200
    sandbox.stop()


def refused(folder: Path, *options: str) -> str:
    """What a sandbox says that cannot start."""
    ended = subprocess.run(command(folder, *options), capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stderr


def test_two_sandboxes_cannot_share_a_folder(tmp_path: Path) -> None:
    sandbox = start(tmp_path / "sandbox")
    try:
        assert "another sandbox" in refused(tmp_path / "sandbox")
    finally:
        sandbox.stop()


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    sandbox = start(tmp_path / "one")
    try:
        assert "Choose another --port" in refused(tmp_path / "two", "--port", str(sandbox.port))
    finally:
        sandbox.stop()


@pytest.mark.parametrize(
    ("written", "mode", "says"),
    [
        ("{}", 0o600, "names no terminal"),
        ("[]", 0o600, "not as expected"),
        ("no json", 0o600, "not as expected"),
        (json.dumps({TERMINAL: "short"}), 0o600, "32 characters"),
        (json.dumps({"a b": "x" * 40}), 0o600, "visible ASCII"),
        (json.dumps({TERMINAL: "x" * 40}), 0o644, "chmod 600"),
    ],
    ids=["no terminal", "no object", "no JSON", "short secret", "odd name", "open to others"],
)
def test_bad_secrets_stop_the_start_with_cause_and_remedy(tmp_path: Path, written: str, mode: int, says: str) -> None:
    secrets = tmp_path / "terminals.json"
    secrets.write_text(written)
    secrets.chmod(mode)
    said = refused(tmp_path)
    assert says in said
    assert "x" * 40 not in said


def test_missing_files_and_bad_faults_stop_the_start(tmp_path: Path) -> None:
    assert "Cannot read" in refused(tmp_path, "--acquirer-secret-file", str(tmp_path / "none"))
    plan = tmp_path / "faults.json"
    plan.write_text('{"rules": [{"kind": "meteor", "next": 1}]}')
    assert "faults.json is not as expected" in refused(tmp_path, "--faults", str(plan))


def test_faults_can_be_given_at_the_start(tmp_path: Path) -> None:
    plan = tmp_path / "faults.json"
    plan.write_text('{"seed": 1, "rules": [{"kind": "server_error", "next": 1, "verbs": ["token"]}]}')
    sandbox = start(tmp_path / "sandbox", "--faults", str(plan))
    try:
        body = {"operation_id": "op_1", "card": {"number": "4242424242424242", "exp_month": 1, "exp_year": 2049}}
        client = AcquirerClient(sandbox)
        assert [client.request("POST", "/tokens", body).status_code for _ in range(2)] == [502, 200]
    finally:
        sandbox.stop()


def test_there_is_a_help_text() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tongbao.sandbox", "--help"], capture_output=True, text=True, check=True
    )
    assert "--acquirer-secret-file" in ended.stdout
