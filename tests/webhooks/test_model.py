"""Schedules, patterns, signatures and addresses, as tables."""

from __future__ import annotations

import pytest
import stripe

from tongbao.foundation.errors import InvalidRequest
from tongbao.webhooks.model import RETRY_AFTER_S, is_pattern, retry_at_ms, wants
from tongbao.webhooks.signature import new_signing_secret, sign
from tongbao.webhooks.targets import check_url, may_connect

HOUR = 3600


@pytest.mark.parametrize(
    ("livemode", "pauses_s"),
    [
        (False, [2, 5, 15, 60, 300, 1800, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 70_000, None]),
        (True, [5, 60, 300, 1800, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 70_000, None, None]),
    ],
)
def test_a_failed_delivery_is_tried_again_by_the_schedule(livemode: bool, pauses_s: list[int | None]) -> None:
    for tries, pause_s in enumerate(pauses_s, 1):
        expected = None if pause_s is None else 1_000_000 + pause_s * 1000
        assert retry_at_ms(tries, 1_000_000, livemode, 0.5) == expected


@pytest.mark.parametrize("pauses_s", RETRY_AFTER_S.values())
def test_the_schedule_ends_after_three_days(pauses_s: tuple[int, ...]) -> None:
    assert 70 * HOUR < sum(pauses_s) <= 72 * HOUR


def test_jitter_moves_a_retry_by_at_most_a_tenth() -> None:
    assert retry_at_ms(1, 0, True, 0.0) == 4500
    assert retry_at_ms(1, 0, True, 1.0) == 5500


@pytest.mark.parametrize(
    ("patterns", "event_type", "wanted"),
    [
        (["*"], "charge.refunded", True),
        (["charge.refunded"], "charge.refunded", True),
        (["charge.refunded"], "charge.refunded.again", False),
        (["charge.*"], "charge.refunded", True),
        (["charge.*"], "charge.dispute.created", True),
        (["charge.*"], "charges.refunded", False),
        (["charge.*"], "charge", False),
        (["order.paid", "refund.*"], "refund.failed", True),
        (["order.paid", "refund.*"], "order.expired", False),
        ([], "order.paid", False),
    ],
)
def test_an_endpoint_wants_what_it_names(patterns: list[str], event_type: str, wanted: bool) -> None:
    assert wants(patterns, event_type) is wanted


@pytest.mark.parametrize("text", ["*", "charge.refunded", "charge.*", "a.b.c.*", "cash_balance.funds_available"])
def test_these_can_be_enabled(text: str) -> None:
    assert is_pattern(text)


@pytest.mark.parametrize("text", ["", "**", ".*", "charge*", "charge.*.x", "Charge.x", "charge..x", "c harge", "*.x"])
def test_these_cannot_be_enabled(text: str) -> None:
    assert not is_pattern(text)


def test_the_signature_is_stripes_with_one_v1_for_each_secret() -> None:
    """The example of https://docs.stripe.com/webhooks#verify-manually, computed by Stripe's own library."""
    body = '{"id": "evt_1", "object": "event", "name": "通宝"}'.encode()
    header = sign(body, ["whsec_a", "whsec_b"], 1_700_000_000)
    assert header.startswith("t=1700000000,v1=")
    assert header.count("v1=") == 2
    for secret in ("whsec_a", "whsec_b"):
        assert stripe.WebhookSignature.verify_header(body.decode(), header, secret, tolerance=None)
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.WebhookSignature.verify_header(body.decode(), header, "whsec_c", tolerance=None)


def test_signing_secrets_are_long_and_differ() -> None:
    assert new_signing_secret() != new_signing_secret()
    assert len(new_signing_secret()) == len("whsec_") + 32


@pytest.mark.parametrize(
    ("address", "test", "live"),
    [
        ("93.184.216.34", True, True),
        ("2606:2800:220:1::1", True, True),
        ("127.0.0.1", True, False),
        ("::1", True, False),
        ("10.1.2.3", True, False),
        ("172.16.0.1", True, False),
        ("192.168.1.1", True, False),
        ("100.64.0.1", True, False),
        ("0.0.0.0", True, False),
        ("fd00::1", True, False),
        ("::ffff:10.0.0.1", True, False),
        ("::ffff:8.8.8.8", True, True),
        ("64:ff9b::a00:1", True, False),
        ("2002:a00:1::", True, False),
        ("192.0.2.1", True, False),
        ("240.0.0.1", True, False),
        ("224.0.0.1", False, False),
        ("255.255.255.255", True, False),
        ("ff02::1", False, False),
        ("169.254.169.254", False, False),
        ("::ffff:169.254.169.254", False, False),
        ("fe80::1%eth0", False, False),
    ],
)
def test_live_events_go_to_public_addresses_only_and_none_to_link_local_ones(
    address: str, test: bool, live: bool
) -> None:
    assert may_connect(address, public_only=False) is test
    assert may_connect(address, public_only=True) is live


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/hooks?x=1",
        "https://shop.example:8443/",
        "https://商店.example/通知",
        "https://93.184.216.34/hook",
        "https://[2606:2800:220:1::1]/hook",
    ],
)
def test_these_addresses_are_taken_in_both_modes(url: str) -> None:
    assert check_url(url, livemode=True) == check_url(url, livemode=False) == url


@pytest.mark.parametrize(
    "url", ["http://shop.example/", "http://localhost:4242/hook", "https://[::1]/", "http://10.0.0.1/"]
)
def test_these_addresses_are_taken_in_test_mode_only(url: str) -> None:
    assert check_url(url, livemode=False) == url
    with pytest.raises(InvalidRequest) as refused:
        check_url(url, livemode=True)
    assert refused.value.param == "url"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "shop.example",
        "/hook",
        "ftp://shop.example/",
        "file:///etc/passwd",
        "https://",
        "https:///x",
        "https://user:pass@shop.example/",
        "https://shop.example/#part",
        "https://shop.example:99999/",
        "https://shop.example:0/",
        "https://shop example/",
        "https://shop.example/a b",
        "https://shop.example/\r\nX: y",
        "https://[::1",
        "http://169.254.169.254/latest/meta-data",
        "https://" + "a" * 64 + ".example/",
        "https://xn--a\u0000.example/",
    ],
)
def test_these_addresses_are_refused(url: str) -> None:
    for livemode in (True, False):
        with pytest.raises(InvalidRequest):
            check_url(url, livemode)
