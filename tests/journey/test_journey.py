"""The main job, as a user does it: the demo's shop, the checkout, a card with 3-D Secure, paid. In both languages.

``SCREENSHOTS=docs/screenshots`` writes the pictures of the README.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect
from tests.operations.demo_under_test import RunningDemo, new_folder, remove, start_demo, until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CONTINUE = {"en": "Continue", "zh": "下一步"}
PAID = {"en": "Paid", "zh": "已付款"}
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
async def demo() -> AsyncIterator[RunningDemo]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    folder = new_folder()
    running = await start_demo(folder, "--port", "0")
    yield running
    await running.stop()
    remove(folder)


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield opened
        await opened.close()


async def shot(page: Page, name: str) -> None:
    folder = os.environ.get("SCREENSHOTS")
    if folder and page.viewport_size == PHONE:
        Path(folder).mkdir(parents=True, exist_ok=True)
        await page.wait_for_timeout(800)  # what moves has come to rest
        await page.screenshot(path=f"{folder}/journey-{name}.png")


async def fill_cart_and_leave(page: Page, demo: RunningDemo, language: str) -> None:
    await page.goto(demo.facts["store_url"])
    await expect(page.locator("html")).to_have_attribute("lang", re.compile(f"^{language}"))
    await shot(page, f"{language}-shop")
    await page.locator("form[action*=cart] button").first.click()
    await page.goto(demo.facts["store_url"] + "cart")
    await page.locator("form[action*=checkout] button").first.click()
    await page.wait_for_url(demo.facts["url"] + "/c/**")


async def pay_by_card(page: Page, language: str, number: str) -> None:
    await page.locator("input[name=method][value=card]").check()
    await shot(page, f"{language}-method")
    await page.get_by_role("button", name=CONTINUE[language]).click()
    await page.locator("#number").fill(number)
    await page.locator("#expiry").fill("12 / 49")
    await page.locator("#cvc").fill("123")
    await shot(page, f"{language}-card")
    await page.locator("button[data-submit]").click()


@pytest.mark.parametrize(("language", "viewport"), [("zh", PHONE), ("en", PHONE), ("en", DESKTOP)])
async def test_a_shopper_buys_tea_with_a_card_and_three_d_secure(
    demo: RunningDemo, browser: Browser, language: str, viewport: dict[str, int]
) -> None:
    locale = {"zh": "zh-CN", "en": "en-US"}[language]
    context = await browser.new_context(viewport=viewport, locale=locale)  # type: ignore[arg-type]
    page = await context.new_page()
    blocked: list[str] = []
    page.on("console", lambda message: blocked.append(message.text) if message.type == "error" else None)
    await fill_cart_and_leave(page, demo, language)
    await pay_by_card(page, language, "4000002500003155")
    await page.wait_for_url(re.compile("/acquirer/"))
    await shot(page, f"{language}-challenge")
    await page.get_by_role("button").first.click()
    await page.wait_for_url(demo.facts["url"] + "/c/**")
    await expect(page.locator("main[data-state=paid]")).to_be_visible(timeout=15_000)
    await shot(page, f"{language}-paid")
    await page.locator("main a.primary").click()
    await page.wait_for_url(re.compile("/shop/orders/"))
    await expect(page.locator("main")).to_contain_text(PAID[language], timeout=15_000)
    await shot(page, f"{language}-order")
    assert blocked == []
    await context.close()


async def test_a_declined_card_says_so_and_the_balance_pays_instead(demo: RunningDemo, browser: Browser) -> None:
    context = await browser.new_context(viewport=DESKTOP, locale="en-US")  # type: ignore[arg-type]
    page = await context.new_page()
    await fill_cart_and_leave(page, demo, "en")
    await pay_by_card(page, "en", "4000000000000002")
    await expect(page.get_by_role("alert")).to_contain_text("Nothing was charged")
    await shot(page, "en-declined")
    await page.locator("input[name=method][value=customer_balance]").check()
    await page.get_by_role("button", name="Continue").click()
    await page.locator("button[data-submit]").click()
    await expect(page.locator("main[data-state=paid]")).to_be_visible()
    await context.close()


async def test_the_shop_was_told_by_webhooks_and_the_books_balance(demo: RunningDemo) -> None:
    async def delivered() -> bool:
        endpoint = demo.facts["webhook_endpoint"]
        answer = await demo.api.get(f"/v1/webhook_endpoints/{endpoint}/deliveries", params={"limit": 100})
        states = [delivery["status"] for delivery in answer.json()["data"]]
        return len(states) >= 8 and set(states) == {"delivered"}

    await until(delivered)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tongbao.cli", "books", "verify", "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "DATABASE_URL": demo.facts["database_url"]},
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out
    orders = (await demo.api.get("/v1/orders", params={"status": "paid"})).json()["data"]
    assert len(orders) == 4
