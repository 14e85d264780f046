"""Money that arrives for a customer."""

from __future__ import annotations

import asyncio

import pytest
from tests.support_payments import House

from tongbao.foundation.errors import NotFound
from tongbao.identity.commands import DeleteCustomer
from tongbao.ledger.model import Transfer
from tongbao.wallets.commands import FundBalance


async def test_money_that_arrives_is_the_customers_and_stands_at_the_bank(house: House) -> None:
    customer = await house.customer()
    funded = (await house.run(FundBalance(customer.id, 700, "cny", "rent"))).value
    assert (funded.posting.side, funded.posting.amount, funded.posting.balance) == ("credit", 700, 700)
    assert (funded.transfer.kind, funded.transfer.ref) == ("funding", "rent")
    again = (await house.run(FundBalance(customer.id, 300, "cny"))).value
    assert again.posting.balance == 1_000
    assert await house.balances() == {"bank:cny": 1_000, f"customer:{customer.id}:cny": 1_000}
    assert (await house.told())[1:] == ["cash_balance.funds_available"] * 2


async def test_currencies_are_kept_apart(house: House) -> None:
    customer = await house.customer()
    await house.run(FundBalance(customer.id, 7, "cny"))
    await house.run(FundBalance(customer.id, 5, "jpy"))
    balances = await house.balances()
    assert (balances[f"customer:{customer.id}:cny"], balances[f"customer:{customer.id}:jpy"]) == (7, 5)
    assert (balances["bank:cny"], balances["bank:jpy"]) == (7, 5)


async def test_nobody_and_a_deleted_customer_get_nothing(house: House) -> None:
    customer = await house.customer()
    await house.run(DeleteCustomer(customer.id))
    for name in (customer.id, "cus_x"):
        with pytest.raises(NotFound):
            await house.run(FundBalance(name, 5, "cny"))
    assert await house.rows(Transfer) == []


async def test_the_same_funding_request_counts_once_and_all_others_count(house: House) -> None:
    customer = await house.customer()
    command = FundBalance(customer.id, 10, "cny")
    await asyncio.gather(*(house.run(command, f"key-{number % 5}") for number in range(20)))
    assert (await house.balances())[f"customer:{customer.id}:cny"] == 50
