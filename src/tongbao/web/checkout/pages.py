"""Showing a checkout: which page a session's state asks for, and what stands on it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from tongbao.checkout.model import CheckoutSession
from tongbao.database import reads
from tongbao.foundation.clock import HOUR_MS, MINUTE_MS, now_ms
from tongbao.identity.model import Merchant
from tongbao.orders.model import Order
from tongbao.payments.service import Payments
from tongbao.web import show
from tongbao.web.checkout import queries, words
from tongbao.web.checkout.offers import BALANCE, card_title, offers
from tongbao.web.checkout.queries import Shown
from tongbao.web.checkout.state import FINAL, State, state_of
from tongbao.web.forms import Tickets
from tongbao.web.frame import Frame, Reader, answer_json, go
from tongbao.web.languages import N_, Language, say
from tongbao.web.live import Full, Watcher, mark
from tongbao.web.trouble import BAD_FORM, NO_PAGE, Trouble

_PART = re.compile(r"[0-9A-Za-z]{1,64}")
_SESSION = re.compile(r"cs_(?:test|live)_[0-9A-Za-z]{1,80}")
_MARK = re.compile(r"[\d.]{1,60}", re.ASCII)
_FRESH_MS = 2 * MINUTE_MS
"""How long after the payment the page still leads back to the shop by itself."""
_TEMPLATES: dict[State, str] = {
    "action": "checkout/action.html",
    "waiting": "checkout/waiting.html",
    "paid": "checkout/paid.html",
    "settled": "checkout/over.html",
    "late": "checkout/over.html",
    "canceled": "checkout/over.html",
    "expired": "checkout/over.html",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """What to say above a form that was refused. ``ticket`` is kept, and nothing said of charges, where it may not
    be known whether the payment was begun: pressing again finds out and cannot pay twice."""

    text: str
    status: int
    fields: dict[str, str]
    ticket: str | None = None


@dataclass(frozen=True, slots=True)
class CheckoutPages:
    """The pages of a session, for reading."""

    frame: Frame
    payments: Payments
    pool: Any
    tickets: Tickets
    watcher: Watcher

    async def show(self, request: Request) -> Response:
        """``GET /c/{part}/{session}``."""
        shown = await self.shown(request)
        return self.render(request, shown, request.query_params.get("method"))

    async def again(self, request: Request) -> Response:
        """``GET …/pay``: the address of a form is no page; the session's page is meant."""
        shown = await self.shown(request)
        assert shown.session is not None
        return go(path_of(shown.session))

    async def state(self, request: Request) -> Response:
        """``GET …/state``: for a page that asks by itself."""
        shown = await self.shown(request)
        now = now_ms()
        state = state_of(shown.order, shown.session, shown.intent, now)
        return answer_json({"state": state, "mark": _mark(shown, now)})

    async def events(self, request: Request) -> Response:
        """``GET …/events?seen=``: server-sent events; 503 when as many listen as are let in."""
        key, seen = ids_of(request), request.query_params.get("seen", "")
        if not _MARK.fullmatch(seen):
            raise Trouble(400, BAD_FORM)
        if await reads.one(self.pool, CheckoutSession, *key) is None:
            raise Trouble(404, NO_PAGE)
        try:
            self.watcher.check_room(key)
        except Full:
            return Response(status_code=503, headers={"cache-control": "no-store", "retry-after": "10"})
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(self.watcher.listen(key, seen), 200, headers, "text/event-stream")

    async def leave(self, request: Request) -> Response:
        """``GET …/cancel``: back to the shop without paying."""
        shown = await self.shown(request)
        assert shown.session is not None
        return go(web_address(shown.session.cancel_url) or path_of(shown.session))

    async def shown(self, request: Request) -> Shown:
        """What this address shows. :raises Trouble: if there is nothing."""
        found = await queries.session_shown(self.pool, *ids_of(request))
        if found is None:
            raise Trouble(404, NO_PAGE)
        return found

    def render(self, request: Request, shown: Shown, method: str | None, problem: Problem | None = None) -> Response:
        """The page that the session's state asks for."""
        session, now = shown.session, now_ms()
        base = path_of(session) if session else request.url.path
        reader = self.frame.reader(request, session.locale if session else None, base)
        state = state_of(shown.order, session, shown.intent, now)
        values = self._common(shown, reader.language, state, base, now)
        if state != "open":
            # The ticket is for calling off an attempt that waits at the bank.
            values["ticket"] = self.tickets.make(session.id, shown.order.amount_remaining) if session else ""
            return self.frame.page(request, reader, _TEMPLATES[state], path=base, **values)
        return self._open(request, reader, shown, method, problem, values)

    def _open(
        self,
        request: Request,
        reader: Reader,
        shown: Shown,
        method: str | None,
        problem: Problem | None,
        values: dict[str, Any],
    ) -> Response:
        """The choice of method; or, once it is made or there is none to make, details and confirmation."""
        assert shown.session is not None
        found = offers(self.payments, shown, reader.language)
        usable = [offer for offer in found if offer.off is None]
        chosen = next((offer for offer in usable if offer.name == method), None)
        if chosen is None and len(found) == 1 and usable:
            chosen = found[0]
        language = reader.language
        error = (shown.intent.last_payment_error if shown.intent else None) or {}
        values |= {
            "keep": words.kept(error),
            "problem": say(language, problem.text) if problem else say(language, words.why(error)) if error else None,
            "is_certain": problem is None or problem.ticket is None,
            "is_called_off": problem is None and shown.intent is not None and shown.intent.status == "canceled",
            "fields": {name: say(language, text) for name, text in problem.fields.items()} if problem else {},
        }
        status = problem.status if problem else 200
        base = path_of(shown.session)
        if chosen is None:
            return self.frame.page(
                request, reader, "checkout/method.html", status, path=base,
                offers=found, selected=usable[0].name if usable else None, **values,
            )  # fmt: skip
        due = shown.order.amount_remaining
        ticket = (problem.ticket if problem else None) or self.tickets.make(shown.session.id, due)
        query = {"method": chosen.name} if len(found) > 1 else None
        return self.frame.page(
            request, reader, "checkout/pay.html", status, path=base, query=query,
            offer=chosen, is_only=len(found) == 1, ticket=ticket,
            left=show.amount(shown.balance - due, shown.order.currency).text if chosen.name == BALANCE else None,
            **values,
        )  # fmt: skip

    def _common(self, shown: Shown, language: Language, state: State, base: str, now: int) -> dict[str, Any]:
        merchant, order, session, intent = shown.merchant, shown.order, shown.session, shown.intent
        zone = show.zone_of(merchant.country)
        payee = shop_name(merchant, language)
        next_check = intent.next_check_ms if intent is not None else None
        ends = min(filter(None, (order.expires_ms, session.expires_ms if session else None)), default=None)
        just_paid = state == "paid" and order.paid_ms is not None and now - order.paid_ms < _FRESH_MS
        return {
            "state": state,
            "mark": _mark(shown, now),
            "is_live_page": session is not None and state not in FINAL,
            "base": base,
            "payee": payee,
            "seal": ((merchant.name_zh or "").strip() or payee.strip() or "通")[0].upper(),
            "is_test": not merchant.livemode,
            "order": order,
            "order_name": order_name(order, session, language),
            "due": show.amount(order.amount_remaining, order.currency),
            "money": lambda minor: show.amount(minor, order.currency).text,
            "moment": lambda ms: show.moment(ms, language, zone),
            "clock": lambda ms, to: show.clock(ms, language, zone, to),
            "shop_url": web_address(session.cancel_url) if session else None,
            "leave_url": f"{base}/cancel",
            "done_url": done_url(session, self.frame.base_url) if session else None,
            "returns_by_itself": just_paid,
            "intent": intent,
            "charge": shown.charge,
            "paid_with": _paid_with(shown, language),
            "payer": _payer(shown, language),
            "next_step": _next_step(shown),
            "next_check_ms": next_check if next_check is not None and next_check > now else None,
            "ends_ms": ends if ends is not None and now < ends < now + HOUR_MS else None,
        }


