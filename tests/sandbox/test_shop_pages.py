"""The shop's pages: two languages, strict headers, and bad input answered kindly."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.sandbox.shop_world import LIN, buy, shop_world

from tongbao.sandbox.shop import frame
from tongbao.sandbox.shop.catalogue import SHELF
from tongbao.sandbox.shop.config import ShopConfig, load
from tongbao.sandbox.shop.words import PHRASES, choose_language, fen_of

CHINESE = re.compile("[\u4e00-\u9fff]")


async def test_the_shelf_shows_every_product_with_its_drawing_and_price(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper("zh-CN,zh;q=0.9,en;q=0.8") as browser:
        page = (await browser.get("")).text
        for product in SHELF:
            assert product.names[0] in page
            assert f"¥{product.price // 100}.00" in page
            drawing = re.search(rf'href="/shop/(static/art/{product.art}\.svg\?\w+)#art"', page)
            assert drawing
            answer = await browser.get(drawing[1])
            assert answer.headers["Content-Type"].startswith("image/svg+xml")
            assert '<g id="art"' in answer.text


async def test_english_pages_hold_no_chinese_but_what_is_marked_as_such(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper("en-GB") as browser:
        await buy(world, browser, "longjing", shopper="lin")
        number, session = await buy(world, browser, *(p.code for p in SHELF))
        await world.tell(*world.api.pays(session))
        await browser.post("cart/add", data={"product": "puer"})
        for path in ("", "cart", "orders", f"orders/{number}", f"orders/{number}/receipt", "admin", "nowhere"):
            page = (await browser.get(path)).text
            assert '<html lang="en">' in page
            unmarked = re.sub(r'<(\w+)[^>]* lang="zh"[^>]*>.*?</\1>', "", page, flags=re.DOTALL)
            unmarked = re.sub(r"<pre.*?</pre>", "", unmarked, flags=re.DOTALL)
            assert not CHINESE.search(unmarked), path


async def test_the_language_is_kept_once_chosen(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper("en") as browser:
        assert '<html lang="en">' in (await browser.get("cart")).text
        assert '<html lang="zh-CN">' in (await browser.get("cart?lang=zh")).text
        assert '<html lang="zh-CN">' in (await browser.get("orders")).text
        assert '<html lang="en">' in (await browser.get("orders?lang=en")).text
        assert '<html lang="en">' in (await browser.get("?lang=xx")).text


@pytest.mark.parametrize(
    ("query", "cookie", "accept", "expected"),
    [
        (None, None, "", "en"),
        (None, None, "zh-TW", "zh"),
        (None, None, "fr, zh;q=0.5, en;q=0.9", "en"),
        (None, None, "en;q=0, zh;q=0.1", "zh"),
        (None, None, "zh;q=x", "en"),
        (None, "zh", "en", "zh"),
        ("en", "zh", "zh", "en"),
        ("de", "zh", "en", "zh"),
    ],
)
def test_the_language_is_the_first_that_both_speak(
    query: str | None, cookie: str | None, accept: str, expected: str
) -> None:
    assert choose_language(query, cookie, accept) == expected


def test_every_phrase_is_there_in_both_languages_with_the_same_blanks() -> None:
    for key, (chinese, english) in PHRASES.items():
        assert chinese, key
        assert english, key
        assert set(re.findall(r"{\w+}", chinese)) == set(re.findall(r"{\w+}", english)), key


async def test_every_answer_carries_a_strict_policy_and_no_page_has_inline_style_or_script(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper() as browser:
        number, _ = await buy(world, browser, "longjing")
        for path in ("", "cart", "orders", f"orders/{number}?session=x", "admin", "nowhere", "static/shop.css"):
            answer = await browser.get(path)
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert f"form-action 'self' {world.api.url};" in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "same-origin"
            if "html" in answer.headers["Content-Type"]:
                assert answer.headers["Cache-Control"] == "no-store"
                assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", answer.text)


async def test_a_page_that_waits_reloads_itself_where_there_is_no_javascript(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper() as browser:
        number, session = await buy(world, browser, "longjing")
        refresh = '<noscript><meta http-equiv="refresh"'
        assert refresh in (await browser.get(f"orders/{number}?session=x")).text
        await world.tell(*world.api.pays(session), world.api.gives_back(session, 8800))
        assert refresh not in (await browser.get(f"orders/{number}")).text


async def test_asking_for_news_answers_204_until_there_is_some(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper() as browser:
        number, session = await buy(world, browser, "longjing")
        news = (await browser.get(f"orders/{number}/live?session=1")).json()
        assert (news["status"], news["pace"]) == ("waiting", 1000)
        assert (await browser.get(f"orders/{number}/live?session=1&seen={news['seen']}")).status_code == 204
        await world.tell(world.api.fails(session, "Card <declined>."))
        later = (await browser.get(f"orders/{number}/live?session=1&seen={news['seen']}")).json()
        assert "Card &lt;declined&gt;." in later["html"]
        assert "Pay now" in later["html"]


async def test_an_order_is_seen_only_by_the_browser_that_placed_it(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper() as browser, world.shopper() as stranger:
        number, session = await buy(world, browser, "longjing")
        await world.tell(*world.api.pays(session))
        await stranger.post("cart/add", data={"product": "puer"})
        for path in (f"orders/{number}", f"orders/{number}/live", f"orders/{number}/receipt"):
            assert (await browser.get(path)).status_code == 200
            assert (await stranger.get(path)).status_code == 404
        assert (await stranger.post(f"orders/{number}/pay", data={"ok": "1"})).status_code == 404
        assert number in (await browser.get("orders")).text
        assert number not in (await stranger.get("orders")).text


async def test_cookies_are_kept_from_scripts_and_from_other_sites(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper() as browser:
        cookie = (await browser.post("cart/add", data={"product": "puer"})).headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert "Path=/shop" in cookie


async def test_a_form_from_another_origin_is_refused(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper() as browser:
        await browser.post("cart/add", data={"product": "puer"})
        for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
            for path in ("cart/add", "cart", "checkout", "admin/refunds"):
                answer = await browser.post(path, data={"set": "puer:5"}, headers={"Origin": origin})
                assert answer.status_code == 403, (origin, path)
                assert "nothing has changed" in answer.text
        assert "puer:2" in (await browser.get("cart")).text


FORM = "application/x-www-form-urlencoded"
BAD_FORMS = [
    ("cart/add", b"product=nothing", FORM, 400),
    ("cart/add", b"", FORM, 400),
    ("cart/add", b"product=%ff%fe", FORM, 400),
    ("cart/add", b"product=%00", FORM, 400),
    ("cart/add", "product=茶".encode(), FORM, 400),
    ("cart/add", b"&".join([b"a=1"] * 200), FORM, 400),
    ("cart/add", b"a=" + b"x" * 10_000, FORM, 413),
    ("cart/add", b'{"product":"puer"}', "application/json", 415),
    ("cart", b"set=puer:-1", FORM, 400),
    ("cart", b"set=puer:1e9", FORM, 400),
    ("cart", b"set=puer:99999999999", FORM, 400),
    ("cart", b"set=nothing:1", FORM, 400),
    ("checkout", b"version=zzz", FORM, 303),
    ("admin/refunds", b"key=%00", FORM, 303),
]


async def test_bad_forms_get_a_clear_refusal_and_change_nothing(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper() as browser:
        await browser.post("cart/add", data={"product": "puer"})
        for path, body, kind, status in BAD_FORMS:
            answer = await browser.post(path, content=body, headers={"Content-Type": kind})
            assert answer.status_code == status, (path, body[:50])
            cart = (await browser.get("cart")).text
            assert re.findall(r'value="(\w+:\d+)"', cart) == ["puer:0", "puer:2", "puer:0"]
        assert not world.api.asked


async def test_quantities_have_a_bound(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper() as browser:
        for _ in range(2):
            await browser.post("cart/add", data={"product": "puer"})
        await browser.post("cart", data={"set": "puer:999"})
        assert "¥3,360.00" in (await browser.get("?added=puer")).text
        full = await browser.post("cart/add", data={"product": "puer"})
        assert (
            "At most 20 of Menghai ripe pu’er per order"
            in (await browser.get(full.headers["Location"].removeprefix("/shop/"))).text
        )
        await browser.post("cart", data={"set": "puer:0"})
        assert "Nothing here yet" in (await browser.get("cart")).text


async def test_what_is_not_there_gets_a_page_of_its_own(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper() as browser:
        for path in ("nowhere", "orders/none", "orders/%00", "static/none", "static/..%2fapp.py"):
            answer = await browser.get(path)
            assert answer.status_code == 404, path
            assert "There is no such page" in answer.text


async def test_a_made_up_cookie_is_nobody(tmp_path: Path) -> None:
    async with shop_world(tmp_path) as world, world.shopper() as browser:
        answer = await browser.get("orders", headers={"Cookie": f"{frame.BROWSER_COOKIE}=' or 1=1 --"})
        assert "No orders yet" in answer.text


def test_the_configuration_is_read_from_json_and_its_faults_are_named(tmp_path: Path) -> None:
    path = tmp_path / "shop.json"
    good = (
        '{"api_base":"http://127.0.0.1:8000","secret_key":"sk","webhook_secret":"wh",'
        '"public_url":"https://tea.example/shop","data_dir":"d"'
    )
    path.write_text(good + f',"customer_id":"{LIN}"}}')
    config = load(path)
    assert (config.customer_id, config.base_path, config.is_secure) == (LIN, "/shop", True)
    for bad, named in [
        ("", "shop.json"),
        ("{}", "api_base"),
        (good + ',"extra":1}', "extra"),
        (good.replace('"http://127.0.0.1:8000"', '"127.0.0.1"') + "}", "api_base"),
        (good.replace('"sk"', '""') + "}", "secret_key"),
    ]:
        path.write_text(bad)
        with pytest.raises(ValueError, match=named):
            load(path)
    with pytest.raises(ValueError, match="absent"):
        load(tmp_path / "absent.json")
    assert isinstance(config, ShopConfig)


@pytest.mark.parametrize(
    ("text", "fen"),
    [("12", 1200), ("12.5", 1250), (" ¥1,234.56 ", 123456), ("0.01", 1), ("1.", 100), (".5", None), ("1.2.3", None)],
)
def test_amounts_are_read_as_people_write_them(text: str, fen: int | None) -> None:
    assert fen_of(text) == fen
