"""Random shops under a hostile network: money is conserved whatever happens, in whatever order, however often.

``TONGBAO_SIMULATION=big`` explores for minutes instead of seconds. A failure prints the steps that led to it and a
line ``@reproduce_failure(…)``; hypothesis keeps it, too, and tries it first the next time.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.payments.simulation import CRASHES, DECISIONS, HEARINGS, TELLINGS, VERBS, Simulation

from tongbao.payments.commands import booking, outcomes, refunds
from tongbao.payments.model import OUTCOMES, Charge

BIG = os.environ.get("TONGBAO_SIMULATION") == "big"
SIMULATION = settings(
    max_examples=3_000 if BIG else 100,
    stateful_step_count=50 if BIG else 20,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
HUNT = settings(
    SIMULATION,
    max_examples=300,
    stateful_step_count=20,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    print_blob=False,
)
"""For bugs that are there: always the same examples, and no search for the shortest."""

NUMBERS = st.integers(0, 20)
PARTS = st.integers(0, 1_500)
VERB = st.sampled_from(VERBS)
SEEDS = st.integers(0, 2**32 - 1)
POLICIES = st.fixed_dictionaries(
    {"overpayment": st.sampled_from(["refund", "keep"]), "late_payment": st.sampled_from(["refund", "accept"])}
)


class Shops(RuleBasedStateMachine):
    """The rules by which hypothesis plays the world."""

    def __init__(self) -> None:
        super().__init__()
        self.world = Simulation()

    @initialize(balance=st.integers(0, 2_000), total=st.integers(1, 1_000), fields=POLICIES)
    def begin(self, balance: int, total: int, fields: dict[str, Any]) -> None:
        self.world.come(balance)
        self.world.offer(total, None, fields)
        self.world.intend(total, None, 0, False)

    @rule(balance=st.integers(0, 2_000))
    def come(self, balance: int) -> None:
        self.world.come(balance)

    @rule(total=st.integers(1, 1_000), hours=st.none() | st.integers(1, 30), fields=POLICIES)
    def offer(self, total: int, hours: int | None, fields: dict[str, Any]) -> None:
        self.world.offer(total, hours, fields)

    @rule(
        amount=st.none() | st.integers(1, 1_500),
        order=st.none() | NUMBERS,
        customer=st.none() | NUMBERS,
        manual=st.booleans(),
    )
    def intend(self, amount: int | None, order: int | None, customer: int | None, manual: bool) -> None:
        self.world.intend(amount, order, customer, manual)

    @rule(
        verb=VERB,
        number=NUMBERS,
        part=PARTS,
        decide=st.sampled_from(DECISIONS),
        hear=st.sampled_from(HEARINGS),
        crash=st.sampled_from(CRASHES),
    )
    def act(self, verb: str, number: int, part: int, decide: Any, hear: Any, crash: Any) -> None:
        self.world.act(verb, number, part, decide, hear, crash)

    @rule(verb=VERB, number=NUMBERS, part=PARTS)
    def act_well(self, verb: str, number: int, part: int) -> None:
        self.world.act(verb, number, part, "approve", "answer", "no")

    @rule(verbs=st.lists(VERB, min_size=2, max_size=4), number=NUMBERS, parts=st.lists(PARTS, min_size=4, max_size=4))
    def act_at_once(self, verbs: list[str], number: int, parts: list[int]) -> None:
        self.world.act_at_once(verbs, number, parts)

    @precondition(lambda self: self.world.requests)
    @rule(number=NUMBERS)
    def repeat(self, number: int) -> None:
        self.world.repeat(number)

    @rule(number=NUMBERS, passes=st.booleans())
    def shopper(self, number: int, passes: bool) -> None:
        self.world.shopper(number, passes)

    @precondition(lambda self: self.world.house.bank.operations)
    @rule(number=NUMBERS, how=st.sampled_from(TELLINGS))
    def tell(self, number: int, how: Any) -> None:
        self.world.tell(number, how)

    @rule(number=NUMBERS)
    def call_off_order(self, number: int) -> None:
        self.world.call_off_order(number)

    @rule(
        seconds=st.sampled_from([1, 5, 25, 300, 4_000, 100_000]), deaf=st.lists(st.sampled_from(HEARINGS), max_size=3)
    )
    def pass_time(self, seconds: int, deaf: Any) -> None:
        self.world.pass_time(seconds, deaf)

    @rule(seed=SEEDS, length=st.integers(1, 40))
    def storm(self, seed: int, length: int) -> None:
        self.world.storm(seed, length)

    @rule(seed=SEEDS)
    def long_storm(self, seed: int) -> None:
        self.world.storm(seed, 40)

    @invariant()
    def holds(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        self.world.prove()
        self.world.loop.close()


@pytest.fixture(autouse=True)
def _silence() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.mark.timeout(3_600 if BIG else 120)
def test_money_is_conserved_whatever_happens() -> None:
    run_state_machine_as_test(Shops, settings=SIMULATION)


def plant_double_posting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fact that is repeated is booked again."""
    monkeypatch.setitem(OUTCOMES, ("approved", "approved"), "approve")


def plant_lost_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes to light after a doubt is not taken for news."""
    monkeypatch.setitem(OUTCOMES, ("unknown", "approved"), "repeat")


def plant_refund_without_reservation(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refund counts when it is done, and not from the moment when it is sent."""
    start = refunds.start_refund

    def racy_start(rows: Any, intent: Any, charge: Charge, amount: int, terms: Any, **more: Any) -> Any:
        reply = start(rows, intent, charge, amount, terms, **more)
        if not terms.inside:
            rows.update(booking.replace(charge))
        return reply

    def counted(rows: Any, refund: Any, charge: Charge) -> Charge:
        changed: Charge = booking.replace(charge, amount_refunded=charge.amount_refunded + refund.amount)
        rows.update(changed)
        return changed

    def counting(end: Any) -> Any:
        return lambda rows, refund, charge, *more: end(rows, refund, counted(rows, refund, charge), *more)

    monkeypatch.setattr(refunds, "start_refund", racy_start)
    monkeypatch.setattr(outcomes, "refund_succeeded", counting(refunds.refund_succeeded))
    monkeypatch.setattr(outcomes, "refund_failed", counting(refunds.refund_failed))


@pytest.mark.parametrize("plant", [plant_double_posting, plant_lost_outcome, plant_refund_without_reservation])
def test_a_planted_bug_is_found(plant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Shops, settings=HUNT)
