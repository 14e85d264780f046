"""The demo's merchant: made in the database with its keys, furnished with customer and webhooks over the API."""

from __future__ import annotations

from typing import Any

import httpx

from tongbao.foundation.errors import DomainError
from tongbao.foundation.http import Json
from tongbao.identity.keys import digest
from tongbao.identity.merchants import create_key, create_merchant
from tongbao.operations.demo_state import DemoState

NAME, NAME_ZH = "Hillside Tea", "山间茶"
CUSTOMER = {"name": "Lin Yue", "email": "lin.yue@example.com", "description": "Shops in the demo"}
FUNDS = {"amount": 200_000, "currency": "cny", "reference": "Demo deposit"}
"""What the customer's balance begins with: 2,000 yuan."""


class DemoBroken(DomainError):
    """The demo's own calls of the API were refused."""

    kind = "internal"


async def ensure_merchant(connection: Any, state: DemoState) -> bool:
    """Make the merchant with its keys, unless this database has it. True if it was made (``state`` is changed)."""
    if await _is_known(connection, state):
        return False
    live, test = await create_merchant(connection, NAME, name_zh=NAME_ZH)
    state.live_merchant_id, state.merchant_id = live.merchant_id, test.merchant_id
    state.secret_key, _ = await create_key(connection, test.merchant_id, "secret")
    state.publishable_key, _ = await create_key(connection, test.merchant_id, "publishable")
    state.customer = state.webhook_endpoint = state.webhook_secret = None
    state.funded = False
    return True


async def _is_known(connection: Any, state: DemoState) -> bool:
    keys = [digest(key) for key in (state.secret_key, state.publishable_key) if key is not None]
    found = await connection.fetchval(
        "SELECT count(*) FROM api_keys WHERE merchant_id = $1 AND hash = ANY($2) AND revoked_ms IS NULL",
        state.merchant_id or "",
        keys,
    )
    return bool(found == 2)


async def ensure_customer(api: DemoApi, state: DemoState) -> None:
    """Make the customer and give them money to spend, once (``state`` is changed)."""
    if state.customer is None:
        state.customer = str((await api.post("/v1/customers", CUSTOMER, once="customer"))["id"])
    if not state.funded:
        path = f"/v1/test_helpers/customers/{state.customer}/fund_cash_balance"
        await api.post(path, FUNDS, once="funds")
        state.funded = True


async def ensure_webhook(api: DemoApi, state: DemoState, url: str) -> None:
    """Have events sent to the shop, wherever it is this time (``state`` is changed)."""
    if state.webhook_endpoint is not None and state.webhook_secret is not None:
        endpoint = await api.find(f"/v1/webhook_endpoints/{state.webhook_endpoint}")
        if endpoint is not None:
            if endpoint["url"] != url:
                await api.post(f"/v1/webhook_endpoints/{state.webhook_endpoint}", {"url": url})
            return
    wish = {"url": url, "enabled_events": ["*"], "description": "The demo's tea shop"}
    made = await api.post("/v1/webhook_endpoints", wish)
    state.webhook_endpoint, state.webhook_secret = made["id"], made["secret"]


class DemoApi:
    """The demo as a caller of the public API."""

    def __init__(self, url: str, secret_key: str, merchant_id: str) -> None:
        self._merchant_id = merchant_id
        self.client = httpx.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {secret_key}"}, trust_env=False, timeout=10
        )

    async def post(self, path: str, params: Json, once: str | None = None) -> Json:
        """Call; ``once`` names an act that is done once per merchant however often it is asked for."""
        headers = {"Idempotency-Key": f"demo-{once}-{self._merchant_id}"} if once else {}
        return self._body(await self.client.post(path, json=params, headers=headers))

    async def find(self, path: str) -> Json | None:
        """Get an object, or ``None`` if there is none."""
        answer = await self.client.get(path)
        return None if answer.status_code == 404 else self._body(answer)

    @staticmethod
    def _body(answer: httpx.Response) -> Json:
        if answer.is_success:
            body: Json = answer.json()
            return body
        request = answer.request
        raise DemoBroken(
            "demo_broken", f"{request.method} {request.url.path} was answered {answer.status_code}: {answer.text[:500]}"
        )
