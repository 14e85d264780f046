"""Shoppers in a real browser: each way to pay, in both languages, on phone and desktop, with and without script."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, ViewportSize, expect
from tests.web.browser import DESKTOP, PHONE, fill_card, open_browser, open_page, state
from tests.web.site_world import SHOP, SiteWorld

LOOKS = pytest.mark.parametrize(
    ("language", "viewport"), [("zh", PHONE), ("en", DESKTOP)], ids=["zh-phone", "en-desktop"]
)
ASKS_BANK = "4000002500003155"
WORDS = {
    "zh": {
        "pay": "支付 ¥129.00", "paid": "已付款", "back": "返回商店", "next": "下一步", "other": "换一种付款方式",
        "declined": "付款未成功，没有扣款。", "approve": "确认付款", "bank": "前往银行确认", "balance": "账户余额",
    },
    "en": {
        "pay": "Pay ¥129.00", "paid": "Paid", "back": "Back to the shop", "next": "Continue",
        "other": "Use another way",
        "declined": "Not paid. Nothing was charged.", "approve": "Approve", "bank": "Continue to the bank",
        "balance": "Account balance",
    },
}  # fmt: skip


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as opened:
        yield opened


@LOOKS
async def test_a_card_is_typed_paid_and_the_page_turns_into_a_receipt(
    site: SiteWorld, browser: Browser, language: str, viewport: ViewportSize
) -> None:
    session, words = await site.session(), WORDS[language]
    async with open_page(browser, site.url, language, viewport) as page:
        await page.goto(site.path(session))
        await page.evaluate("window.isTheSame = true")
        await fill_card(page)
        await expect(page.locator("#number")).to_have_value("4242 4242 4242 4242")
        await expect(page.locator("#expiry")).to_have_value("12 / 49")
        await expect(page.locator("#brand")).to_have_text("Visa")
        await page.get_by_role("button", name=words["pay"]).click()
        await state(page, "paid")
        assert await page.evaluate("window.isTheSame") is True, "without a reload"
        await expect(page.get_by_role("heading", level=1)).to_contain_text(words["paid"])
        await expect(page.locator("#news")).to_contain_text(words["paid"])
        await expect(page).to_have_title(re.compile(words["paid"]))
        await page.get_by_role("link", name=words["back"]).click()
        await page.wait_for_url(f"{SHOP}/done?session={session.id}")


@LOOKS
async def test_3d_secure_goes_to_the_bank_and_comes_back_paid(
    site: SiteWorld, browser: Browser, language: str, viewport: ViewportSize
) -> None:
    session, words = await site.session(), WORDS[language]
    async with open_page(browser, site.url, language, viewport) as page:
        await page.goto(site.path(session))
        await fill_card(page, ASKS_BANK)
        await page.get_by_role("button", name=words["pay"]).click()
        await page.wait_for_url(f"{site.sandbox.url}/**")
        await page.get_by_role("button", name=words["approve"]).click()
        await page.wait_for_url(f"{site.url}{site.path(session)}")
        await state(page, "paid")


async def test_back_from_the_bank_does_not_send_the_shopper_there_again(site: SiteWorld, browser: Browser) -> None:
    session, words = await site.session(), WORDS["en"]
    async with open_page(browser, site.url) as page:
        await page.goto(site.path(session))
        await fill_card(page, ASKS_BANK)
        await page.get_by_role("button", name=words["pay"]).click()
        await page.wait_for_url(f"{site.sandbox.url}/**")
        await page.go_back()
        await state(page, "action")
        await page.wait_for_timeout(400)
        await expect(page.get_by_role("link", name=words["bank"])).to_be_visible()
        await page.get_by_role("button", name=words["other"]).click()
        await state(page, "open")
        await fill_card(page)
        await page.get_by_role("button", name=words["pay"]).click()
        await state(page, "paid")


@LOOKS
async def test_a_refused_card_is_followed_by_one_that_pays(
    site: SiteWorld, browser: Browser, language: str, viewport: ViewportSize
) -> None:
    session, words = await site.session(), WORDS[language]
    async with open_page(browser, site.url, language, viewport) as page:
        await page.goto(site.path(session))
        await fill_card(page, "4000000000000002")
        await page.get_by_role("button", name=words["pay"]).click()
        await expect(page.get_by_role("alert")).to_contain_text(words["declined"])
        await expect(page.get_by_role("alert")).to_be_focused()
        await expect(page.locator("#number")).to_have_value("")
        await fill_card(page)
        await page.get_by_role("button", name=words["pay"]).click()
        await state(page, "paid")
    assert [charge.status for charge in await site.charges_of(session.order_id)] == ["failed", "succeeded"]


async def test_a_wrong_security_code_does_not_make_the_shopper_type_the_card_again(
    site: SiteWorld, browser: Browser
) -> None:
    session = await site.session()
    async with open_page(browser, site.url) as page:
        await page.goto(site.path(session))
        await fill_card(page, "4000000000000127")
        await page.get_by_role("button", name="Pay ¥129.00").click()
        await expect(page.get_by_role("alert")).to_contain_text("security code does not match")
        await expect(page.locator("#number")).to_have_value("4000 0000 0000 0127")
        await expect(page.locator("#cvc")).to_have_value("")


async def test_fields_are_checked_as_they_are_left_and_before_anything_is_sent(
    site: SiteWorld, browser: Browser
) -> None:
    session = await site.session()
    async with open_page(browser, site.url) as page:
        await page.goto(site.path(session))
        await fill_card(page, "4242424242424241", "1320", "1")
        await page.get_by_role("button", name="Pay ¥129.00").click()
        await expect(page.locator("#number")).to_be_focused()
        for name in ("number", "expiry", "cvc"):
            await expect(page.locator(f"#{name}")).to_have_attribute("aria-invalid", "true")
            await expect(page.locator(f"#{name}-error")).not_to_be_empty()
        await page.locator("#number").fill("4242424242424242")
        await expect(page.locator("#number-error")).to_be_empty()
        await page.locator("#expiry").fill("12/2049")
        await expect(page.locator("#expiry")).to_have_value("12 / 2049")
        await page.locator("#cvc").fill("123")
        await page.locator("#cvc").press("Enter")
        await state(page, "paid")


async def test_an_american_express_and_a_unionpay_card_are_grouped_as_on_the_card(
    site: SiteWorld, browser: Browser
) -> None:
    async with open_page(browser, site.url, "zh") as page:
        await page.goto(site.path(await site.session()))
        await page.locator("#number").press_sequentially("378282246310005")
        await expect(page.locator("#number")).to_have_value("3782 822463 10005")
        await page.locator("#number").fill("6205500000000000004")
        await expect(page.locator("#number")).to_have_value("6205 5000 0000 0000 004")
        await expect(page.locator("#brand")).to_have_text("银联")
        await page.locator("#number").press("Backspace")
        await expect(page.locator("#number")).to_have_value("6205 5000 0000 0000 00")


@LOOKS
async def test_a_customer_pays_from_the_balance_in_two_steps(
    site: SiteWorld, browser: Browser, language: str, viewport: ViewportSize
) -> None:
    words, customer = WORDS[language], await site.customer(20_000)
    session = await site.session(customer=customer.id)
    async with open_page(browser, site.url, language, viewport) as page:
        await page.goto(site.path(session))
        await page.get_by_role("radio", name=re.compile(words["balance"])).check()
        await page.get_by_role("button", name=words["next"]).click()
        await expect(page.get_by_text("¥71.00")).to_be_visible()
        await page.get_by_role("button", name=words["pay"]).click()
        await state(page, "paid")


async def test_a_saved_card_pays_with_one_more_tap(site: SiteWorld, browser: Browser) -> None:
    customer = await site.customer()
    await site.save_card(customer)
    session = await site.session(customer=customer.id)
    async with open_page(browser, site.url) as page:
        await page.goto(site.path(session))
        await page.get_by_role("button", name="Continue").click()
        await expect(page.get_by_role("heading", name="Visa •••• 4242")).to_be_visible()
        await page.get_by_role("button", name="Pay ¥129.00").click()
        await state(page, "paid")


@LOOKS
async def test_without_script_everything_works_too(
    site: SiteWorld, browser: Browser, language: str, viewport: ViewportSize
) -> None:
    words, customer = WORDS[language], await site.customer(1)
    session = await site.session(customer=customer.id)
    async with open_page(browser, site.url, language, viewport, javascript=False, quiet=("422",)) as page:
        await page.goto(site.path(session))
        await page.get_by_role("button", name=words["next"]).click()
        await page.get_by_role("button", name=words["pay"]).click()
        await expect(page.locator("#number")).to_have_attribute("aria-invalid", "true")
        await fill_card(page, ASKS_BANK, "12/49")
        await page.get_by_role("button", name=words["pay"]).click()
        await page.get_by_role("link", name=words["bank"]).click()
        await page.get_by_role("button", name=words["approve"]).click()
        await state(page, "paid")
        await expect(page.get_by_role("link", name=words["back"])).to_be_visible()


async def test_without_script_a_waiting_page_looks_again_by_itself(site: SiteWorld, browser: Browser) -> None:
    session = await site.session()
    await site.faults({"kind": "server_error", "next": 9, "when": "before", "verbs": ["charge", "query"]})
    await site.pay(site.browser(), session)
    await site.faults()
    async with open_page(browser, site.url, javascript=False) as page:
        await page.goto(site.path(session))
        await state(page, "waiting")
        await site.ask_bank_again(session)
        await state(page, "paid")


@pytest.mark.parametrize("events", ["by events", "by asking"])
async def test_an_unknown_outcome_turns_into_a_receipt_by_itself(
    site: SiteWorld, browser: Browser, events: str
) -> None:
    session = await site.session()
    await site.faults({"kind": "server_error", "next": 9, "when": "before", "verbs": ["charge", "query"]})
    async with open_page(browser, site.url, quiet=("503",)) as page:
        if events == "by asking":
            await page.route("**/events?*", lambda route: route.fulfill(status=503))
        await page.goto(site.path(session))
        await fill_card(page)
        await page.get_by_role("button", name="Pay ¥129.00").click()
        await state(page, "waiting")
        await expect(page.get_by_text("Please do not pay again")).to_be_visible()
        await site.faults()
        await site.ask_bank_again(session)
        await state(page, "paid")


async def test_clicking_twice_pays_once(site: SiteWorld, browser: Browser) -> None:
    session = await site.session()
    await site.faults({"kind": "slow", "delay_ms": 500, "next": 1, "verbs": ["charge"]})
    async with open_page(browser, site.url) as page:
        await page.goto(site.path(session))
        await fill_card(page)
        await page.get_by_role("button", name="Pay ¥129.00").dblclick()
        await expect(page.get_by_role("button", name="Paying…")).to_be_visible()
        await state(page, "paid")
    assert len(await site.charges_of(session.order_id)) == 1


async def test_a_connection_that_breaks_can_be_tried_again_and_pays_once(site: SiteWorld, browser: Browser) -> None:
    session = await site.session()
    async with open_page(browser, site.url, quiet=("Failed to load",)) as page:
        await page.goto(site.path(session))
        await page.route("**/pay", lambda route: route.abort(), times=1)
        await fill_card(page)
        await page.get_by_role("button", name="Pay ¥129.00").click()
        await expect(page.get_by_role("alert")).to_contain_text("you will not be charged twice")
        await expect(page.get_by_text("Nothing was charged.")).to_be_hidden()  # who knows
        await page.get_by_role("button", name="Pay ¥129.00").click()
        await state(page, "paid")
    assert len(await site.charges_of(session.order_id)) == 1


async def test_the_receipt_leads_back_to_the_shop_by_itself_unless_told_to_stay(
    site: SiteWorld, browser: Browser
) -> None:
    session = await site.session()
    await site.pay(site.browser(), session)
    async with open_page(browser, site.url) as page:
        await page.clock.install()
        await page.goto(site.path(session))
        await expect(page.get_by_text(re.compile("Back to the shop in 10 s"))).to_be_visible()
        await page.get_by_role("button", name="Stay here").click()
        await page.clock.run_for(15_000)
        await state(page, "paid")
        await page.reload()
        await page.clock.run_for(11_000)
        await page.wait_for_url(f"{SHOP}/done?session={session.id}")


async def test_times_are_told_in_the_readers_own_zone(site: SiteWorld, browser: Browser) -> None:
    session = await site.session()
    await site.pay(site.browser(), session)
    async with open_page(browser, site.url) as page:
        await page.goto(site.path(session))
        time = page.locator("time")
        told = await page.evaluate(
            "at => new Intl.DateTimeFormat('en-GB', {timeZone: 'America/New_York', hour: '2-digit',"
            " minute: '2-digit', hourCycle: 'h23'}).format(new Date(at))",
            await time.get_attribute("datetime"),
        )
        await expect(time).to_contain_text(told)


async def test_the_language_can_be_changed_on_the_way(site: SiteWorld, browser: Browser) -> None:
    customer = await site.customer(20_000)
    session = await site.session(customer=customer.id)
    async with open_page(browser, site.url, "en") as page:
        await page.goto(site.path(session) + "?method=customer_balance")
        await page.get_by_role("link", name="中文").click()
        await expect(page.get_by_role("button", name="支付 ¥129.00")).to_be_visible()
        await page.get_by_role("button", name="支付 ¥129.00").click()
        await state(page, "paid")
        await expect(page.get_by_role("heading", level=1)).to_contain_text("已付款")
