"""One command starts everything; whatever is killed comes back, and nothing that was answered is lost."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from tests.operations.conftest import Tongbao
from tests.operations.demo_under_test import (
    RunningDemo,
    allowed,
    command_of,
    new_folder,
    refused_demo,
    remove,
    start_demo,
    until,
)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = new_folder()
    yield made
    remove(made)


@pytest.fixture(scope="module")
async def demo(folder: Path) -> AsyncIterator[RunningDemo]:
    running = await start_demo(folder, OUTSIDE_SECRET="not for children")
    yield running
    await running.stop()


async def test_it_says_where_everything_is_once_all_of_it_answers(demo: RunningDemo) -> None:
    facts = demo.facts
    assert demo.ready_s < allowed(20)
    assert (await demo.api.get(facts["store_url"])).status_code == 200
    assert (await demo.api.get(facts["url"] + "/v1/payment_intents")).json()["data"] == []
    assert facts["secret_key"].startswith("sk_test_")
    assert facts["publishable_key"].startswith("pk_test_")
    assert set(demo.children()) == {"server", "worker", "sandbox", "postgres"}
    assert {name: process.pid for name, process in demo.children().items()}.items() <= facts["pids"].items()


async def test_the_customer_has_money_and_the_shop_is_told_of_events(demo: RunningDemo) -> None:
    facts = demo.facts
    balance = (await demo.api.get(f"/v1/customers/{facts['customer']}/cash_balance")).json()
    assert balance["available"] == {"cny": 200_000}
    [endpoint] = (await demo.api.get("/v1/webhook_endpoints")).json()["data"]
    assert endpoint["id"] == facts["webhook_endpoint"]
    assert endpoint["url"] == facts["sandbox_url"] + "/shop/webhooks"


async def test_a_card_can_be_paid_with_and_the_shop_hears_of_it(demo: RunningDemo) -> None:
    intent = await demo.pay()
    assert intent["status"] == "succeeded"

    async def is_delivered() -> bool:
        events = (await demo.api.get("/v1/events", params={"type": "payment_intent.succeeded"})).json()["data"]
        return any(e["data"]["object"]["id"] == intent["id"] and e["pending_webhooks"] == 0 for e in events)

    await until(is_delivered)


async def test_a_second_demo_in_the_folder_says_that_one_runs_and_where(demo: RunningDemo, folder: Path) -> None:
    code, said = await refused_demo(folder)
    assert code == 6
    assert f"A demo already runs in {folder}: process {demo.process.pid} at {demo.facts['url']}. Remedy:" in said


async def test_a_port_that_was_asked_for_and_is_taken_is_refused(demo: RunningDemo, tmp_path: Path) -> None:
    port = demo.facts["url"].rpartition(":")[2]
    code, said = await refused_demo(tmp_path, "--port", port)
    assert code == 6
    assert f"Another program listens on 127.0.0.1:{port}. Remedy:" in said


def test_the_books_can_be_verified_beside_it(demo: RunningDemo, folder: Path, tongbao: Tongbao) -> None:
    assert tongbao("books", "verify", "--json", "--data", str(folder)).json["holds"] is True
    assert tongbao("merchant", "list", "--data", str(folder)).code == 0
    assert demo.process.returncode is None


def test_children_get_no_more_of_the_environment_than_they_need(demo: RunningDemo) -> None:
    for name, child in demo.children().items():
        assert "OUTSIDE_SECRET" not in child.environ(), name
    assert not {"DATABASE_URL", "TONGBAO_CARD_SECRET"} & set(demo.children()["sandbox"].environ())


def test_what_is_secret_is_in_no_log_and_readable_by_nobody_else(demo: RunningDemo, folder: Path) -> None:
    secrets = [demo.facts[name] for name in ("secret_key", "webhook_secret")]
    for log in (folder / "logs").iterdir():
        assert not [secret for secret in secrets if secret in log.read_text()], log.name
    assert folder.stat().st_mode & 0o077 == 0
    for path in folder.glob("*.json"):
        assert path.stat().st_mode & 0o077 == 0, path.name


@pytest.mark.parametrize("name", ["server", "worker", "sandbox", "postgres"])
async def test_a_process_that_is_killed_comes_back_and_nothing_answered_is_lost(demo: RunningDemo, name: str) -> None:
    paid = await until(lambda: payment(demo))
    killed = demo.children()[name]
    killed.kill()

    async def is_back() -> bool:
        found = demo.children()
        return set(found) == {"server", "worker", "sandbox", "postgres"} and found[name].pid != killed.pid

    await until(is_back)
    again = await until(lambda: payment_of(demo, paid["id"]))
    assert again["status"] == "succeeded"
    assert await until(lambda: payment(demo))
    assert (await demo.api.get(demo.facts["store_url"])).status_code == 200


async def payment_of(demo: RunningDemo, intent: str) -> Any:
    answer = await demo.api.get(f"/v1/payment_intents/{intent}")
    return answer.json() if answer.status_code == 200 else None


async def payment(demo: RunningDemo) -> Any:
    made = await demo.pay()
    return made if made["status"] == "succeeded" else None


async def test_requests_that_come_while_the_server_is_away_are_answered_when_it_is_back(demo: RunningDemo) -> None:
    killed = demo.children()["server"]
    killed.kill()
    psutil.wait_procs([killed], timeout=0.05)
    async with httpx.AsyncClient(auth=(demo.facts["secret_key"], ""), trust_env=False, timeout=30) as client:
        answer = await client.get(demo.facts["url"] + "/v1/customers")
    assert answer.status_code == 200


async def test_a_demo_that_is_killed_takes_its_processes_along_and_the_next_one_finds_everything(
    demo: RunningDemo, folder: Path
) -> None:
    paid = await until(lambda: payment(demo))
    left = list(demo.children().values())
    demo.process.kill()
    await demo.process.wait()
    again = await start_demo(folder)
    try:
        _, alive = psutil.wait_procs(left, timeout=allowed(2))
        assert alive == []
        assert again.ready_s < allowed(10)
        kept = ("url", "store_url", "secret_key", "publishable_key", "merchant_id", "customer", "webhook_secret")
        assert {name: again.facts[name] for name in kept} == {name: demo.facts[name] for name in kept}
        assert (await payment_of(again, paid["id"])) is not None
        assert await payment(again)
    finally:
        seconds = await again.stop()
    assert seconds < allowed(5)
    assert again.process.returncode == 0


async def test_two_demos_run_side_by_side_and_stop_within_five_seconds() -> None:
    folders = [new_folder(), new_folder()]
    started = await asyncio.gather(*map(start_demo, folders), return_exceptions=True)
    demos = [each for each in started if isinstance(each, RunningDemo)]
    try:
        one, other = (demo.facts for demo in demos)
        assert all(one[name] != other[name] for name in ("url", "store_url", "database_url", "merchant_id"))
        for demo in demos:
            assert await payment(demo)
        # Somebody still reads a page, and somebody keeps a connection.
        port = int(demos[0].facts["url"].rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as idle:
            idle.send(b"GET /v1/customers HTTP/1.1\r\nhost:")
            assert await demos[0].stop(signal.SIGINT) < allowed(5)
        assert demos[0].process.returncode == 0
        assert await payment(demos[1])
    finally:
        for demo in demos:
            assert await demo.stop() < allowed(5)
        for folder in folders:
            remove(folder)


async def test_a_demo_that_is_stopped_while_it_starts_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = new_folder()
    starting = asyncio.create_task(refused_demo(folder))
    await asyncio.sleep(1.2)
    [process] = [child for child in psutil.Process().children() if str(folder) in command_of(child)]
    left = process.children(recursive=True)
    process.terminate()
    with contextlib.suppress(psutil.NoSuchProcess):
        left += process.children(recursive=True)
    await asyncio.wait_for(starting, allowed(5))
    _, alive = psutil.wait_procs(left, timeout=allowed(2))
    assert alive == []
    running = await start_demo(folder)
    await running.stop()
    remove(folder)


async def test_a_demo_uses_the_database_that_it_is_given_and_starts_anew_in_another(
    fresh_database: str, tmp_path: Path
) -> None:
    running = await start_demo(tmp_path, DATABASE_URL=fresh_database)
    await running.stop()
    assert running.facts["database_url"] == fresh_database
    assert "postgres" not in running.facts["pids"]
    again = await start_demo(tmp_path, DATABASE_URL=fresh_database)
    await again.stop()
    assert again.facts["secret_key"] == running.facts["secret_key"]
    elsewhere = await start_demo(tmp_path)
    assert await payment(elsewhere)
    await elsewhere.stop()
    assert elsewhere.facts["secret_key"] != running.facts["secret_key"]
