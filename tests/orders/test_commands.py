"""Orders by themselves: made, changed, called off, expired."""

from __future__ import annotations

import pytest
from tests.support_payments import House

from tongbao.engine import Job
from tongbao.foundation.errors import InvalidRequest, NotFound
from tongbao.identity.commands import DeleteCustomer
from tongbao.orders.commands import CancelOrder, ExpireOrder, UpdateOrder
from tongbao.orders.model import Order

HOUR_MS = 3_600_000


async def test_an_order_is_kept_as_it_was_made_and_told(house: House) -> None:
    made = await house.order(1_500, description="tea", metadata={"a": "b"})
    assert (made.status, made.amount_total, made.amount_remaining, made.version) == ("open", 1_500, 1_500, 1)
    assert await house.one(Order, made.id) == made
    assert await house.told() == ["order.created"]
    assert await house.rows(Job) == []


async def test_an_order_needs_a_customer_who_exists_if_it_names_one(house: House) -> None:
    customer = await house.customer()
    assert (await house.order(customer=customer.id)).customer == customer.id
    await house.run(DeleteCustomer(customer.id))
    for name in (customer.id, "cus_x"):
        with pytest.raises(NotFound):
            await house.order(customer=name)


async def test_an_order_cannot_expire_before_it_is_made(house: House) -> None:
    for expires_ms in (house.at_ms, house.at_ms - 1):
        with pytest.raises(InvalidRequest) as refused:
            await house.order(expires_ms=expires_ms)
        assert refused.value.param == "expires_at"


async def test_an_order_expires_when_its_time_comes_and_not_before(house: House) -> None:
    made = await house.order(expires_ms=house.at_ms + HOUR_MS)
    [job] = await house.rows(Job)
    assert (job.kind, job.subject, job.run_at_ms) == ("expire_order", made.id, made.expires_ms)
    house.at_ms += HOUR_MS - 1
    assert (await house.run(ExpireOrder(made.id))).value.status == "open"
    house.at_ms += 1
    await house.work()
    assert (await house.one(Order, made.id)).status == "expired"
    assert await house.rows(Job) == []
    assert (await house.run(ExpireOrder(made.id))).value.status == "expired"
    assert await house.told() == ["order.created", "order.expired"]


async def test_an_order_without_an_end_never_expires(house: House) -> None:
    made = await house.order()
    assert (await house.run(ExpireOrder(made.id))).value.status == "open"


async def test_an_order_that_was_called_off_stays_so_and_does_not_expire(house: House) -> None:
    made = await house.order(expires_ms=house.at_ms + HOUR_MS)
    canceled = (await house.run(CancelOrder(made.id))).value
    assert (canceled.status, canceled.canceled_ms) == ("canceled", house.at_ms)
    assert await house.rows(Job) == []
    with pytest.raises(InvalidRequest) as refused:
        await house.run(CancelOrder(made.id))
    assert refused.value.code == "order_unexpected_state"
    assert await house.told() == ["order.created", "order.canceled"]


async def test_an_orders_description_and_metadata_can_change(house: House) -> None:
    made = await house.order(description="old", metadata={"a": "1", "b": "2"})
    changed = (await house.run(UpdateOrder(made.id, {"description": "new"}, {"a": "", "c": "3"}))).value
    assert (changed.description, changed.metadata, changed.version) == ("new", {"b": "2", "c": "3"}, 2)
    assert (changed.amount_total, changed.status) == (made.amount_total, "open")


async def test_an_order_that_does_not_exist_is_named(house: House) -> None:
    for command in (CancelOrder("ord_x"), ExpireOrder("ord_x"), UpdateOrder("ord_x")):
        with pytest.raises(NotFound) as refused:
            await house.run(command)
        assert refused.value.param == "order"
