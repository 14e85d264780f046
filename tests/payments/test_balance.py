"""Paying from a customer's balance: decided at once, inside."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.support_payments import House

from tongbao.engine import Job
from tongbao.foundation.errors import InvalidRequest, NotFound
from tongbao.identity.commands import DeleteCustomer
from tongbao.ledger.model import Transfer
from tongbao.payments.commands import ConfirmIntent, CreateIntent
from tongbao.payments.model import Charge, Operation, PaymentIntent, PaymentReply
from tongbao.payments.service import Fees
from tongbao.wallets.commands import FundBalance


async def create_and_confirm(house: House, customer: str | None, amount: int = 1_000, **fields: Any) -> PaymentReply:
    command = CreateIntent(
        amount, "cny", customer=customer, payment_method_types=["customer_balance"], confirm=house.balance(), **fields
    )
    return await house.pay(command)


async def test_a_balance_pays_at_once_and_nobody_is_called(house: House) -> None:
    customer = await house.customer(1_500)
    paid = await create_and_confirm(house, customer.id)
    assert (paid.intent.status, paid.intent.amount_received, paid.intent.payment_method) == ("succeeded", 1_000, None)
    assert paid.charge is not None
    assert (paid.charge.status, paid.charge.captured, paid.charge.amount_captured) == ("succeeded", True, 1_000)
    assert paid.charge.method_details == {"type": "customer_balance"}
    assert await house.balances() == {
        "bank:cny": 1_500,
        f"customer:{customer.id}:cny": 500,
        "merchant_available:cny": 1_000,
    }
    assert house.bank.calls == []
    assert await house.rows(Operation) == []
    assert await house.rows(Job) == []
    assert await house.told() == [
        "customer.created",
        "cash_balance.funds_available",
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
    ]


async def test_what_is_answered_is_what_is_kept(house: House) -> None:
    customer = await house.customer(1_500)
    paid = await create_and_confirm(house, customer.id)
    assert paid.intent == await house.one(PaymentIntent, paid.intent.id)
    assert await house.rows(Charge) == [paid.charge]


async def test_a_balance_that_does_not_cover_the_amount_pays_nothing_of_it(house: House) -> None:
    customer = await house.customer(999)
    refused = await create_and_confirm(house, customer.id)
    assert refused.intent.status == "requires_payment_method"
    assert refused.charge is not None
    assert refused.intent.last_payment_error == {
        "type": "card_error",
        "code": "insufficient_funds",
        "decline_code": "insufficient_funds",
        "message": "The customer's balance does not cover this amount. Nothing was charged.",
        "charge": refused.charge.id,
    }
    assert (refused.charge.status, refused.charge.amount_captured) == ("failed", 0)
    assert await house.balances() == {"bank:cny": 999, f"customer:{customer.id}:cny": 999}
    assert (await house.told())[-2:] == ["charge.failed", "payment_intent.payment_failed"]


async def test_after_a_refusal_the_same_intent_can_be_paid(house: House) -> None:
    customer = await house.customer()
    refused = await create_and_confirm(house, customer.id)
    await house.customer(1_000)
    other = await house.pay(ConfirmIntent(refused.intent.id, house.balance()))
    assert other.intent.status == "requires_payment_method", "another customer's money is not this one's"
    await house.run(FundBalance(customer.id, 1_000, "cny"))
    paid = await house.pay(ConfirmIntent(refused.intent.id, house.balance()))
    assert (paid.intent.status, paid.intent.last_payment_error) == ("succeeded", None)


async def test_a_balance_can_be_spent_to_the_last_unit_and_no_further(house: House) -> None:
    customer = await house.customer(1_000)
    assert (await create_and_confirm(house, customer.id, 999)).intent.status == "succeeded"
    assert (await create_and_confirm(house, customer.id, 1)).intent.status == "succeeded"
    assert (await create_and_confirm(house, customer.id, 1)).intent.status == "requires_payment_method"


async def test_a_balance_in_one_currency_does_not_pay_another(house: House) -> None:
    customer = await house.customer(1_000)
    command = CreateIntent(
        1_000, "usd", customer=customer.id, payment_method_types=["customer_balance"], confirm=house.balance()
    )
    assert (await house.pay(command)).intent.status == "requires_payment_method"


async def test_without_a_customer_there_is_no_balance(house: House) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await create_and_confirm(house, None)
    assert (refused.value.code, refused.value.param) == ("parameter_missing", "customer")
    assert await house.rows(PaymentIntent) == []


async def test_a_customer_who_does_not_exist_or_was_deleted_cannot_pay(house: House) -> None:
    with pytest.raises(NotFound):
        await create_and_confirm(house, "cus_nobody")
    customer = await house.customer(1_000)
    intent = await house.intent(customer=customer.id)
    await house.run(DeleteCustomer(customer.id))
    with pytest.raises(NotFound):
        await create_and_confirm(house, customer.id)
    with pytest.raises(NotFound):
        await house.run(ConfirmIntent(intent.id, house.balance()))
    assert (await house.balances())[f"customer:{customer.id}:cny"] == 1_000
    assert (await house.one(PaymentIntent, intent.id)).status == "requires_payment_method"


async def test_a_balance_payment_cannot_be_reserved(house: House) -> None:
    customer = await house.customer(1_000)
    with pytest.raises(InvalidRequest) as refused:
        await create_and_confirm(house, customer.id, capture_method="manual")
    assert refused.value.code == "capture_method_not_supported"


async def test_many_payments_at_once_spend_a_balance_exactly_once(house: House) -> None:
    customer = await house.customer(1_000)
    replies = await asyncio.gather(*(create_and_confirm(house, customer.id, 300) for _ in range(10)))
    assert [reply.intent.status for reply in replies].count("succeeded") == 3
    assert (await house.balances())[f"customer:{customer.id}:cny"] == 100


async def test_the_same_request_twice_pays_once(house: House) -> None:
    customer = await house.customer(1_000)
    command = CreateIntent(
        400, "cny", customer=customer.id, payment_method_types=["customer_balance"], confirm=house.balance()
    )
    first, second = await asyncio.gather(house.run(command, "key-1"), house.run(command, "key-1"))
    third = await house.run(command, "key-1")
    assert [first.replayed, second.replayed, third.replayed] == [False, True, True]
    assert first.value == second.value == third.value
    assert (await house.balances())[f"customer:{customer.id}:cny"] == 600


async def test_a_refused_payment_is_repeated_as_it_was_refused(house: House) -> None:
    customer = await house.customer(100)
    command = CreateIntent(
        400, "cny", customer=customer.id, payment_method_types=["customer_balance"], confirm=house.balance()
    )
    first = await house.run(command, "key-1")
    again = await house.run(command, "key-1")
    assert again.replayed
    assert again.value == first.value
    assert len(await house.rows(Charge)) == 1


async def test_a_fee_goes_to_the_house_and_never_beyond_the_amount(house: House) -> None:
    for fees, amount, fee in ((Fees(60, 10), 1_000, 16), (Fees(10_000, 50), 100, 100), (Fees(50, 0), 100, 1)):
        house.fees = {"customer_balance": fees}
        house.__post_init__()
        customer = await house.customer(amount)
        before = await house.balances()
        paid = await create_and_confirm(house, customer.id, amount)
        assert paid.charge is not None
        assert paid.charge.fee == fee
        after = await house.balances()
        assert after["fees:cny"] - before.get("fees:cny", 0) == fee
        shop = "merchant_available:cny"
        assert after.get(shop, 0) - before.get(shop, 0) == amount - fee


async def test_the_transfer_names_the_charge_that_it_belongs_to(house: House) -> None:
    customer = await house.customer(1_000)
    paid = await create_and_confirm(house, customer.id)
    assert paid.charge is not None
    assert {(row.kind, row.ref) for row in await house.rows(Transfer)} == {
        ("funding", "test_funding"),
        ("charge", paid.charge.id),
    }


@pytest.mark.parametrize("amount", [None, 300])
async def test_a_refund_goes_back_to_the_balance_at_once(house: House, amount: int | None) -> None:
    customer = await house.customer(1_000)
    paid = await create_and_confirm(house, customer.id)
    given = await house.pay(house.refund(paid.intent, amount))
    assert given.refund is not None
    assert given.charge is not None
    assert (given.refund.status, given.refund.amount) == ("succeeded", amount or 1_000)
    assert given.charge.amount_refunded == (amount or 1_000)
    assert (await house.balances())[f"customer:{customer.id}:cny"] == (amount or 1_000)
    assert await house.rows(Operation) == []
    assert (await house.told())[-3:] == ["refund.created", "refund.updated", "charge.refunded"]
