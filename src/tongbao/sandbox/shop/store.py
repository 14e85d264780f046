"""The shop's own memory: carts, orders, what it asked of the API, and the webhooks it received. One SQLite file.

Every call is short and synchronous. ``synchronous=FULL`` with a write-ahead log: what was answered survives
``kill -9`` and a power cut.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import msgspec

from tongbao.sandbox.shop.catalogue import BY_CODE, Language, Product
from tongbao.sandbox.shop.story import Event, mentions

QUANTITY_MAX = 20
PAGE = 50
CHINA = timezone(timedelta(hours=8), "UTC+8")
_NUMBER_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # none that are mistaken for another
_SCHEMA = """
create table if not exists carts (browser text primary key, version text not null unique);
create table if not exists cart_lines (
  browser text not null, product text not null, quantity integer not null check (quantity > 0),
  primary key (browser, product));
create table if not exists orders (
  number text primary key, browser text not null, cart_version text not null, customer text not null,
  language text not null, total integer not null, lines text not null, created_ms integer not null,
  order_id text, session_id text, session_url text, unique (cart_version, customer));
create index if not exists orders_by_browser on orders (browser, created_ms);
create table if not exists refunds (
  key text primary key, number text not null, payment_intent text not null, amount integer not null,
  created_ms integer not null, refund_id text, status text);
create index if not exists refunds_by_number on refunds (number);
create table if not exists calls (
  id integer primary key, number text not null, at_ms integer not null, call text not null, result text not null);
create index if not exists calls_by_number on calls (number);
create table if not exists events (
  id text primary key, type text not null, created_s integer not null, received_ms integer not null,
  body blob not null);
create table if not exists mentions (object text not null, event text not null, primary key (object, event));
create index if not exists mentions_by_event on mentions (event);
"""
# From the ids we know of an order to the events that name them, to the ids that those name, and so on: so a refund's
# event, which names only the payment, finds the order once any other event has named both, earlier or later.
_EVENTS_OF = """
with recursive known (object) as (
  select value from json_each(?)
  union
  select other.object from known
    join mentions here on here.object = known.object
    join mentions other on other.event = here.event)
select distinct e.id, e.type, e.created_s, e.received_ms, e.body from known
  join mentions m on m.object = known.object join events e on e.id = m.event
  order by e.received_ms, e.created_s, e.id limit 200
"""


class Line(msgspec.Struct, frozen=True):
    """So many of one product, at the price when it was ordered."""

    code: str
    quantity: int
    price: int

    @property
    def product(self) -> Product:
        """The product on the shelf."""
        return BY_CODE[self.code]

    @property
    def amount(self) -> int:
        """Price times quantity, in minor units."""
        return self.price * self.quantity


class Cart(msgspec.Struct, frozen=True):
    """What a browser has gathered. ``version`` changes with every change: one version becomes at most one order."""

    version: str
    lines: list[Line]

    @property
    def total(self) -> int:
        """The sum, in minor units."""
        return sum(line.amount for line in self.lines)

    @property
    def count(self) -> int:
        """How many pieces."""
        return sum(line.quantity for line in self.lines)


class ShopOrder(msgspec.Struct, frozen=True):
    """An order in the shop's own books; ``order_id`` and ``session_*`` are what the API answered, once it did."""

    number: str
    browser: str
    cart_version: str
    customer: str
    language: Language
    total: int
    lines: list[Line]
    created_ms: int
    order_id: str | None
    session_id: str | None
    session_url: str | None


class Refund(msgspec.Struct, frozen=True):
    """A refund that was asked for. Without ``refund_id`` the answer is not known yet; the same key asks again."""

    key: str
    number: str
    payment_intent: str
    amount: int
    created_ms: int
    refund_id: str | None
    status: str | None

    @property
    def counts(self) -> bool:
        """Whether its amount must be taken as gone: also while nobody knows."""
        return self.status not in ("failed", "canceled", "refused")


class ApiCall(msgspec.Struct, frozen=True):
    """One thing that the shop asked of the API, for the order page's list of what happened behind it."""

    at_ms: int
    call: str
    result: str


