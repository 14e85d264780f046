"""How HTTP reaches payments."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET

from tongbao.database import reads
from tongbao.engine import Command
from tongbao.foundation.errors import InvalidRequest, NotFound, PaymentFailed, no_such
from tongbao.foundation.http import Answer, Call, Json, NoParams, Route
from tongbao.foundation.metadata import check_metadata
from tongbao.foundation.money import check_currency
from tongbao.foundation.pages import list_object
from tongbao.foundation.params import check_web_address
from tongbao.payments import methods, params, render
from tongbao.payments.commands import (
    AttachMethod,
    CancelIntent,
    CaptureIntent,
    ConfirmIntent,
    CreateIntent,
    CreateRefund,
    DetachMethod,
    SaveMethod,
    UpdateIntent,
)
from tongbao.payments.model import Charge, PaymentIntent, PaymentMethod, PaymentReply, Refund
from tongbao.payments.service import Payments


def routes(payments: Payments, pool: Any) -> list[Route]:
    """The routes of payment intents, charges, refunds and payment methods."""
    return [*Intents(payments, pool).routes(), *Others(payments, pool).routes()]


@dataclass(frozen=True, slots=True)
class Intents:
    """Handlers of ``/v1/payment_intents``."""

    payments: Payments
    pool: Any

    def routes(self) -> list[Route]:
        """What is offered."""
        base, one, back = "/v1/payment_intents", "/v1/payment_intents/{intent}", "payment_intent"
        return [
            Route("POST", base, self.create, params.CreatePaymentIntent, "Create a payment intent", returns=back),
            Route("GET", base, self.list, params.ListPaymentIntents, "List payment intents", returns="list"),
            Route(
                "GET",
                one,
                self.retrieve,
                params.RetrievePaymentIntent,
                "Retrieve a payment intent",
                access="publishable",
                returns=back,
            ),
            Route("POST", one, self.update, params.UpdatePaymentIntent, "Update a payment intent", returns=back),
            Route(
                "POST",
                one + "/confirm",
                self.confirm,
                params.ConfirmPaymentIntent,
                "Confirm a payment intent",
                access="publishable",
                returns=back,
            ),
            Route("POST", one + "/capture", self.capture, params.CapturePaymentIntent, "Capture", returns=back),
            Route("POST", one + "/cancel", self.cancel, params.CancelPaymentIntent, "Cancel", returns=back),
        ]

    async def create(self, call: Call[params.CreatePaymentIntent]) -> Answer:
        """Create an intent; with ``confirm`` try to be paid at once."""
        wish, caller = call.params, call.caller
        types = wish.payment_method_types or self._default_types(wish)
        for method in types:
            methods.terms_of(self.payments, method)
        choice, saved = None, wish.payment_method
        if wish.confirm:
            choice = await methods.choose(
                self.payments, self.pool, caller, wish.payment_method, wish.payment_method_data, types=types
            )
            saved = None
            if choice.terms.method not in types and wish.payment_method_types is None:
                types = [*types, choice.terms.method]
        elif wish.payment_method_data is not None:
            made = await methods.new_method(self.payments, caller, wish.payment_method_data)
            saved = await self._keep(call, made)
        elif saved is not None and methods.is_test_name(self.payments, saved, caller):
            saved = await self._keep(call, await methods.named_method(self.payments, self.pool, caller, saved))
        command = CreateIntent(
            amount=wish.amount,
            currency=None if wish.currency is None else check_currency(wish.currency),
            order=wish.order,
            customer=wish.customer,
            capture_method="manual" if wish.capture_method == "manual" else "automatic",
            payment_method_types=types,
            payment_method=saved,
            description=wish.description,
            metadata=check_metadata(wish.metadata),
            receipt_email=wish.receipt_email,
            return_url=check_web_address(wish.return_url, "return_url"),
            statement_descriptor=wish.statement_descriptor,
            confirm=choice,
            idempotency_key=call.idempotency.key if call.idempotency else None,
        )
        return await self._answer(call, command, declines=wish.confirm)

    def _default_types(self, wish: params.CreatePaymentIntent) -> list[str]:
        data = wish.payment_method_data
        if data is not None:
            return [data.type]
        offered = [terms.method for terms in self.payments.terms.values()]
        return [method for method in offered if method != "customer_balance" or wish.customer or wish.order]

    async def _keep(self, call: Call[Any], method: PaymentMethod) -> str:
        await self.payments.engine.run(call.caller.merchant_id, SaveMethod(method), request_id=call.request_id)
        return method.id

    async def list(self, call: Call[params.ListPaymentIntents]) -> Json:
        """A page of intents, newest first."""
        wish, merchant = call.params, call.caller.merchant_id
        where = {"customer": wish.customer, "order_id": wish.order}
        rows, more = await reads.page(self.pool, PaymentIntent, merchant, wish, where)
        data = [render.payment_intent(row, call.caller.livemode) for row in rows]
        return list_object("/v1/payment_intents", data, more)

    async def retrieve(self, call: Call[params.RetrievePaymentIntent]) -> Json:
        """One intent. A publishable key needs its ``client_secret``."""
        intent = await self._visible(call, call.params.client_secret)
        return render.payment_intent(intent, call.caller.livemode)

    async def update(self, call: Call[params.UpdatePaymentIntent]) -> Answer:
        """Change an intent that has not been tried yet."""
        wish = call.params
        changes: dict[str, Any] = {}
        for name in ("amount", "customer", "payment_method", "payment_method_types"):
            value = getattr(wish, name)
            if value is not None:
                changes[name] = value
        if wish.currency is not None:
            changes["currency"] = check_currency(wish.currency)
        for name in ("description", "receipt_email"):
            value = getattr(wish, name)
            if value is not UNSET:
                changes[name] = value
        for method in changes.get("payment_method_types", []):
            methods.terms_of(self.payments, method)
        named = wish.payment_method
        if named is not None and methods.is_test_name(self.payments, named, call.caller):
            made = await methods.named_method(self.payments, self.pool, call.caller, named)
            changes["payment_method"] = await self._keep(call, made)
        metadata = {} if wish.metadata is None else wish.metadata
        command = UpdateIntent(
            call.path["intent"], changes, None if isinstance(metadata, msgspec.UnsetType) else metadata
        )
        return await self._answer(call, command)

    async def confirm(self, call: Call[params.ConfirmPaymentIntent]) -> Answer:
        """Try to be paid."""
        wish = call.params
        intent = await self._visible(call, wish.client_secret)
        choice = await methods.choose(
            self.payments, self.pool, call.caller, wish.payment_method, wish.payment_method_data, intent
        )
        command = ConfirmIntent(
            intent.id,
            choice,
            return_url=check_web_address(wish.return_url, "return_url"),
            receipt_email=wish.receipt_email,
            idempotency_key=call.idempotency.key if call.idempotency else None,
        )
        return await self._answer(call, command, declines=True)

    async def capture(self, call: Call[params.CapturePaymentIntent]) -> Answer:
        """Take reserved money."""
        command = CaptureIntent(
            call.path["intent"],
            self.payments.terms,
            call.params.amount_to_capture,
            call.idempotency.key if call.idempotency else None,
        )
        return await self._answer(call, command)

    async def cancel(self, call: Call[params.CancelPaymentIntent]) -> Answer:
        """Call a payment off."""
        command = CancelIntent(
            call.path["intent"],
            call.params.cancellation_reason,
            call.idempotency.key if call.idempotency else None,
        )
        return await self._answer(call, command)

    async def _visible(self, call: Call[Any], client_secret: str | None) -> PaymentIntent:
        intent = await reads.one(self.pool, PaymentIntent, call.caller.merchant_id, call.path["intent"])
        if intent is None:
            raise no_such("payment_intent", call.path["intent"], "intent")
        if client_secret is None and call.caller.kind == "secret":
            return intent
        if client_secret is None:
            raise InvalidRequest(
                "parameter_missing", "With a publishable key, send the intent's client_secret.", param="client_secret"
            )
        if not same(client_secret, intent.client_secret):
            raise NotFound(
                "resource_missing",
                "The client_secret provided does not match this PaymentIntent.",
                param="client_secret",
            )
        return intent

    async def _answer(self, call: Call[Any], command: Command, declines: bool = False) -> Answer:
        """Run a command on an intent; a declined attempt becomes a 402 with the intent in it."""
        reply = await self.payments.run(call.caller.merchant_id, command, call.idempotency, call.request_id)
        value: PaymentReply = reply.value
        body = render.payment_intent(value.intent, call.caller.livemode)
        error = value.intent.last_payment_error
        if declines and error is not None and value.intent.status == "requires_payment_method":
            extra: Json = {key: error[key] for key in ("charge", "decline_code") if key in error}
            raise _failed(error["code"], error["message"], extra | {"payment_intent": body}, reply.replayed)
        operation = value.operation
        if operation is not None and operation.kind != "charge" and operation.state == "declined":
            message = f"The {operation.kind} was refused by the channel. The payment is {value.intent.status}."
            code = operation.reason or "processing_error"
            raise _failed(code, message, {"payment_intent": body}, reply.replayed)
        return Answer(body, replayed=reply.replayed)


@dataclass(frozen=True, slots=True)
class Others:
    """Handlers of charges, refunds and payment methods."""

    payments: Payments
    pool: Any

    def routes(self) -> list[Route]:
        """What is offered."""
        method, refund = "payment_method", "refund"
        pm, one_pm = "/v1/payment_methods", "/v1/payment_methods/{payment_method}"
        return [
            Route("GET", "/v1/charges", self.list_charges, params.ListCharges, "List charges", returns="list"),
            Route("GET", "/v1/charges/{charge}", self.charge, NoParams, "Retrieve a charge", returns="charge"),
            Route(
                "POST", "/v1/refunds", self.create_refund, params.CreateRefundParams, "Create a refund", returns=refund
            ),
            Route("GET", "/v1/refunds", self.list_refunds, params.ListRefunds, "List refunds", returns="list"),
            Route("GET", "/v1/refunds/{refund}", self.refund, NoParams, "Retrieve a refund", returns=refund),
            Route(
                "POST",
                pm,
                self.create_method,
                params.CreatePaymentMethod,
                "Create a payment method",
                access="publishable",
                returns=method,
            ),
            Route("GET", pm, self.list_methods, params.ListPaymentMethods, "List payment methods", returns="list"),
            Route("GET", one_pm, self.method, NoParams, "Retrieve a payment method", returns=method),
            Route("POST", one_pm + "/attach", self.attach, params.AttachPaymentMethod, "Attach", returns=method),
            Route("POST", one_pm + "/detach", self.detach, NoParams, "Detach", returns=method),
        ]

    async def list_charges(self, call: Call[params.ListCharges]) -> Json:
        """A page of charges, newest first."""
        wish = call.params
        where = {"payment_intent": wish.payment_intent, "customer": wish.customer}
        rows, more = await reads.page(self.pool, Charge, call.caller.merchant_id, wish, where)
        return list_object("/v1/charges", [render.charge(row, call.caller.livemode) for row in rows], more)

    async def charge(self, call: Call[NoParams]) -> Json:
        """One charge."""
        row = await reads.one(self.pool, Charge, call.caller.merchant_id, call.path["charge"])
        if row is None:
            raise no_such("charge", call.path["charge"], "charge")
        return render.charge(row, call.caller.livemode)

    async def create_refund(self, call: Call[params.CreateRefundParams]) -> Answer:
        """Give money back. The refund may be ``pending`` while the channel has not answered."""
        wish = call.params
        command = CreateRefund(
            self.payments.terms,
            payment_intent=wish.payment_intent,
            charge=wish.charge,
            amount=wish.amount,
            reason=wish.reason,
            metadata=check_metadata(wish.metadata),
            idempotency_key=call.idempotency.key if call.idempotency else None,
        )
        reply = await self.payments.run(call.caller.merchant_id, command, call.idempotency, call.request_id)
        refund = reply.value.refund
        return Answer(render.refund(refund, call.caller.livemode), replayed=reply.replayed)

    async def list_refunds(self, call: Call[params.ListRefunds]) -> Json:
        """A page of refunds, newest first."""
        wish = call.params
        where = {"payment_intent": wish.payment_intent, "charge": wish.charge}
        rows, more = await reads.page(self.pool, Refund, call.caller.merchant_id, wish, where)
        return list_object("/v1/refunds", [render.refund(row, call.caller.livemode) for row in rows], more)

    async def refund(self, call: Call[NoParams]) -> Json:
        """One refund."""
        row = await reads.one(self.pool, Refund, call.caller.merchant_id, call.path["refund"])
        if row is None:
            raise no_such("refund", call.path["refund"], "refund")
        return render.refund(row, call.caller.livemode)

    async def create_method(self, call: Call[params.CreatePaymentMethod]) -> Answer:
        """Keep a payment method. A card is exchanged for a token; its number is not kept."""
        check_metadata(call.params.metadata)
        made = await methods.new_method(self.payments, call.caller, call.params)
        return await self._method_answer(call, SaveMethod(made))

    async def list_methods(self, call: Call[params.ListPaymentMethods]) -> Json:
        """A page of a customer's payment methods, newest first."""
        wish = call.params
        where = {"customer": wish.customer, "type": wish.type}
        rows, more = await reads.page(self.pool, PaymentMethod, call.caller.merchant_id, wish, where)
        data = [render.payment_method(row, call.caller.livemode) for row in rows]
        return list_object("/v1/payment_methods", data, more)

    async def method(self, call: Call[NoParams]) -> Json:
        """One payment method."""
        row = await reads.one(self.pool, PaymentMethod, call.caller.merchant_id, call.path["payment_method"])
        if row is None:
            raise no_such("PaymentMethod", call.path["payment_method"], "payment_method")
        return render.payment_method(row, call.caller.livemode)

    async def attach(self, call: Call[params.AttachPaymentMethod]) -> Answer:
        """Attach a method to a customer."""
        name, new = call.path["payment_method"], None
        if methods.is_test_name(self.payments, name, call.caller):
            new = await methods.named_method(self.payments, self.pool, call.caller, name)
            name = new.id
        return await self._method_answer(call, AttachMethod(name, call.params.customer, new))

    async def detach(self, call: Call[NoParams]) -> Answer:
        """Take a method off its customer."""
        return await self._method_answer(call, DetachMethod(call.path["payment_method"]))

    async def _method_answer(self, call: Call[Any], command: Command) -> Answer:
        reply = await self.payments.engine.run(call.caller.merchant_id, command, call.idempotency, call.request_id)
        return Answer(render.payment_method(reply.value, call.caller.livemode), replayed=reply.replayed)


def _failed(code: str, message: str, extra: Json, replayed: bool) -> PaymentFailed:
    error = PaymentFailed(code, message, extra=extra)
    error.replayed = replayed
    return error


def same(given: str, kept: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(given.encode(), kept.encode())
