"""Forms and JSON are decoded by one schema; what is wrong is named."""

from __future__ import annotations

import enum
import json
from typing import Any
from urllib.parse import quote_plus

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import UNSET, Struct
from tests.api.edge.toys import CreateToy, LineItem, ListToys, Range

from tongbao.api.decoding import FORM, JSON, decode, decoder_of
from tongbao.foundation.errors import DomainError, InvalidRequest, UnsupportedMediaType


class Colour(enum.Enum):
    RED = "red"


class Odd(Struct):
    colour: Colour


def from_form(text: str) -> CreateToy:
    return decode(b"amount=1200&currency=cny&" + text.encode(), FORM, CreateToy)


def from_json(**parts: Any) -> CreateToy:
    return decode(json.dumps({"amount": 1200, "currency": "cny", **parts}).encode(), JSON, CreateToy)


def refused_form(text: str) -> tuple[str, str | None]:
    with pytest.raises(InvalidRequest) as refused:
        from_form(text)
    return refused.value.code, refused.value.param


def refused_json(**parts: Any) -> tuple[str, str | None]:
    with pytest.raises(InvalidRequest) as refused:
        from_json(**parts)
    return refused.value.code, refused.value.param


def test_text_becomes_what_the_schema_says() -> None:
    toy = from_form(
        "confirm=true&weight=1.5&fee=-3&metadata[0]=zero&metadata[x]=true&payment_method_data[type]=card"
        "&payment_method_data[card][number]=4242&payment_method_data[card][exp_month]=12"
        "&line_items[1][name]=Cup&line_items[0][name]=Tea&line_items[0][quantity]=2&line_items[0][tags][0]=green"
        "&expand[]=customer&payment_method_types[]=card"
    )
    assert toy.amount == 1200
    assert toy.confirm is True
    assert toy.weight == 1.5
    assert toy.fee == -3
    assert toy.metadata == {"0": "zero", "x": "true"}
    assert toy.payment_method_data is not None
    assert toy.payment_method_data.card is not None
    assert toy.payment_method_data.card.exp_month == 12
    assert toy.line_items == [LineItem("Tea", 2, ["green"]), LineItem("Cup")]
    assert toy.expand == ["customer"]


def test_form_and_json_give_the_same_params_and_the_same_data() -> None:
    form = b"amount=1200&currency=cny&confirm=false&line_items[0][name]=Tea&line_items[0][quantity]=2&metadata[a]=1"
    body = (
        b'{"line_items":[{"quantity":2,"name":"Tea"}],"metadata":{"a":"1"},'
        b'"confirm":false,"currency":"cny","amount":1200}'
    )
    decoder = decoder_of(CreateToy)
    assert decoder(form, FORM) == decoder(body, JSON)


def test_query_and_form_are_one() -> None:
    toy = decode(b"currency=cny", FORM, CreateToy, query=b"amount=5&expand[]=customer")
    assert (toy.amount, toy.expand) == (5, ["customer"])
    assert decode(b"", None, ListToys, query=b"limit=3&created[gte]=5").created == Range(gte=5)
    assert decode(b"", None, ListToys, query=b"created=5").created == 5


def test_a_json_body_and_a_query_do_not_mix() -> None:
    with pytest.raises(InvalidRequest) as refused:
        decode(b"{}", JSON, CreateToy, query=b"amount=5")
    assert refused.value.code == "parameters_misplaced"


def test_an_empty_text_unsets_what_can_be_unset() -> None:
    for toy in (
        from_form("description=&fee=&metadata=&shipping="),
        from_json(description="", fee="", metadata="", shipping=""),
        from_json(description=None, fee=None, metadata=None, shipping=None),
    ):
        assert (toy.description, toy.fee, toy.metadata, toy.shipping) == (None, None, None, None)
    toy = from_form("customer=")
    assert (toy.customer, toy.description) == ("", UNSET)


