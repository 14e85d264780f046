"""How payments look in the API: Stripe's objects, with our additions at the end."""

from __future__ import annotations

from typing import Any

from tongbao.foundation.http import Json
from tongbao.payments.model import Charge, PaymentIntent, PaymentMethod, Refund


def seconds(ms: int | None) -> int | None:
    """Milliseconds as the API's seconds."""
    return None if ms is None else ms // 1000


def payment_intent(row: PaymentIntent, livemode: bool) -> Json:
    """Stripe's PaymentIntent. Ours: ``order``, ``version``, and ``next_check_at`` while the outcome is unknown."""
    return {
        "id": row.id,
        "object": "payment_intent",
        "amount": row.amount,
        "amount_capturable": row.amount_capturable,
        "amount_details": {"tip": {}},
        "amount_received": row.amount_received,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": seconds(row.canceled_ms) if row.status == "canceled" else None,
        "cancellation_reason": row.cancellation_reason,
        "capture_method": row.capture_method,
        "client_secret": row.client_secret,
        "confirmation_method": "automatic",
        "created": row.created_ms // 1000,
        "currency": row.currency,
        "customer": row.customer,
        "description": row.description,
        "last_payment_error": row.last_payment_error,
        "latest_charge": row.latest_charge,
        "livemode": livemode,
        "metadata": row.metadata,
        "next_action": row.next_action,
        "on_behalf_of": None,
        "payment_method": row.payment_method,
        "payment_method_options": {},
        "payment_method_types": row.payment_method_types,
        "processing": None,
        "receipt_email": row.receipt_email,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "statement_descriptor": row.statement_descriptor,
        "statement_descriptor_suffix": None,
        "status": row.status,
        "transfer_data": None,
        "transfer_group": None,
        "order": row.order_id,
        "next_check_at": seconds(row.next_check_ms),
        "version": row.version,
    }


def charge(row: Charge, livemode: bool) -> Json:
    """Stripe's Charge. Ours: ``order``, ``channel``, ``operation`` and ``version``."""
    failed = row.status == "failed"
    return {
        "id": row.id,
        "object": "charge",
        "amount": row.amount,
        "amount_captured": row.amount_captured,
        "amount_refunded": row.amount_refunded,
        "application": None,
        "balance_transaction": None,
        "billing_details": {"address": None, "email": None, "name": None, "phone": None},
        "captured": row.captured,
        "created": row.created_ms // 1000,
        "currency": row.currency,
        "customer": row.customer,
        "description": row.description,
        "disputed": False,
        "failure_code": row.failure_code,
        "failure_message": row.failure_message,
        "fraud_details": {},
        "livemode": livemode,
        "metadata": row.metadata,
        "outcome": {
            "network_status": "declined_by_network" if failed else "approved_by_network",
            "reason": row.decline_code,
            "type": "issuer_declined" if failed else "authorized",
        }
        if row.status != "pending"
        else None,
        "paid": row.status == "succeeded",
        "payment_intent": row.payment_intent,
        "payment_method": row.payment_method,
        "payment_method_details": method_details(row),
        "receipt_email": None,
        "receipt_url": None,
        "refunded": row.amount_refunded > 0 and row.amount_refunded >= (row.amount_captured or row.amount),
        "status": row.status,
        "order": row.order_id,
        "channel": row.channel,
        "operation": row.operation,
        "version": row.version,
    }


def method_details(row: Charge) -> Json:
    """The payment method as it was when it was used."""
    kind = row.method_details.get("type", "card")
    return {"type": kind, kind: row.method_details.get(kind, {})}


def refund(row: Refund, livemode: bool) -> Json:
    """Stripe's Refund. Ours: ``next_check_at`` while the outcome is unknown, ``operation`` and ``version``."""
    return {
        "id": row.id,
        "object": "refund",
        "amount": row.amount,
        "balance_transaction": None,
        "charge": row.charge,
        "created": row.created_ms // 1000,
        "currency": row.currency,
        "failure_reason": row.failure_reason,
        "livemode": livemode,
        "metadata": row.metadata,
        "payment_intent": row.payment_intent,
        "reason": row.reason,
        "receipt_number": None,
        "status": row.status,
        "operation": row.operation,
        "next_check_at": seconds(row.next_check_ms),
        "version": row.version,
    }


def payment_method(row: PaymentMethod, livemode: bool) -> Json:
    """Stripe's PaymentMethod. The token stays with us."""
    body: dict[str, Any] = {
        "id": row.id,
        "object": "payment_method",
        "billing_details": {"address": None, "email": None, "name": None, "phone": None} | row.billing_details,
        "created": row.created_ms // 1000,
        "customer": row.customer,
        "livemode": livemode,
        "metadata": row.metadata,
        "type": row.type,
        "version": row.version,
    }
    body[row.type] = row.card or {}
    return body
