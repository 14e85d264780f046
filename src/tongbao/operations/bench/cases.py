"""What is measured: the lines of the table."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import msgspec

from tongbao.foundation.clock import now_ms
from tongbao.foundation.errors import InvalidRequest
from tongbao.operations.bench import load, pgbench, transfers
from tongbao.operations.bench.load import Request
from tongbao.operations.bench.meters import batch_size, metered
from tongbao.operations.bench.processes import run_job
from tongbao.operations.bench.results import Sample, Tally
from tongbao.operations.bench.transfers import CURRENCY
from tongbao.operations.bench.world import Shop, World

BASE, BASE_ALONE = "pgbench-32", "pgbench-1"
"""What everything stands beside; always measured."""
_BULK = 500


@dataclass(frozen=True, slots=True)
class Span:
    """How long a case is measured in a round, after how much that does not count; in seconds."""

    warmup_s: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the table."""

    name: str
    says: str
    measure: Callable[[World, Span], Awaitable[Sample]]


def all_cases() -> list[Case]:
    """Every case, in the order of the table."""
    return [
        _pgbench(1),
        _pgbench(32),
        _transfers("ledger", 1, lanes=1, under_way=512),
        _transfers("ledger", 1, lanes=2, under_way=512),
        _transfers("ledger-bulk", _BULK, lanes=1, under_way=2),
        _transfers("ledger-bulk", _BULK, lanes=2, under_way=2),
        *(_payments("pay", "one shop", _one_shop, number) for number in (1, 32, 128)),
        *(_payments("pay", "one shop", _one_shop, number, servers=2) for number in (32, 128)),
        *(_payments("shops", "many shops", _many_shops, number) for number in (32, 128)),
        *(_payments("shops", "many shops", _many_shops, number, servers=2) for number in (32, 128)),
        _payments("card", "by saved card, one shop", _cards, 32),
        _payments("card", "by saved card, one shop", _cards, 32, servers=2),
        _reads("retrieve", "a payment is retrieved", _retrievals),
        _reads("list", "a customer's newest 10 payments are listed", _lists),
    ]


def choose(wanted: Sequence[str]) -> list[Case]:
    """The cases whose names begin with what is wanted, and the base; all of them if nothing is.

    :raises InvalidRequest: a wish that no name begins with.
    """
    cases = all_cases()
    for wish in wanted:
        if not any(case.name.startswith(wish) for case in cases):
            names = ", ".join(case.name for case in cases)
            raise InvalidRequest("parameter_invalid", f"There is no row {wish}. Rows are: {names}.")
    if not wanted:
        return cases
    return [case for case in cases if case.name in (BASE, BASE_ALONE) or case.name.startswith(tuple(wanted))]


def _pgbench(clients: int) -> Case:
    async def measure(world: World, span: Span) -> Sample:
        async def work() -> list[Tally]:
            return [await pgbench.transactions(world.database_url, clients, span.seconds, world.folder)]

        return await metered(world, "pgbench", work)

    return Case(f"pgbench-{clients}", f"pgbench TPC-B, prepared, {_connections(clients)}", measure)


def _transfers(name: str, size: int, *, lanes: int, under_way: int) -> Case:
    async def measure(world: World, span: Span) -> Sample:
        jobs = [
            transfers.Job(
                world.database_url,
                merchant_id,
                world.sizes.accounts,
                size,
                under_way,
                span.warmup_s,
                span.seconds,
            )
            for merchant_id in world.lanes[:lanes]
        ]

        async def work() -> list[Tally]:
            return await asyncio.gather(
                *(
                    run_job(transfers.__name__, job, world.folder / f"transfers-{number}.json", Tally)
                    for number, job in enumerate(jobs)
                )
            )

        return await metered(world, "engines", work)

    how = "one in a command" if size == 1 else f"{size} in a command"
    where = "one lane" if lanes == 1 else f"{lanes} lanes and processes"
    return Case(f"{name}-x{lanes}" if lanes > 1 else name, f"ledger transfers, {how}, {where}", measure)


def _payments(
    name: str, who: str, requests: Callable[[World], list[Request]], connections: int, servers: int = 1
) -> Case:
    async def measure(world: World, span: Span) -> Sample:
        since_ms = now_ms()
        sample, answered = await _load(world, span, requests(world), connections, servers)
        world.answered += answered
        return msgspec.structs.replace(sample, batch=await batch_size(world, since_ms))

    return Case(
        f"{name}-{connections}" + (f"-x{servers}" if servers > 1 else ""),
        f"HTTP payments, {who}, {_connections(connections)}, {_processes(servers)}",
        measure,
    )


def _reads(name: str, what: str, requests: Callable[[World], list[Request]]) -> Case:
    async def measure(world: World, span: Span) -> Sample:
        return (await _load(world, span, requests(world), 32, 1))[0]

    return Case(f"{name}-32", f"HTTP, {what}, {_connections(32)}, {_processes(1)}", measure)


async def _load(
    world: World, span: Span, requests: list[Request], connections: int, servers: int
) -> tuple[Sample, int]:
    """Cause HTTP load; also tell how many requests succeeded."""
    job = load.Job(world.addresses[:servers], connections, requests, secrets.token_hex(6), span.warmup_s, span.seconds)
    answered = 0

    async def work() -> list[Tally]:
        nonlocal answered
        tally = await run_job(load.__name__, job, world.folder / "load.json", Tally)
        answered = tally.done
        return [tally]

    return await metered(world, "servers", work), answered


def _from_balance(shop: Shop, customer: str) -> Request:
    """Create and confirm in one request."""
    wish = {
        "amount": "100",
        "currency": CURRENCY,
        "customer": customer,
        "payment_method_types[]": "customer_balance",
        "confirm": "true",
    }
    return Request("POST", "/v1/payment_intents", shop.key, urlencode(wish), keyed=True)


def _one_shop(world: World) -> list[Request]:
    return [_from_balance(world.shop, customer) for customer in world.shop.customers]


def _many_shops(world: World) -> list[Request]:
    """In turn: the first customer of every shop, then the second of every shop."""
    return [
        _from_balance(shop, shop.customers[number])
        for number in range(world.sizes.customers_of_shop)
        for shop in world.shops
    ]


def _cards(world: World) -> list[Request]:
    return [
        Request(
            "POST",
            "/v1/payment_intents",
            world.shop.key,
            urlencode(
                {
                    "amount": "100",
                    "currency": CURRENCY,
                    "customer": customer,
                    "payment_method_types[]": "card",
                    "payment_method": card,
                    "confirm": "true",
                }
            ),
            keyed=True,
        )
        for customer, card in world.cards
    ]


def _retrievals(world: World) -> list[Request]:
    return [Request("GET", f"/v1/payment_intents/{payment}", world.shop.key) for payment in world.payments]


def _lists(world: World) -> list[Request]:
    return [
        Request("GET", f"/v1/payment_intents?limit=10&customer={customer}", world.shop.key)
        for customer in world.shop.customers
    ]


def _connections(number: int) -> str:
    return "1 connection" if number == 1 else f"{number} connections"


def _processes(number: int) -> str:
    return "1 process" if number == 1 else f"{number} processes"