@pytest.mark.parametrize(
    ("text", "code", "param"),
    [
        ("foo=1", "parameter_unknown", "foo"),
        ("line_items[0][nam]=1", "parameter_unknown", "line_items[0][nam]"),
        ("line_items[0][quantity]=2", "parameter_missing", "line_items[0][name]"),
        ("line_items[0][name]=a&line_items[0][quantity]=x", "parameter_invalid_integer", "line_items[0][quantity]"),
        ("line_items[0][name]=a&line_items[0][quantity]=0", "parameter_invalid_integer", "line_items[0][quantity]"),
        ("line_items[0][name]=a&line_items[2][name]=b", "parameter_invalid_array", "line_items[1]"),
        ("line_items[a][name]=a", "parameter_invalid_array", "line_items"),
        ("line_items[-1][name]=a", "parameter_invalid_array", "line_items"),
        ("line_items[00][name]=a", "parameter_invalid_array", "line_items[0]"),
        ("line_items=", "parameter_invalid_empty", "line_items"),
        ("line_items=x", "parameter_invalid_array", "line_items"),
        ("line_items[0]=x", "parameter_invalid_object", "line_items[0]"),
        ("metadata[a][b]=1", "parameter_invalid_string", "metadata[a]"),
        ("metadata=x", "parameter_invalid_object", "metadata"),
        ("customer[a]=1", "parameter_invalid_string", "customer"),
        ("customer[]=1", "parameter_invalid_string", "customer"),
        ("confirm=yes", "parameter_invalid_boolean", "confirm"),
        ("confirm=1", "parameter_invalid_boolean", "confirm"),
        ("confirm=", "parameter_invalid_empty", "confirm"),
        ("confirm[a]=1", "parameter_invalid_boolean", "confirm"),
        ("capture_method=never", "parameter_invalid_choice", "capture_method"),
        ("capture_method=", "parameter_invalid_empty", "capture_method"),
        ("payment_method_types[]=cash", "parameter_invalid_choice", "payment_method_types[0]"),
        ("fee=1.0", "parameter_invalid_integer", "fee"),
        ("fee=1e3", "parameter_invalid_integer", "fee"),
        ("fee=1_000", "parameter_invalid_integer", "fee"),
        ("fee=%201", "parameter_invalid_integer", "fee"),
        ("fee=٣", "parameter_invalid_integer", "fee"),
        ("fee=--1", "parameter_invalid_integer", "fee"),
        ("fee=null", "parameter_invalid_integer", "fee"),
        ("fee=" + "9" * 19, "parameter_invalid_integer", "fee"),
        ("fee=" + "9" * 5000, "parameter_invalid_integer", "fee"),
        ("expires=soon", "parameter_invalid_integer", "expires"),
        ("expires=", "parameter_invalid_empty", "expires"),
        ("expires[a]=1", "parameter_invalid_integer", "expires"),
        ("weight=nan", "parameter_invalid_number", "weight"),
        ("weight=inf", "parameter_invalid_number", "weight"),
        ("weight=1e999", "parameter_invalid_number", "weight"),
        ("weight=", "parameter_invalid_empty", "weight"),
        ("description=" + "x" * 1001, "parameter_invalid_string", "description"),
        ("metadata[a]=" + "x" * 5001, "parameter_invalid_string", "metadata[a]"),
        ("shipping[line1]=a&shipping[city]=", "parameter_invalid_empty", "shipping[city]"),
        ("&".join(f"expand[{n}]=a" for n in range(900)) + "&expand[x]=1", "parameter_invalid_array", "expand"),
    ],
)
def test_a_wrong_form_is_refused_by_name(text: str, code: str, param: str) -> None:
    assert refused_form(text) == (code, param)


@pytest.mark.parametrize(
    ("parts", "code", "param"),
    [
        ({"amount": "1200"}, "parameter_invalid_integer", "amount"),
        ({"amount": 12.0}, "parameter_invalid_integer", "amount"),
        ({"amount": True}, "parameter_invalid_integer", "amount"),
        ({"amount": None}, "parameter_invalid_integer", "amount"),
        ({"amount": 10**30}, "parameter_invalid_integer", "amount"),
        ({"amount": -(10**30)}, "parameter_invalid_integer", "amount"),
        ({"fee": 2**63}, "parameter_invalid_integer", "fee"),
        ({"weight": 10**400}, "parameter_invalid_number", "weight"),
        ({"weight": "1"}, "parameter_invalid_number", "weight"),
        ({"confirm": "true"}, "parameter_invalid_boolean", "confirm"),
        ({"confirm": 1}, "parameter_invalid_boolean", "confirm"),
        ({"currency": 5}, "parameter_invalid_string", "currency"),
        ({"currency": None}, "parameter_invalid_string", "currency"),
        ({"customer": []}, "parameter_invalid_string", "customer"),
        ({"metadata": {"a": 1}}, "parameter_invalid_string", "metadata[a]"),
        ({"metadata": {"x" * 501: "1"}}, "parameter_invalid_object", "metadata"),
        ({"metadata": {"a": "b\0"}}, "parameter_invalid_string", "metadata[a]"),
        ({"metadata": {"a\0": "b"}}, "parameter_malformed", "metadata"),
        ({"metadata": {"a": "\ud800"}}, "parameter_invalid_string", "metadata[a]"),
        ({"metadata": {"\udfff": "b"}}, "parameter_malformed", "metadata"),
        ({"line_items": {"0": {"name": "a"}}}, "parameter_invalid_array", "line_items"),
        ({"line_items": [{"name": "a"}, {"name": "b", "x": 1}]}, "parameter_unknown", "line_items[1][x]"),
        ({"line_items": [None]}, "parameter_invalid_object", "line_items[0]"),
        ({"line_items": [{"name": "a"}] * 1001}, "parameter_invalid_array", "line_items"),
        ({"expires": True}, "parameter_invalid_integer", "expires"),
        ({"capture_method": ["automatic"]}, "parameter_invalid_choice", "capture_method"),
    ],
)
def test_wrong_json_is_refused_by_name(parts: dict[str, Any], code: str, param: str) -> None:
    assert refused_json(**parts) == (code, param)


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b"[]",
        b"1",
        b'"x"',
        b"{",
        b'{"a":}',
        b"{'a': 1}",
        b'{"amount": NaN}',
        b'{"amount": -Infinity}',
        b'{"amount": 01}',
        b'{"amount": ' + b"9" * 10_000 + b"}",
        b'{"a": "\x00"}',
        b'{"a": "\xff"}',
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{\x00}\x00",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"metadata":' + b"[" * 50 + b"]" * 50 + b"}",
    ],
)
def test_a_body_that_is_not_one_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decode(body, JSON, CreateToy)
    assert refused.value.code == "body_malformed"


