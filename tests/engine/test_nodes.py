"""Several engines, as several processes and machines would have them, on one database."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec
import pytest
from tests.support_engine import Note, Write, broken, new_merchant, note, pool_of, stored, together

from tongbao.engine import Engine, Event, IdempotencyKey, Rows
from tongbao.engine import engine as engine_module
from tongbao.engine.commands import Key
from tongbao.engine.store import PostgresStore
from tongbao.foundation.errors import DomainError, Overloaded
from tongbao.foundation.http import Idempotency
from tongbao.ledger import posting
from tongbao.ledger.model import Account, AccountRef, Transfer, credit, debit

SHOP = AccountRef("merchant_available", "cny")


class Pay(msgspec.Struct, frozen=True):
    """A customer gives the shop ``amount``. A negative customer number brings money from the bank."""

    customer: int
    amount: int
    ref: str

    reply: ClassVar[type[msgspec.Struct]] = Transfer

    @property
    def _own(self) -> AccountRef:
        return AccountRef("customer", "cny", f"cus_{abs(self.customer)}")

    @property
    def _other(self) -> AccountRef:
        return AccountRef("bank", "cny") if self.customer < 0 else SHOP

    def needs(self, rows: Rows) -> Iterable[Key]:
        yield Note, self.ref
        yield from posting.needs(self._own, self._other)

    def decide(self, rows: Rows, now_ms: int) -> Transfer:
        assert rows.get(Note, self.ref) is None, "the same payment is never run twice"
        made = Note(rows.merchant_id, self.ref)
        rows.insert(made)
        rows.event("toy.paid", "note", made)
        if self.customer < 0:
            return posting.post(
                rows, "funding", self.ref, [debit(self._other, self.amount), credit(self._own, self.amount)]
            )
        return posting.post(rows, "charge", self.ref, [debit(self._own, self.amount), credit(SHOP, self.amount)])


async def test_the_same_requests_on_two_nodes_at_once_are_each_run_exactly_once(
    engine_db: str, pool: Any, merchant: str
) -> None:
    chance = random.Random(7)
    async with pool_of(engine_db) as one, pool_of(engine_db) as other:
        nodes = [Engine(PostgresStore(each)) for each in (one, other)]
        payments = [Pay(-number, 10_000, f"fund-{number}") for number in (1, 2, 3)]
        payments += [Pay(chance.randint(1, 3), chance.randint(1, 150), f"pay-{number}") for number in range(200)]
        for start in (0, 3):  # first the money, then what spends it
            part = payments[:3] if start == 0 else payments[3:]
            requests = [(node, payment) for payment in part for node in (*nodes, chance.choice(nodes))]
            chance.shuffle(requests)
            replies = await asyncio.gather(
                *(node.run(merchant, payment, Idempotency(payment.ref, payment.ref)) for node, payment in requests)
            )
            seen: dict[str, Any] = {}
            for (_, payment), reply in zip(requests, replies, strict=True):
                assert seen.setdefault(payment.ref, reply.value) == reply.value
            assert sum(not reply.replayed for reply in replies) == len(part)
    assert len(await stored(pool, Transfer, merchant)) == 203
    assert len(await stored(pool, Event, merchant)) == 203
    assert await broken(pool, merchant) == []
    balances = {account.id: account.balance for account in await stored(pool, Account, merchant)}
    assert balances["merchant_available:cny"] == sum(payment.amount for payment in payments[3:])


async def test_two_nodes_write_one_note_without_losing_a_word(engine_db: str, pool: Any, merchant: str) -> None:
    async with pool_of(engine_db) as one, pool_of(engine_db) as other:
        nodes = [Engine(PostgresStore(each)) for each in (one, other)]
        await asyncio.gather(*(nodes[number % 2].run(merchant, Write("a", f"{number} ")) for number in range(300)))
    kept = await note(pool, merchant, "a")
    assert kept is not None
    words = [int(word) for word in kept.text.split()]
    assert sorted(words) == list(range(300))
    assert [word for word in words if word % 2] == list(range(1, 300, 2)), "each node's order is kept"
    assert await broken(pool, merchant) == []


async def test_nodes_whose_connections_are_killed_all_the_time_run_everything_once(
    engine_db: str, pool: Any, merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "REPLAY_PAUSES_S", (0.01,) * 10)
    stop = asyncio.Event()
    chance = random.Random(11)

    async def killer() -> int:
        killed = 0
        while not stop.is_set():
            await asyncio.sleep(chance.uniform(0.005, 0.03))
            killed += await pool.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity "
                "WHERE application_name = 'hunted' AND state <> 'idle' ORDER BY random() LIMIT 1) victim"
            )
        return killed

    async with pool_of(engine_db, name="hunted") as one, pool_of(engine_db, name="hunted") as other:
        nodes = [Engine(PostgresStore(each)) for each in (one, other)]
        hunt = asyncio.ensure_future(killer())
        answers: list[Any] = []
        for start in range(0, 300, 30):
            requests = [(node, number) for number in range(start, start + 30) for node in nodes]
            answers += await together(
                *(
                    node.run(merchant, Pay(-1, 1 + number, f"n{number}"), Idempotency(f"n{number}", "same"))
                    for node, number in requests
                )
            )
        stop.set()
        assert await hunt > 5, "the test did not bite"
    refused = [answer for answer in answers if isinstance(answer, Exception)]
    assert {type(each) for each in refused} <= {Overloaded}
    transfers = [transfer.ref for transfer in await stored(pool, Transfer, merchant)]
    assert len(transfers) == len(set(transfers))
    answered = {answer.value.ref for answer in answers if not isinstance(answer, Exception)}
    assert answered <= set(transfers)
    assert {key.key for key in await stored(pool, IdempotencyKey, merchant)} == set(transfers)
    assert await broken(pool, merchant) == []


async def test_commands_of_many_merchants_on_two_nodes_stay_apart(engine_db: str, pool: Any) -> None:
    merchants = [await new_merchant(pool) for _ in range(6)]
    async with pool_of(engine_db) as one, pool_of(engine_db) as other:
        nodes = [Engine(PostgresStore(each)) for each in (one, other)]
        replies = await together(
            *(
                nodes[number % 2].run(merchants[number % 6], Write("a", "x", refuse=number % 5 == 0))
                for number in range(240)
            )
        )
    expected = [sum(number % 6 == each and number % 5 != 0 for number in range(240)) for each in range(6)]
    for merchant, length in zip(merchants, expected, strict=True):
        kept = await note(pool, merchant, "a")
        assert kept is not None
        assert kept.text == "x" * length
        assert await broken(pool, merchant) == []
    assert {type(reply) for reply in replies if isinstance(reply, Exception)} <= {
        DomainError,
        *DomainError.__subclasses__(),
    }
