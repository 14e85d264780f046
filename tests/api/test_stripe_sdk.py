"""The official Stripe package drives our server, with nothing changed but the address."""

from __future__ import annotations

import pytest
import stripe
from tests.world import World, eventually


def test_a_card_payment_is_created_confirmed_and_read_back(world: World) -> None:
    client = world.stripe()
    intent = client.v1.payment_intents.create(
        {
            "amount": 12900,
            "currency": "cny",
            "payment_method": "pm_card_visa",
            "confirm": True,
            "metadata": {"order": "42"},
            "description": "Longjing",
        }
    )
    assert intent.status == "succeeded"
    assert (intent.amount, intent.amount_received, intent.currency) == (12900, 12900, "cny")
    again = client.v1.payment_intents.retrieve(intent.id)
    assert again.status == "succeeded"
    assert again.metadata is not None
    assert again.metadata["order"] == "42"
    charge = client.v1.charges.retrieve(str(intent.latest_charge))
    assert charge.paid
    assert charge.captured
    assert charge.payment_method_details is not None
    assert charge.payment_method_details.card is not None
    assert charge.payment_method_details.card.last4 == "4242"
    assert charge.payment_method_details.card.brand == "visa"


def test_a_payment_from_a_balance_moves_the_balance(world: World) -> None:
    client, customer = world.stripe(), world.funded_customer(10_000)
    intent = client.v1.payment_intents.create(
        {
            "amount": 4_000,
            "currency": "cny",
            "customer": customer.id,
            "payment_method_data": {"type": "customer_balance"},
            "confirm": True,
        }
    )
    assert intent.status == "succeeded"
    balance = client.v1.customers.cash_balance.retrieve(customer.id)
    assert balance.to_dict()["available"] == {"cny": 6_000}
    moves = client.v1.customers.cash_balance_transactions.list(customer.id).data
    assert [(move.type, move.net_amount, move.ending_balance) for move in moves] == [
        ("applied_to_payment", -4_000, 6_000),
        ("funded", 10_000, 10_000),
    ]
    assert moves[0].applied_to_payment is not None
    assert moves[0].applied_to_payment.payment_intent == intent.id


def test_a_balance_that_does_not_suffice_declines_and_charges_nothing(world: World) -> None:
    client, customer = world.stripe(), world.funded_customer(100)
    with pytest.raises(stripe.CardError) as refused:
        client.v1.payment_intents.create(
            {
                "amount": 4_000,
                "currency": "cny",
                "customer": customer.id,
                "payment_method_data": {"type": "customer_balance"},
                "confirm": True,
            }
        )
    assert refused.value.code == "insufficient_funds"
    assert refused.value.http_status == 402
    assert client.v1.customers.cash_balance.retrieve(customer.id).to_dict()["available"] == {"cny": 100}


@pytest.mark.parametrize(
    ("method", "code", "decline_code"),
    [
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", None),
        ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", None),
    ],
)
def test_a_declined_card_is_a_card_error_with_the_intent(
    world: World, method: str, code: str, decline_code: str | None
) -> None:
    client = world.stripe()
    with pytest.raises(stripe.CardError) as refused:
        client.v1.payment_intents.create({"amount": 700, "currency": "cny", "payment_method": method, "confirm": True})
    error = refused.value
    assert error.code == code
    assert error.error is not None
    assert error.error.payment_intent is not None
    intent = client.v1.payment_intents.retrieve(error.error.payment_intent.id)
    assert intent.status == "requires_payment_method"
    assert intent.last_payment_error is not None
    assert intent.last_payment_error.code == code
    assert intent.last_payment_error.decline_code == decline_code or decline_code is None


def test_an_intent_is_captured_in_part_and_the_rest_released(world: World) -> None:
    client = world.stripe()
    intent = client.v1.payment_intents.create(
        {
            "amount": 5_000,
            "currency": "usd",
            "payment_method": "pm_card_mastercard",
            "capture_method": "manual",
            "confirm": True,
        }
    )
    assert (intent.status, intent.amount_capturable) == ("requires_capture", 5_000)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.payment_intents.capture(intent.id, {"amount_to_capture": 5_001})
    assert refused.value.param == "amount_to_capture"
    intent = client.v1.payment_intents.capture(intent.id, {"amount_to_capture": 3_000})
    assert (intent.status, intent.amount_received) == ("succeeded", 3_000)
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_intents.capture(intent.id)


