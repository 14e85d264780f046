"""Shoppers who come from elsewhere: back from their bank, or by an order's own address."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from tongbao.checkout.commands import CreateSession
from tongbao.checkout.model import CheckoutSession
from tongbao.database import reads
from tongbao.engine import Engine
from tongbao.foundation.clock import now_ms
from tongbao.orders.model import Order, payable
from tongbao.payments.model import PaymentIntent
from tongbao.web.checkout import queries
from tongbao.web.checkout.pages import CheckoutPages, path_of, web_address
from tongbao.web.checkout.paying import UnderWay
from tongbao.web.frame import go
from tongbao.web.trouble import NO_PAGE, Trouble

_PART = re.compile(r"[0-9A-Za-z]{1,64}")
_MERCHANT = re.compile(r"acct_[0-9A-Za-z]{1,64}")
_INTENT = re.compile(r"pi_[0-9A-Za-z]{1,64}")
_ORDER = re.compile(r"ord_[0-9A-Za-z]{1,64}")


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Handlers of ``/return`` and ``/o``."""

    pages: CheckoutPages
    engine: Engine
    under_way: UnderWay

    async def from_bank(self, request: Request) -> Response:
        """``GET /return/{merchant}/{intent}?secret=``: ask the acquirer what became of it, then show that."""
        merchant_id, intent_id = request.path_params["merchant"], request.path_params["intent"]
        if not _MERCHANT.fullmatch(merchant_id) or not _INTENT.fullmatch(intent_id):
            raise Trouble(404, NO_PAGE)
        intent = await reads.one(self.pages.pool, PaymentIntent, merchant_id, intent_id)
        secret = intent.client_secret.rpartition("_")[2] if intent else ""
        told = request.query_params.get("secret", "")
        if intent is None or not hmac.compare_digest(secret.encode(), told.encode()):
            raise Trouble(404, NO_PAGE)
        await self.under_way.run(self.pages.payments.chase_intent(merchant_id, intent))
        return go(await self._way_on(merchant_id, intent))

    async def by_order(self, request: Request) -> Response:
        """``GET /o/{part}/{order}``: the order's checkout; a session is made for it if there is none to go on with."""
        part, order_id = request.path_params["part"], request.path_params["order"]
        if not _PART.fullmatch(part) or not _ORDER.fullmatch(order_id):
            raise Trouble(404, NO_PAGE)
        merchant_id, pool, now = f"acct_{part}", self.pages.pool, now_ms()
        shown = await queries.order_shown(pool, merchant_id, order_id)
        if shown is None:
            raise Trouble(404, NO_PAGE)
        if not payable(shown.order, now):
            last = await queries.newest_session(pool, merchant_id, order_id)
            return go(f"/c/{part}/{last}") if last else self.pages.render(request, shown, None)
        found = await queries.newest_session(pool, merchant_id, order_id, open_at_ms=now)
        if found is None:
            found = await self._open_session(request, shown.order, shown.merchant.livemode)
        return go(f"/c/{part}/{found}")

    async def _open_session(self, request: Request, order: Order, livemode: bool) -> str:
        own = f"{self.pages.frame.base_url}{request.url.path}"
        command = CreateSession(success_url=own, livemode=livemode, order=order.id)
        reply = await self.engine.run(order.merchant_id, command, request_id=request.state.request_id)
        session: CheckoutSession = reply.value
        return session.id

    async def _way_on(self, merchant_id: str, before: PaymentIntent) -> str:
        """To the session's page, or to where the shop's own program wanted its shopper."""
        pool = self.pages.pool
        intent = await reads.one(pool, PaymentIntent, merchant_id, before.id) or before
        address = web_address(intent.return_url)
        own = f"{self.pages.frame.base_url}/c/"
        if address is not None and not address.startswith(own):
            return with_result(address, intent)
        session_id = address.rpartition("/")[2] if address is not None else None
        if session_id is None and intent.order_id is not None:
            session_id = await queries.newest_session(pool, merchant_id, intent.order_id)
        session = await reads.one(pool, CheckoutSession, merchant_id, session_id) if session_id else None
        if session is None:
            raise Trouble(404, NO_PAGE)
        return path_of(session)


def with_result(url: str, intent: PaymentIntent) -> str:
    """The shop's own address with what Stripe adds to it."""
    result = {"succeeded": "succeeded", "requires_capture": "succeeded"}.get(intent.status)
    result = result or ("pending" if intent.status in ("processing", "requires_action") else "failed")
    parts = urlsplit(url)
    more = {
        "payment_intent": intent.id,
        "payment_intent_client_secret": intent.client_secret,
        "redirect_status": result,
    }
    return parts._replace(query="&".join(filter(None, (parts.query, urlencode(more))))).geturl()
