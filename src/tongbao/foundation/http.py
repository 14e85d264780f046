"""How HTTP reaches a capability: the values that its ``routes.py`` declares and gets. No I/O.

A capability offers ``routes(...) -> list[Route]``; ``tongbao.api`` assembles them, authenticates, decodes and
answers. A handler gets a ``Call`` whose ``params`` are already decoded and checked, and returns the reply as
plain data (dictionaries, lists), which is encoded as JSON.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import msgspec

Access = Literal["secret", "publishable", "public"]
"""Who may call a route: a secret key only; a publishable key too; anybody."""

Json = dict[str, Any]
Params = TypeVar("Params", bound=msgspec.Struct)


class Caller(msgspec.Struct, frozen=True):
    """Who calls: one API key of one merchant (a test twin is a merchant of its own); or nobody known."""

    merchant_id: str
    key_id: str
    kind: Literal["secret", "publishable", "anonymous"]
    livemode: bool


ANONYMOUS = Caller(merchant_id="", key_id="", kind="anonymous", livemode=False)
"""The caller of a ``public`` route, which is not asked for a key."""


class Idempotency(msgspec.Struct, frozen=True):
    """The caller's ``Idempotency-Key`` and a keyed hash (HMAC-SHA-256, hex) of method, path and parameters."""

    key: str
    input_hash: str


class NoParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For routes that take no parameters."""

    expand: list[str] = []


@dataclass(frozen=True, slots=True)
class Call(Generic[Params]):
    """One authenticated, decoded request. ``path`` holds the path's variables by name."""

    caller: Caller
    params: Params
    path: dict[str, str]
    idempotency: Idempotency | None
    request_id: str
    now_ms: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply with more to say than its body: status, headers, and whether a stored reply was repeated."""

    body: Any
    status: int = 200
    replayed: bool = False
    headers: dict[str, str] | None = None


Handler = Callable[[Call[Any]], Awaitable[Json | Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """One method and path. ``{name}`` in the path is a variable; ``params`` is decoded from body or query."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    handler: Handler
    params: type[msgspec.Struct]
    summary: str
    access: Access = "secret"
    returns: str = "object"
    """The name of the object that is returned, for the OpenAPI document."""
