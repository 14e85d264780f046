"""Faults: repeatable from their seed, counted, and only where they were ordered."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from tests.sandbox.acquirer_world import MERCHANT, charge, query, token
from tests.sandbox.process import OTHER_TERMINAL, SECRET, AcquirerClient, SandboxProcess, start

from tongbao.foundation.ids import new_id


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    running = start(tmp_path_factory.mktemp("acquirer") / "sandbox")
    yield running
    running.stop()


@pytest.fixture
def client(sandbox: SandboxProcess) -> Iterator[AcquirerClient]:
    one = AcquirerClient(sandbox)
    yield one
    one.set_faults()


def statuses(client: AcquirerClient, count: int) -> list[int]:
    """Charge the same card again and again; the HTTP statuses, 0 for no answer."""
    body = {"merchant_id": MERCHANT, "token": token(client), "amount": 100, "currency": "cny"}
    found = []
    for _ in range(count):
        try:
            found.append(client.request("POST", "/charges", {**body, "operation_id": new_id("op")}).status_code)
        except httpx.TransportError:
            found.append(0)
    return found


def test_the_same_seed_makes_the_same_faults(client: AcquirerClient) -> None:
    rules = (
        {"kind": "answer_lost", "probability": 0.3, "verbs": ["charge"]},
        {"kind": "server_error", "probability": 0.3, "verbs": ["charge"]},
    )
    runs = []
    for seed in (7, 7, 8):
        client.set_faults(*rules, seed=seed)
        runs.append(statuses(client, 25))
    assert runs[0] == runs[1] != runs[2]
    assert {0, 200, 502} == set(runs[0])


def test_the_report_counts_what_fired(client: AcquirerClient) -> None:
    client.set_faults({"kind": "server_error", "next": 2, "when": "before", "verbs": ["charge"]})
    assert statuses(client, 4) == [503, 503, 200, 200]
    report = client.request("GET", "/faults").json()
    assert [(rule["matched"], rule["fired"]) for rule in report["rules"]] == [(4, 2)]


def test_a_fault_strikes_only_its_verb_merchant_and_terminal(sandbox: SandboxProcess, client: AcquirerClient) -> None:
    client.set_faults({"kind": "server_error", "probability": 1, "verbs": ["refund"]})
    assert charge(client)["status"] == "approved"
    client.set_faults({"kind": "server_error", "probability": 1, "merchant_id": "acct_unlucky"})
    answered = charge(client)
    assert query(client, answered) == answered
    assert charge(AcquirerClient(sandbox, OTHER_TERMINAL, SECRET[::-1]))["status"] == "approved"
    unlucky = {"operation_id": new_id("op"), "merchant_id": "acct_unlucky", "token": "tkn_1"}
    assert client.request("POST", "/charges", {**unlucky, "amount": 1, "currency": "cny"}).status_code == 502


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "answer_lost"},
        {"kind": "answer_lost", "next": 1, "probability": 0.5},
        {"kind": "meteor", "next": 1},
        {"kind": "slow", "next": 0},
        {"kind": "slow", "probability": 1.5},
        {"kind": "slow", "next": 1, "delay_ms": -1},
        {"kind": "slow", "next": 1, "verbs": ["steal"]},
        {"kind": "slow", "next": 1, "surprise": True},
    ],
    ids=str,
)
def test_a_rule_that_makes_no_sense_is_refused(client: AcquirerClient, rule: dict[str, object]) -> None:
    answer = client.request("POST", "/faults", {"rules": [rule]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")


def test_faults_cannot_be_ordered_without_the_signature(sandbox: SandboxProcess) -> None:
    assert httpx.post(f"{sandbox.acquirer_url}/faults", json={"rules": []}).status_code == 401
