"""Readers: functions made from a struct's schema that check plain data and turn a form's text into values.

A reader takes data and returns it checked, or raises ``Wrong``, to which each level adds its name on the way
out: so the good path pays nothing for naming the parameter. Dictionaries and lists are changed in place.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import inspect

from tongbao.api.forms import bracketed
from tongbao.foundation.errors import InvalidRequest, missing

Reader = Callable[[Any], Any]

TEXT_MAX = 5_000
"""Characters a text may have where its own type does not say."""
ELEMENTS_MAX = 1_000
"""Elements a list or a dictionary may have where its own type does not say."""
NAME_MAX = 500
INT_MIN, INT_MAX = -(2**63), 2**63 - 1

_NUMBER = re.compile(r"-?\d{1,300}(?:\.\d{1,300})?", re.ASCII)
_BOOLEANS = {"true": True, "false": False}


class Wrong(Exception):
    """A parameter is wrong. ``message`` holds ``{param}``; ``way`` gathers names from the inside out."""

    def __init__(self, code: str, message: str, *way: str) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.way = [*way]

    def told(self) -> InvalidRequest:
        """The error for the caller."""
        param = bracketed(self.way[::-1]) if self.way else None
        if self.code == "parameter_missing" and param:
            return missing(param)
        message = self.message.replace("{param}", param or "the request")
        return InvalidRequest(self.code, message, param=param)


def reader_of(into: type[msgspec.Struct], *, text: bool) -> Reader:
    """The reader of a struct: for a form's data (``text``: every scalar is text) or for JSON's.

    Raises ``TypeError`` for a type that parameters cannot have.
    """
    return _reader(inspect.type_info(into), text)


def _reader(kind: inspect.Type, text: bool) -> Reader:
    match kind:
        case inspect.StructType():
            return _struct(kind, text)
        case inspect.UnionType():
            return _union(kind, text)
        case inspect.StrType():
            return _string(kind)
        case inspect.IntType():
            return _integer(kind, text)
        case inspect.BoolType():
            return _text_boolean if text else _json_boolean
        case inspect.FloatType():
            return _text_number if text else _json_number
        case inspect.LiteralType() if all(type(value) is str for value in kind.values):
            return _choice([str(value) for value in kind.values])
        case inspect.ListType():
            return _list(kind, text)
        case inspect.DictType(key_type=inspect.StrType()):
            return _dict(kind, text)
        case inspect.AnyType():
            return _anything
        case _:
            raise TypeError(f"A route's parameters cannot have the type {kind!r}.")


def _struct(kind: inspect.StructType, text: bool) -> Reader:
    by_attribute = {field.name: field for field in msgspec.structs.fields(kind.cls)}
    readers: dict[str, Reader] = {}
    for field in kind.fields:
        reader = _reader(field.type, text)
        if by_attribute[field.name].default is msgspec.UNSET and _takes_none(field.type):
            reader = _unsettable(reader)
        readers[field.encode_name] = reader
    required = [field.encode_name for field in kind.fields if field.required]

    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise _not_an_object(value)
        for name, part in value.items():
            reader = readers.get(name)
            if reader is None:
                raise _unknown(name, readers)
            try:
                value[name] = reader(part)
            except Wrong as wrong:
                wrong.way.append(name)
                raise
        for name in required:
            if name not in value:
                raise Wrong("parameter_missing", "Missing required param: {param}.", name)
        return value

    return read


def _unknown(name: str, known: dict[str, Reader]) -> Wrong:
    near = difflib.get_close_matches(name[:NAME_MAX], known, 1, 0.75)
    hint = f". Did you mean {near[0]}?" if near else ""
    return Wrong("parameter_unknown", "Received unknown parameter: {param}" + hint, name)


def _list(kind: inspect.ListType, text: bool) -> Reader:
    item = _reader(kind.item_type, text)
    most = ELEMENTS_MAX if kind.max_length is None else kind.max_length
    least = kind.min_length or 0

    def read(value: Any) -> Any:
        if text and type(value) is dict:
            value = _in_order(value)
        elif type(value) is not list:
            raise _empty_or(value, "parameter_invalid_array", "Invalid array: {param} must be a list.")
        if not least <= len(value) <= most:
            raise Wrong("parameter_invalid_array", f"Invalid array: {{param}} must have {least} to {most} elements.")
        index = 0
        try:
            for index, part in enumerate(value):
                value[index] = item(part)
        except Wrong as wrong:
            wrong.way.append(str(index))
            raise
        return value

    return read


def _in_order(parts: dict[str, Any]) -> list[Any]:
    """A form's ``{"0": a, "1": b}`` as ``[a, b]``, whatever their order; positions have no gaps."""
    try:
        return [parts[str(index)] for index in range(len(parts))]
    except KeyError as gap:
        if not all(name.isdecimal() for name in parts):
            message = "Invalid array: the elements of {param} must be numbered 0, 1, 2 and so on."
            raise Wrong("parameter_invalid_array", message) from None
        message = "Invalid array: the element {param} is missing."
        raise Wrong("parameter_invalid_array", message, str(gap.args[0])) from None


def _dict(kind: inspect.DictType, text: bool) -> Reader:
    item = _reader(kind.value_type, text)
    most = ELEMENTS_MAX if kind.max_length is None else kind.max_length

    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise _not_an_object(value)
        if len(value) > most:
            raise Wrong("parameter_invalid_object", f"Invalid object: {{param}} may have at most {most} parts.")
        for name, part in value.items():
            if len(name) > NAME_MAX:
                message = f"Invalid object: names in {{param}} must be at most {NAME_MAX} characters."
                raise Wrong("parameter_invalid_object", message)
            try:
                value[name] = item(part)
            except Wrong as wrong:
                wrong.way.append(name)
                raise
        return value

    return read


