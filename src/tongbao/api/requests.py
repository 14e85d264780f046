"""What the edge reads of a request before its parameters: headers, key, body. Every part has a bound."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from tongbao.foundation.errors import (
    InvalidRequest,
    NotAuthenticated,
    RequestTimeout,
    TooLarge,
    UnsupportedMediaType,
)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = dict[bytes, bytes]

HEADER_MAX = 255
TOKEN_MAX = 255

_READ = frozenset(
    {
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"idempotency-key",
        b"stripe-version",
        b"transfer-encoding",
    }
)


class ClientGone(Exception):
    """The client closed the connection before its request was whole."""


def read_headers(pairs: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return the headers the edge uses; raise ``InvalidRequest`` for one that comes twice."""
    headers: Headers = {}
    for name, value in pairs:
        if name in _READ:
            if name in headers:
                raise _bad_header(name, "may be sent only once")
            headers[name] = value
    return headers


def printable(headers: Headers, name: bytes) -> str | None:
    """Return a header of 1 to ``HEADER_MAX`` printable ASCII characters, or ``None`` if it is not there."""
    value = headers.get(name)
    if value is None:
        return None
    text = value.decode("latin-1")
    if not 0 < len(text) <= HEADER_MAX or not (text.isascii() and text.isprintable()):
        raise _bad_header(name, f"must be 1 to {HEADER_MAX} printable ASCII characters")
    return text


def api_key(headers: Headers) -> str:
    """Return the API key of ``Authorization``: ``Bearer key``, or ``Basic`` with the key as user name.

    Raises ``NotAuthenticated``. The key itself is never repeated in an error.
    """
    header = headers.get(b"authorization")
    if not header:
        raise NotAuthenticated(
            "api_key_missing",
            "You did not provide an API key. Provide it in the Authorization header, using Bearer auth "
            "(e.g. 'Authorization: Bearer YOUR_SECRET_KEY') or as the user name of Basic auth.",
        )
    scheme, _, rest = header.decode("latin-1").partition(" ")
    token = rest.strip()
    if scheme.lower() == "basic":
        try:
            token = base64.b64decode(token, validate=True).decode("latin-1").partition(":")[0]
        except (binascii.Error, ValueError):
            token = ""
    elif scheme.lower() != "bearer":
        token = ""
    if not 0 < len(token) <= TOKEN_MAX or not (token.isascii() and token.isprintable()):
        raise NotAuthenticated(
            "api_key_malformed",
            "The Authorization header is not understood. Send 'Bearer YOUR_SECRET_KEY', or Basic auth with "
            "the key as user name and no password.",
        )
    return token


def check_encoding(headers: Headers) -> None:
    """Raise ``UnsupportedMediaType`` for a compressed body: what is bounded must be what is read."""
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise UnsupportedMediaType(
            "content_encoding_unsupported", "Send the body without Content-Encoding, not compressed."
        )


async def read_body(headers: Headers, receive: Receive, bytes_max: int, seconds_max: float) -> bytes:
    """Return the whole body. Reading stops as soon as it is known to be too long or too late.

    Raises ``TooLarge``, ``RequestTimeout``, ``InvalidRequest`` (a Content-Length that is no number) and
    ``ClientGone``.
    """
    declared = headers.get(b"content-length")
    if declared is not None:
        if not declared.isdigit() or len(declared) > 18:
            raise _bad_header(b"content-length", "must be a number")
        if int(declared) > bytes_max:
            raise _too_large(bytes_max)
    try:
        async with asyncio.timeout(seconds_max):
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body"):
                body: bytes = message.get("body", b"")
                if len(body) > bytes_max:
                    raise _too_large(bytes_max)
                return body
            return await _read_rest(message, receive, bytes_max)
    except TimeoutError:
        raise RequestTimeout(
            "body_too_slow", f"The request's body did not arrive within {seconds_max:g} seconds."
        ) from None


async def _read_rest(message: Message, receive: Receive, bytes_max: int) -> bytes:
    body = bytearray()
    while True:
        if message["type"] != "http.request":
            raise ClientGone
        body += message.get("body", b"")
        if len(body) > bytes_max:
            raise _too_large(bytes_max)
        if not message.get("more_body"):
            return bytes(body)
        message = await receive()


def has_body(headers: Headers) -> bool:
    """Whether a body follows the headers."""
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"


def _too_large(bytes_max: int) -> TooLarge:
    return TooLarge("body_too_large", f"The request's body is larger than {bytes_max} bytes, which is the most.")


def _bad_header(name: bytes, rule: str) -> InvalidRequest:
    title = name.decode().title()
    return InvalidRequest("header_invalid", f"The header {title} {rule}.")