class Store:
    """The file, opened. Raises ``sqlite3.Error`` if it cannot be."""

    def __init__(self, data_dir: Path) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        # Made in one thread, perhaps served by another; never used by two at a time.
        self._db = sqlite3.connect(data_dir / "shop.sqlite3", isolation_level=None, check_same_thread=False)
        self._db.execute("pragma journal_mode=wal")
        self._db.execute("pragma synchronous=full")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._db.execute("rollback")
            raise
        self._db.execute("commit")

    # Carts

    def cart(self, browser: str) -> Cart:
        """The browser's cart; products that have left the shelf are left out."""
        row = self._db.execute("select version from carts where browser = ?", (browser,)).fetchone()
        rows = self._db.execute("select product, quantity from cart_lines where browser = ?", (browser,)).fetchall()
        quantities = dict(rows)
        lines = [Line(code, quantities[code], p.price) for code, p in BY_CODE.items() if code in quantities]
        return Cart(row[0] if row else "", lines)

    def set_quantity(self, browser: str, product: str, quantity: int) -> None:
        """Put ``quantity`` of a product into the cart (at most ``QUANTITY_MAX``); nought takes it out."""
        with self._transaction():
            if quantity > 0:
                self._db.execute(
                    "insert into cart_lines values (?1, ?2, ?3) on conflict do update set quantity = ?3",
                    (browser, product, min(quantity, QUANTITY_MAX)),
                )
            else:
                self._db.execute("delete from cart_lines where browser = ? and product = ?", (browser, product))
            self._renew(browser)

    def empty_cart(self, browser: str, version: str) -> None:
        """Empty the cart, if it is still the one that was ordered."""
        with self._transaction():
            if self.cart(browser).version == version:
                self._db.execute("delete from cart_lines where browser = ?", (browser,))
                self._renew(browser)

    def refill_cart(self, browser: str, lines: list[Line]) -> None:
        """Put an order's lines back into the cart, beside what is there."""
        with self._transaction():
            for line in lines:
                self._db.execute(
                    "insert into cart_lines values (?1, ?2, ?3) on conflict do update set quantity = max(quantity, ?3)",
                    (browser, line.code, line.quantity),
                )
            self._renew(browser)

    def renew_cart(self, browser: str) -> None:
        """Give the cart a new version: checking out makes a new order, whatever became of the last one."""
        self._renew(browser)

    def _renew(self, browser: str) -> None:
        self._db.execute(
            "insert into carts values (?1, ?2) on conflict (browser) do update set version = ?2",
            (browser, secrets.token_hex(12)),
        )

    # Orders

    def open_order(self, browser: str, cart: Cart, customer: str, language: Language) -> ShopOrder:
        """The order of this version of the cart for this customer: made now, or by an earlier try."""
        now_ms = time.time_ns() // 1_000_000
        self._db.execute(
            "insert into orders (number, browser, cart_version, customer, language, total, lines, created_ms)"
            " values (?, ?, ?, ?, ?, ?, ?, ?) on conflict (cart_version, customer) do nothing",
            (
                _new_number(now_ms),
                browser,
                cart.version,
                customer,
                language,
                cart.total,
                msgspec.json.encode(cart.lines).decode(),
                now_ms,
            ),
        )
        return self._orders("cart_version = ? and customer = ?", (cart.version, customer))[0]

    def order(self, number: str) -> ShopOrder | None:
        """The order of that number."""
        found = self._orders("number = ?", (number,))
        return found[0] if found else None

    def order_of_cart(self, version: str, browser: str) -> ShopOrder | None:
        """The order that this version of the browser's cart became, if it reached the checkout."""
        found = self._orders("cart_version = ? and browser = ? and session_url is not null", (version, browser))
        return found[0] if found else None

    def orders_of(self, browser: str) -> list[ShopOrder]:
        """A browser's orders that reached the checkout, newest first."""
        return self._orders("browser = ? and session_url is not null", (browser,))

    def all_orders(self) -> list[ShopOrder]:
        """Everybody's orders that reached the checkout, newest first."""
        return self._orders("session_url is not null", ())

    def _orders(self, where: str, values: tuple[str, ...]) -> list[ShopOrder]:
        fields = ShopOrder.__struct_fields__
        sql = f"select {', '.join(fields)} from orders where {where} order by created_ms desc limit {PAGE}"  # noqa: S608
        return [
            ShopOrder(**dict(zip(fields, row, strict=True)) | {"lines": msgspec.json.decode(row[6], type=list[Line])})
            for row in self._db.execute(sql, values)
        ]

    def remember_order_id(self, number: str, order_id: str) -> None:
        """Keep the API's id of the order."""
        self._db.execute("update orders set order_id = ? where number = ?", (order_id, number))

    def remember_session(self, number: str, session_id: str, url: str) -> None:
        """Keep the checkout session, which is where the shopper pays."""
        self._db.execute(
            "update orders set session_id = ?, session_url = ? where number = ?", (session_id, url, number)
        )

    def note_call(self, number: str, call: str, result: str) -> None:
        """Write down what was asked of the API and what it answered."""
        now_ms = time.time_ns() // 1_000_000
        self._db.execute(
            "insert into calls (number, at_ms, call, result) values (?, ?, ?, ?)", (number, now_ms, call, result)
        )

    def calls_of(self, number: str) -> list[ApiCall]:
        """What was asked for this order, oldest first."""
        sql = "select at_ms, call, result from calls where number = ? order by id limit 200"
        return [ApiCall(*row) for row in self._db.execute(sql, (number,))]

    # Refunds

    def ask_refund(self, refund: Refund) -> bool:
        """Write a refund down before the API is asked. False if that key is known already."""
        cursor = self._db.execute(
            "insert into refunds values (?, ?, ?, ?, ?, ?, ?) on conflict do nothing",
            msgspec.structs.astuple(refund),
        )
        return cursor.rowcount == 1

    def answer_refund(self, key: str, refund_id: str | None, status: str) -> None:
        """Keep the API's answer."""
        self._db.execute("update refunds set refund_id = ?, status = ? where key = ?", (refund_id, status, key))

    def refund(self, key: str) -> Refund | None:
        """The refund with that key."""
        row = self._db.execute("select * from refunds where key = ?", (key,)).fetchone()
        return Refund(*row) if row else None

    def refunds_of(self, number: str) -> list[Refund]:
        """An order's refunds, oldest first."""
        sql = "select * from refunds where number = ? order by created_ms limit 200"
        return [Refund(*row) for row in self._db.execute(sql, (number,))]

    # Webhooks

    def keep_event(self, body: dict[str, object], raw: bytes) -> bool:
        """Store a webhook event with the ids that it mentions. False if it was here already."""
        now_ms = time.time_ns() // 1_000_000
        with self._transaction():
            cursor = self._db.execute(
                "insert into events values (?, ?, ?, ?, ?) on conflict do nothing",
                (body["id"], body["type"], body["created"], now_ms, raw),
            )
            self._db.executemany(
                "insert into mentions values (?, ?) on conflict do nothing",
                [(thing, body["id"]) for thing in sorted(mentions(body))],
            )
        return cursor.rowcount == 1

    def events_of(self, order: ShopOrder) -> list[Event]:
        """Every event about an order, in order of arrival."""
        known = [name for name in (order.number, order.order_id, order.session_id) if name]
        rows = self._db.execute(_EVENTS_OF, (msgspec.json.encode(known).decode(),))
        return [Event(i, kind, created_s, at_ms, msgspec.json.decode(body)) for i, kind, created_s, at_ms, body in rows]


def _new_number(now_ms: int) -> str:
    """A number for people: the day in China, then letters that make it hard to meet twice."""
    day = datetime.fromtimestamp(now_ms / 1000, CHINA).strftime("%Y-%m%d")
    return f"{day}-{''.join(secrets.choice(_NUMBER_LETTERS) for _ in range(6))}"