def test_an_authorised_intent_can_be_canceled(world: World) -> None:
    client = world.stripe()
    intent = client.v1.payment_intents.create(
        {
            "amount": 5_000,
            "currency": "usd",
            "payment_method": "pm_card_visa",
            "capture_method": "manual",
            "confirm": True,
        }
    )
    canceled = client.v1.payment_intents.cancel(intent.id, {"cancellation_reason": "abandoned"})
    assert (canceled.status, canceled.cancellation_reason) == ("canceled", "abandoned")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    assert refused.value.code == "payment_intent_unexpected_state"


def test_refunds_in_parts_never_exceed_the_payment(world: World) -> None:
    client = world.stripe()
    intent = client.v1.payment_intents.create(
        {"amount": 1_000, "currency": "cny", "payment_method": "pm_card_visa", "confirm": True}
    )
    first = client.v1.refunds.create({"payment_intent": intent.id, "amount": 300})
    assert (first.status, first.amount) == ("succeeded", 300)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.refunds.create({"payment_intent": intent.id, "amount": 701})
    assert refused.value.param == "amount"
    second = client.v1.refunds.create({"payment_intent": intent.id})
    assert second.amount == 700
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.refunds.create({"payment_intent": intent.id})
    assert refused.value.code == "charge_already_refunded"
    charge = client.v1.charges.retrieve(str(intent.latest_charge))
    assert charge.refunded
    assert [refund.id for refund in client.v1.refunds.list({"charge": charge.id}).data] == [second.id, first.id]


def test_three_d_secure_asks_the_shopper_to_act(world: World) -> None:
    client = world.stripe()
    intent = client.v1.payment_intents.create(
        {
            "amount": 2_000,
            "currency": "cny",
            "payment_method": "pm_card_threeDSecure2Required",
            "confirm": True,
            "return_url": "https://shop.example/done",
        }
    )
    assert intent.status == "requires_action"
    assert intent.next_action is not None
    assert intent.next_action.redirect_to_url is not None
    assert str(intent.next_action.redirect_to_url.url).startswith(world.sandbox.acquirer_url)
    canceled = client.v1.payment_intents.cancel(intent.id)
    assert canceled.status == "canceled"


def test_the_same_key_gives_the_same_answer_once_and_refuses_another_request(world: World) -> None:
    client = world.stripe()
    wish: stripe.params.PaymentIntentCreateParams = {
        "amount": 900,
        "currency": "cny",
        "payment_method": "pm_card_visa",
        "confirm": True,
    }
    first = client.v1.payment_intents.create(wish, {"idempotency_key": "order-77"})
    again = client.v1.payment_intents.create(wish, {"idempotency_key": "order-77"})
    assert again.id == first.id
    assert again.last_response is not None
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    with pytest.raises(stripe.IdempotencyError):
        client.v1.payment_intents.create({**wish, "amount": 901}, {"idempotency_key": "order-77"})


def test_lists_page_both_ways_without_gaps(world: World) -> None:
    client = world.stripe()
    customer = client.v1.customers.create({"email": "page@example.com"})
    made = [
        client.v1.payment_intents.create({"amount": 100 + i, "currency": "cny", "customer": customer.id}).id
        for i in range(7)
    ]
    first = client.v1.payment_intents.list({"customer": customer.id, "limit": 3})
    assert [row.id for row in first.data] == made[:3:-1]
    assert first.has_more
    assert [row.id for row in first.auto_paging_iter()] == made[::-1]
    back = client.v1.payment_intents.list({"customer": customer.id, "limit": 3, "ending_before": made[2]})
    assert [row.id for row in back.data] == [made[5], made[4], made[3]]


def test_customers_are_made_changed_found_and_deleted(world: World) -> None:
    client = world.stripe()
    customer = client.v1.customers.create({"name": "林悦", "email": "lin@example.com", "metadata": {"tier": "gold"}})
    customer = client.v1.customers.update(customer.id, {"phone": "+8613800000000", "metadata": {"tier": ""}})
    assert (customer.name, customer.phone) == ("林悦", "+8613800000000")
    assert customer.to_dict()["metadata"] == {}
    assert customer.id in [row.id for row in client.v1.customers.list({"email": "lin@example.com"}).data]
    assert client.v1.customers.delete(customer.id).deleted
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.customers.update(customer.id, {"name": "x"})
    assert refused.value.http_status == 404


