"""Whatever dies, every event arrives; at worst twice, and then it is the same."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.webhooks.receiver import Receiver, Way
from tests.webhooks.world import World

from tongbao.foundation.clock import now_ms
from tongbao.webhooks.commands import ResendEvent

ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def sender_process(world: World, lease_ms: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.webhooks.sender_process", world.url, str(lease_ms)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def test_a_sender_killed_amid_its_requests_loses_nothing_and_a_new_one_carries_on(
    world: World, receiver: Receiver
) -> None:
    await world.endpoint(receiver.url())
    await world.happen(*[("customer.created", f"cus_{n}") for n in range(40)])
    with sender_process(world, lease_ms=2000) as process:
        await receiver.wait(5)
        receiver.ways["/hook"] = Way(delay_s=5)
        before = len(receiver.at())
        await receiver.wait(before + 1)
        process.kill()  # SIGKILL: nothing is tidied up.
        process.wait()
    killed = time.time()
    receiver.ways["/hook"] = Way()
    async with world.sending():
        await world.until_states(*["delivered"] * 40)
    assert time.time() - killed < 10
    bodies: dict[str, set[bytes]] = {}
    for arrival in receiver.at():
        bodies.setdefault(arrival.event["id"], set()).add(arrival.body)
    assert len(bodies) == 40
    assert all(len(same) == 1 for same in bodies.values())
    assert 40 < len(receiver.at()) <= 48, "only what was under way is sent twice"


async def test_a_sender_that_is_stopped_hands_back_what_is_under_way(world: World, receiver: Receiver) -> None:
    receiver.ways["/hook"] = Way(delay_s=30)
    await world.endpoint(receiver.url())
    await world.happen("customer.created")
    stop = asyncio.Event()
    task = asyncio.create_task(world.sender().run(stop, grace_s=0.3))
    await receiver.wait(1)
    begun = time.time()
    stop.set()
    await task
    assert time.time() - begun < 5
    (delivery,) = await world.rows("webhook_deliveries")
    assert (delivery["state"], delivery["tries"]) == ("pending", 0)
    assert delivery["next_at_ms"] <= now_ms()
    receiver.ways["/hook"] = Way()
    async with world.sending():
        first, second = await receiver.wait(2)
    assert first.body == second.body


async def test_a_sender_outlives_a_database_that_goes_away(world: World, receiver: Receiver) -> None:
    await world.endpoint(receiver.url())
    async with world.sending(lease_ms=2000):
        for n in range(5):
            await world.happen(("customer.created", f"cus_{n}"))
            await world.pool.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        await world.until_states(*["delivered"] * 5, seconds=20)
    assert {arrival.event["data"]["object"]["id"] for arrival in receiver.at()} == {f"cus_{n}" for n in range(5)}


async def test_what_happened_while_nobody_was_sending_is_sent_afterwards(world: World, receiver: Receiver) -> None:
    await world.endpoint(receiver.url())
    for part in range(2):  # Together more than one round of the dispatcher takes.
        await world.happen(*[("customer.created", f"cus_{part}_{n}") for n in range(300)])
    async with world.sending():
        await receiver.wait(600, seconds=30)
        await world.until_states(*["delivered"] * 600, seconds=20)
    assert len({arrival.event["id"] for arrival in receiver.at()}) == 600


async def test_a_request_under_way_when_an_event_is_sent_again_by_hand_does_not_count_for_it(
    world: World, receiver: Receiver
) -> None:
    receiver.ways["/hook"] = Way(delay_s=0.5)
    endpoint, _ = await world.endpoint(receiver.url())
    async with world.sending():
        await world.happen("customer.created")
        await receiver.wait(1)
        await world.engine.run(world.test, ResendEvent(1, endpoint.id))
        await receiver.wait(2)
        await world.until_states("delivered")
    assert len(receiver.at()) == 2
    assert len(await world.rows("webhook_attempts")) == 2
