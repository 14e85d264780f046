"""A house with everything that a payment needs, on PostgreSQL or on dictionaries, and a clock that can be set."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from tests.support_bank import Bank, Decision, Hearing, Plan
from tests.support_books import faults
from tests.support_engine import broken, new_merchant, stored

from tongbao.channels.balance import BalanceChannel
from tongbao.channels.registry import Registry
from tongbao.checkout import commands as checkout
from tongbao.checkout.model import CheckoutSession
from tongbao.database.bulk import select_sql
from tongbao.database.rows import TABLES, Row
from tongbao.engine import Engine, Event, IdempotencyKey, Job, Reply
from tongbao.engine.store import MemoryStore, PostgresStore, Store
from tongbao.foundation.clock import DAY_MS
from tongbao.foundation.http import Idempotency
from tongbao.identity.commands import CreateCustomer
from tongbao.identity.model import Customer, Merchant
from tongbao.ledger.model import Account
from tongbao.orders import commands as orders
from tongbao.orders.model import Order
from tongbao.payments import commands
from tongbao.payments.commands import MethodChoice, booking
from tongbao.payments.model import Operation, PaymentIntent, PaymentMethod, PaymentReply
from tongbao.payments.service import Fees, Payments
from tongbao.wallets.commands import FundBalance

R = TypeVar("R", bound=Row)
START_MS = 1_700_000_000_000


class MemoryPool:
    """Reads rows by their key from dictionaries, in place of a pool of connections."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._tables = {select_sql(table): table for table in TABLES.values()}

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[MemoryPool]:
        yield self

    async def fetch(self, sql: str, merchant_id: str, keys: list[str]) -> list[tuple[Any, ...]]:
        table = self._tables[sql]
        rows = self._store.tables.get(table.row, {})
        return [table.values_of(rows[merchant_id, key]) for key in keys if (merchant_id, key) in rows]


