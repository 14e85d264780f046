"""A real browser for the pages' tests: it fails a test for whatever it complains of."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, ViewportSize, async_playwright

CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
]  # fmt: skip
PHONE = ViewportSize(width=390, height=844)
DESKTOP = ViewportSize(width=1280, height=900)
LOCALES = {"zh": "zh-CN", "en": "en-GB"}


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    """Debian's chromium, driven by Playwright; a skip that says what to do where it is missing."""
    if CHROMIUM is None:
        pytest.skip("needs a browser: apt-get install chromium fonts-noto-cjk")
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


@asynccontextmanager
async def open_page(
    browser: Browser,
    url: str,
    language: str = "en",
    viewport: ViewportSize = PHONE,
    *,
    javascript: bool = True,
    dark: bool = False,
    quiet: tuple[str, ...] = (),
) -> AsyncIterator[Page]:
    """A page in a context of its own. The shop's addresses answer with a page of their own.

    At the end: no error on the console (except those that hold a word of ``quiet``), no script that failed, and no
    request that our pages made of anybody else.
    """
    context: BrowserContext = await browser.new_context(
        viewport=viewport,
        locale=LOCALES[language],
        java_script_enabled=javascript,
        color_scheme="dark" if dark else "light",
        timezone_id="America/New_York",
        base_url=url,
    )
    await context.route(
        "https://tea.example/**", lambda route: route.fulfill(body="the shop", content_type="text/html")
    )
    page = await context.new_page()
    complaints: list[str] = []

    def note(message: Any) -> None:
        if message.type == "error" and not any(word in message.text for word in quiet):
            complaints.append(message.text)

    def ask(request: Any) -> None:
        origin = "/".join(request.frame.url.split("/")[:3])
        if not request.is_navigation_request() and not request.url.startswith((origin + "/", "data:")):
            complaints.append(f"{origin} asked {request.url}")

    page.on("console", note)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", ask)
    yield page
    await context.close()
    assert complaints == []


async def fill_card(page: Page, number: str = "4242424242424242", expiry: str = "1249", cvc: str = "123") -> None:
    """Type a card as a person does, key by key."""
    for name, text in (("number", number), ("expiry", expiry), ("cvc", cvc)):
        await page.locator(f"#{name}").press_sequentially(text)


async def state(page: Page, name: str, timeout_ms: float = 15_000) -> None:
    """Wait until the page shows this state."""
    await page.wait_for_selector(f'#sheet[data-state="{name}"]', timeout=timeout_ms)