def _string(kind: inspect.StrType) -> Reader:
    most = TEXT_MAX if kind.max_length is None else kind.max_length
    least = kind.min_length or 0
    pattern = None if kind.pattern is None else re.compile(kind.pattern)

    def read(value: Any) -> Any:
        if type(value) is not str:
            raise Wrong("parameter_invalid_string", "Invalid string: {param} must be text.")
        if len(value) > most:
            message = f"Invalid string: {{param}} must be at most {most} characters; this one has {len(value)}."
            raise Wrong("parameter_invalid_string", message)
        if len(value) < least:
            raise _empty_or(
                value, "parameter_invalid_string", f"Invalid string: {{param}} must be at least {least} characters."
            )
        if pattern is not None and not pattern.search(value):
            raise Wrong("parameter_invalid_string", "Invalid string: {param} does not have the required form.")
        return value

    return read


def _integer(kind: inspect.IntType, text: bool) -> Reader:
    least = max(INT_MIN, INT_MIN if kind.ge is None else kind.ge, INT_MIN if kind.gt is None else kind.gt + 1)
    most = min(INT_MAX, INT_MAX if kind.le is None else kind.le, INT_MAX if kind.lt is None else kind.lt - 1)

    def read(value: Any) -> Any:
        if text and type(value) is str:
            digits = value[1:] if value[:1] == "-" else value
            if not (digits.isdecimal() and digits.isascii() and len(digits) < 100):
                raise _empty_or(value, "parameter_invalid_integer", _INTEGER)
            value = int(value)
        elif type(value) is not int:
            raise Wrong("parameter_invalid_integer", _INTEGER)
        if value < least:
            raise Wrong("parameter_invalid_integer", f"Invalid integer: {{param}} must be at least {least}.")
        if value > most:
            raise Wrong("parameter_invalid_integer", f"Invalid integer: {{param}} must be at most {most}.")
        return value

    return read


_INTEGER = "Invalid integer: {param} must be a whole number in digits, such as 1200."


def _choice(values: list[str]) -> Reader:
    known = frozenset(values)
    message = "Invalid {param}: must be one of " + ", ".join(value for value in values if value) + "."

    def read(value: Any) -> Any:
        if type(value) is not str or value not in known:
            raise _empty_or(value, "parameter_invalid_choice", message)
        return value

    return read


def _text_boolean(value: Any) -> Any:
    if type(value) is not str or (boolean := _BOOLEANS.get(value)) is None:
        raise _empty_or(value, "parameter_invalid_boolean", _BOOLEAN)
    return boolean


def _json_boolean(value: Any) -> Any:
    if type(value) is not bool:
        raise _empty_or(value, "parameter_invalid_boolean", _BOOLEAN)
    return value


_BOOLEAN = "Invalid boolean: {param} must be true or false."


def _text_number(value: Any) -> Any:
    if type(value) is not str or not _NUMBER.fullmatch(value):
        raise _empty_or(value, "parameter_invalid_number", _DECIMAL)
    return _json_number(float(value))


def _json_number(value: Any) -> Any:
    if type(value) is int and INT_MIN <= value <= INT_MAX:
        return value
    if type(value) is not float or not math.isfinite(value):
        raise _empty_or(value, "parameter_invalid_number", _DECIMAL)
    return value


_DECIMAL = "Invalid number: {param} must be a decimal number, such as 12.5."


def _anything(value: Any) -> Any:
    return value


def _takes_none(kind: inspect.Type) -> bool:
    return isinstance(kind, inspect.UnionType) and any(isinstance(t, inspect.NoneType) for t in kind.types)


def _unsettable(reader: Reader) -> Reader:
    def read(value: Any) -> Any:
        return None if value == "" else reader(value)

    return read


def _union(kind: inspect.UnionType, text: bool) -> Reader:
    members = [member for member in kind.types if not isinstance(member, inspect.NoneType)]
    takes_none = len(members) < len(kind.types)
    if len(members) == 1:
        only = _reader(members[0], text)
        if text or not takes_none:
            return only
        return lambda value: None if value is None else only(value)
    # Scalars are tried from the narrow to the wide: "now" before a number, a number before any text.
    members.sort(key=_breadth)
    objects = [_reader(m, text) for m in members if isinstance(m, (inspect.StructType, inspect.DictType))]
    lists = [_reader(m, text) for m in members if isinstance(m, inspect.ListType)]
    scalars = [_reader(m, text) for m in members if isinstance(m, _SCALARS)]
    fitting: dict[type, list[Reader]] = {dict: objects or (lists if text else []), list: lists}

    def read(value: Any) -> Any:
        if value is None and takes_none:
            return None
        wrong: Wrong | None = None
        for reader in fitting.get(type(value), scalars) or scalars or objects or lists:
            try:
                return reader(value)
            except Wrong as refused:
                wrong = refused
        assert wrong is not None
        raise wrong

    return read


_SCALARS = (inspect.LiteralType, inspect.BoolType, inspect.IntType, inspect.FloatType, inspect.StrType)


def _breadth(member: inspect.Type) -> int:
    return next((index for index, scalar in enumerate(_SCALARS) if isinstance(member, scalar)), len(_SCALARS))


def _not_an_object(value: Any) -> Wrong:
    return _empty_or(value, "parameter_invalid_object", "Invalid object: {param} must have named parts.")


def _empty_or(value: Any, code: str, message: str) -> Wrong:
    """``message``; or, for an empty text, Stripe's words for it."""
    if value != "":
        return Wrong(code, message)
    return Wrong(
        "parameter_invalid_empty",
        "You passed an empty string for '{param}'. An empty value is an attempt to unset a parameter, and "
        "'{param}' cannot be unset. Remove '{param}' from your request or give it a value.",
    )
