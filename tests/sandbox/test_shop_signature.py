"""The shop's own check of webhook signatures."""

from __future__ import annotations

import pytest
from tests.sandbox.shop_world import WEBHOOK_SECRET, signature

from tongbao.sandbox.shop.signature import SignatureRefused, sign, verify

BODY = '{"id":"evt_1","text":"茶"}'.encode()
NOW = 1_795_000_000


def test_a_signature_of_this_body_and_secret_is_accepted() -> None:
    verify(BODY, signature(BODY, at=NOW), WEBHOOK_SECRET, NOW)
    assert sign(BODY, WEBHOOK_SECRET, NOW) == signature(BODY, at=NOW)


def test_one_good_signature_among_several_is_enough_while_a_secret_is_being_changed() -> None:
    old = signature(BODY, "whsec_old", NOW).partition("v1=")[2]
    good = signature(BODY, at=NOW).partition("v1=")[2]
    verify(BODY, f"t={NOW},v1={old}, v1={good},v0=ignored", WEBHOOK_SECRET, NOW)


@pytest.mark.parametrize("seconds", [-300, -299, 0, 299, 300])
def test_a_signature_within_five_minutes_either_way_is_accepted(seconds: int) -> None:
    verify(BODY, signature(BODY, at=NOW + seconds), WEBHOOK_SECRET, NOW)


@pytest.mark.parametrize("seconds", [-301, 301, -86_400])
def test_a_signature_from_another_time_is_refused(seconds: int) -> None:
    with pytest.raises(SignatureRefused, match="300 seconds"):
        verify(BODY, signature(BODY, at=NOW + seconds), WEBHOOK_SECRET, NOW)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "nonsense",
        f"t={NOW}",
        "v1=abcd",
        "t=,v1=abcd",
        "t=-5,v1=abcd",
        "t=١٢٣,v1=abcd",
        "t=99999999999999999999,v1=abcd",
        f"t={NOW},v1=",
        f"t={NOW},v1=ÿÿ",
        f"t={NOW},v0={signature(BODY, at=NOW).partition('v1=')[2]}",
        f"t={NOW}," + "v1=00," * 1000,
        signature(BODY, "whsec_other", NOW),
        signature(BODY + b" ", at=NOW),
        signature(BODY, at=NOW).replace(f"t={NOW}", f"t={NOW + 1}"),
    ],
)
def test_a_header_that_does_not_prove_the_sender_is_refused(header: str) -> None:
    with pytest.raises(SignatureRefused):
        verify(BODY, header, WEBHOOK_SECRET, NOW)
