"""What the card channel has to be told. There are no default credentials."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

import msgspec

SECRET_LENGTH_MIN = 32


class CardConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the acquirer is and how we prove who we are.

    :raises ValueError: on construction, if it could not work or would not be safe.
    """

    base_url: str
    """Without a final slash, e.g. ``https://acquirer.example/acquirer``. Card numbers travel there: ``https``,
    unless the host is this machine or ``allow_plain_http`` says that the network is private."""
    terminal_id: str
    secret: str
    """Shared with the acquirer, at least 32 characters. Signs requests; verifies answers and notices."""
    allow_plain_http: bool = False
    connect_timeout_s: float = 3.0
    read_timeout_s: float = 10.0
    """The longest silence. An answer may take twice as long in all."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("base_url must be an http or https address such as https://acquirer.example/acquirer")
        if parts.scheme == "http" and not self.allow_plain_http and not _is_this_machine(parts.hostname):
            raise ValueError(
                "base_url is plain http to another machine, and card numbers would travel in the clear:"
                " use https, or set allow_plain_http if the network is private"
            )
        if not re.fullmatch(r"[\x21-\x7e]{1,64}", self.terminal_id):
            raise ValueError("terminal_id must have 1 to 64 visible ASCII characters")
        if len(self.secret) < SECRET_LENGTH_MIN:
            raise ValueError(f"secret is shorter than {SECRET_LENGTH_MIN} characters")
        if self.connect_timeout_s <= 0 or self.read_timeout_s <= 0:
            raise ValueError("timeouts must be greater than zero")

    def __repr__(self) -> str:
        return f"CardConfig(base_url={self.base_url!r}, terminal_id={self.terminal_id!r}, secret=…)"


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
