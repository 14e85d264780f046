"""Asking the payment API: form-encoded POSTs with a secret key and an ``Idempotency-Key``.

Every POST carries a key, so it may be sent again whenever the answer is lost: the API does a thing once per key.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx

log = logging.getLogger(__name__)
ATTEMPTS = 3
DEADLINE_S = 10.0
"""How long a shopper waits for us to reach the API, all attempts together."""
_PAUSES_S = (0.2, 0.8)


class ApiUnreachable(Exception):
    """The API did not answer in time, or only to say that it cannot now. What was asked may have been done."""


class ApiRefused(Exception):
    """The API understood and said no. ``code`` is stable; ``message`` is for people."""

    def __init__(self, status: int, code: str, message: str, request_id: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.request_id = status, code, message, request_id


class TongbaoApi:
    """A client with one secret key. ``close`` it when done."""

    def __init__(self, base: str, secret_key: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=base,
            headers={"Authorization": f"Bearer {secret_key}"},
            timeout=httpx.Timeout(8.0, connect=2.0),
            trust_env=False,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def post(self, path: str, params: dict[str, Any], idempotency_key: str) -> dict[str, Any]:
        """Ask, and ask again where that can help. Raises ``ApiUnreachable`` or ``ApiRefused``."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                for attempt in range(ATTEMPTS):
                    answer = await self._once(path, params, idempotency_key)
                    if answer is not None:
                        return answer
                    if attempt < len(_PAUSES_S):
                        await asyncio.sleep(_PAUSES_S[attempt])
        except TimeoutError:
            log.warning("POST %s: no answer within %s s", path, DEADLINE_S)
        raise ApiUnreachable(path)

    async def _once(self, path: str, params: dict[str, Any], key: str) -> dict[str, Any] | None:
        """One attempt: the answer, or None if it is worth another try."""
        try:
            response = await self._http.post(path, data=flatten(params), headers={"Idempotency-Key": key})
            body = response.json()
        except (httpx.TransportError, ValueError) as failure:
            log.warning("POST %s failed: %s", path, type(failure).__name__)
            return None
        if not isinstance(body, dict):
            return None
        if response.is_success:
            return body
        found = body.get("error")
        error = found if isinstance(found, dict) else {}
        code = str(error.get("code") or error.get("type") or response.status_code)
        log.warning("POST %s answered %s %s", path, response.status_code, code)
        # 409: an earlier try with this key is still at work. 429 and 5xx: later may do.
        if response.status_code in (409, 429) or response.status_code >= 500:
            return None
        request_id = response.headers.get("Request-Id", "")
        raise ApiRefused(response.status_code, code, str(error.get("message") or ""), request_id)


def flatten(params: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Write nested parameters as form fields: ``{"a": [{"b": 1}]}`` gives ``{"a[0][b]": "1"}``; None is left out."""
    fields: dict[str, str] = {}
    for name, value in params.items():
        key = f"{prefix}[{name}]" if prefix else name
        if isinstance(value, dict):
            fields |= flatten(value, key)
        elif isinstance(value, list):
            fields |= flatten({str(i): item for i, item in enumerate(value)}, key)
        elif value is not None:
            fields[key] = str(value)
    return fields
