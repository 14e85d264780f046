"""Paying by card: what the channel says, or does not say, about a charge."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from tests.support_payments import House

from tongbao.foundation.errors import InvalidRequest, NotFound
from tongbao.payments.commands import AttachMethod, ConfirmIntent, CreateIntent, DetachMethod, MethodChoice, SaveMethod
from tongbao.payments.model import Charge, Operation, PaymentIntent, PaymentMethod
from tongbao.payments.service import SEND_WITHIN_MS, Fees


async def test_an_approved_charge_is_booked_and_told(house: House) -> None:
    paid = await house.charged()
    assert (paid.intent.status, paid.intent.amount_received) == ("succeeded", 1_000)
    assert paid.charge is not None
    assert paid.operation is not None
    assert (paid.charge.status, paid.charge.captured, paid.charge.channel_ref) == (
        "succeeded",
        True,
        f"bank_{paid.operation.id}",
    )
    assert (paid.operation.state, paid.operation.kind) == ("approved", "charge")
    assert await house.balances() == {"channel:card:cny": 1_000, "merchant_pending:cny": 1_000}
    assert await house.told() == ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]
    assert await house.unfinished() == []


async def test_the_channel_gets_what_it_must_know(house: House) -> None:
    paid = await house.charged(description="tea")
    [(verb, order)] = house.bank.calls
    assert paid.operation is not None
    assert (verb, order.operation_id, order.amount, order.currency) == ("charge", paid.operation.id, 1_000, "cny")
    assert (order.token, order.capture, order.merchant_id, order.livemode) == ("tok_1", True, house.merchant, False)
    assert (order.description, order.merchant_name) == ("tea", "Test")
    assert order.notice_url == f"https://pay.example/notices/card/{house.merchant}"
    secret = paid.intent.client_secret.rpartition("_")[2]
    assert order.return_url == f"https://pay.example/return/{house.merchant}/{paid.intent.id}?secret={secret}"


async def test_create_and_confirm_in_one_request(house: House) -> None:
    paid = await house.pay(CreateIntent(1_000, "cny", confirm=house.card()))
    assert paid.intent.status == "succeeded"
    assert paid.intent.payment_method is not None


async def test_a_fee_is_kept_from_what_the_merchant_gets(house: House) -> None:
    house.fees = {"card": Fees(60, 30)}
    house.__post_init__()
    await house.charged(10_001)
    assert await house.balances() == {"channel:card:cny": 10_001, "merchant_pending:cny": 9_911, "fees:cny": 90}


async def test_a_declined_charge_moves_nothing_and_another_card_may_be_tried(house: House) -> None:
    house.plan("decline")
    refused = await house.charged()
    assert (refused.intent.status, refused.intent.payment_method) == ("requires_payment_method", None)
    assert refused.charge is not None
    assert (refused.charge.status, refused.charge.failure_code, refused.charge.decline_code) == (
        "failed",
        "card_declined",
        "generic_decline",
    )
    error = refused.intent.last_payment_error
    assert error is not None
    assert (error["code"], error["decline_code"], error["charge"]) == (
        "card_declined",
        "generic_decline",
        refused.charge.id,
    )
    assert error["payment_method"] == refused.charge.payment_method
    assert await house.balances() == {}
    paid = await house.pay(house.confirm(refused.intent))
    assert (paid.intent.status, paid.intent.last_payment_error) == ("succeeded", None)
    assert await house.balances() == {"channel:card:cny": 1_000, "merchant_pending:cny": 1_000}
    assert len(await house.rows(Charge)) == 2


@pytest.mark.parametrize("passed", [True, False])
async def test_3d_secure_is_a_step_of_the_shoppers_whose_end_a_notice_tells(house: House, passed: bool) -> None:
    house.plan("challenge")
    waiting = await house.charged()
    assert waiting.operation is not None
    assert waiting.intent.status == "requires_action"
    assert waiting.intent.next_action is not None
    assert waiting.intent.next_action["redirect_to_url"]["url"].startswith("https://bank.example/")
    house.bank.decide(waiting.operation.id, passed)
    after = (await house.notice(waiting.operation.id, "ntc_1")).intent
    assert after.status == ("succeeded" if passed else "requires_payment_method")
    assert after.next_action is None
    assert house.bank.taken[house.merchant, "cny"] == (1_000 if passed else 0)
    assert await house.balances() == ({"channel:card:cny": 1_000, "merchant_pending:cny": 1_000} if passed else {})


async def test_when_the_shopper_comes_back_before_the_notice_the_channel_is_asked(house: House) -> None:
    house.plan("challenge")
    waiting = await house.charged()
    assert waiting.operation is not None
    await house.payments.chase_intent(house.merchant, waiting.intent)
    assert (await house.one(PaymentIntent, waiting.intent.id)).status == "requires_action"
    house.bank.decide(waiting.operation.id, True)
    await house.payments.chase_intent(house.merchant, waiting.intent)
    assert (await house.one(PaymentIntent, waiting.intent.id)).status == "succeeded"
    await house.notice(waiting.operation.id, "ntc_1")
    await house.payments.chase_intent(house.merchant, await house.one(PaymentIntent, waiting.intent.id))
    assert await house.balances() == {"channel:card:cny": 1_000, "merchant_pending:cny": 1_000}


@pytest.mark.parametrize("hear", ["lost", "raise"])
@pytest.mark.parametrize("decide", ["approve", "decline"])
async def test_an_answer_that_is_lost_is_neither_success_nor_failure_and_the_sweeper_finds_out(
    house: House, hear: Any, decide: Any
) -> None:
    house.plan(decide, hear)
    unclear = await house.charged()
    assert unclear.intent.status == "processing"
    assert unclear.intent.next_check_ms == house.at_ms + 2_000
    assert unclear.operation is not None
    assert unclear.operation.state == "unknown"
    assert await house.balances() == {}
    await house.sweep()
    intent = await house.one(PaymentIntent, unclear.intent.id)
    assert intent.status == ("succeeded" if decide == "approve" else "requires_payment_method")
    assert intent.next_check_ms is None
    assert [verb for verb, _ in house.bank.calls] == ["charge", "query"], "what had arrived is not sent again"
    assert house.bank.taken[house.merchant, "cny"] == (await house.balances()).get("channel:card:cny", 0)


async def test_a_request_that_never_arrived_is_sent_again_under_the_same_id(house: House) -> None:
    house.plan(hear="never")
    unclear = await house.charged()
    assert unclear.intent.status == "processing"
    await house.sweep()
    assert (await house.one(PaymentIntent, unclear.intent.id)).status == "succeeded"
    assert [verb for verb, _ in house.bank.calls] == ["charge", "query", "charge"]
    assert len({order.operation_id for _, order in house.bank.calls}) == 1
    assert await house.balances() == {"channel:card:cny": 1_000, "merchant_pending:cny": 1_000}


async def test_a_charge_that_never_arrived_is_not_sent_long_after_the_shopper_has_gone(house: House) -> None:
    house.plan(hear="never")
    unclear = await house.charged()
    house.at_ms += SEND_WITHIN_MS + 1
    await house.sweep()
    intent = await house.one(PaymentIntent, unclear.intent.id)
    assert intent.status == "requires_payment_method"
    assert intent.last_payment_error is not None
    assert intent.last_payment_error["code"] == "payment_intent_payment_attempt_expired"
    assert [verb for verb, _ in house.bank.calls] == ["charge", "query"]
    assert await house.balances() == {}


async def test_a_channel_that_does_not_know_is_asked_again_and_again(house: House) -> None:
    house.plan(hear="lost")
    house.bank.queries.extend(["lost"] * 30)
    unclear = await house.charged()
    await house.sweep(days=3)
    assert (await house.one(PaymentIntent, unclear.intent.id)).status == "succeeded"
    assert len(house.bank.calls) == 32
    assert await house.unfinished() == []


async def test_a_query_that_raises_is_only_another_doubt(house: House) -> None:
    house.plan(hear="lost")
    house.bank.queries.extend(["raise", "raise"])
    unclear = await house.charged()
    await house.sweep()
    assert (await house.one(PaymentIntent, unclear.intent.id)).status == "succeeded"


async def test_an_approval_of_the_wrong_amount_stays_in_doubt_for_a_person_to_look_at(house: House) -> None:
    house.plan(told=900)
    unclear = await house.charged()
    assert unclear.operation is not None
    assert (unclear.intent.status, unclear.operation.reason) == ("processing", "amount_mismatch")
    house.at_ms += 60_000
    await house.work()
    operation = await house.one(Operation, unclear.operation.id)
    assert (operation.state, len(operation.conflicts)) == ("unknown", 2), "once by the answer, once by the query"
    assert await house.balances() == {}


async def test_a_payment_that_is_under_way_cannot_be_started_again(house: House) -> None:
    house.plan(hear="lost")
    unclear = await house.charged()
    with pytest.raises(InvalidRequest) as refused:
        await house.run(house.confirm(unclear.intent))
    assert refused.value.code == "payment_intent_unexpected_state"
    assert "processing" in refused.value.message
    assert len(house.bank.operations) == 1


async def test_two_confirmations_at_once_charge_once(house: House) -> None:
    intent = await house.intent()
    replies = await asyncio.gather(*(house.run(house.confirm(intent)) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(reply, InvalidRequest) for reply in replies) == 3
    assert len(house.bank.operations) == 1
    assert await house.balances() == {"channel:card:cny": 1_000, "merchant_pending:cny": 1_000}


async def test_the_same_confirmation_twice_gets_the_same_answer_and_charges_once(house: House) -> None:
    intent = await house.intent()
    command = house.confirm(intent)
    first = await house.run(command, "key-1")
    again = await house.run(command, "key-1")
    assert (first.replayed, again.replayed) == (False, True)
    assert again.value == msgspec.structs.replace(first.value, method=None)
    assert again.value.intent.status == "succeeded"
    assert len(house.bank.operations) == 1


# Payment methods.


async def saved(house: House, customer: str | None = None) -> PaymentMethod:
    new = house.card().new
    assert new is not None
    method: PaymentMethod = (await house.run(SaveMethod(new))).value
    if customer is not None:
        method = (await house.run(AttachMethod(method.id, customer))).value
    return method


def with_saved(house: House, method: str) -> MethodChoice:
    return MethodChoice(house.payments.terms["card"], payment_method=method)


async def test_a_saved_card_pays_again_and_again(house: House) -> None:
    customer = await house.customer()
    method = await saved(house, customer.id)
    for _ in range(2):
        intent = await house.intent(customer=customer.id, payment_method=method.id)
        assert intent.status == "requires_confirmation"
        paid = await house.pay(ConfirmIntent(intent.id, with_saved(house, method.id)))
        assert (paid.intent.status, paid.intent.payment_method) == ("succeeded", method.id)


async def test_a_saved_card_is_its_customers_only(house: House) -> None:
    owner, other = await house.customer(), await house.customer()
    method = await saved(house, owner.id)
    for customer in (other.id, None):
        intent = await house.intent(customer=customer)
        with pytest.raises(InvalidRequest) as refused:
            await house.run(ConfirmIntent(intent.id, with_saved(house, method.id)))
        assert refused.value.code == "payment_method_customer_mismatch"
        with pytest.raises(InvalidRequest):
            await house.intent(customer=customer, payment_method=method.id)
    assert house.bank.calls == []


async def test_a_method_that_does_not_exist_is_named(house: House) -> None:
    intent = await house.intent()
    with pytest.raises(NotFound) as refused:
        await house.run(ConfirmIntent(intent.id, with_saved(house, "pm_nothing")))
    assert refused.value.param == "payment_method"
    with pytest.raises(InvalidRequest) as missing:
        await house.run(ConfirmIntent(intent.id, MethodChoice(house.payments.terms["card"])))
    assert missing.value.code == "payment_intent_payment_method_missing"


async def test_a_card_that_was_detached_cannot_pay_or_be_attached_again(house: House) -> None:
    customer = await house.customer()
    method = await saved(house, customer.id)
    intent = await house.intent()
    await house.run(DetachMethod(method.id))
    for command in (ConfirmIntent(intent.id, with_saved(house, method.id)), AttachMethod(method.id, customer.id)):
        with pytest.raises(InvalidRequest) as refused:
            await house.run(command)
        assert refused.value.code == "payment_method_detached"
    with pytest.raises(InvalidRequest):
        await house.intent(payment_method=method.id)
    assert house.bank.calls == []


async def test_detaching_a_card_does_not_harm_a_charge_that_has_still_to_be_sent(house: House) -> None:
    customer = await house.customer()
    method = await saved(house, customer.id)
    intent = await house.intent(customer=customer.id)
    await house.begin(ConfirmIntent(intent.id, with_saved(house, method.id)))
    await house.run(DetachMethod(method.id))
    await house.sweep()
    assert (await house.one(PaymentIntent, intent.id)).status == "succeeded"


async def test_an_attached_card_cannot_change_hands(house: House) -> None:
    owner, other = await house.customer(), await house.customer()
    method = await saved(house, owner.id)
    again = (await house.run(AttachMethod(method.id, owner.id))).value
    assert again.customer == owner.id
    with pytest.raises(InvalidRequest) as refused:
        await house.run(AttachMethod(method.id, other.id))
    assert refused.value.code == "payment_method_already_attached"


async def test_a_type_that_the_intent_does_not_offer_is_refused(house: House) -> None:
    intent = await house.intent(payment_method_types=["customer_balance"])
    with pytest.raises(InvalidRequest) as refused:
        await house.run(house.confirm(intent))
    assert refused.value.param == "payment_method"
    assert await house.rows(Charge) == []
    assert await house.rows(PaymentMethod) == [], "nor is the card kept"
