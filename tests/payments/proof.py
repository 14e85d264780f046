"""What must hold of a simulated world after every step, and when everything under way has come to its end."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable
from typing import TypeVar

from tests.support_payments import House, memory_house

from tongbao.engine import Event
from tongbao.engine.store import MemoryStore
from tongbao.foundation.errors import DomainError
from tongbao.ledger.model import Account
from tongbao.orders.model import Order
from tongbao.payments.commands.refunds import AUTOMATIC
from tongbao.payments.model import Charge, Operation, PaymentIntent, Refund
from tongbao.payments.service import Fees

T = TypeVar("T")
CARD = "channel:card:cny"


class Proof:
    """A world that can be checked. ``funded`` and ``unexpected`` are told by the steps: what the customers got, and
    what the bank took although it had declined it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.house: House = memory_house(
            random=random.Random(0).getrandbits, fees={"card": Fees(60, 1), "customer_balance": Fees(25)}
        )
        self.house.bank.strict = False
        self.funded: Counter[str] = Counter()
        self.unexpected = 0

    def wait(self, what: Awaitable[T]) -> T | DomainError:
        """Run a step; what the API may answer is its result."""

        async def guarded() -> T | DomainError:
            try:
                return await what
            except DomainError as error:
                return error

        return self.loop.run_until_complete(guarded())

    def rows(self, cls: type[T]) -> list[T]:
        """All rows of a table, in order of insertion."""
        assert isinstance(self.house.store, MemoryStore)
        return self.house.store.rows(cls)  # type: ignore[arg-type]

    def check(self) -> None:
        """What holds after every step."""
        assert self.loop.run_until_complete(self.house.faults()) == []
        for id, operation in self.house.bank.operations.items():
            assert operation.refunded <= operation.captured <= operation.order.amount, f"the bank's {id}"
        for charge in self.rows(Charge):
            if charge.captured:
                assert charge.amount_refunded <= charge.amount_captured <= charge.amount, charge

    def drain(self) -> None:
        """Everything pending is decided, every answer comes, and the sweeper runs until nothing is left to do."""
        bank = self.house.bank
        bank.plans.clear()
        bank.queries.clear()
        for _ in range(20):
            pending = [key for key, operation in bank.operations.items() if operation.state == "pending"]
            for number, key in enumerate(pending):
                bank.decide(key, number % 2 == 0)
            self.wait(self.house.sweep())
            if not pending:
                return
        raise AssertionError("it never ends")

    def prove_end(self) -> None:
        self.check()
        assert self.loop.run_until_complete(self.house.unfinished()) == []
        charges = self.rows(Charge)
        self._prove_bank()
        self._prove_intents(charges)
        self._prove_orders(charges)
        self._prove_balances(charges)

    def _prove_bank(self) -> None:
        bank = self.house.bank
        balances = {row.id: row.balance for row in self.rows(Account)}
        assert balances.get(CARD, 0) == bank.taken[self.house.merchant, "cny"], "we and the bank agree"
        assert balances.get("refunds_reserved:cny", 0) == 0
        assert balances.get("suspense:cny", 0) == self.unexpected
        for operation in self.rows(Operation):
            known = bank.operations.get(operation.id)
            if known is None:
                assert operation.reason == "payment_intent_payment_attempt_expired", operation
                continue
            agreed = operation.state == known.state
            assert agreed or operation.conflicts or operation.reason == "canceled", operation

    def _prove_intents(self, charges: list[Charge]) -> None:
        refunds = self.rows(Refund)
        told = Counter((row.type, row.object_id) for row in self.rows(Event))
        for intent in self.rows(PaymentIntent):
            own = [charge for charge in charges if charge.payment_intent == intent.id]
            captured = sum(charge.amount_captured for charge in own)
            assert intent.amount_received == captured
            assert (
                (intent.status == "succeeded") == (captured > 0) == (told["payment_intent.succeeded", intent.id] == 1)
            )
            assert intent.status not in ("processing", "requires_action"), intent
            assert (intent.status == "requires_capture") == (intent.amount_capturable > 0)
            assert (intent.status == "canceled") == (intent.canceled_ms is not None)
            assert told["payment_intent.canceled", intent.id] == (intent.status == "canceled")
            assert sum(charge.captured for charge in own) <= 1
        for charge in charges:
            back = sum(row.amount for row in refunds if row.charge == charge.id and row.status == "succeeded")
            assert not charge.captured or charge.amount_refunded == back
            assert charge.status in ("succeeded", "failed")
        assert {refund.status for refund in refunds} <= {"succeeded", "failed"}

    def _prove_orders(self, charges: list[Charge]) -> None:
        refunds = {(row.charge, row.reason, row.status): 0 for row in self.rows(Refund)}
        for row in self.rows(Refund):
            refunds[row.charge, row.reason, row.status] += row.amount
        told = Counter((row.type, row.object_id) for row in self.rows(Event))
        for order in self.rows(Order):
            own = [charge for charge in charges if charge.order_id == order.id]
            came_in = sum(charge.amount_captured for charge in own)
            late = order.amount_late if order.late_payment == "refund" else 0
            reopened = came_in - order.amount_paid - order.amount_overpaid - late
            assert 0 <= reopened <= order.amount_refunded, order
            assert (order.status == "paid") == (told["order.paid", order.id] == 1)
            if order.status not in ("expired", "canceled"):
                assert (order.status == "paid") == (order.amount_paid == order.amount_total)
                assert (order.status == "open") == (order.amount_paid == 0)
            excess = order.amount_overpaid if order.overpayment == "refund" else 0
            back = sum(
                amount
                for (charge, reason, _), amount in refunds.items()
                if reason in AUTOMATIC and charge in {one.id for one in own}
            )
            assert back == excess + late, "the order's policy gave back what it says, each unit once"

    def _prove_balances(self, charges: list[Charge]) -> None:
        spent: Counter[str] = Counter()
        for charge in charges:
            if charge.channel == "customer_balance" and charge.captured:
                spent[charge.customer or ""] += charge.amount_captured - charge.amount_refunded
        balances = {row.id: row.balance for row in self.rows(Account)}
        assert balances.get("fees:cny", 0) == sum(charge.fee for charge in charges)
        for customer, funded in self.funded.items():
            assert balances.get(f"customer:{customer}:cny", 0) == funded - spent[customer]
