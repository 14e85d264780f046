"""Photographs every state of the hosted pages, so that they can be looked at:

    .venv/bin/python -m tests.web.gallery FOLDER [--only NAME] [--all]

Each state in Chinese and English; ``--all`` also on phone and desktop, light and dark (otherwise a rotation of them).
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, ViewportSize, async_playwright
from tests.web.site_world import GOOD_CARD, SiteWorld, site_world

from tongbao.database import embedded
from tongbao.foundation.clock import now_ms
from tongbao.orders.commands import CancelOrder

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
PHONE = ViewportSize(width=390, height=844)
DESKTOP = ViewportSize(width=1280, height=900)
Step = Callable[[SiteWorld, Any], Awaitable[str]]


async def guest(site: SiteWorld, page: Any) -> str:
    return site.path(await site.session())


async def card_typed(site: SiteWorld, page: Any) -> str:
    path = await guest(site, page)
    await page.goto(site.url + path)
    await page.fill("#number", "4242424242424242")
    await page.fill("#expiry", "12 / 49")
    await page.fill("#cvc", "12")
    await page.locator("#cvc").blur()
    await page.locator(".items summary").first.click()
    return ""


async def choice(site: SiteWorld, page: Any) -> str:
    customer = await site.customer(50_000)
    await site.save_card(customer)
    await site.save_card(customer, "pm_card_unionpay")
    return site.path(await site.session(customer=customer.id))


async def choice_poor(site: SiteWorld, page: Any) -> str:
    customer = await site.customer(6_120)
    await site.save_card(customer)
    return site.path(await site.session(customer=customer.id))


async def balance(site: SiteWorld, page: Any) -> str:
    return await choice(site, page) + "?method=customer_balance"


async def only_poor(site: SiteWorld, page: Any) -> str:
    customer = await site.customer(6_120)
    return site.path(await site.session(customer=customer.id, payment_method_types=["customer_balance"]))


async def declined(site: SiteWorld, page: Any) -> str:
    session = await site.session()
    await site.pay(site.browser(), session, number="4000000000009995")
    return site.path(session)


async def wrong_cvc(site: SiteWorld, page: Any) -> str:
    await page.goto(site.url + await guest(site, page))
    for name, value in (GOOD_CARD | {"number": "4000000000000127"}).items():
        await page.fill(f"#{name}", value)
    await page.click("[data-submit]")
    await page.wait_for_selector(".problem:not([hidden])")
    return ""


async def action(site: SiteWorld, page: Any) -> str:
    session = await site.session()
    await site.pay(site.browser(), session, number="4000002500003155")
    return site.path(session)


async def unknown(site: SiteWorld, page: Any) -> str:
    session = await site.session()
    await site.faults({"kind": "server_error", "next": 9, "when": "before", "verbs": ["charge", "query"]})
    await site.pay(site.browser(), session)
    for _ in range(3):
        await site.ask_bank_again(session)
    return site.path(session)


async def paid(site: SiteWorld, page: Any) -> str:
    session = await site.session()
    await site.pay(site.browser(), session)
    return site.path(session)


async def partly(site: SiteWorld, page: Any) -> str:
    order = await site.order()
    await site.pay_part(order, 5_000)
    return site.path(await site.session(order))


async def settled(site: SiteWorld, page: Any) -> str:
    order = await site.order()
    session = await site.session(order)
    await site.pay(site.browser(), await site.session(order))
    return site.path(session)


async def expired(site: SiteWorld, page: Any) -> str:
    session = await site.session()
    await site.expire(session)
    return site.path(session)


async def canceled(site: SiteWorld, page: Any) -> str:
    order = await site.order()
    session = await site.session(order)
    await site.run(CancelOrder(order.id))
    return site.path(session)


async def ending(site: SiteWorld, page: Any) -> str:
    return site.path(await site.session(await site.order(expires_ms=now_ms() + 40 * 60_000)))


async def long_names(site: SiteWorld, page: Any) -> str:
    name = "A very long name that goes on and on, 超长的商品名称也不能撑破页面 Donaudampfschifffahrtsgesellschaft"
    item = {"name": name, "unit_amount": 99_999_999_999, "quantity": 10, "amount": 999_999_999_990}
    order = await site.order(line_items=[item], amount_total=999_999_999_990, description=name)
    return site.path(await site.session(order))


async def yen(site: SiteWorld, page: Any) -> str:
    item = {"name": "Sencha", "unit_amount": 1_200, "quantity": 3, "amount": 3_600}
    order = await site.order(currency="jpy", line_items=[item], amount_total=3_600, description=None)
    return site.path(await site.session(order))


async def missing(site: SiteWorld, page: Any) -> str:
    return "/c/nobody/cs_test_nothing"


def at(path: str) -> Step:
    async def step(site: SiteWorld, page: Any) -> str:
        return path

    return step


STATES: dict[str, Step] = {
    "guest": guest, "typed": card_typed, "choice": choice, "choice-poor": choice_poor, "balance": balance,
    "only-poor": only_poor, "declined": declined, "wrong-cvc": wrong_cvc, "action": action, "unknown": unknown,
    "paid": paid, "partly": partly, "settled": settled, "expired": expired, "canceled": canceled, "ending": ending,
    "long": long_names, "yen": yen, "missing": missing,
    "landing": at("/"), "how-to-tell": at("/how-to-tell"), "errors": at("/docs/errors"),
}  # fmt: skip


async def photograph(site: SiteWorld, browser: Browser, folder: Path, name: str, look: tuple[str, str, str]) -> None:
    language, device, scheme = look
    context = await browser.new_context(
        viewport=PHONE if device == "phone" else DESKTOP,
        color_scheme="dark" if scheme == "dark" else "light",
        locale="zh-CN" if language == "zh" else "en-GB",
        reduced_motion="reduce",
        timezone_id="Asia/Shanghai",
    )
    page = await context.new_page()
    page.on("console", lambda message: print(f"{name}: {message.text}") if message.type == "error" else None)
    await site.faults()
    path = await STATES[name](site, page)
    if path:
        await page.goto(site.url + path)
    await page.wait_for_timeout(120)
    await page.screenshot(path=folder / f"{name}-{language}-{device}-{scheme}.png", full_page=name != "errors")
    await context.close()


async def main(folder: Path, only: list[str], everything: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    every = [(la, de, sc) for la in ("zh", "en") for de in ("phone", "desktop") for sc in ("light", "dark")]
    with tempfile.TemporaryDirectory(prefix="tongbao-gallery-") as scratch:
        server = embedded.EmbeddedPostgres(Path(scratch) / "postgres", embedded.bin_dir())
        try:
            async with site_world(server.start(), Path(scratch)) as site, async_playwright() as driver:
                browser = await driver.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
                for number, name in enumerate(STATES):
                    if only and name not in only:
                        continue
                    looks = every if everything else [every[number % 4], every[4 + (number + 2) % 4]]
                    for look in looks:
                        await photograph(site, browser, folder, name, look)
                await browser.close()
        finally:
            server.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", action="append", default=[], choices=list(STATES))
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    asyncio.run(main(options.folder, options.only, options.all))
