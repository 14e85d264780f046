"""What everybody needs to be able to pay: names, contrast, room for a thumb, a keyboard, a narrow screen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from playwright.async_api import Browser, Page, ViewportSize, expect
from tests.web.browser import DESKTOP, PHONE, open_browser, open_page, state
from tests.web.site_world import SiteWorld

from tongbao.web.checkout import cards
from tongbao.web.languages import Language, say

NARROW = ViewportSize(width=320, height=640)

# Contrast by WCAG 2.2, 1.4.3: every visible text against the nearest background that is not see-through.
CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgba = (color) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + .05) / (y + .05); };
  const behind = (element) => { for (; element; element = element.parentElement) {
    const color = rgba(getComputedStyle(element).backgroundColor); if (color[3] === 255) return color; }
    return rgba("white"); };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, style = getComputedStyle(element);
    if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest("noscript, .unseen")) continue;
    const size = parseFloat(style.fontSize), bold = Number(style.fontWeight) >= 700;
    const least = size >= 24 || (bold && size >= 18.66) ? 3 : 4.5;
    const found = ratio(rgba(style.color), behind(element));
    if (found < least) poor.push(`${walker.currentNode.data.trim().slice(0, 40)}: ${found.toFixed(2)}`);
  }
  for (const field of document.querySelectorAll("input:not([type=hidden]):not([type=radio])")) {
    const edge = ratio(rgba(getComputedStyle(field).borderTopColor), behind(field.parentElement));
    if (edge < 3) poor.push(`the edge of ${field.name}: ${edge.toFixed(2)}`);
  }
  return poor;
}"""

# Names by WCAG 2.2, 4.1.2, and what belongs to a well-built page.
FAULTS = """() => {
  const faults = [];
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of ids) if (ids.filter((other) => other === id).length > 1) faults.push(`twice: #${id}`);
  for (const field of document.querySelectorAll("input:not([type=hidden])")) {
    if (!field.labels.length) faults.push(`no label: ${field.name}`);
    for (const id of (field.getAttribute("aria-describedby") || "").split(" ").filter(Boolean))
      if (!document.getElementById(id)) faults.push(`describes nothing: ${id}`);
  }
  for (const thing of document.querySelectorAll("a, button, summary"))
    if (!thing.textContent.trim()) faults.push(`no name: ${thing.outerHTML}`);
  for (const picture of document.querySelectorAll("svg, .coin, .seal, .stamp"))
    if (picture.getAttribute("aria-hidden") !== "true") faults.push(`read aloud: ${picture.outerHTML}`);
  if (document.querySelectorAll("h1").length !== 1) faults.push("not one h1");
  if (document.querySelectorAll("main").length !== 1) faults.push("not one main");
  if (!document.documentElement.lang) faults.push("no language");
  if (!document.title.trim()) faults.push("no title");
  if (document.querySelectorAll(".primary").length > 1) faults.push("more than one thing to do");
  for (const button of document.querySelectorAll(".primary, .secondary, .field input, .method"))
    if (button.getBoundingClientRect().height < 44) faults.push(`too small for a thumb: ${button.textContent}`);
  for (const link of document.querySelectorAll("a, button, summary"))
    if (link.checkVisibility() && !link.closest("p:not(.fine), li, dl") && link.getBoundingClientRect().height < 24)
      faults.push(`too small a target: ${link.textContent}`);
  if (document.documentElement.scrollWidth > document.documentElement.clientWidth) faults.push("wider than the screen");
  return faults;
}"""

Step = Callable[[SiteWorld], Awaitable[str]]


async def choose(site: SiteWorld) -> str:
    customer = await site.customer(6_120)
    await site.save_card(customer)
    return site.path(await site.session(customer=customer.id))


async def card(site: SiteWorld) -> str:
    name = "超长的商品名称也不能撑破页面" * 6 + "Donaudampfschifffahrtsgesellschaftskapitän" * 3
    item = {"name": name, "unit_amount": 99_999_999_999, "quantity": 10, "amount": 999_999_999_990}
    order = await site.order(line_items=[item], amount_total=999_999_999_990, description=name[:1000])
    return site.path(await site.session(order))


async def refused(site: SiteWorld) -> str:
    session = await site.session()
    await site.pay(site.browser(), session, number="4000000000000002")
    return site.path(session)


async def bank(site: SiteWorld) -> str:
    session = await site.session()
    await site.pay(site.browser(), session, number="4000002500003155")
    return site.path(session)


async def waiting(site: SiteWorld) -> str:
    session = await site.session()
    await site.faults({"kind": "server_error", "next": 9, "when": "before", "verbs": ["charge", "query"]})
    await site.pay(site.browser(), session)
    return site.path(session)