@dataclass
class House:
    """One merchant's payments. ``at_ms`` is the time."""

    store: Store
    pool: Any
    merchant: str
    bank: Bank
    at_ms: int = START_MS
    fees: dict[str, Fees] = field(default_factory=dict)
    random: Callable[[int], int] = secrets.randbits
    engine: Engine = field(init=False)
    payments: Payments = field(init=False)

    def __post_init__(self) -> None:
        self.engine = Engine(self.store, clock=lambda: self.at_ms, random=self.random)
        channels = Registry([self.bank, BalanceChannel()])
        self.payments = Payments(
            self.engine, self.pool, channels, "https://pay.example", self.fees, clock=lambda: self.at_ms
        )

    async def rows(self, cls: type[R]) -> list[R]:
        """All rows of this merchant's table, by key."""
        if isinstance(self.store, MemoryStore):
            kept = self.store.tables.get(cls, {})
            return [row for key, row in sorted(kept.items()) if key[0] == self.merchant]  # type: ignore[misc]
        return await stored(self.pool, cls, self.merchant)

    async def one(self, cls: type[R], key: str) -> R:
        """The row with this id."""
        [found] = [row for row in await self.rows(cls) if row.id == key]  # type: ignore[attr-defined]
        return found

    async def faults(self) -> list[str]:
        """What is wrong with the books and the events."""
        if isinstance(self.store, MemoryStore):
            return faults(self.store)
        return await broken(self.pool, self.merchant)

    async def balances(self) -> dict[str, int]:
        """What is on the accounts that are not empty."""
        return {row.id: row.balance for row in await self.rows(Account) if row.balance}

    async def told(self) -> list[str]:
        """The types of all events, in order."""
        return [row.type for row in await self.rows(Event)]

    def plan(self, decide: Decision = "approve", hear: Hearing = "answer", told: int | None = None) -> None:
        """What the bank does with the next operation that reaches it."""
        self.bank.plans.append(Plan(decide, hear, told))

    async def run(self, command: Any, key: str | None = None) -> Reply:
        """Run a command as a request with this idempotency key would, channel and all."""
        return await self.payments.run(self.merchant, *self.as_request(command, key), None)

    async def begin(self, command: Any, key: str | None = None) -> PaymentReply:
        """Run a command and crash before the channel is called."""
        reply = await self.engine.run(self.merchant, *self.as_request(command, key))
        assert not reply.finished
        value: PaymentReply = reply.value
        return value

    def as_request(self, command: Any, key: str | None) -> tuple[Any, Idempotency | None]:
        """The command as the request's handler would make it: it knows the key that its outcome finishes."""
        if key is not None and "idempotency_key" in command.__struct_fields__:
            command = msgspec.structs.replace(command, idempotency_key=key)
        return command, Idempotency(key, repr(command)) if key is not None else None

    async def pay(self, command: Any, key: str | None = None) -> PaymentReply:
        """Run a command on a payment and return what it answers."""
        value: PaymentReply = (await self.run(command, key)).value
        return value

    # What tests begin with.

    async def customer(self, balance: int = 0) -> Customer:
        """A customer with a balance."""
        made: Customer = (await self.engine.run(self.merchant, CreateCustomer({"name": "Lin"}))).value
        if balance:
            await self.engine.run(self.merchant, FundBalance(made.id, balance, "cny"))
        return made

    async def order(self, total: int = 1_000, **fields: Any) -> Order:
        """An order over ``total``."""
        items = [{"name": "tea", "unit_amount": total, "quantity": 1, "amount": total}]
        made: Order = (await self.engine.run(self.merchant, orders.CreateOrder("cny", items, total, **fields))).value
        return made

    async def intent(self, amount: int | None = 1_000, **fields: Any) -> PaymentIntent:
        """An intent that has not been tried yet."""
        fields.setdefault("payment_method_types", ["card", "customer_balance"])
        currency = None if fields.get("order") else "cny"
        return (await self.pay(commands.CreateIntent(amount, currency, **fields))).intent

    def card(self) -> MethodChoice:
        """A card that was just typed."""
        new = PaymentMethod(
            self.merchant, f"pm_{self.random(95)}", self.at_ms, "card", card={"last4": "4242"}, token="tok_1"
        )
        return MethodChoice(self.payments.terms[self.bank.name], new=new)

    def balance(self) -> MethodChoice:
        """The customer's balance."""
        return MethodChoice(self.payments.terms["customer_balance"])

    async def charged(self, amount: int | None = 1_000, **fields: Any) -> PaymentReply:
        """A payment by card, as far as the bank's plan lets it come."""
        intent = await self.intent(amount, **fields)
        return await self.pay(commands.ConfirmIntent(intent.id, self.card()))

    async def reserved(self, amount: int = 1_000, **fields: Any) -> PaymentReply:
        """A payment by card that is to be captured."""
        return await self.charged(amount, capture_method="manual", **fields)

    def confirm(self, intent: PaymentIntent) -> commands.ConfirmIntent:
        """Pay it with a card."""
        return commands.ConfirmIntent(intent.id, self.card())

    def capture(self, intent: PaymentIntent, amount: int | None = None) -> commands.CaptureIntent:
        """Take what is reserved."""
        return commands.CaptureIntent(intent.id, self.payments.terms, amount)

    def cancel(self, intent: PaymentIntent) -> commands.CancelIntent:
        """Call it off."""
        return commands.CancelIntent(intent.id, "requested_by_customer")

    def refund(self, intent: PaymentIntent, amount: int | None = None, **fields: Any) -> commands.CreateRefund:
        """Give back."""
        return commands.CreateRefund(self.payments.terms, payment_intent=intent.id, amount=amount, **fields)

    # What happens later.

    async def notice(self, operation: str, external_id: str, outcome: Any = None) -> PaymentReply:
        """The bank tells what has become of an operation."""
        said = self.bank.operations[operation].outcome if outcome is None else outcome
        return await self.payments.record(self.merchant, operation, self.bank.name, said, "notice", notice=external_id)

    async def work(self) -> int:
        """Do everything that is due, once, as the worker would; return how much that was."""
        due = [job for job in await self.rows(Job) if job.run_at_ms <= self.at_ms]
        for job in sorted(due, key=lambda job: job.run_at_ms):
            await self._do(job)
            same = [row for row in await self.rows(Job) if (row.id, row.run_at_ms) == (job.id, job.run_at_ms)]
            if same:
                await self._remove(job)
        return len(due)

    async def _do(self, job: Job) -> None:
        if job.kind == booking.CHASE:
            await self.payments.chase(self.merchant, job.subject)
        elif job.kind == booking.ORDER_PAID:
            for session in await self.rows(CheckoutSession):
                if session.order_id == job.subject:
                    await self.engine.run(self.merchant, checkout.CompleteSession(session.id))
        elif job.kind == orders.EXPIRE:
            await self.engine.run(self.merchant, orders.ExpireOrder(job.subject))
        else:
            assert job.kind == checkout.EXPIRE, job.kind
            await self.engine.run(self.merchant, checkout.ExpireSession(job.subject))

    async def _remove(self, job: Job) -> None:
        if isinstance(self.store, MemoryStore):
            del self.store.tables[Job][self.merchant, job.id]
        else:
            await self.pool.execute("DELETE FROM jobs WHERE merchant_id = $1 AND id = $2", self.merchant, job.id)

    async def sweep(self, days: int = 2) -> None:
        """Let time pass, from job to job, until nothing is due for ``days`` or so much time has passed."""
        end_ms = self.at_ms + days * DAY_MS
        for _ in range(500):
            times = [job.run_at_ms for job in await self.rows(Job)]
            if not times or min(times) > end_ms:
                return
            self.at_ms = max(self.at_ms, *(time for time in times if time == min(times)))
            await self.work()
        raise AssertionError("jobs make jobs for ever")

    async def call_only(self, begun: PaymentReply) -> None:
        """Call the channel for an operation as the process that began it would, and die with the answer."""
        operation, charge = begun.operation, begun.charge
        assert operation is not None
        assert charge is not None
        order = await self.payments._order(operation, charge, begun.intent, begun.method)
        await getattr(self.bank, operation.kind)(order)

    async def unfinished(self) -> list[str]:
        """Requests whose repetition would be a conflict, and operations that are not decided."""
        keys = [row.key for row in await self.rows(IdempotencyKey) if row.reply is None]
        open_ones = [row.id for row in await self.rows(Operation) if row.state not in ("approved", "declined")]
        return keys + open_ones


def memory_house(**fields: Any) -> House:
    """A house on dictionaries."""
    store = MemoryStore()
    merchant = Merchant("acct_test", "Test", False, "acct_live", START_MS)
    store.tables[Merchant] = {(merchant.merchant_id, merchant.merchant_id): merchant}
    return House(store, MemoryPool(store), merchant.merchant_id, Bank(), **fields)


async def postgres_house(pool: Any, **fields: Any) -> House:
    """A house on a database, with a merchant of its own."""
    return House(PostgresStore(pool), pool, await new_merchant(pool), Bank(), **fields)
