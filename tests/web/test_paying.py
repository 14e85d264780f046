"""What the checkout's forms do: each payment once, for the amount that was shown, and nothing kept of a card."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from tests.web.site_world import GOOD_CARD, SiteWorld, ticket_of

from tongbao.checkout.model import CheckoutSession
from tongbao.payments.commands import CreateIntent
from tongbao.web.checkout import paying

NUMBER = "4242424242424242"
Form = dict[str, str]


async def form_of(site: SiteWorld, client: httpx.AsyncClient, session: CheckoutSession, **fields: str) -> Form:
    """What the page's form would send."""
    page = await client.get(site.path(session), params={"method": fields.get("method", "card")})
    return {"ticket": ticket_of(page.text), "method": "card", **GOOD_CARD, **fields}


async def send(
    site: SiteWorld, client: httpx.AsyncClient, session: CheckoutSession, form: Form, **headers: str
) -> httpx.Response:
    return await client.post(f"{site.path(session)}/pay", data=form, headers=headers)


async def test_a_card_pays_the_order(site: SiteWorld) -> None:
    session = await site.session()
    answer = await site.pay(site.browser(), session)
    assert (answer.status_code, answer.headers["location"]) == (303, site.path(session))
    intent, (charge,) = await site.intent_of(session), await site.charges_of(session.order_id)
    assert (intent.status, intent.amount_received, charge.amount_captured) == ("succeeded", 12_900, 12_900)


async def test_a_balance_and_a_saved_card_pay_the_order(site: SiteWorld) -> None:
    customer = await site.customer(12_900)
    saved = await site.save_card(customer)
    for method in ("customer_balance", saved):
        session = await site.session(customer=customer.id)
        assert (await site.pay(site.browser(), session, method)).status_code == 303
        assert (await site.intent_of(session)).status == "succeeded"
    assert (
        "Balance ¥0.00, not enough"
        in (await site.browser().get(site.path(await site.session(customer=customer.id)))).text
    )


async def test_a_form_that_is_sent_twice_pays_once(site: SiteWorld) -> None:
    session, client = await site.session(), site.browser()
    form = await form_of(site, client, session)
    answers = [await send(site, client, session, form) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [303, 303, 303]
    assert len(await site.charges_of(session.order_id)) == 1


async def test_a_double_click_pays_once(site: SiteWorld) -> None:
    session, client = await site.session(), site.browser()
    await site.faults({"kind": "slow", "delay_ms": 400, "next": 1, "verbs": ["charge"]})
    form = await form_of(site, client, session)
    answers = await asyncio.gather(*(send(site, client, session, form) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {303}
    (charge,) = await site.charges_of(session.order_id)
    assert charge.status == "succeeded"


async def test_two_windows_pay_once(site: SiteWorld) -> None:
    session, one, two = await site.session(), site.browser(), site.browser()
    forms = [await form_of(site, one, session), await form_of(site, two, session)]
    answers = await asyncio.gather(send(site, one, session, forms[0]), send(site, two, session, forms[1]))
    assert {answer.status_code for answer in answers} == {303}
    assert len(await site.charges_of(session.order_id)) == 1


async def test_after_a_refusal_another_card_pays(site: SiteWorld) -> None:
    session, client = await site.session(), site.browser()
    await site.pay(client, session, number="4000000000000002")
    assert (await site.pay(client, session)).status_code == 303
    charges = await site.charges_of(session.order_id)
    assert [charge.status for charge in charges] == ["failed", "succeeded"]


async def test_an_old_form_with_another_card_is_not_taken_for_the_first_attempt(site: SiteWorld) -> None:
    session, client = await site.session(), site.browser()
    form = await form_of(site, client, session, number="4000000000000002")
    await send(site, client, session, form)
    again = await send(site, client, session, form | {"number": NUMBER})
    assert again.status_code == 409
    assert "This page was out of date" in again.text
    fresh = form | {"ticket": ticket_of(again.text), "number": NUMBER}
    assert (await send(site, client, session, fresh)).status_code == 303
    assert (await site.intent_of(session)).status == "succeeded"


async def test_what_is_paid_is_the_amount_that_was_shown(site: SiteWorld) -> None:
    order = await site.order()
    session, client = await site.session(order), site.browser()
    form = await form_of(site, client, session)
    await site.pay_part(order, 5_000)
    changed = await send(site, client, session, form)
    assert changed.status_code == 409
    assert "The amount due has changed" in changed.text
    assert "Pay ¥79.00" in changed.text
    assert len(await site.charges_of(order)) == 1, "the part, and nothing more"


async def test_a_ticket_of_another_session_is_worth_nothing(site: SiteWorld) -> None:
    mine, other, client = await site.session(), await site.session(), site.browser()
    form = await form_of(site, client, mine)
    for ticket in (form["ticket"], "", "A" * 56, "é" * 500):
        assert (await send(site, client, other, form | {"ticket": ticket})).status_code == 409
    assert await site.charges_of(other.order_id) == []


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": ""}],
)
async def test_a_form_on_a_strangers_page_is_refused(site: SiteWorld, headers: dict[str, str]) -> None:
    session, client = await site.session(), site.browser()
    form = await form_of(site, client, session)
    answer = await send(site, client, session, form, **headers)
    assert answer.status_code == 403
    assert "did not come from our page" in answer.text
    assert await site.charges_of(session.order_id) == []


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("number", "4242424242424241", "This card number is not right"),
        ("number", "", "Enter the card number"),
        ("number", "5000000000000009", "This card number is not right"),  # checks here, and no issuer has it
        ("expiry", "01/20", "This card has expired"),
        ("cvc", "1", "3 digits"),
    ],
)
async def test_a_wrong_field_is_marked_and_nothing_that_was_typed_comes_back(
    site: SiteWorld, field: str, value: str, words: str
) -> None:
    session, client = await site.session(), site.browser()
    typed = {"number": "5555 5555 5555 4444", "expiry": "11 / 48", "cvc": "987"} | {field: value}
    form = await form_of(site, client, session, **typed)
    answer = await send(site, client, session, form)
    assert answer.status_code in (402, 422)
    assert 'aria-invalid="true"' in answer.text
    assert words in answer.text
    assert "Nothing was charged" in answer.text
    assert not any(f'value="{text}"' in answer.text for text in typed.values())
    assert "5555" not in answer.text
    assert await site.charges_of(session.order_id) == []


