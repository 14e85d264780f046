"""The HTTP client that all channels of a process share."""

from __future__ import annotations

import httpx


def new_client() -> httpx.AsyncClient:
    """A client with kept-alive connections and bounded numbers of them. The caller closes it.

    Each channel gives its own timeouts with each call. Proxy settings of the environment are not followed: a
    proxy that nobody meant would see card numbers.
    """
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=100, keepalive_expiry=30)
    return httpx.AsyncClient(limits=limits, trust_env=False, timeout=httpx.Timeout(10, connect=3))
