"""Metadata: merged, deleted and bounded by Stripe's rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.foundation.errors import InvalidRequest
from tongbao.foundation.metadata import KEY_LENGTH_MAX, KEYS_MAX, VALUE_LENGTH_MAX, check_metadata, merge_metadata


@pytest.mark.parametrize(
    ("old", "new", "merged"),
    [
        ({}, {"a": "1"}, {"a": "1"}),
        ({"a": "1"}, {}, {"a": "1"}),
        ({"a": "1"}, {"b": "2"}, {"a": "1", "b": "2"}),
        ({"a": "1"}, {"a": "2"}, {"a": "2"}),
        ({"a": "1", "b": "2"}, {"a": ""}, {"b": "2"}),
        ({"a": "1"}, {"x": ""}, {"a": "1"}),
        ({"a": "1"}, None, {}),
    ],
)
def test_names_not_mentioned_stay_and_empty_values_delete(
    old: dict[str, str], new: dict[str, str] | None, merged: dict[str, str]
) -> None:
    before = dict(old)
    assert merge_metadata(old, new) == merged
    assert old == before


@pytest.mark.parametrize(
    ("entry", "param"),
    [
        ({"": "x"}, "metadata"),
        ({"k" * (KEY_LENGTH_MAX + 1): "x"}, "metadata"),
        ({"a[b": "x"}, "metadata"),
        ({"a]b": "x"}, "metadata"),
        ({"a": "x" * (VALUE_LENGTH_MAX + 1)}, "metadata[a]"),
        ({str(number): "x" for number in range(KEYS_MAX + 1)}, "metadata"),
    ],
)
def test_what_breaks_a_bound_is_refused_and_named(entry: dict[str, str], param: str) -> None:
    for check in (check_metadata, lambda new: merge_metadata({}, new)):
        with pytest.raises(InvalidRequest) as refused:
            check(entry)
        assert (refused.value.code, refused.value.param) == ("metadata_invalid", param)


def test_what_touches_the_bounds_is_taken() -> None:
    whole = {f"{number:0{KEY_LENGTH_MAX}}": "通" * VALUE_LENGTH_MAX for number in range(KEYS_MAX)}
    assert check_metadata(whole) == whole
    assert len(merge_metadata(whole, {next(iter(whole)): "", "new": "x"})) == KEYS_MAX
    with pytest.raises(InvalidRequest):
        merge_metadata(whole, {"one more": "x"})


KEYS = st.text("abc", min_size=1, max_size=2)


@given(st.dictionaries(KEYS, st.text("x", min_size=1)), st.dictionaries(KEYS, st.text("xy", max_size=2)))
def test_merging_twice_is_merging_once(old: dict[str, str], new: dict[str, str]) -> None:
    once = merge_metadata(old, new)
    assert merge_metadata(once, new) == once
    assert "" not in once.values()