async def test_the_pages_own_script_gets_the_same_as_fields(site: SiteWorld) -> None:
    session, client = await site.session(), site.browser("zh")
    form = await form_of(site, client, session, cvc="1")
    told = (await send(site, client, session, form, Accept="application/json")).json()
    assert (told["fields"], told["certain"], told["reload"]) == ({"cvc": "3 位或 4 位数字"}, True, False)
    done = await send(site, client, session, form | {"cvc": "123", "ticket": told["ticket"]}, Accept="application/json")
    assert done.json() == {"go": site.path(session)}


async def test_a_card_leaves_nothing_but_its_last_digits(site: SiteWorld, caplog: pytest.LogCaptureFixture) -> None:
    session, client = await site.session(), site.browser()
    await site.pay(client, session, number="4000000000000127")
    await site.pay(client, session)
    page = (await client.get(site.path(session))).text
    tables = await site.services.pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    kept = ""
    for table in tables:
        rows = await site.services.pool.fetch(f'SELECT t::text FROM "{table[0]}" t')
        kept += "\n".join(row[0] for row in rows)
    for number in (NUMBER, "4242 4242 4242 4242", "4000000000000127"):
        assert number not in kept + page + caplog.text


async def test_3d_secure_leads_to_the_bank_and_back_to_the_receipt(site: SiteWorld) -> None:
    session, client = await site.session(), site.browser()
    assert (await site.pay(client, session, number="4000002500003155")).status_code == 303
    page = await client.get(site.path(session))
    step = (await site.intent_of(session)).next_action
    assert step is not None
    assert f'href="{step["redirect_to_url"]["url"]}"' in page.text
    back = await site.at_bank(client, step["redirect_to_url"]["url"])
    assert (back.status_code, back.headers["location"]) == (303, site.path(session))
    assert 'data-state="paid"' in (await client.get(site.path(session))).text


async def test_a_shopper_who_says_no_at_the_bank_can_try_again(site: SiteWorld) -> None:
    session, client = await site.session(), site.browser()
    await site.pay(client, session, number="4000002500003155")
    step = (await site.intent_of(session)).next_action
    assert step is not None
    await site.at_bank(client, step["redirect_to_url"]["url"], "decline")
    page = (await client.get(site.path(session))).text
    assert "could not confirm that it was you" in page
    assert (await site.pay(client, session)).status_code == 303
    assert (await site.intent_of(session)).status == "succeeded"


async def test_a_shopper_who_lost_the_banks_page_can_pay_in_another_way(site: SiteWorld) -> None:
    session, client = await site.session(), site.browser()
    await site.pay(client, session, number="4000002500003155")
    page = (await client.get(site.path(session))).text
    forged = await client.post(f"{site.path(session)}/stop", data={"ticket": "x"})
    assert forged.status_code == 303
    assert (await site.intent_of(session)).status == "requires_action"
    stopped = await client.post(f"{site.path(session)}/stop", data={"ticket": ticket_of(page)})
    assert stopped.status_code == 303
    page = (await client.get(site.path(session))).text
    assert "The last attempt was cancelled. Nothing was charged." in page
    assert (await site.pay(client, session)).status_code == 303
    assert (await site.intent_of(session)).status == "succeeded"


