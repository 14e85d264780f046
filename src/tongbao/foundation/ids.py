"""Identifiers: a prefix that tells the kind, then 24 base-62 characters that sort by time of creation.

The first 8 characters hold milliseconds since the epoch (enough until the year 8888), the other 16 hold
95 random bits. ``0-9A-Za-z`` is in ASCII order, so that sorting by id (``COLLATE "C"``) is sorting by time.
"""

from __future__ import annotations

import secrets
import time

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PAIRS = [a + b for a in ALPHABET for b in ALPHABET]
_RANDOM_BITS = 95


def encode(number: int, width: int) -> str:
    """Write ``number`` in base 62, left-padded with zeros to ``width`` (even) characters."""
    parts: list[str] = []
    for _ in range(width // 2):
        number, rest = divmod(number, 3844)
        parts.append(_PAIRS[rest])
    return "".join(reversed(parts))


def new_id(prefix: str, now_ms: int | None = None, random: int | None = None) -> str:
    """Return ``{prefix}_{24 characters}``. Time and randomness can be given, for tests and simulation."""
    if now_ms is None:
        now_ms = time.time_ns() // 1_000_000
    if random is None:
        random = secrets.randbits(_RANDOM_BITS)
    return f"{prefix}_{encode(now_ms, 8)}{encode(random, 16)}"


def new_secret(characters: int = 32) -> str:
    """Return random base-62 text: about 5.95 bits a character, from the operating system's generator."""
    return "".join(secrets.choice(ALPHABET) for _ in range(characters))
