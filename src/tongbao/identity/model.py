"""Merchants, API keys and customers: what is true of them."""

from __future__ import annotations

from typing import Literal

import sqlalchemy as sa

from tongbao.database.rows import Row, table


@table("merchants", key=("merchant_id",))
class Merchant(Row, frozen=True):
    """A shop, or its test twin: a merchant of its own, so that test and live rows can never meet."""

    name: str
    livemode: bool
    twin_id: str
    created_ms: int
    country: str = "CN"
    default_currency: str = "cny"
    name_zh: str | None = None


@table(
    "api_keys",
    key=("merchant_id", "id"),
    indexes=[sa.Index("ix_api_keys_hash", "merchant_id", "hash", unique=True)],
)
class ApiKey(Row, frozen=True):
    """A key by which a program acts for a merchant. Only its SHA-256 is kept: it is shown once.

    (A plain hash suffices: the key holds 190 random bits, so there is nothing to guess.)
    """

    id: str
    kind: Literal["secret", "publishable"]
    hash: str
    last4: str
    created_ms: int
    revoked_ms: int | None = None


@table("customers", key=("merchant_id", "id"))
class Customer(Row, frozen=True):
    """Somebody who buys from a merchant."""

    id: str
    created_ms: int
    version: int = 1
    name: str | None = None
    email: str | None = None
    phone: str | None = None
    description: str | None = None
    metadata: dict[str, str] = {}
    deleted: bool = False
