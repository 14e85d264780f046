"""Bounded queues, and turns between merchants."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.support_engine import Gate, Write, together

from tongbao.engine import Engine
from tongbao.engine import engine as engine_module
from tongbao.engine.engine import BATCH_MAX
from tongbao.engine.store import Lost, MemoryStore, Transaction
from tongbao.foundation.errors import Overloaded


@pytest.fixture
def gate() -> Gate:
    return Gate(MemoryStore())


async def test_a_full_lane_refuses_more_and_takes_again_when_it_has_room(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "WAITING_PER_LANE_MAX", 5)
    engine = Engine(gate)
    gate.close()
    first = asyncio.ensure_future(engine.run("acct_a", Write("a", "x")))
    await gate.reached.wait()
    waiting = [asyncio.ensure_future(engine.run("acct_a", Write("a", "x"))) for _ in range(5)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as refused:
        await engine.run("acct_a", Write("a", "x"))
    assert (refused.value.code, refused.value.retry_after_s) == ("overloaded", 1)
    other = asyncio.ensure_future(engine.run("acct_b", Write("a", "x")))
    gate.open.set()
    assert (await other).value.text == "x", "another merchant has a lane of its own"
    await asyncio.gather(first, *waiting)
    assert (await engine.run("acct_a", Write("a", "x"))).value.text == "x" * 7


async def test_all_lanes_together_are_bounded_too_and_the_count_comes_back_to_zero(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "WAITING_MAX", 10)
    engine = Engine(gate, lanes=1)
    for _ in range(3):
        gate.close()
        running = asyncio.ensure_future(engine.run("acct_a", Write("a", "x")))
        await gate.reached.wait()
        waiting = [asyncio.ensure_future(engine.run(f"acct_{number}", Write("a", "x"))) for number in range(10)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await engine.run("acct_late", Write("a", "x"))
        gate.open.set()
        errors = await together(running, *waiting)
        assert [error for error in errors if isinstance(error, Exception)] == []


async def test_a_lane_that_was_used_leaves_nothing_behind(gate: Gate) -> None:
    engine = Engine(gate)
    await asyncio.gather(*(engine.run(f"acct_{number}", Write("a", "x")) for number in range(50)))
    await engine.drain()
    assert engine._lanes == {}
    assert engine._waiting == 0


async def test_one_merchants_burst_does_not_hold_up_another(gate: Gate) -> None:
    engine = Engine(gate, lanes=1)
    gate.close()
    burst = [asyncio.ensure_future(engine.run("acct_loud", Write("a", "x"))) for _ in range(4 * BATCH_MAX)]
    await gate.reached.wait()
    quiet = [asyncio.ensure_future(engine.run(f"acct_quiet_{number}", Write("a", "x"))) for number in range(3)]
    await asyncio.sleep(0)
    gate.open.set()
    await asyncio.gather(*burst, *quiet)
    assert gate.order == ["acct_loud", "acct_quiet_0", "acct_quiet_1", "acct_quiet_2", *["acct_loud"] * 3]


async def test_a_merchant_whose_batches_are_lost_does_not_hold_up_the_others_while_it_waits() -> None:
    store = Losing("acct_unlucky", times=4)
    engine = Engine(store, lanes=1)
    unlucky = asyncio.ensure_future(engine.run("acct_unlucky", Write("a", "x")))
    await asyncio.sleep(0)
    for _ in range(10):
        assert (await engine.run("acct_lucky", Write("a", "x"))).value is not None
    assert not unlucky.done()
    assert (await unlucky).value.text == "x"
    assert store.times == 0


class Losing(Gate):
    """Loses the first batches of one merchant."""

    def __init__(self, merchant_id: str, times: int) -> None:
        super().__init__(MemoryStore())
        self.merchant_id = merchant_id
        self.times = times

    @asynccontextmanager
    async def transaction(self, merchant_id: str) -> AsyncIterator[Transaction]:
        async with super().transaction(merchant_id) as transaction:
            yield transaction
            if merchant_id == self.merchant_id and self.times:
                self.times -= 1
                raise Lost("the connection")


async def test_only_so_many_lanes_commit_at_the_same_time_and_a_merchants_batches_never_overlap() -> None:
    store = Busy()
    engine = Engine(store, lanes=3)
    await asyncio.gather(
        *(engine.run(f"acct_{number % 10}", Write("a", "x")) for number in range(200)),
    )
    assert store.most == 3
    assert max(store.most_of.values()) == 1


class Busy(Gate):
    """Counts how many transactions are open at the same time."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.now: Counter[str] = Counter()
        self.most = 0
        self.most_of: Counter[str] = Counter()

    def transaction(self, merchant_id: str) -> Busy._Open:  # type: ignore[override]
        return self._Open(self, merchant_id)

    class _Open:
        def __init__(self, busy: Busy, merchant_id: str) -> None:
            self.busy, self.merchant_id = busy, merchant_id
            self.inner = busy.inner.transaction(merchant_id)

        async def __aenter__(self) -> object:
            busy, merchant_id = self.busy, self.merchant_id
            busy.now[merchant_id] += 1
            busy.most = max(busy.most, busy.now.total())
            busy.most_of[merchant_id] = max(busy.most_of[merchant_id], busy.now[merchant_id])
            await asyncio.sleep(0.001)
            return await self.inner.__aenter__()

        async def __aexit__(self, *exit: object) -> object:
            self.busy.now[self.merchant_id] -= 1
            return await self.inner.__aexit__(*exit)
