"""The pages about the installation, and what every page promises by its headers."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re

import httpx
import pytest
from starlette.applications import Starlette
from tests.web.site_world import SHOP, SiteWorld

from tongbao.web import codes
from tongbao.web.languages import TAGS
from tongbao.web.site import pages

PAGES = ["/", "/how-to-tell", "/docs/errors", "/nothing-here"]
INLINE = re.compile(r"<style|style=|<script(?! src=)|\son\w+=|javascript:", re.I)


async def test_every_page_forbids_what_is_inline_and_what_is_elsewhere(site: SiteWorld) -> None:
    paid, declined, action = await site.session(), await site.session(), await site.session()
    client = site.browser()
    await site.pay(client, paid)
    await site.pay(client, declined, number="4000000000000002")
    await site.pay(client, action, number="4000002500003155")
    for path in (*PAGES, *map(site.path, (paid, declined, action))):
        answer = await client.get(path)
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        assert policy == {
            "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self' data:",
            "connect-src": "'self'", "form-action": "'self'", "frame-ancestors": "'none'", "base-uri": "'none'",
        }  # fmt: skip
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-frame-options"] == "DENY"
        assert INLINE.search(answer.text) is None, path
        loaded = re.findall(r'<(?:script|link|img)[^>]* (?:src|href)="([^"]+)"', answer.text)
        assert loaded
        assert all(url.startswith("/static/") for url in loaded)


async def test_styles_and_scripts_are_kept_for_ever_under_the_hash_of_what_they_hold(site: SiteWorld) -> None:
    client = site.browser()
    html = (await client.get(site.path(await site.session()))).text
    found = re.findall(r'(?:src|href)="(/static/[^"]+)" integrity="sha384-([^"]+)"', html)
    assert len(found) == 3
    for url, integrity in found:
        answer = await client.get(url)
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert base64.b64encode(hashlib.sha384(answer.content).digest()).decode() == integrity
    assert (await client.get("/static/tongbao.css")).status_code == 404


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(("language", "tag"), [("zh", "zh-CN"), ("en", "en")])
async def test_the_small_pages_are_there_in_both_languages(site: SiteWorld, path: str, language: str, tag: str) -> None:
    answer = await site.browser("fr").get(path, params={"lang": language})
    assert f'<html lang="{tag}">' in answer.text
    assert answer.headers["content-language"] == tag
    assert "set-cookie" not in answer.headers


async def test_how_to_tell_names_the_address_to_look_for(site: SiteWorld) -> None:
    answer = await site.browser().get("/how-to-tell")
    assert f'<code class="address">{site.url.removeprefix("http://")}</code>' in answer.text


async def test_the_error_page_explains_each_code_where_the_api_links_to(site: SiteWorld) -> None:
    html = (await site.browser().get("/docs/errors")).text
    for code in ("parameter_missing", "card_declined", "payment_in_progress", "amount_too_large"):
        assert f'id="{code}"' in html


def test_both_documents_of_errors_explain_the_same_codes() -> None:
    """docs/errors.md and docs/errors.zh-CN.md: whoever adds a code to one adds it to the other."""
    english, chinese = (
        {code for group in codes.groups(language) for entry in group.entries for code in entry.codes}
        for language in TAGS
    )
    assert english ^ chinese == set()
    assert len(english) > 50


async def test_health_tells_whether_the_database_answers(site: SiteWorld) -> None:
    answer = await site.browser().get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def directly(app: Starlette) -> httpx.AsyncClient:
    """A client of an application that needs no server."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://pay.example.com", trust_env=False)


async def test_health_is_503_and_pages_are_friendly_when_the_database_is_away(site: SiteWorld) -> None:
    class Away:
        async def fetchval(self, *_: object) -> None:
            raise ConnectionRefusedError

        fetchrow = fetch = fetchval

    away = dataclasses.replace(site.services, pool=Away())
    async with directly(Starlette(routes=pages(away, {}))) as client:
        assert (await client.get("/healthz")).status_code == 503
        answer = await client.get("/c/0/cs_test_0?lang=zh")
        told = (await client.get("/c/0/cs_test_0", headers={"Accept": "application/json"})).json()
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert "暂时无法使用" in answer.text
    assert "request-id" in answer.headers
    assert told["certain"] is False, "a payment may have been begun"


async def test_the_openapi_document_is_served(site: SiteWorld) -> None:
    answer = await site.browser().get("/openapi.json")
    assert answer.json()["openapi"].startswith("3.")


async def test_a_secure_site_says_so(site: SiteWorld) -> None:
    settings = site.services.settings.model_copy(update={"public_url": "https://pay.example.com"})
    services = dataclasses.replace(site.services, settings=settings)
    async with directly(Starlette(routes=pages(services, {}))) as client:
        answer = await client.get("/?lang=zh")
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        assert "pay.example.com" in (await client.get("/how-to-tell")).text


async def test_nothing_of_the_pages_address_reaches_the_shop(site: SiteWorld) -> None:
    session = await site.session()
    await site.pay(site.browser(), session)
    answer = await site.browser().get(site.path(session))
    assert f'href="{SHOP}/done' in answer.text
    assert answer.headers["referrer-policy"] == "same-origin", "a page's address is a key to it"