async def paid(site: SiteWorld) -> str:
    session = await site.session()
    await site.pay(site.browser(), session)
    return site.path(session)


async def expired(site: SiteWorld) -> str:
    session = await site.session()
    await site.expire(session)
    return site.path(session)


async def landing(_: SiteWorld) -> str:
    return "/"


async def how_to_tell(_: SiteWorld) -> str:
    return "/how-to-tell"


async def errors(_: SiteWorld) -> str:
    return "/docs/errors"


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as opened:
        yield opened


async def faults_of(page: Page) -> list[str]:
    await page.wait_for_timeout(450)  # the stamp's movement
    found: list[str] = [*(await page.evaluate(FAULTS)), *(await page.evaluate(CONTRAST))]
    return found


@pytest.mark.parametrize("step", [choose, card, refused, bank, waiting, paid, expired, landing, how_to_tell, errors])
async def test_every_page_can_be_read_named_and_touched(site: SiteWorld, browser: Browser, step: Step) -> None:
    path = await step(site)
    looks = [("zh", PHONE, False), ("en", DESKTOP, True), ("en", NARROW, False), ("zh", NARROW, True)]
    for language, viewport, dark in looks:
        async with open_page(browser, site.url, language, viewport, dark=dark) as page:
            await page.goto(path)
            assert await faults_of(page) == [], (language, viewport, dark)


async def test_fields_with_errors_say_so_to_those_who_cannot_see(site: SiteWorld, browser: Browser) -> None:
    async with open_page(browser, site.url, "zh", dark=True) as page:
        await page.goto(site.path(await site.session()))
        await page.get_by_role("button", name="支付 ¥129.00").click()
        number = page.get_by_role("textbox", name="卡号")
        await expect(number).to_be_focused()
        await expect(number).to_have_accessible_description("卡号有误，请核对数字。")
        assert await faults_of(page) == []


async def test_a_payment_needs_no_mouse(site: SiteWorld, browser: Browser) -> None:
    customer = await site.customer(20_000)
    await site.save_card(customer)
    async with open_page(browser, site.url, viewport=DESKTOP) as page:
        await page.goto(site.path(await site.session(customer=customer.id)))
        for key in ("Tab", "Tab", "Tab", "ArrowDown", "ArrowDown", "Enter"):
            await page.keyboard.press(key)
        await page.wait_for_url("**?method=card")
        for _ in range(20):
            await page.keyboard.press("Tab")
            if await page.evaluate("document.activeElement.id") == "number":
                break
        outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", "where the keyboard is can be seen"
        for text in ("4242424242424242", "1249", "123"):
            await page.keyboard.type(text)
            await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await state(page, "paid")


async def test_nothing_moves_while_the_page_comes_up_or_an_error_appears(site: SiteWorld, browser: Browser) -> None:
    async with open_page(browser, site.url, viewport=DESKTOP) as page:
        await page.goto(site.path(await site.session()))
        button = page.get_by_role("button", name="Pay ¥129.00")
        before = await button.bounding_box()
        await page.locator("#number").fill("42")
        await page.locator("#cvc").fill("1")
        await page.locator("#expiry").fill("99")
        await page.locator("#expiry").blur()
        await expect(page.locator("#cvc-error")).not_to_be_empty()
        assert await button.bounding_box() == before


@pytest.mark.parametrize("language", ["zh", "en"])
async def test_whatever_a_field_may_say_fits_on_its_line_on_a_phone(
    site: SiteWorld, browser: Browser, language: Language
) -> None:
    texts = {
        "number": [cards.NUMBER_MISSING, cards.NUMBER_WRONG],
        "expiry": [cards.EXPIRY_MISSING, cards.EXPIRY_WRONG, cards.EXPIRY_PAST],
        "cvc": [cards.CVC_MISSING, cards.CVC_WRONG],
    }
    async with open_page(browser, site.url, language) as page:
        await page.goto(site.path(await site.session()))
        for name, said in texts.items():
            line = page.locator(f"#{name}-error")
            empty = await line.bounding_box()
            for text in said:
                await line.evaluate("(line, text) => { line.textContent = text; }", say(language, text))
                assert await line.bounding_box() == empty, text


async def test_who_wants_no_movement_gets_none(site: SiteWorld, browser: Browser) -> None:
    path = await waiting(site)
    async with open_page(browser, site.url) as page:
        await page.emulate_media(reduced_motion="reduce")
        await page.goto(path)
        assert await page.evaluate("document.getAnimations().length") == 0
        await page.emulate_media(reduced_motion="no-preference")
        assert await page.evaluate("document.getAnimations().length") > 0
