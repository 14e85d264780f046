"""Identifiers: unguessable, of one form, and in the order of time."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.foundation.clock import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, now_ms
from tongbao.foundation.ids import ALPHABET, encode, new_id, new_secret

TIMES = st.integers(0, 62**8 - 1)
RANDOM = st.integers(0, 2**95 - 1)


def decode(text: str) -> int:
    number = 0
    for character in text:
        number = number * 62 + ALPHABET.index(character)
    return number


def test_an_id_is_its_prefix_and_24_letters_and_digits() -> None:
    for prefix in ("pi", "acct", "ch"):
        assert re.fullmatch(f"{prefix}_[0-9A-Za-z]{{24}}", new_id(prefix))


@given(TIMES, RANDOM)
def test_an_id_holds_its_time_and_its_randomness_whole(time_ms: int, random: int) -> None:
    body = new_id("x", time_ms, random).removeprefix("x_")
    assert len(body) == 24
    assert (decode(body[:8]), decode(body[8:])) == (time_ms, random)


@given(TIMES, TIMES, RANDOM, RANDOM)
def test_ids_sort_as_bytes_by_time(earlier: int, later: int, one: int, other: int) -> None:
    if earlier < later:
        assert new_id("x", earlier, one) < new_id("x", later, other)


def test_the_alphabet_is_in_the_order_of_bytes() -> None:
    assert list(ALPHABET) == sorted(ALPHABET)
    assert len(set(ALPHABET)) == 62


@given(st.integers(0, 62**12 - 1))
def test_numbers_are_written_with_leading_zeros(number: int) -> None:
    assert len(encode(number, 12)) == 12
    assert decode(encode(number, 12)) == number


def test_ids_and_secrets_do_not_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_000_000_000)
    assert len({new_id("x") for _ in range(5_000)}) == 5_000
    assert len({new_secret() for _ in range(1_000)}) == 1_000


@pytest.mark.parametrize("length", [0, 1, 24, 32, 100])
def test_a_secret_has_the_length_that_was_asked_for(length: int) -> None:
    assert re.fullmatch(f"[0-9A-Za-z]{{{length}}}", new_secret(length))


def test_time_is_counted_in_milliseconds() -> None:
    assert (SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS) == (1_000, 60_000, 3_600_000, 86_400_000)
    before = now_ms()
    assert before > 1_700_000_000_000
    assert 0 <= now_ms() - before < 10_000
