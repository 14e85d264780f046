"""From bytes to a checked parameter struct: forms and JSON by one schema, with errors that name the parameter.

A route's parameters are a msgspec Struct. From its schema a *reader* is made once: a tree of small functions
that turn text into numbers and booleans (forms), numbered dictionaries into lists (forms), check types, sizes
and choices, and refuse what the schema does not know. msgspec then builds the struct.

What can be unset is declared ``T | None | UnsetType = UNSET``: an empty text (Stripe's way to unset) becomes
``None``. Elsewhere an empty text stays what it is for text and is refused for numbers, booleans and objects.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import msgspec

from tongbao.api.forms import bracketed, nul_refused, parse_form, shown
from tongbao.api.readers import Wrong, reader_of
from tongbao.foundation.errors import InvalidRequest, UnsupportedMediaType

JSON_DEPTH_MAX = 20
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"

T = TypeVar("T", bound=msgspec.Struct)

# An escape that may stand for NUL or for half of a surrogate pair: only then are all texts looked at.
_SUSPECT_ESCAPE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


class Decoded(NamedTuple, Generic[T]):
    """The struct, and the plain data it was made of: only what was sent, typed, the same for form and JSON."""

    params: T
    data: dict[str, Any]


class Decoder(Generic[T]):
    """Decodes into one struct type. Raises ``TypeError`` at once if the struct has a type it cannot read."""

    def __init__(self, into: type[T]) -> None:
        self._into = into
        self._read_text = reader_of(into, text=True)
        self._read_json = reader_of(into, text=False)

    def __call__(self, body: bytes, content_type: str | None, query: bytes = b"") -> Decoded[T]:
        """Decode a body and a query string; see ``decode``."""
        if not body:
            return self._finish(parse_form(query), self._read_text)
        if _format(content_type) == "form":
            return self._finish(parse_form(query + b"&" + body if query else body), self._read_text)
        if query:
            raise InvalidRequest(
                "parameters_misplaced", "With a JSON body, send every parameter in it and none in the address."
            )
        return self._finish(parse_json(body), self._read_json)

    def _finish(self, raw: dict[str, Any], read: Callable[[Any], Any]) -> Decoded[T]:
        try:
            data = read(raw)
        except Wrong as wrong:
            raise wrong.told() from None
        try:
            return Decoded(msgspec.convert(data, self._into), data)
        except msgspec.ValidationError as error:
            raise _refused_by_struct(str(error)) from None


decoder_of: Callable[[type[msgspec.Struct]], Decoder[Any]] = cache(Decoder)
"""The decoder of a struct type, made once."""


def decode(body: bytes, content_type: str | None, into: type[T], query: bytes = b"") -> T:
    """Return the request's parameters as ``into``.

    Parameters come from the body (form or JSON by ``content_type``) and, unless the body is JSON, from the
    query string too. Raises ``InvalidRequest`` (with ``param`` as ``line_items[0][quantity]``), or
    ``UnsupportedMediaType`` for a body in another format.
    """
    params: T = decoder_of(into)(body, content_type, query).params
    return params


def parse_json(body: bytes) -> dict[str, Any]:
    """Return the JSON object, or raise ``InvalidRequest``.

    Refused: what RFC 8259 does not allow (NaN too), names given twice, more than ``JSON_DEPTH_MAX`` levels,
    numbers of thousands of digits, NUL and lone surrogates in any text, and anything but an object.
    """
    try:
        text = body.decode()
        value = _JSON.decode(text)
    except InvalidRequest:
        raise
    except UnicodeDecodeError:
        raise InvalidRequest("body_malformed", "The request's body is not valid UTF-8.") from None
    except RecursionError:
        raise _too_deep() from None
    except json.JSONDecodeError as error:
        message = f"The request's body is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})."
        raise InvalidRequest("body_malformed", message) from None
    except ValueError:  # int() refuses numbers of more than 4300 digits
        raise InvalidRequest("body_malformed", "The request's body holds a number that is too long.") from None
    if type(value) is not dict:
        raise InvalidRequest("body_malformed", "The request's body must be one JSON object.")
    if text.count("{") + text.count("[") > JSON_DEPTH_MAX and _depth_exceeds(value, JSON_DEPTH_MAX):
        raise _too_deep()
    if _SUSPECT_ESCAPE.search(text):
        _check_texts(value, [])
    return value


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        param = shown(next(name for index, name in enumerate(names) if name in names[:index]))
        raise InvalidRequest("parameter_duplicate", f"Received parameter more than once: {param}.", param=param)
    return value


def _no_constant(name: str) -> Any:
    raise InvalidRequest("body_malformed", f"The request's body is not valid JSON: {name} is not a JSON number.")


_JSON = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_no_constant)


def _too_deep() -> InvalidRequest:
    message = f"The request's body is nested more than {JSON_DEPTH_MAX} levels deep."
    return InvalidRequest("body_malformed", message)


def _depth_exceeds(value: Any, levels: int) -> bool:
    """Whether containers are nested deeper than ``levels``; looks no deeper than that."""
    if type(value) is dict:
        value = value.values()
    elif type(value) is not list:
        return False
    return levels == 0 or any(_depth_exceeds(part, levels - 1) for part in value)


def _check_texts(value: Any, way: list[str]) -> None:
    """Refuse NUL and lone surrogates in every text, names included: PostgreSQL's text can hold neither."""
    if type(value) is str:
        param = bracketed(way)
        if "\0" in value:
            raise nul_refused(param)
        if not _is_unicode(value):
            message = f"Invalid string: {param} holds half of a surrogate pair, which is not a character."
            raise InvalidRequest("parameter_invalid_string", message, param=param)
    elif type(value) is list:
        for index, part in enumerate(value):
            _check_texts(part, [*way, str(index)])
    elif type(value) is dict:
        for name, part in value.items():
            if "\0" in name or not _is_unicode(name):
                message = "A parameter's name must not contain NUL or half of a surrogate pair."
                raise InvalidRequest("parameter_malformed", message, param=bracketed(way) if way else None)
            _check_texts(part, [*way, name])


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@lru_cache(maxsize=64)
def _format(content_type: str | None) -> Literal["form", "json"]:
    kind, _, parameters = (content_type or "").partition(";")
    kind = kind.strip().lower()
    charset = parameters.lower().replace(" ", "").replace('"', "").partition("charset=")[2].partition(";")[0]
    if kind not in (FORM, JSON):
        message = f"Send the body as {FORM} or {JSON}, and say which in the Content-Type header."
        raise UnsupportedMediaType("content_type_unsupported", message)
    if charset not in ("", "utf-8", "utf8"):
        raise UnsupportedMediaType("content_type_unsupported", "Send the body in UTF-8.")
    return "form" if kind == FORM else "json"


def _refused_by_struct(message: str) -> InvalidRequest:
    """Tell what only the struct itself knows (its ``__post_init__`` and constraints readers do not check)."""
    text, _, way = message.partition(" - at `")
    steps = re.findall(r"[^.\[\]$`]+", way)
    return InvalidRequest("parameter_invalid", text + ".", param=bracketed(steps) if steps else None)