async def test_a_slow_bank_does_not_hold_the_page_and_the_payment_goes_on(
    site: SiteWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paying, "WAIT_S", 0.2)
    session, client = await site.session(), site.browser()
    await site.faults({"kind": "slow", "delay_ms": 1_200, "next": 1, "verbs": ["charge"], "when": "before"})
    assert (await site.pay(client, session)).status_code == 303
    page = (await client.get(site.path(session))).text
    assert 'data-state="waiting"' in page
    assert "usually takes a few seconds" in page
    for _ in range(50):
        if (await site.intent_of(session)).status == "succeeded":
            break
        await asyncio.sleep(0.1)
    assert 'data-state="paid"' in (await client.get(site.path(session))).text


async def test_when_the_card_network_is_away_nothing_is_charged_and_the_page_says_so(site: SiteWorld) -> None:
    session, client = await site.session(), site.browser()
    await site.faults({"kind": "server_error", "next": 1, "verbs": ["token"]})
    answer = await site.pay(client, session)
    assert answer.status_code == 503
    for text in ("cannot reach the card network", "Nothing was charged"):
        assert text in answer.text
    assert (await site.pay(client, session)).status_code == 303


async def test_trying_out_card_numbers_comes_to_an_end(site: SiteWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paying, "TRIES_MAX", 3)
    session, client = await site.session(), site.browser()
    answers = [await site.pay(client, session, number="4000000000000002") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [303, 303, 303, 429]
    assert "too many attempts" in answers[-1].text
    assert len(await site.charges_of(session.order_id)) == 3


@pytest.mark.parametrize("change", ["expired", "paid"])
async def test_a_form_for_a_checkout_that_is_over_charges_nothing_and_shows_why(site: SiteWorld, change: str) -> None:
    order = await site.order()
    session, client = await site.session(order), site.browser()
    form = await form_of(site, client, session)
    if change == "expired":
        await site.expire(session)
    else:
        await site.pay_part(order, 12_900)
    before = len(await site.charges_of(order))
    assert (await send(site, client, session, form)).status_code == 303
    assert len(await site.charges_of(order)) == before


async def test_the_shops_own_intent_comes_back_from_the_bank_to_the_shops_address(site: SiteWorld) -> None:
    payments = site.services.payments
    choice = await site.choice("pm_card_threeDSecure2Required")
    command: Any = CreateIntent(
        amount=900, currency="cny", confirm=choice, return_url="https://tea.example/back?cart=7#pay",
        payment_method_types=["card"],
    )  # fmt: skip
    intent = (await payments.run(site.merchant_id, command, None, None)).value.intent
    back = await site.at_bank(site.browser(), intent.next_action["redirect_to_url"]["url"])
    assert back.status_code == 303
    assert back.headers["location"] == (
        f"https://tea.example/back?cart=7&payment_intent={intent.id}"
        f"&payment_intent_client_secret={intent.client_secret}&redirect_status=succeeded#pay"
    )


async def test_the_way_back_from_the_bank_needs_the_intents_secret(site: SiteWorld) -> None:
    session, client = await site.session(), site.browser()
    await site.pay(client, session, number="4000002500003155")
    intent = await site.intent_of(session)
    for secret in ("", "wrong", "é", intent.client_secret):
        answer = await client.get(f"/return/{site.merchant_id}/{intent.id}", params={"secret": secret})
        assert answer.status_code == 404
    right = intent.client_secret.rpartition("_")[2]
    for _ in range(2):
        answer = await client.get(f"/return/{site.merchant_id}/{intent.id}", params={"secret": right})
        assert (answer.status_code, answer.headers["location"]) == (303, site.path(session))


async def test_an_order_without_a_session_has_a_checkout_of_its_own(site: SiteWorld) -> None:
    order, client = await site.order(), site.browser()
    address = f"/o/{site.merchant_id.removeprefix('acct_')}/{order.id}"
    first = await client.get(address)
    assert first.status_code == 303
    assert (await client.get(address)).headers["location"] == first.headers["location"], "the same one again"
    page = await client.get(first.headers["location"])
    form = {"ticket": ticket_of(page.text), "method": "card", **GOOD_CARD}
    assert (await client.post(f"{first.headers['location']}/pay", data=form)).status_code == 303
    paid = await client.get((await client.get(address)).headers["location"])
    assert 'data-state="paid"' in paid.text
    assert "Back to the shop" not in paid.text


async def test_an_order_that_is_over_and_never_had_a_session_shows_that(site: SiteWorld) -> None:
    order = await site.order()
    await site.pay_part(order, 12_900)
    page = await site.browser().get(f"/o/{site.merchant_id.removeprefix('acct_')}/{order.id}")
    assert page.status_code == 200
    assert "already paid" in page.text


async def test_the_way_back_to_the_shop_without_paying(site: SiteWorld) -> None:
    session, other = await site.session(), await site.session(cancel_url=None)
    assert (await site.browser().get(site.path(session) + "/cancel")).headers["location"] == "https://tea.example/cart"
    assert (await site.browser().get(site.path(other) + "/cancel")).headers["location"] == site.path(other)
