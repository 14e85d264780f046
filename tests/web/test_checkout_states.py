"""Each state of a checkout, as the server writes it, in both languages."""

from __future__ import annotations

import re

import pytest
from tests.web.site_world import SHOP, SiteWorld, ticket_of

from tongbao.checkout.model import CheckoutSession
from tongbao.orders.commands import CancelOrder

BOTH = pytest.mark.parametrize(
    ("language", "words"),
    [
        ("zh", {"due": "应付", "pay": "支付 ¥129.00", "items": "2 件商品", "payee": "山间茶", "lang": "zh-CN"}),
        ("en", {"due": "To pay", "pay": "Pay ¥129.00", "items": "2 items", "payee": "Hillside Tea", "lang": "en"}),
    ],
)


async def page(site: SiteWorld, session: CheckoutSession, language: str = "en", query: str = "") -> str:
    answer = await site.browser(language).get(site.path(session) + query)
    assert answer.status_code == 200, answer.text
    return answer.text


def state(html: str) -> str:
    found = re.search(r'data-state="(\w+)"', html)
    assert found
    return found[1]


@BOTH
async def test_a_guest_sees_payee_order_items_amount_and_the_card_form_at_once(
    site: SiteWorld, language: str, words: dict[str, str]
) -> None:
    html = await page(site, await site.session(), language)
    assert f'<html lang="{words["lang"]}">' in html
    for text in (*words.values(), "订单 2026-1122-0042", "明前龙井 50g", "¥88.00", '<data value="129.00">'):
        assert text in html
    assert 'autocomplete="cc-number"' in html
    assert 'inputmode="numeric"' in html
    assert "customer_balance" not in html


@BOTH
async def test_a_customer_chooses_between_saved_cards_balance_and_another_card(
    site: SiteWorld, language: str, words: dict[str, str]
) -> None:
    customer = await site.customer(50_000)
    method = await site.save_card(customer)
    session = await site.session(customer=customer.id)
    html = await page(site, session, language)
    assert re.findall(r'type="radio" name="method" value="([^"]+)"', html) == [method, "customer_balance", "card"]
    assert "Visa •••• 4242" in html
    assert 'name="number"' not in html
    confirm = await page(site, session, language, "?method=customer_balance")
    for text in (words["pay"], words["payee"], "林月", "¥371.00"):
        assert text in confirm


async def test_a_balance_that_is_too_low_is_shown_with_the_reason_and_cannot_be_chosen(site: SiteWorld) -> None:
    customer = await site.customer(6_120)
    session = await site.session(customer=customer.id)
    html = await page(site, session, "zh")
    assert "余额 ¥61.20，不足以支付本单" in html
    assert re.search(r'value="customer_balance" disabled', html)
    assert "不足以支付本单" in await page(site, session, "zh", "?method=customer_balance")


async def test_a_saved_card_that_has_expired_cannot_be_chosen(site: SiteWorld) -> None:
    customer = await site.customer()
    method = await site.save_card(customer)
    await site.services.pool.execute(
        "UPDATE payment_methods SET card = jsonb_set(card::jsonb, '{exp_year}', '2020') "
        "WHERE merchant_id = $1 AND id = $2",
        site.merchant_id,
        method,
    )
    assert "This card has expired" in await page(site, await site.session(customer=customer.id))


async def test_another_customers_card_is_not_offered(site: SiteWorld) -> None:
    other, customer = await site.customer(), await site.customer()
    method = await site.save_card(other)
    session = await site.session(customer=customer.id)
    assert method not in await page(site, session)
    client = site.browser()
    ticket = ticket_of((await client.get(site.path(session) + "?method=card")).text)
    refused = await client.post(site.path(session) + "/pay", data={"ticket": ticket, "method": method})
    assert refused.status_code == 422
    assert await site.charges_of(session.order_id) == []


async def test_only_the_methods_that_the_shop_wants_are_offered(site: SiteWorld) -> None:
    customer = await site.customer(50_000)
    session = await site.session(customer=customer.id, payment_method_types=["customer_balance"])
    html = await page(site, session)
    assert 'name="number"' not in html
    assert "Balance afterwards" in html


async def test_a_partly_paid_order_shows_what_is_paid_and_what_remains(site: SiteWorld) -> None:
    order = await site.order()
    await site.pay_part(order, 5_000)
    html = await page(site, await site.session(order), "zh")
    assert "共 ¥129.00，已付 ¥50.00，以上为剩余应付。" in html
    assert "支付 ¥79.00" in html


