"""A shop, its shoppers, a bank and a network that lose and repeat everything: steps, and what must hold of them.

Every step may fail as the API may fail (a ``DomainError``); nothing else may be raised, and ``prove`` must hold
when everything under way has come to its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence
from typing import Any, Literal, TypeVar

import msgspec
from tests.payments.proof import Proof
from tests.support_bank import BankOperation, Decision, Hearing

from tongbao.channels.contract import Approved, Declined, Outcome, Pending
from tongbao.foundation.errors import Conflict, DomainError
from tongbao.identity.model import Customer
from tongbao.orders.commands import CancelOrder
from tongbao.orders.model import Order
from tongbao.payments.commands import ConfirmIntent
from tongbao.payments.model import Operation, PaymentIntent

T = TypeVar("T")
Crash = Literal["no", "before the call", "after the call"]


class Simulation(Proof):
    """The steps. Whom a step concerns is a number, counted around what there is."""

    def __init__(self) -> None:
        super().__init__()
        self.customers: list[Customer] = []
        self.orders: list[Order] = []
        self.intents: list[PaymentIntent] = []
        self.requests: list[tuple[Any, str]] = []
        self.replies: dict[str, Any] = {}
        self.notices = 0

    def come(self, balance: int) -> None:
        customer = self.wait(self.house.customer(balance))
        assert isinstance(customer, Customer)
        self.customers.append(customer)
        self.funded[customer.id] = balance

    def offer(self, total: int, hours: int | None, fields: dict[str, Any]) -> None:
        expires_ms = None if hours is None else self.house.at_ms + hours * 3_600_000
        order = self.wait(self.house.order(total, expires_ms=expires_ms, **fields))
        assert isinstance(order, Order)
        self.orders.append(order)

    def intend(self, amount: int | None, order: int | None, customer: int | None, manual: bool) -> None:
        fields: dict[str, Any] = {"capture_method": "manual" if manual else "automatic"}
        if order is not None and self.orders:
            fields["order"] = pick(self.orders, order).id
        elif amount is None:
            amount = 100
        if customer is not None and self.customers:
            fields["customer"] = pick(self.customers, customer).id
        intent = self.wait(self.house.intent(amount, **fields))
        if isinstance(intent, PaymentIntent):
            self.intents.append(intent)

    def act(self, verb: str, number: int, part: int, decide: Decision, hear: Hearing, crash: Crash) -> None:
        """A request of the shop's about an intent, with what becomes of it on the way."""
        self.house.bank.plans.clear()
        self.house.plan(decide, hear)
        self.request(self.command(verb, pick(self.intents, number), part), crash)
        self.house.bank.plans.clear()

    def act_at_once(self, verbs: list[str], number: int, parts: list[int]) -> None:
        """Several requests about one intent at the same time, with a bank that takes its time."""
        self.house.bank.plans.clear()
        intent = pick(self.intents, number)
        commands = [self.command(verb, intent, part) for verb, part in zip(verbs, parts, strict=False)]

        async def all_of_them() -> None:
            self.house.bank.hold = hold = asyncio.Event()
            waiting = [asyncio.ensure_future(self.house.run(command, self.key(command))) for command in commands]
            for _ in range(20):
                await asyncio.sleep(0)
            hold.set()
            self.house.bank.hold = None
            for reply in await asyncio.gather(*waiting, return_exceptions=True):
                if isinstance(reply, Exception) and not isinstance(reply, DomainError):
                    raise reply

        self.wait(all_of_them())

    def command(self, verb: str, intent: PaymentIntent, part: int) -> Any:
        house = self.house
        amount = 1 + part % intent.amount
        if verb == "next":
            [now] = [row for row in self.rows(PaymentIntent) if row.id == intent.id]
            verb = NEXT[now.status][part % len(NEXT[now.status])]
        if verb == "card":
            return house.confirm(intent)
        if verb == "balance":
            return ConfirmIntent(intent.id, house.balance())
        if verb == "cancel":
            return house.cancel(intent)
        whole = part % 3 == 0
        return (house.capture if verb == "capture" else house.refund)(intent, None if whole else amount)

    def key(self, command: Any) -> str:
        key = f"key-{len(self.requests)}"
        self.requests.append((command, key))
        return key

    def request(self, command: Any, crash: Crash) -> None:
        key = self.key(command)
        if crash == "no":
            reply = self.wait(self.house.run(command, key))
            if not isinstance(reply, DomainError):
                self.replies[key] = reply.value
            return
        reply = self.wait(self.house.engine.run(self.house.merchant, *self.house.as_request(command, key)))
        if not isinstance(reply, DomainError) and not reply.finished and crash == "after the call":

            async def call() -> None:
                with contextlib.suppress(ZeroDivisionError):  # As planned; the process is dead anyway.
                    await self.house.call_only(reply.value)

            self.wait(call())

    def repeat(self, number: int) -> None:
        """The shop repeats a request: its first answer comes again, or it is still under way."""
        command, key = pick(self.requests, number)
        reply = self.wait(self.house.run(command, key))
        if isinstance(reply, Conflict):
            assert key not in self.replies
        elif not isinstance(reply, DomainError):
            assert reply.replayed or key not in self.replies
            known = self.replies.setdefault(key, reply.value)
            assert bare(reply.value) == bare(known)

    def shopper(self, number: int, passes: bool) -> None:
        """A pending operation is decided at the bank."""
        pending = [key for key, operation in self.house.bank.operations.items() if operation.state == "pending"]
        if pending:
            self.house.bank.decide(pick(pending, number), passes)

    def tell(self, number: int, how: Literal["now", "again", "earlier", "wrong amount", "contrary"]) -> None:
        """A notice of the bank's: true, known already, out of date, of a wrong amount, or contrary to the truth."""
        known = self.house.bank.operations
        if not known:
            return
        id = pick(list(known), number)
        operation = known[id]
        if how == "contrary" and not self.may_change_its_mind(operation):
            return
        if how != "again":
            self.notices += 1
        self.wait(self.house.notice(id, f"ntc_{self.notices}", self.said(operation, how)))

    def said(self, operation: BankOperation, how: str) -> Outcome:
        if how == "earlier":
            return Pending()
        if how == "wrong amount":
            return Approved("bank_x", operation.order.amount + 1, operation.order.currency)
        if how == "contrary" and operation.state == "approved":
            return Declined("card_declined", "No.")
        if how == "contrary":  # It takes the money after all.
            operation.state, operation.captured = "approved", operation.order.amount
            self.unexpected += operation.order.amount
        return operation.outcome

    def may_change_its_mind(self, operation: BankOperation) -> bool:
        """Only about what it has told us (before that nobody could know), and to take money, not to give it."""
        [ours] = [row for row in self.rows(Operation) if row.id == operation.order.operation_id]
        takes = operation.order.kind == "charge" and operation.order.capture
        return ours.state == operation.state and (ours.state == "approved" or (ours.state == "declined" and takes))

    def call_off_order(self, number: int) -> None:
        self.wait(self.house.run(CancelOrder(pick(self.orders, number).id)))

    def pass_time(self, seconds: int, deaf: list[Hearing]) -> None:
        """The sweeper does what is due; the first of its questions are answered as ``deaf`` says."""
        self.house.at_ms += seconds * 1_000
        self.house.bank.plans.clear()
        self.house.bank.queries.clear()
        self.house.bank.queries.extend(deaf)
        self.wait(self.house.work())

    def storm(self, seed: int, length: int) -> None:
        """``length`` random steps. A failure tells them all."""
        chance, steps = random.Random(seed), list[str]()
        try:
            for number in range(1, length + 1):
                [name] = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
                arguments = random_arguments(name, chance)
                steps.append(f"{name}{arguments}")
                if self.is_possible(name):
                    getattr(self, name)(*arguments)
                if number % 5 == 0 or number == length:
                    self.check()
        except BaseException as error:
            error.add_note("\n".join([f"After these steps of storm {seed}:", *steps]))
            raise

    def is_possible(self, step: str) -> bool:
        """Whether there is something that the step can be about."""
        return {"repeat": bool(self.requests), "tell": bool(self.house.bank.operations)}.get(step, True)

    def prove(self) -> None:
        """What holds when everything has come to its end; and again after every request was repeated."""
        for _ in range(2):
            self.drain()
            self.prove_end()
            for number in range(len(self.requests)):
                self.repeat(number)


