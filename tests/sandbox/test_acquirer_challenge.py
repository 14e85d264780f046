"""The 3-D Secure page, as a browser gets it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.sandbox.acquirer_world import charge, query
from tests.sandbox.process import AcquirerClient, SandboxProcess, start

CARD = "4000002760003184"
DECLINED_AFTERWARDS = "4000008400001629"
browser = httpx.Client(trust_env=False)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    running = start(tmp_path_factory.mktemp("acquirer") / "sandbox")
    yield running
    running.stop()


@pytest.fixture
def client(sandbox: SandboxProcess) -> AcquirerClient:
    return AcquirerClient(sandbox)


def answer(url: str, choice: str) -> httpx.Response:
    return browser.post(url, data={"answer": choice})


def test_the_page_shows_who_is_paid_how_much_with_which_card(client: AcquirerClient) -> None:
    waiting = charge(client, CARD, amount=129_900, merchant_name="云栖茶铺", description="Longjing × 2")
    page = browser.get(waiting["challenge_url"])
    assert page.status_code == 200
    for text in ("¥1299.00", "云栖茶铺", "Longjing × 2", "Visa", "3184", "Approve", "Decline"):
        assert text in page.text


@pytest.mark.parametrize(
    ("query_text", "header", "language"),
    [
        ("", "", "en"),
        ("", "zh-CN,zh;q=0.9,en;q=0.8", "zh-CN"),
        ("", "fr-FR, en;q=0.7, zh;q=0.9", "zh-CN"),
        ("", "fr", "en"),
        ("", ";;;q=,,zh;q=9", "en"),
        ("?lang=en", "zh", "en"),
        ("?lang=zh", "en", "zh-CN"),
        ("?lang=xx", "zh", "zh-CN"),
    ],
)
def test_the_page_speaks_chinese_and_english(
    client: AcquirerClient, query_text: str, header: str, language: str
) -> None:
    page = browser.get(charge(client, CARD)["challenge_url"] + query_text, headers={"accept-language": header})
    assert f'<html lang="{language}">' in page.text
    assert ("确认付款" in page.text) is (language == "zh-CN")


def test_the_page_is_closed_to_scripts_and_frames_and_lets_the_form_go_to_the_shop(client: AcquirerClient) -> None:
    nasty = '"><script>alert(1)</script>'
    waiting = charge(
        client, CARD, merchant_name=nasty, description=nasty, return_url="https://shop.example:8443/back?a=';x"
    )
    page = browser.get(waiting["challenge_url"])
    assert "<script" not in page.text
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["form-action"] == "'self' https://shop.example:8443"
    assert page.headers["cache-control"] == "no-store"
    style = page.text.split('rel="stylesheet" href="')[1].split('"')[0]
    assert browser.get(httpx.URL(waiting["challenge_url"]).join(style)).headers["content-type"].startswith("text/css")


def test_an_address_that_has_no_place_in_a_policy_is_left_out_of_it(client: AcquirerClient) -> None:
    waiting = charge(client, CARD, return_url="https://shop.example;script-src*/back")
    assert "shop.example" not in browser.get(waiting["challenge_url"]).headers["content-security-policy"]


def test_approving_pays_and_leads_back_to_the_shop(client: AcquirerClient) -> None:
    waiting = charge(client, CARD, return_url="https://shop.example/back?order=1")
    back = answer(waiting["challenge_url"], "approve")
    assert (back.status_code, back.headers["location"]) == (303, "https://shop.example/back?order=1")
    assert query(client, waiting)["status"] == "approved"
    assert answer(waiting["challenge_url"], "decline").status_code == 303
    assert query(client, waiting)["status"] == "approved"
    assert "Payment confirmed" in browser.get(waiting["challenge_url"]).text


def test_without_a_way_back_the_page_itself_tells_the_result(client: AcquirerClient) -> None:
    waiting = charge(client, CARD)
    page = answer(waiting["challenge_url"], "decline")
    assert page.status_code == 200
    assert "Payment not confirmed" in page.text


def test_an_authorisation_waits_too_and_is_only_reserved_afterwards(client: AcquirerClient) -> None:
    merchant = "acct_reserves"
    waiting = charge(client, CARD, capture=False, merchant_id=merchant)
    assert client.books(merchant_id=merchant)["totals"][0]["authorised"] == 0
    answer(waiting["challenge_url"], "approve")
    assert client.books(merchant_id=merchant)["totals"] == [
        {"currency": "cny", "captured": 0, "refunded": 0, "authorised": 1_000}
    ]


def test_a_card_may_be_declined_after_its_owner_approved(client: AcquirerClient) -> None:
    waiting = charge(client, DECLINED_AFTERWARDS)
    answer(waiting["challenge_url"], "approve")
    decided = query(client, waiting)
    assert (decided["status"], decided["code"]) == ("declined", "card_declined")


@pytest.mark.parametrize(
    "form", [{}, {"answer": "perhaps"}, {"answer": ["approve", "decline"]}, {"answer": "x" * 2000}]
)
def test_an_answer_that_is_none_changes_nothing(client: AcquirerClient, form: dict[str, str]) -> None:
    waiting = charge(client, CARD)
    assert browser.post(waiting["challenge_url"], data=form).status_code == 400
    assert query(client, waiting)["status"] == "requires_action"


def test_an_unknown_address_is_told_so(sandbox: SandboxProcess) -> None:
    for method in ("GET", "POST"):
        page = browser.request(method, f"{sandbox.acquirer_url}/challenges/{'a' * 32}", data={"answer": "approve"})
        assert page.status_code == 404
        assert "No such payment" in page.text


def test_a_challenge_that_nobody_answers_expires_as_declined(tmp_path: Path) -> None:
    sandbox = start(tmp_path / "sandbox", "--challenge-seconds", "1")
    try:
        client = AcquirerClient(sandbox)
        waiting = charge(client, CARD)
        assert query(client, waiting)["status"] == "requires_action"
        time.sleep(1.1)
        answer(waiting["challenge_url"], "approve")
        decided = query(client, waiting)
        assert (decided["status"], decided["code"]) == ("declined", "payment_intent_payment_attempt_expired")
    finally:
        sandbox.stop()