def test_a_name_given_twice_in_json_is_refused() -> None:
    with pytest.raises(InvalidRequest) as refused:
        decode(b'{"amount":1,"currency":"cny","amount":100}', JSON, CreateToy)
    assert (refused.value.code, refused.value.param) == ("parameter_duplicate", "amount")


def test_escaped_characters_are_read() -> None:
    toy = decode(b'{"amount":1,"currency":"cny","description":"\\ud83d\\udc38 \\\\u0000"}', JSON, CreateToy)
    assert toy.description == "\N{FROG FACE} \\u0000"


def test_messages_help_and_repeat_no_values() -> None:
    with pytest.raises(InvalidRequest) as refused:
        from_form("descripton=4242424242424242")
    assert refused.value.message == "Received unknown parameter: descripton. Did you mean description?"
    for text in ("fee=4242424242424242x", "confirm=4242424242424242", "4242424242424242=1", "4242-4242-4242-4242=1"):
        with pytest.raises(InvalidRequest) as refused:
            from_form(text)
        assert "4242" not in f"{refused.value.message}{refused.value.param}"
    with pytest.raises(InvalidRequest, match="description must be at most 1000 characters; this one has 1001"):
        from_form("description=" + "x" * 1001)
    with pytest.raises(InvalidRequest, match="must be one of automatic, manual"):
        from_form("capture_method=x")


@pytest.mark.parametrize("content_type", [None, "", "text/plain", "multipart/form-data; boundary=x", "application/x"])
def test_a_body_in_another_format_is_refused(content_type: str | None) -> None:
    with pytest.raises(UnsupportedMediaType):
        decode(b"amount=1", content_type, CreateToy)


def test_the_charset_is_utf8() -> None:
    assert decode(b"amount=1&currency=cny", FORM + "; charset=UTF-8", CreateToy).amount == 1
    assert decode(b'{"amount":1,"currency":"cny"}', 'Application/JSON;charset="utf-8"', CreateToy).amount == 1
    with pytest.raises(UnsupportedMediaType):
        decode(b"amount=1", FORM + "; charset=gbk", CreateToy)


def test_a_rule_of_the_struct_itself_is_told() -> None:
    with pytest.raises(InvalidRequest, match="only specify one of these") as refused:
        decode(b"", None, ListToys, query=b"starting_after=a&ending_before=b")
    assert refused.value.code == "parameters_exclusive"

    class Even(Struct):
        number: int

        def __post_init__(self) -> None:
            if self.number % 2:
                raise ValueError("number must be even")

    with pytest.raises(InvalidRequest, match="number must be even"):
        decode(b"number=1", FORM, Even)


def test_a_type_that_parameters_cannot_have_stops_the_start() -> None:
    with pytest.raises(TypeError, match="cannot have the type"):
        decoder_of(Odd)


patiently = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from([*CreateToy.__struct_fields__, "x"])


@patiently
@given(st.dictionaries(fields, plain, max_size=6))
def test_whatever_json_comes_is_decoded_or_refused(parts: dict[str, Any]) -> None:
    body = json.dumps({"amount": 1, "currency": "cny"} | parts).encode()
    try:
        msgspec.json.encode(decode(body, JSON, CreateToy))
    except DomainError as refused:
        msgspec.json.encode([refused.code, refused.message, refused.param])


subnames = st.sampled_from(["", "[0]", "[1]", "[]", "[name]", "[type]", "[card]", "[0][name]", "[0][tags][0]", "[é]"])
values = st.sampled_from(["", "0", "-1", "true", "null", "card", "x" * 600, "9" * 30]) | st.text(max_size=8)


@patiently
@given(st.lists(st.tuples(fields, subnames, values), max_size=6))
def test_whatever_form_comes_is_decoded_or_refused(pairs: list[tuple[str, str, str]]) -> None:
    text = "&".join(f"{name}{quote_plus(sub)}={quote_plus(value, errors='replace')}" for name, sub, value in pairs)
    try:
        msgspec.json.encode(decode(f"amount=1&currency=cny&{text}".encode(), FORM, CreateToy))
    except DomainError as refused:
        msgspec.json.encode([refused.code, refused.message, refused.param])