def test_a_customer_with_money_on_their_balance_cannot_be_deleted(world: World) -> None:
    client, customer = world.stripe(), world.funded_customer(300)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.customers.delete(customer.id)
    assert refused.value.code == "customer_has_balance"
    client.v1.payment_intents.create(
        {
            "amount": 300,
            "currency": "cny",
            "customer": customer.id,
            "payment_method_data": {"type": "customer_balance"},
            "confirm": True,
        }
    )
    assert client.v1.customers.delete(customer.id).deleted


def test_a_session_is_over_when_its_order_is_called_off(world: World) -> None:
    with world.http() as client:
        form = {"currency": "cny", "line_items[0][name]": "茶", "line_items[0][unit_amount]": 900}
        order = client.post("/v1/orders", data=form).json()
        wish = {"order": order["id"], "success_url": "https://shop.example/ok"}
        session = client.post("/v1/checkout/sessions", data=wish).json()
        assert client.post(f"/v1/orders/{order['id']}/cancel").json()["status"] == "canceled"
        session = client.get(f"/v1/checkout/sessions/{session['id']}").json()
    assert (session["status"], session["url"]) == ("expired", None)


def test_a_saved_card_pays_again_for_its_customer_only(world: World) -> None:
    client = world.stripe()
    customer, stranger = client.v1.customers.create({"name": "a"}), client.v1.customers.create({"name": "b"})
    method = client.v1.payment_methods.create(
        {"type": "card", "card": {"number": "4242424242424242", "exp_month": 12, "exp_year": 2049, "cvc": "123"}}
    )
    assert method.card is not None
    assert (method.card.last4, method.card.brand) == ("4242", "visa")
    client.v1.payment_methods.attach(method.id, {"customer": customer.id})
    for _ in range(2):
        paid = client.v1.payment_intents.create(
            {
                "amount": 500,
                "currency": "cny",
                "customer": customer.id,
                "payment_method": method.id,
                "confirm": True,
            }
        )
        assert paid.status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_intents.create(
            {
                "amount": 500,
                "currency": "cny",
                "customer": stranger.id,
                "payment_method": method.id,
                "confirm": True,
            }
        )
    detached = client.v1.payment_methods.detach(method.id)
    assert detached.customer is None


def test_wrong_keys_are_told_apart(world: World) -> None:
    with pytest.raises(stripe.AuthenticationError):
        world.stripe("sk_test_0000_wrong").v1.customers.list()
    with pytest.raises(stripe.PermissionError):
        world.stripe(world.publishable_key).v1.customers.list()
    other = world.stripe(world.other_key)
    mine = world.stripe().v1.customers.create({"name": "mine"})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        other.v1.customers.retrieve(mine.id)
    assert refused.value.http_status == 404


def test_a_checkout_session_offers_an_order_and_expires(world: World) -> None:
    client = world.stripe()
    session = client.v1.checkout.sessions.create(
        {
            "mode": "payment",
            "success_url": "https://shop.example/ok?s={CHECKOUT_SESSION_ID}",
            "line_items": [
                {
                    "price_data": {"currency": "cny", "unit_amount": 8800, "product_data": {"name": "明前龙井"}},
                    "quantity": 2,
                }
            ],
        }
    )
    assert (session.status, session.payment_status, session.amount_total) == ("open", "unpaid", 17600)
    assert str(session.url).startswith(world.url)
    items = client.v1.checkout.sessions.line_items.list(session.id).data
    assert [(item.description, item.quantity, item.amount_total) for item in items] == [("明前龙井", 2, 17600)]
    expired = client.v1.checkout.sessions.expire(session.id)
    assert (expired.status, expired.url) == ("expired", None)


def test_events_tell_the_story_in_order(world: World) -> None:
    client = world.stripe()
    intent = client.v1.payment_intents.create(
        {"amount": 321, "currency": "cny", "payment_method": "pm_card_visa", "confirm": True}
    )

    def story() -> list[str] | None:
        events = [event for event in client.v1.events.list({"limit": 30}).data if _about(event, intent.id)]
        return [event.type for event in reversed(events)] or None

    assert eventually(story) == ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]
    assert not world.broken_books()


def _about(event: stripe.Event, intent_id: str) -> bool:
    shown = event.data.object.to_dict()
    return intent_id in (shown.get("id"), shown.get("payment_intent"))
