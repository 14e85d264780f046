"""Forms become nested data, or an error that names the parameter."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tongbao.api.forms import parse_form
from tongbao.foundation.errors import InvalidRequest


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("", {}),
        ("a=1", {"a": "1"}),
        ("a=", {"a": ""}),
        ("a", {"a": ""}),
        ("&&a=1&", {"a": "1"}),
        ("a=b=c", {"a": "b=c"}),
        ("a=1+2%2B3", {"a": "1 2+3"}),
        ("a[b][c]=1", {"a": {"b": {"c": "1"}}}),
        ("a%5Bb%5D=1&a[c]=2", {"a": {"b": "1", "c": "2"}}),
        ("items[0][x]=1&items[1][x]=2", {"items": {"0": {"x": "1"}, "1": {"x": "2"}}}),
        ("expand[]=a&expand[]=b", {"expand": ["a", "b"]}),
        ("i[][x]=1&i[][y]=2&i[][x]=3", {"i": [{"x": "1", "y": "2"}, {"x": "3"}]}),
        ("i[][a][x]=1&i[][a][y]=2", {"i": [{"a": {"x": "1", "y": "2"}}]}),
        ("i[][t][]=1&i[][t][]=2", {"i": [{"t": ["1", "2"]}]}),
        ("name=%E9%93%9C%E9%92%B1", {"name": "铜钱"}),
        ("name=铜钱", {"name": "铜钱"}),
        ("a=%zz", {"a": "%zz"}),
    ],
)
def test_a_form_becomes_nested_data(text: str, form: dict[str, Any]) -> None:
    assert parse_form(text.encode()) == form


@pytest.mark.parametrize(
    ("data", "code", "param"),
    [
        (b"a=1&a=2", "parameter_duplicate", "a"),
        (b"a[b]=1&a[b]=2", "parameter_duplicate", "a[b]"),
        (b"a=1&a[b]=2", "parameter_conflict", "a[b]"),
        (b"a[b]=1&a=2", "parameter_conflict", "a"),
        (b"a[b]=1&a[]=2", "parameter_conflict", "a[]"),
        (b"a[]=1&a[0]=2", "parameter_conflict", "a[0]"),
        (b"a[b=1", "parameter_malformed", "…"),
        (b"a]=1", "parameter_malformed", "…"),
        (b"a[b]c=1", "parameter_malformed", "…"),
        (b"=1", "parameter_malformed", "…"),
        (b"[a]=1", "parameter_malformed", "…"),
        (b"a%00b=1", "parameter_malformed", "…"),
        (b"x=1&na[me]=%ff", "parameter_malformed", "na[me]"),
        (b"x=1&na[me]=\xff\xfe", "parameter_malformed", "na[me]"),
        (b"a=%ED%A0%80", "parameter_malformed", "a"),
        (b"%ff=1", "parameter_malformed", "…"),
        (b"a[b]=x%00y", "parameter_invalid_string", "a[b]"),
        (b"a[b]=x\x00y", "parameter_invalid_string", "a[b]"),
        (b"a" + b"[b]" * 10 + b"=1", "parameter_malformed", "a"),
        (b"a" + b"[]" * 100_000 + b"=1", "parameter_malformed", "…"),
        (b"a" * 501 + b"=1", "parameter_malformed", "a" * 50),
        (b"&a=1" * 1_000, "parameters_too_many", None),
        (b"4242424242424242=1&4242424242424242=2", "parameter_duplicate", "…"),
    ],
)
def test_a_bad_form_is_refused_by_name(data: bytes, code: str, param: str | None) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_form(data)
    assert (refused.value.code, refused.value.param) == (code, param)


def test_the_deepest_and_the_most_are_allowed() -> None:
    assert "a" in parse_form(b"a" + b"[b]" * 9 + b"=1")
    assert len(parse_form("&".join(f"p{number}=1" for number in range(1_000)).encode())) == 1_000


patiently = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
pieces = st.sampled_from(
    ["a", "b", "0", "1", "[", "]", "[]", "[a]", "[0]", "=", "&", "+", "%", "%5B", "%5D", "%00", "%ff", "é", "\0", "%26"]
)


@patiently
@given(st.lists(pieces, max_size=40).map("".join).map(str.encode) | st.binary(max_size=200))
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    try:
        assert isinstance(parse_form(data), dict)
    except InvalidRequest as refused:
        refused.message.encode()
        (refused.param or "").encode()


names = st.text(st.characters(exclude_characters="[]\0", exclude_categories=["Cs"]), min_size=1, max_size=8)
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
trees = st.recursive(texts, lambda inner: st.dictionaries(names, inner, min_size=1, max_size=4), max_leaves=20)


def flat(tree: Any, name: str) -> list[tuple[str, str]]:
    if isinstance(tree, str):
        return [(name, tree)]
    return [pair for key, part in tree.items() for pair in flat(part, f"{name}[{key}]")]


@patiently
@given(st.dictionaries(names, trees, max_size=5))
def test_what_is_written_as_a_form_is_read_back(tree: dict[str, Any]) -> None:
    pairs = [pair for name, part in tree.items() for pair in flat(part, name)]
    if max((name.count("[") for name, _ in pairs), default=0) < 10:
        text = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs)
        assert parse_form(text.encode()) == tree
