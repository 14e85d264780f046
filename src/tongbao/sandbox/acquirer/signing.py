"""Signatures of the acquirer's protocol: HMAC-SHA256 with the terminal's secret, hexadecimal.

Each kind of text begins with its own word, so that no signature made for one purpose serves for another; an
answer's text holds the request's signature, so that no answer fits another request.
"""

from __future__ import annotations

import hashlib
import hmac

TERMINAL_HEADER = "acquirer-terminal"
TIMESTAMP_HEADER = "acquirer-timestamp"
SIGNATURE_HEADER = "acquirer-signature"
WINDOW_MS = 5 * 60 * 1000
"""How far a request's or notice's timestamp may lie from the receiver's clock."""


def mac(secret: str, text: bytes) -> str:
    """HMAC-SHA256 of ``text``, hexadecimal."""
    return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()


def sign_request(secret: str, timestamp: str, method: str, target: str, body: bytes) -> str:
    """Signature of a request. ``target`` is path and query exactly as in the request line."""
    return mac(secret, f"request\n{timestamp}\n{method}\n{target}\n".encode() + body)


def sign_answer(secret: str, timestamp: str, request_signature: str, status: int, body: bytes) -> str:
    """Signature of the answer to the request that carried ``request_signature``."""
    return mac(secret, f"answer\n{timestamp}\n{request_signature}\n{status}\n".encode() + body)


def sign_notice(secret: str, timestamp: str, body: bytes) -> str:
    """Signature of a notice, made afresh for each attempt to deliver it."""
    return mac(secret, f"notice\n{timestamp}\n".encode() + body)


def same(given: str, expected: str) -> bool:
    """Compare two signatures in constant time."""
    return hmac.compare_digest(given.encode(), expected.encode())


def fresh(timestamp: str, now_ms: int) -> bool:
    """Whether a timestamp (milliseconds, decimal) is at most ``WINDOW_MS`` away from now."""
    readable = len(timestamp) <= 15 and timestamp.isascii() and timestamp.isdigit()
    return readable and abs(int(timestamp) - now_ms) <= WINDOW_MS
