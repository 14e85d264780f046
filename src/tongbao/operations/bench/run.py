"""A run: rounds over all cases, then the proof that nothing of it was lost or made up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tongbao.operations.bench import machine
from tongbao.operations.bench.cases import Case, Span
from tongbao.operations.bench.results import BenchFailed, Measured, Sample
from tongbao.operations.bench.world import Sizes, World, open_world
from tongbao.operations.books import Proof, prove

WARMUP_S = 1.0


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that a run found."""

    machine: dict[str, str]
    settings: dict[str, str]
    seconds: float
    rounds: int
    cases: list[Measured]
    answered: int
    """How many payments were answered with success over HTTP: as many charges were found in the database."""
    proof: Proof


async def run(
    database_url: str | None,
    cases: Sequence[Case],
    sizes: Sizes,
    *,
    seconds: float,
    rounds: int,
    tell: Callable[[str], None],
) -> Run:
    """Measure all ``cases`` for ``seconds`` in each of ``rounds``, and prove the books.

    ``tell`` is called with what is done next: once for the start, for every case of every round, and for the proof.

    :raises BenchFailed: something was refused or lost, or the books do not hold.
    """
    tell("Starting everything")
    span = Span(min(WARMUP_S, seconds / 2), seconds)
    async with open_world(database_url, sizes) as world:
        async with world.pool.acquire() as connection:
            settings = await machine.check_durable(connection)
            told = await machine.describe(connection, world.folder, world.embedded_pid is not None)
        samples: dict[str, list[Sample]] = {case.name: [] for case in cases}
        for number in range(rounds):
            # Back and forth, so that what a case leaves behind does not always meet the same one.
            for case in cases if number % 2 == 0 else reversed(cases):
                tell(f"Round {number + 1} of {rounds}: {case.says}")
                samples[case.name].append(await case.measure(world, span))
        tell("Proving the books")
        proof = await _prove(world)
    measured = [Measured(case.name, case.says, samples[case.name]) for case in cases]
    return Run(told, settings, seconds, rounds, measured, world.answered, proof)


async def _prove(world: World) -> Proof:
    """Every invariant of the books must hold, and what was answered must be what is stored.

    :raises BenchFailed: one of them does not.
    """
    charges = await world.count_charges() - world.charges_before
    if charges != world.answered:
        raise BenchFailed(
            "bench_failed", f"{world.answered} payments were answered with success, but {charges} are stored."
        )
    connection: Any
    async with world.pool.acquire() as connection:
        await connection.execute("SET statement_timeout = 0")
        proof = await prove(connection)
    if not proof.holds:
        raise BenchFailed("bench_failed", f"The books do not hold: {proof.findings[:5]}")
    return proof