@BOTH
async def test_a_paid_page_is_a_receipt_with_the_way_back_to_the_shop(
    site: SiteWorld, language: str, words: dict[str, str]
) -> None:
    session = await site.session()
    assert (await site.pay(site.browser(language), session)).status_code == 303
    html = await page(site, session, language)
    intent = await site.intent_of(session)
    assert state(html) == "paid"
    for text in (intent.id, "Visa •••• 4242", words["payee"], "付讫" if language == "zh" else "PAID", "<time "):
        assert text in html
    assert f'href="{SHOP}/done?session={session.id}"' in html


async def test_a_refund_shows_on_the_receipt(site: SiteWorld) -> None:
    session = await site.session()
    await site.pay(site.browser(), session)
    await site.refund(session, 4_100)
    assert re.search(r"Returned to you</dt><dd>¥41.00", await page(site, session))


@BOTH
async def test_a_declined_card_says_why_that_nothing_was_charged_and_offers_another_try(
    site: SiteWorld, language: str, words: dict[str, str]
) -> None:
    session = await site.session()
    answer = await site.pay(site.browser(language), session, number="4000000000009995")
    assert answer.status_code == 303
    html = await page(site, session, language)
    assert state(html) == "open"
    told = (
        ("付款未成功，没有扣款。", "卡内余额不足") if language == "zh" else ("Nothing was charged.", "not enough money")
    )
    for text in (*told, words["pay"]):
        assert text in html


async def test_an_order_paid_by_another_session_says_so(site: SiteWorld) -> None:
    order = await site.order()
    session = await site.session(order)
    await site.pay(site.browser(), await site.session(order))
    html = await page(site, session)
    assert state(html) == "settled"
    assert "already paid" in html


async def test_expired_and_canceled_checkouts_say_so_and_lead_back(site: SiteWorld) -> None:
    expired = await site.session()
    await site.expire(expired)
    order = await site.order()
    canceled = await site.session(order)
    await site.run(CancelOrder(order.id))
    for session, name in ((expired, "expired"), (canceled, "canceled")):
        html = await page(site, session)
        assert state(html) == name
        assert f'href="{SHOP}/cart"' in html
        assert "Nothing was charged" in html


async def test_money_that_comes_after_the_end_is_explained_with_where_it_goes(site: SiteWorld) -> None:
    order = await site.order()
    session = await site.session(order)
    client = site.browser()
    await site.pay(client, session, number="4000002500003155")
    await site.run(CancelOrder(order.id))
    intent = await site.intent_of(session)
    assert intent.next_action is not None
    await site.at_bank(client, intent.next_action["redirect_to_url"]["url"])
    html = await page(site, session, "zh")
    assert state(html) == "late"
    assert "款项将原路退回：Visa •••• 3155" in html


async def test_an_unknown_outcome_tells_when_it_is_asked_about_next_and_not_to_pay_again(site: SiteWorld) -> None:
    session = await site.session()
    await site.faults({"kind": "server_error", "next": 9, "when": "before", "verbs": ["charge", "query"]})
    await site.pay(site.browser(), session)
    html = await page(site, session)
    assert state(html) == "waiting"
    for text in ("We ask again at", "Please do not pay again", '<meta http-equiv="refresh" content="5">'):
        assert text in html
    await site.faults()
    await site.ask_bank_again(session)
    assert state(await page(site, session)) == "paid"


async def test_test_mode_says_that_no_real_money_moves(site: SiteWorld) -> None:
    assert "No real money moves" in await page(site, await site.session())


async def test_the_page_speaks_the_shops_language_until_the_shopper_asks_for_another(site: SiteWorld) -> None:
    session = await site.session(locale="zh")
    client = site.browser("en")
    path = site.path(session)
    assert "应付" in (await client.get(path)).text
    assert "To pay" in (await client.get(path + "?lang=en")).text
    assert "To pay" in (await client.get(path)).text, "the choice is remembered within this checkout"
    assert "应付" in (await client.get(site.path(await site.session(locale="zh")))).text, "and only there"


async def test_the_order_id_is_not_given_away(site: SiteWorld) -> None:
    order = await site.order(description=None)
    html = await page(site, await site.session(order))
    assert order.id not in html
    assert order.id[-8:].upper() in html


async def test_what_a_shop_writes_is_text_and_not_html(site: SiteWorld) -> None:
    evil = '"><script>alert(1)</script>{{7*7}}%(x)s'
    item = {"name": evil, "unit_amount": 100, "quantity": 1, "amount": 100}
    order = await site.order(line_items=[item], amount_total=100, description=evil)
    customer = await site.customer(name=evil)
    html = await page(site, await site.session(order, customer=customer.id, cancel_url="javascript:alert(1)"))
    assert "<script>alert" not in html
    assert "&lt;script&gt;" in html
    assert "javascript:alert" not in html
    assert "{{7*7}}" in html
