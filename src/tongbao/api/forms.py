"""Forms: ``a[b][c]=1&items[0][x]=2&expand[]=y`` becomes nested dictionaries and lists of text.

Numbers in brackets stay dictionary keys (``{"items": {"0": …}}``): only the schema knows whether ``metadata[0]``
is a name or a position, so ``decoding`` makes lists where the schema has them. ``[]`` appends: a new element
begins when the last one already has what is being set, as Rack does and Stripe's clients expect.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from tongbao.foundation.errors import InvalidRequest

PAIRS_MAX = 1_000
DEPTH_MAX = 10
NAME_BYTES_MAX = 500

_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_SHOWN = re.compile(r"[\w.:/@$+-]{1,100}")
_SHOWN_DIGITS_MAX = 11  # a card number has 12 or more


def shown(name: str) -> str:
    """``name`` if it may be repeated in an answer; ``…`` if it is long, odd, or might hold a card number."""
    if _SHOWN.fullmatch(name) and sum(map(str.isdigit, name)) <= _SHOWN_DIGITS_MAX:
        return name
    return "…"


def bracketed(steps: tuple[str, ...] | list[str]) -> str:
    """The way of a parameter as a caller writes it: ``("items", "0", "x")`` gives ``items[0][x]``."""
    return "".join([shown(steps[0]), *(f"[{shown(step) if step else ''}]" for step in steps[1:])])


def parse_form(data: bytes) -> dict[str, Any]:
    """Return the form (a body or a query string) as nested dictionaries, lists and text.

    Raises ``InvalidRequest`` naming the parameter: more than ``PAIRS_MAX`` pairs, a name deeper than
    ``DEPTH_MAX`` or longer than ``NAME_BYTES_MAX``, malformed brackets, text that is not UTF-8 or holds NUL,
    the same parameter twice, one parameter in two shapes.
    """
    form: dict[str, Any] = {}
    if not data:
        return form
    if data.count(b"&") >= PAIRS_MAX:
        raise InvalidRequest("parameters_too_many", f"Send at most {PAIRS_MAX} parameters in one request.")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        pair_start = data.rfind(b"&", 0, error.start) + 1
        raise _not_utf8(_label(data[pair_start : pair_start + NAME_BYTES_MAX].partition(b"=")[0])) from None
    for pair in text.split("&"):
        if not pair:
            continue
        name, _, value = pair.partition("=")
        steps = _steps(name)
        if "+" in value:
            value = value.replace("+", " ")
        if "%" in value:
            try:
                value = unquote(value, errors="strict")
            except UnicodeDecodeError:
                raise _not_utf8(bracketed(steps)) from None
        if "\0" in value:
            raise nul_refused(bracketed(steps))
        if len(steps) > 1:
            _place(form, steps, value)
        elif (single := steps[0]) in form:
            raise _twice(steps, form[single])
        else:
            form[single] = value
    return form


def nul_refused(param: str) -> InvalidRequest:
    """The error for a NUL character, which PostgreSQL's text cannot hold."""
    return InvalidRequest(
        "parameter_invalid_string", f"Invalid string: {param} must not contain a NUL character.", param=param
    )


@lru_cache(maxsize=2_048)
def _steps(raw: str) -> tuple[str, ...]:
    """Take a still percent-encoded name apart: ``a%5Bb%5D[]`` gives ``("a", "b", "")``."""
    try:
        name = unquote(raw.replace("+", " "), errors="strict")
    except UnicodeDecodeError:
        raise _not_utf8(_label(raw.encode())) from None
    if len(name.encode()) > NAME_BYTES_MAX:
        raise _malformed(f"A parameter's name may have at most {NAME_BYTES_MAX} bytes.", name[:50])
    steps = _split(name)
    if steps is None or "\0" in name:
        raise _malformed("A parameter's name must look like name, name[part] or name[].", name)
    if len(steps) > DEPTH_MAX:
        raise _malformed(f"Parameters may be nested at most {DEPTH_MAX} levels deep.", steps[0])
    return steps


def _split(name: str) -> tuple[str, ...] | None:
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    return (match[1], *match[2][1:-1].split("][")) if match[2] else (name,)


def _place(form: dict[str, Any], steps: tuple[str, ...], value: str) -> None:
    """Set one nested value, making the dictionaries and lists on its way."""
    node: Any = form
    for depth, step in enumerate(steps, 1):
        rest = steps[depth:]
        part: Any = value if not rest else {} if rest[0] else []
        if step:
            if type(node) is not dict:
                raise _two_shapes(steps)
            if not rest and step in node:
                raise _twice(steps, node[step])
            node = node.setdefault(step, part)
        else:
            if type(node) is not list:
                raise _two_shapes(steps)
            if not rest or not node or not _has_room(node[-1], rest):
                node.append(part)
            node = node[-1]


def _has_room(element: Any, steps: tuple[str, ...]) -> bool:
    """Whether a list's last element can still take a value at ``steps``."""
    for step in steps:
        if not step:
            return type(element) is list
        if type(element) is not dict:
            return False
        if step not in element:
            return True
        element = element[step]
    return False


def _twice(steps: tuple[str, ...], present: Any) -> InvalidRequest:
    if type(present) is not str:
        return _two_shapes(steps)
    param = bracketed(steps)
    return InvalidRequest("parameter_duplicate", f"Received parameter more than once: {param}.", param=param)


def _two_shapes(steps: tuple[str, ...]) -> InvalidRequest:
    param = bracketed(steps)
    message = f"Parameter {param} conflicts with another one that gives the same parameter a different shape."
    return InvalidRequest("parameter_conflict", message, param=param)


def _malformed(message: str, name: str) -> InvalidRequest:
    return InvalidRequest("parameter_malformed", message, param=shown(name))


def _label(raw_name: bytes) -> str:
    """A name that may be shown, made from bytes that may be anything."""
    name = unquote(raw_name.decode(errors="replace"))
    steps = _split(name)
    return bracketed(steps) if steps else shown(name)


def _not_utf8(param: str) -> InvalidRequest:
    return InvalidRequest("parameter_malformed", f"Parameter {param} is not valid UTF-8.", param=param)
