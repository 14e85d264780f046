"""Intents before they are tried: made and changed."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support_payments import House

from tongbao.engine import Job
from tongbao.foundation.errors import InvalidRequest, NotFound
from tongbao.identity.commands import DeleteCustomer
from tongbao.payments.commands import (
    AttachMethod,
    ConfirmIntent,
    CreateIntent,
    DetachMethod,
    MethodChoice,
    SaveMethod,
    UpdateIntent,
)
from tongbao.payments.model import PaymentIntent, PaymentMethod


async def test_an_intent_waits_for_a_method_or_for_its_confirmation(house: House) -> None:
    without = await house.intent()
    assert (without.status, without.version, without.amount_received) == ("requires_payment_method", 1, 0)
    new = house.card().new
    assert new is not None
    await house.run(SaveMethod(new))
    assert (await house.intent(payment_method=new.id)).status == "requires_confirmation"
    assert await house.told() == ["payment_intent.created", "payment_intent.created"]
    assert await house.rows(Job) == []


async def test_the_secret_of_an_intent_begins_with_its_id_and_is_its_own(house: House) -> None:
    secrets = {(await house.intent()).client_secret for _ in range(20)}
    assert len({secret.partition("_secret_")[2] for secret in secrets}) == 20
    for intent in await house.rows(PaymentIntent):
        assert intent.client_secret.startswith(f"{intent.id}_secret_")
        assert len(intent.client_secret.partition("_secret_")[2]) == 24


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"currency": "cny"}, "amount"), ({"amount": 5}, "currency"), ({}, "amount")],
)
async def test_amount_and_currency_are_required_without_an_order(house: House, fields: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await house.run(CreateIntent(**fields))
    assert (refused.value.code, refused.value.param) == ("parameter_missing", param)


async def test_an_order_in_another_currency_is_refused(house: House) -> None:
    order = await house.order()
    with pytest.raises(InvalidRequest) as refused:
        await house.run(CreateIntent(order=order.id, currency="usd"))
    assert refused.value.code == "currency_mismatch"


async def test_an_intent_that_was_not_tried_can_be_changed(house: House) -> None:
    customer = await house.customer()
    intent = await house.intent(metadata={"a": "1", "b": "2"})
    changes = {"amount": 7, "currency": "usd", "customer": customer.id, "description": "tea"}
    changed = (await house.pay(UpdateIntent(intent.id, changes, {"a": "", "c": "3"}))).intent
    assert (changed.amount, changed.currency, changed.customer, changed.description) == (7, "usd", customer.id, "tea")
    assert (changed.metadata, changed.version) == ({"b": "2", "c": "3"}, 2)
    assert await house.one(PaymentIntent, intent.id) == changed


@pytest.mark.parametrize("status", ["processing", "succeeded", "canceled"])
async def test_what_was_tried_keeps_its_amount_but_may_be_described_anew(house: House, status: str) -> None:
    if status == "canceled":
        intent = (await house.pay(house.cancel(await house.intent()))).intent
    else:
        house.plan(hear="lost" if status == "processing" else "answer")
        intent = (await house.charged()).intent
    with pytest.raises(InvalidRequest):
        await house.run(UpdateIntent(intent.id, {"amount": 5}))
    assert (await house.pay(UpdateIntent(intent.id, {}, {"a": "b"}))).intent.metadata == {"a": "b"}
    if status != "canceled":
        assert (await house.pay(UpdateIntent(intent.id, {"description": "x"}))).intent.description == "x"


async def test_a_change_names_only_what_exists_and_may_be_used(house: House) -> None:
    owner, deleted = await house.customer(), await house.customer()
    await house.run(DeleteCustomer(deleted.id))
    new = house.card().new
    assert new is not None
    owned: PaymentMethod = (await house.run(SaveMethod(new))).value
    await house.run(AttachMethod(owned.id, owner.id))
    intent = await house.intent()
    for changes in (
        {"customer": "cus_x"},
        {"customer": deleted.id},
        {"payment_method": "pm_x"},
    ):
        with pytest.raises(NotFound):
            await house.run(UpdateIntent(intent.id, changes))
    with pytest.raises(InvalidRequest) as foreign:
        await house.run(UpdateIntent(intent.id, {"payment_method": owned.id}))
    assert foreign.value.code == "payment_method_customer_mismatch"
    both = {"customer": owner.id, "payment_method": owned.id}
    assert (await house.pay(UpdateIntent(intent.id, both))).intent.status == "requires_confirmation"
    with pytest.raises(NotFound):
        await house.run(UpdateIntent("pi_x", {}))


async def test_a_method_that_is_detached_after_it_was_chosen_does_not_pay(house: House) -> None:
    customer = await house.customer()
    new = house.card().new
    assert new is not None
    await house.run(SaveMethod(new))
    await house.run(AttachMethod(new.id, customer.id))
    intent = await house.intent(customer=customer.id, payment_method=new.id)
    await house.run(DetachMethod(new.id))
    terms = house.payments.terms["card"]
    with pytest.raises(InvalidRequest) as refused:
        await house.run(ConfirmIntent(intent.id, MethodChoice(terms)))
    assert refused.value.code == "payment_method_detached"
