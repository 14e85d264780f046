"""Reading what a page's form sends: bounded, from our own pages only, and for the amount that was shown."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
from typing import NamedTuple
from urllib.parse import parse_qsl

from starlette.requests import Request

from tongbao.web.trouble import BAD_FORM, FOREIGN_FORM, LARGE_FORM, SLOW_FORM, Trouble

FORM_BYTES_MAX = 64 * 1024
FORM_SECONDS_MAX = 10.0
_FIELDS_MAX = 50
_NONCE_BYTES = 16
_MAC_BYTES = 16


class Form:
    """The fields of a form. What was typed may be a card number, so it never shows in a log or a traceback."""

    def __init__(self, fields: dict[str, str]) -> None:
        self._fields = fields

    def get(self, name: str) -> str:
        """The field, or an empty text."""
        return self._fields.get(name, "")

    def __repr__(self) -> str:
        return "Form(…)"


async def read_form(request: Request, origin: str) -> Form:
    """The fields of a form that one of our own pages sent.

    :raises Trouble: it came from elsewhere, or is too large, too slow, or no form in UTF-8.
    """
    _check_origin(request, origin)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Trouble(415, BAD_FORM)
    try:
        text = (await _read_body(request)).decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_MAX)
    except ValueError:
        raise Trouble(400, BAD_FORM) from None
    if any("\0" in value for _, value in pairs):
        raise Trouble(400, BAD_FORM)
    return Form({name: value.strip() for name, value in pairs})


def _check_origin(request: Request, origin: str) -> None:
    """Browsers tell the origin of every form. Nothing told means no browser, which holds nobody's session."""
    told = request.headers.get("origin")
    own = (origin, f"{request.url.scheme}://{request.headers.get('host', '')}")
    site = request.headers.get("sec-fetch-site", "same-origin")
    if (told is not None and told not in own) or site not in ("same-origin", "none"):
        raise Trouble(403, FOREIGN_FORM)


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(FORM_SECONDS_MAX):
            async for chunk in request.stream():
                body += chunk
                if len(body) > FORM_BYTES_MAX:
                    raise Trouble(413, LARGE_FORM)
    except TimeoutError:
        raise Trouble(408, SLOW_FORM) from None
    return bytes(body)


class Ticket(NamedTuple):
    """One showing of a form. ``nonce`` names the attempt; ``amount`` is what the page said would be paid."""

    nonce: str
    amount: int


class Tickets:
    """Makes and checks the ticket in each form: it proves that we showed this form for this session, with this
    amount on it. An attempt's idempotency key comes from it, so that a form sent twice pays once."""

    def __init__(self, key: bytes) -> None:
        """:param key: the installation's secret for this purpose, the same on every node."""
        self._key = key

    def make(self, subject: str, amount: int) -> str:
        """A new ticket for ``subject`` (a session's id), in text that a form can carry."""
        body = secrets.token_bytes(_NONCE_BYTES) + amount.to_bytes(8)
        return base64.urlsafe_b64encode(body + self._mac(subject, body)).decode()

    def read(self, text: str, subject: str) -> Ticket | None:
        """The ticket, or ``None`` if it is not one of ours for this subject."""
        try:
            raw = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
        except (UnicodeEncodeError, binascii.Error):
            return None
        body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if len(body) != _NONCE_BYTES + 8 or not hmac.compare_digest(mac, self._mac(subject, body)):
            return None
        return Ticket(body[:_NONCE_BYTES].hex(), int.from_bytes(body[_NONCE_BYTES:]))

    def fingerprint(self, *parts: str) -> str:
        """A keyed hash of what was sent (PCI DSS 3.5.1.1: a card number's hash must be keyed)."""
        return hmac.new(self._key, "\n".join(("input", *parts)).encode(), hashlib.sha256).hexdigest()

    def _mac(self, subject: str, body: bytes) -> bytes:
        return hmac.new(self._key, b"ticket\n" + subject.encode() + b"\n" + body, hashlib.sha256).digest()[:_MAC_BYTES]