def pick(these: Sequence[T], number: int) -> T:
    """One of these, counted around from the newest."""
    return these[-1 - number % len(these)]


def bare(value: Any) -> Any:
    """A reply without what is never repeated: the method with its token."""
    known = "method" in getattr(value, "__struct_fields__", ())
    return msgspec.structs.replace(value, method=None) if known else value


DECISIONS: list[Decision] = ["approve", "approve", "approve", "decline", "challenge", "think"]
HEARINGS: list[Hearing] = ["answer", "answer", "answer", "lost", "never", "raise"]
CRASHES: list[Crash] = ["no", "no", "no", "no", "before the call", "after the call"]
VERBS = ["next"] * 8 + ["card", "balance", "capture", "cancel", "refund", "refund"]
NEXT = {
    "requires_payment_method": ["card", "card", "card", "balance", "balance", "cancel"],
    "requires_confirmation": ["card"],
    "requires_action": ["cancel"],
    "processing": ["refund"],
    "requires_capture": ["capture", "capture", "capture", "cancel"],
    "succeeded": ["refund"],
    "canceled": ["refund"],
}
"""What comes next to an intent, as a rule."""
TELLINGS = ["now", "now", "again", "earlier", "wrong amount", "contrary"]
WEIGHTS = {
    "come": 2,
    "offer": 5,
    "intend": 16,
    "act": 40,
    "act_at_once": 8,
    "repeat": 4,
    "shopper": 10,
    "tell": 12,
    "call_off_order": 1,
    "pass_time": 12,
}
"""How often each step is taken in a storm."""


def random_arguments(step: str, chance: random.Random) -> tuple[Any, ...]:
    """What a step is about."""
    number = chance.choice([0, 0, 0, 1, 2, chance.randrange(20)])
    policies = {"overpayment": chance.choice(["refund", "keep"]), "late_payment": chance.choice(["refund", "accept"])}
    if step == "come":
        return (chance.randint(0, 2_000),)
    if step == "offer":
        return chance.randint(1, 1_000), chance.choice([None, None, 1, 30]), policies
    if step == "intend":
        amount, maybe = chance.choice([None, chance.randint(1, 1_500)]), [None, number]
        return amount, chance.choice(maybe), chance.choice(maybe), chance.random() < 0.4
    if step == "act":
        decide, hear, crash = chance.choice(DECISIONS), chance.choice(HEARINGS), chance.choice(CRASHES)
        return chance.choice(VERBS), number, chance.randrange(1_500), decide, hear, crash
    if step == "act_at_once":
        return chance.choices(VERBS, k=3), number, [chance.randrange(1_500) for _ in range(3)]
    if step == "shopper":
        return number, chance.random() < 0.6
    if step == "tell":
        return number, chance.choice(TELLINGS)
    if step == "pass_time":
        return chance.choice([1, 5, 25, 300, 4_000]), chance.choices(HEARINGS, k=2)
    return (number,)