def ids_of(request: Request) -> tuple[str, str]:
    """The merchant and session that an address names. :raises Trouble: if it cannot name any."""
    part, session = request.path_params["part"], request.path_params["session"]
    if not _PART.fullmatch(part) or not _SESSION.fullmatch(session):
        raise Trouble(404, NO_PAGE)
    return f"acct_{part}", session


def path_of(session: CheckoutSession) -> str:
    """The session's page."""
    return f"/c/{session.merchant_id.removeprefix('acct_')}/{session.id}"


def web_address(url: str | None) -> str | None:
    """The address, if it is one that a link may lead to: http or https, with a host."""
    if url is None or not url.isprintable():
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in ("http", "https") and parts.netloc else None


def done_url(session: CheckoutSession, base_url: str) -> str | None:
    """Where the shop wants its shopper after a payment (Stripe's template for the session's id is filled in).
    ``None`` for a session that an order's own page opened: no shop waits behind it."""
    url = web_address(session.success_url.replace("{CHECKOUT_SESSION_ID}", session.id))
    return None if url is not None and url.startswith(f"{base_url}/o/") else url


def order_name(order: Order, session: CheckoutSession | None, language: Language) -> str:
    """What the shopper knows the order by. Our own id is a key to the order's page and is not shown whole."""
    own = order.description or (session.client_reference_id if session else None)
    return own or say(language, N_("Order %(number)s"), number=order.id[-8:].upper())


def _mark(shown: Shown, now: int) -> str:
    session, intent = shown.session, shown.intent
    is_up = session is None or now >= session.expires_ms
    return mark(session.version if session else 0, shown.order.version, intent.version if intent else 0, is_up)


def _payer(shown: Shown, language: Language) -> str:
    customer = shown.customer
    known = (customer.name or customer.email) if customer else None
    known = known or (shown.session.customer_email if shown.session else None)
    return known or say(language, N_("The card's holder"))


def _paid_with(shown: Shown, language: Language) -> str | None:
    charge = shown.charge
    if charge is None:
        return None
    card = charge.method_details.get("card")
    if card:
        return card_title(card, language)
    return say(language, N_("Account balance"))


def _next_step(shown: Shown) -> str | None:
    action = (shown.intent.next_action if shown.intent else None) or {}
    step = action.get("redirect_to_url") or {}
    return web_address(step.get("url"))


def shop_name(merchant: Merchant, language: Language) -> str:
    """The shop as its shoppers know it."""
    return (merchant.name_zh if language == "zh" else None) or merchant.name
