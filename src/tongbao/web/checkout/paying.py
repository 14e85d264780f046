"""Taking what the checkout's forms send: pay, and call off an attempt that waits at the bank."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import Response

from tongbao.checkout.commands import PaySession
from tongbao.checkout.routes import session_url
from tongbao.foundation.clock import now_ms
from tongbao.foundation.errors import Conflict, DomainError, IdempotencyMismatch, InvalidRequest, Overloaded
from tongbao.foundation.errors import PaymentFailed as Refused
from tongbao.foundation.http import Caller, Idempotency
from tongbao.payments.commands import CancelIntent, MethodChoice
from tongbao.payments.methods import choose
from tongbao.payments.params import Card, PaymentMethodData
from tongbao.web.checkout import queries, words
from tongbao.web.checkout.cards import CVC, EXPIRY, NUMBER, read_card
from tongbao.web.checkout.offers import BALANCE, CARD, Offer, offers
from tongbao.web.checkout.pages import CheckoutPages, Problem, path_of
from tongbao.web.checkout.queries import Shown
from tongbao.web.checkout.state import state_of
from tongbao.web.forms import Form, Ticket, read_form
from tongbao.web.frame import answer_json, go, wants_json
from tongbao.web.languages import say

log = structlog.get_logger("tongbao.web")

WAIT_S = 8.0
"""How long a form waits for the bank. After that the page says that we are asking, and the payment goes on."""
UNDER_WAY_MAX = 500
TRIES_MAX = 20
"""Attempts on one payment. Whoever needs more is trying out card numbers."""

# What these say is what the session's page shows anyway.
_SHOWN_BY_THE_PAGE = frozenset(
    ("payment_in_progress", "order_not_payable", "session_not_open", "payment_intent_unexpected_state")
)


class _Held(Exception):
    """The form is shown again with a problem."""

    def __init__(self, problem: Problem, method: str | None = None) -> None:
        super().__init__(problem.text)
        self.problem = problem
        self.method = method


@dataclass(slots=True)
class UnderWay:
    """Payments whose form no longer waits. They run to their end although the shopper has gone."""

    tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    async def run(self, work: Coroutine[Any, Any, Any]) -> None:
        """Start ``work`` and wait ``WAIT_S`` for it, not longer; raise what it raises until then."""
        if len(self.tasks) >= UNDER_WAY_MAX:
            work.close()
            raise Overloaded("overloaded", "Too many payments are under way.")
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        done, _ = await asyncio.wait({task}, timeout=WAIT_S)
        if done:
            task.result()
        else:
            task.add_done_callback(_note_error)


def _note_error(task: asyncio.Task[Any]) -> None:
    """Nobody waits for it any more; what it left undone is taken up by the sweeper."""
    if not task.cancelled() and task.exception() is not None:
        log.warning("payment_ended_with_error", error=type(task.exception()).__name__)


@dataclass(frozen=True, slots=True)
class CheckoutForms:
    """The pages of a session, for writing."""

    pages: CheckoutPages
    under_way: UnderWay

    async def pay(self, request: Request) -> Response:
        """``POST …/pay``: fields ``ticket``, ``method`` and, for a new card, ``number``, ``expiry``, ``cvc``."""
        form = await read_form(request, self.pages.frame.origin)
        shown = await self.pages.shown(request)
        try:
            await self._pay(request, shown, form)
        except _Held as held:
            return self._show_again(request, held, shown)
        return self._onward(request, shown)

    async def call_off(self, request: Request) -> Response:
        """``POST …/stop``: give up the attempt that waits for the shopper at the bank, to pay in another way."""
        form = await read_form(request, self.pages.frame.origin)
        shown = await self.pages.shown(request)
        session, intent = shown.session, shown.intent
        assert session is not None
        if self.pages.tickets.read(form.get("ticket"), session.id) is not None and intent is not None:
            command = CancelIntent(intent.id, "requested_by_customer")
            work = self.pages.payments.run(session.merchant_id, command, None, request.state.request_id)
            try:
                await self.under_way.run(work)
            except InvalidRequest as error:
                if error.code not in _SHOWN_BY_THE_PAGE:
                    raise
        return self._onward(request, shown)

    async def _pay(self, request: Request, shown: Shown, form: Form) -> None:
        session, order = shown.session, shown.order
        assert session is not None
        if state_of(order, session, shown.intent, now_ms()) != "open":
            return
        found = offers(self.pages.payments, shown, "en")
        name = form.get("method")
        offer = next((offer for offer in found if offer.name == name and offer.off is None), None)
        if offer is None:
            raise _Held(Problem(words.NOT_OFFERED if name else words.NO_METHOD, 422, {}))
        ticket = self.pages.tickets.read(form.get("ticket"), session.id)
        if ticket is None:
            raise _Held(Problem(words.STALE, 409, {}), name)
        if ticket.amount != order.amount_remaining:
            raise _Held(Problem(words.CHANGED, 409, {}), name)
        intent = shown.intent
        if intent is not None and await queries.tries(self.pages.pool, session.merchant_id, intent.id) >= TRIES_MAX:
            raise _Held(Problem(words.TOO_MANY, 429, {}), name)
        card = read_card(form) if offer.name == CARD else None
        if isinstance(card, dict):
            raise _Held(Problem(words.FIELDS, 422, card), name)
        try:
            choice = await self._choice(shown, offer, card)
            await self._run(request, shown, choice, ticket, self._idempotency(session.id, form, ticket))
        except Refused as refused:
            raise _Held(_refusal(refused), name) from None
        except Overloaded as error:
            raise _Held(_overload(error, form), name) from None
        except IdempotencyMismatch:
            raise _Held(Problem(words.STALE, 409, {}), name) from None
        except Conflict:
            return  # The same form, sent twice: the first one is at work, and the page shows what becomes of it.
        except DomainError as error:
            if error.code == "amount_changed":
                raise _Held(Problem(words.CHANGED, 409, {}), name) from None
            if error.code not in _SHOWN_BY_THE_PAGE:
                log.warning("payment_not_started", code=error.code, request_id=request.state.request_id)
                raise _Held(Problem(words.REFUSED, 422, {}), None) from None

    def _idempotency(self, session_id: str, form: Form, ticket: Ticket) -> Idempotency:
        typed = (form.get(part) for part in ("method", NUMBER, EXPIRY, CVC))
        return Idempotency(f"page:{ticket.nonce}", self.pages.tickets.fingerprint(session_id, *typed))

    async def _choice(self, shown: Shown, offer: Offer, card: Card | None) -> MethodChoice:
        caller = Caller(shown.merchant.merchant_id, "checkout", "publishable", shown.merchant.livemode)
        saved, data = None, None
        if card is not None:
            data = PaymentMethodData(type="card", card=card)
        elif offer.name == BALANCE:
            data = PaymentMethodData(type="customer_balance")
        else:
            saved = offer.name
        return await choose(self.pages.payments, self.pages.pool, caller, saved, data)

    async def _run(
        self, request: Request, shown: Shown, choice: MethodChoice, ticket: Ticket, idempotency: Idempotency
    ) -> None:
        session = shown.session
        assert session is not None
        back = session_url(self.pages.frame.base_url, session)
        command = PaySession(session.id, choice, ticket.amount, return_url=back, idempotency_key=idempotency.key)
        request_id = request.state.request_id
        await self.under_way.run(self.pages.payments.run(session.merchant_id, command, idempotency, request_id))

    def _show_again(self, request: Request, held: _Held, shown: Shown) -> Response:
        problem = held.problem
        if not wants_json(request):
            return self.pages.render(request, shown, held.method, problem)
        assert shown.session is not None
        language = self.pages.frame.reader(request, shown.session.locale).language
        fields = {name: say(language, text) for name, text in problem.fields.items()}
        ticket = problem.ticket or self.pages.tickets.make(shown.session.id, shown.order.amount_remaining)
        body = {
            "problem": say(language, problem.text),
            "fields": fields,
            "ticket": ticket,
            "certain": problem.ticket is None,
            # What the shopper has to see anew: another amount, or a choice that is gone.
            "reload": problem.status == 409 or held.method is None,
        }
        return answer_json(body, problem.status)

    def _onward(self, request: Request, shown: Shown) -> Response:
        assert shown.session is not None
        path = path_of(shown.session)
        return answer_json({"go": path}) if wants_json(request) else go(path)


def _refusal(refused: Refused) -> Problem:
    text = words.why({"code": refused.code, "decline_code": refused.extra.get("decline_code")})
    where = words.field_of(refused.param)
    return Problem(text, 402, {where: text} if where else {})


def _overload(error: Overloaded, form: Form) -> Problem:
    if error.code == "channel_unavailable":
        return Problem(words.NETWORK_AWAY, 503, {})
    # It may not be known whether the payment was begun: the same ticket makes sure that it begins once.
    return Problem(words.BUSY, 503, {}, ticket=form.get("ticket"))
