"""How HTTP reaches customers' balances (Stripe's cash balance)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from tongbao.database import reads
from tongbao.engine import Engine
from tongbao.foundation.errors import InvalidRequest, NotPermitted, no_such
from tongbao.foundation.http import Answer, Call, Json, NoParams, Route
from tongbao.foundation.money import check_currency
from tongbao.foundation.pages import ListParams, cut, list_object
from tongbao.foundation.params import Amount, Currency, Expand
from tongbao.identity.model import Customer
from tongbao.wallets.commands import FundBalance


class FundParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much money arrives for the customer."""

    amount: Amount
    currency: Currency
    reference: Annotated[str, Meta(max_length=140)] | None = None
    expand: Expand = []


_TYPES = {"funding": "funded", "charge": "applied_to_payment", "refund": "refunded_from_payment"}
_TRANSACTIONS_SQL = """
    SELECT p.account_id, p.seq, p.side, p.amount, p.balance, p.transfer_id, t.kind, t.currency, t.ref,
           t.recorded_ms, c.payment_intent
    FROM accounts a
    JOIN postings p ON p.merchant_id = a.merchant_id AND p.account_id = a.id
    JOIN transfers t ON t.merchant_id = p.merchant_id AND t.id = p.transfer_id
    LEFT JOIN charges c ON c.merchant_id = t.merchant_id AND c.id = t.ref AND t.kind = 'charge'
    WHERE a.merchant_id = $1 AND a.id >= 'customer:' || $2 || ':' AND a.id < 'customer:' || $2 || ';'
"""


def transaction_id(transfer_id: str) -> str:
    """A movement on a balance has the id of its transfer, with a prefix of its own."""
    return "ccsbtxn_" + transfer_id.removeprefix("tr_")


def _render(row: Any, customer: str, livemode: bool) -> Json:
    kind = _TYPES.get(row["kind"], "adjusted_for_overdraft")
    net = row["amount"] if row["side"] == "credit" else -row["amount"]
    body: Json = {
        "id": transaction_id(row["transfer_id"]),
        "object": "customer_cash_balance_transaction",
        "created": row["recorded_ms"] // 1000,
        "currency": row["currency"],
        "customer": customer,
        "ending_balance": row["balance"],
        "livemode": livemode,
        "net_amount": net,
        "type": kind,
    }
    if kind == "funded":
        body["funded"] = {"bank_transfer": {"reference": row["ref"]}}
    elif kind == "applied_to_payment":
        body["applied_to_payment"] = {"payment_intent": row["payment_intent"]}
    elif kind == "refunded_from_payment":
        body["refunded_from_payment"] = {"refund": row["ref"]}
    return body


@dataclass(frozen=True, slots=True)
class CashBalances:
    """Handlers of a customer's cash balance."""

    engine: Engine
    pool: Any

    def routes(self) -> list[Route]:
        """What is offered."""
        base, transaction = "/v1/customers/{customer}", "customer_cash_balance_transaction"
        many = base + "/cash_balance_transactions"
        return [
            Route("GET", base + "/cash_balance", self.retrieve, NoParams, "Retrieve a balance", returns="cash_balance"),
            Route("GET", many, self.list, ListParams, "List a balance's movements", returns="list"),
            Route(
                "GET", many + "/{transaction}", self.transaction, NoParams, "Retrieve a movement", returns=transaction
            ),
            Route(
                "POST",
                "/v1/test_helpers/customers/{customer}/fund_cash_balance",
                self.fund,
                FundParams,
                "Fund a balance (test mode)",
                returns=transaction,
            ),
        ]

    async def retrieve(self, call: Call[NoParams]) -> Json:
        """What the customer has, by currency."""
        customer = await self._customer(call)
        rows = await self.pool.fetch(
            "SELECT currency, balance FROM accounts WHERE merchant_id = $1 "
            "AND id >= 'customer:' || $2 || ':' AND id < 'customer:' || $2 || ';' ORDER BY currency",
            call.caller.merchant_id,
            customer.id,
        )
        return {
            "object": "cash_balance",
            "available": {row["currency"]: row["balance"] for row in rows} or None,
            "customer": customer.id,
            "livemode": call.caller.livemode,
            "settings": {"reconciliation_mode": "manual", "using_merchant_default": True},
        }

    async def list(self, call: Call[ListParams]) -> Json:
        """A page of movements, newest first."""
        customer, wish = await self._customer(call), call.params
        arguments: list[Any] = [call.caller.merchant_id, customer.id]
        sql = _TRANSACTIONS_SQL
        cursor = wish.starting_after or wish.ending_before
        if cursor is not None:
            arguments.append(_transfer_id(cursor))
            sql += " AND p.transfer_id < $3" if wish.starting_after else " AND p.transfer_id > $3"
        direction = "ASC" if wish.ending_before else "DESC"
        sql += f" ORDER BY p.transfer_id {direction} LIMIT {wish.limit + 1}"
        rows, more = cut(await self.pool.fetch(sql, *arguments), wish)
        data = [_render(row, customer.id, call.caller.livemode) for row in rows]
        return list_object(f"/v1/customers/{customer.id}/cash_balance_transactions", data, more)

    async def transaction(self, call: Call[NoParams]) -> Json:
        """One movement."""
        customer, name = await self._customer(call), call.path["transaction"]
        row = await self.pool.fetchrow(
            _TRANSACTIONS_SQL + " AND p.transfer_id = $3", call.caller.merchant_id, customer.id, _transfer_id(name)
        )
        if row is None:
            raise no_such("customer_cash_balance_transaction", name, "transaction")
        return _render(row, customer.id, call.caller.livemode)

    async def fund(self, call: Call[FundParams]) -> Answer:
        """Let money arrive for a customer, in test mode."""
        if call.caller.livemode:
            raise NotPermitted("livemode_mismatch", "Test helpers can only be used with a test mode key.")
        wish = call.params
        command = FundBalance(call.path["customer"], wish.amount, check_currency(wish.currency), wish.reference)
        reply = await self.engine.run(call.caller.merchant_id, command, call.idempotency, call.request_id)
        transfer, made = reply.value.transfer, reply.value.posting
        row = {
            "transfer_id": transfer.id,
            "kind": transfer.kind,
            "currency": transfer.currency,
            "ref": transfer.ref,
            "recorded_ms": transfer.recorded_ms,
            "side": made.side,
            "amount": made.amount,
            "balance": made.balance,
            "payment_intent": None,
        }
        return Answer(_render(row, call.path["customer"], call.caller.livemode), replayed=reply.replayed)

    async def _customer(self, call: Call[Any]) -> Customer:
        row = await reads.one(self.pool, Customer, call.caller.merchant_id, call.path["customer"])
        if row is None or row.deleted:
            raise no_such("customer", call.path["customer"], "customer")
        return row


def _transfer_id(name: str) -> str:
    rest = name.removeprefix("ccsbtxn_")
    if rest == name or not rest.isalnum():
        raise InvalidRequest("resource_missing", f"No such movement: '{name[:100]}'", param="transaction")
    return "tr_" + rest
