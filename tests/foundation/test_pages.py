"""Pages of lists: cut in the direction of travel, always shown from new to old."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.foundation.errors import InvalidRequest
from tongbao.foundation.pages import ListParams, cut, list_object

COUNTS, LIMITS = st.integers(0, 40), st.integers(1, 12)


@given(COUNTS, LIMITS)
def test_walking_forward_meets_everything_once_from_new_to_old(count: int, limit: int) -> None:
    everything = list(range(count, 0, -1))
    seen: list[int] = []
    more, cursor = True, None
    while more:
        rest = [one for one in everything if cursor is None or one < cursor]
        page, more = cut(rest[: limit + 1], ListParams(limit=limit, starting_after=None if cursor is None else "x"))
        assert len(page) <= limit
        seen += page
        cursor = page[-1] if page else None
    assert seen == everything


@given(COUNTS, LIMITS)
def test_walking_backward_meets_everything_once_in_pages_from_new_to_old(count: int, limit: int) -> None:
    seen: list[int] = []
    more, cursor = True, 0
    while more:
        newer = [one for one in range(1, count + 1) if one > cursor]
        page, more = cut(newer[: limit + 1], ListParams(limit=limit, ending_before="x"))
        assert page == sorted(page, reverse=True)
        seen = page + seen
        cursor = page[0] if page else count
    assert seen == list(range(count, 0, -1))


def test_both_cursors_at_once_are_refused() -> None:
    with pytest.raises(InvalidRequest) as refused:
        ListParams(starting_after="a", ending_before="b")
    assert refused.value.code == "parameters_exclusive"


def test_a_list_says_where_it_is() -> None:
    assert list_object("/v1/x", [1], True) == {"object": "list", "url": "/v1/x", "has_more": True, "data": [1]}
