"""The shop in a real browser: a whole purchase with and without JavaScript, in both languages."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.sandbox.shop_world import World, shop_world

playwright = pytest.importorskip("playwright.async_api")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # fmt: skip


@asynccontextmanager
async def page_at(world: World, **options: Any) -> AsyncIterator[Any]:
    """A page in a fresh browser; whatever it complains of (a broken policy, a script's error) fails the test."""
    complaints: list[str] = []

    def note(message: Any) -> None:
        if message.type == "error" and message.location["url"].startswith(world.url):
            complaints.append(message.text)

    async with playwright.async_playwright() as p:
        browser = await p.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        page = await (await browser.new_context(**options)).new_page()
        page.on("console", note)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(world.url + "/")
        yield page
        await browser.close()
    assert complaints == []


async def purchase(world: World, page: Any, button: str) -> str:
    """Put a tea into the cart, check out, arrive at the hosted page. Returns the session's id."""
    await page.click("#longjing button")
    await page.click(".told a")
    await page.get_by_role("button", name=button, exact=True).click()
    await page.wait_for_url(f"{world.api.url}/pay/*")
    session: str = page.url.rpartition("/")[2]
    await page.goto(world.api.sessions[session]["success_url"])
    return session


@pytest.mark.parametrize(
    ("locale", "button", "waiting", "paid"),
    [
        ("zh-CN", "去结算", "等待付款确认", "已付款"),
        ("en-GB", "Check out", "Waiting for confirmation", "Paid"),
    ],
)
async def test_the_order_page_turns_paid_and_then_refunded_without_a_reload(
    tmp_path: Path, locale: str, button: str, waiting: str, paid: str
) -> None:
    phone = {"width": 390, "height": 844}
    async with shop_world(tmp_path) as world, page_at(world, locale=locale, viewport=phone) as page:
        session = await purchase(world, page, button)
        assert waiting in await page.inner_text(".news")
        await page.evaluate("window.mark = 'same document'")
        await page.click("#behind > summary")  # stays open, and keeps the focus
        await world.tell(*world.api.pays(session))
        await page.wait_for_selector(".stamp")
        assert paid in await page.inner_text("#due")
        assert await page.get_attribute("#behind", "open") is not None
        assert await page.evaluate("document.activeElement.parentElement.id") == "behind"
        await world.tell(world.api.gives_back(session, 8800))
        await page.wait_for_selector(".stamp.back")
        assert await page.evaluate("window.mark") == "same document"
        assert await page.evaluate("document.documentElement.scrollWidth") == 390


async def test_everything_works_without_javascript(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, page_at(world, java_script_enabled=False, locale="en") as page:
        session = await purchase(world, page, "Check out")
        assert "Waiting for confirmation" in await page.inner_text(".news")
        await world.tell(*world.api.pays(session))
        await page.wait_for_selector(".stamp", timeout=10_000)  # by its own reload
        await page.goto(f"{world.url}/admin")
        await page.get_by_role("button", name="Refund").click()
        assert "Refund submitted: ¥88.00" in await page.inner_text(".note")
