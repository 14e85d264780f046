"""Toy routes of realistic shape, and keys, for the tests of the edge."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from tongbao.foundation.errors import NotAuthenticated, Overloaded, PaymentFailed, RateLimited
from tongbao.foundation.http import Answer, Call, Caller, Json, NoParams, Route
from tongbao.foundation.pages import ListParams, cut, list_object

HASH_KEY = b"a secret of the installation, 32"
CALLERS = {
    "sk_test_1": Caller("acct_1", "key_1", "secret", False),
    "pk_test_1": Caller("acct_1", "key_2", "publishable", False),
}


async def AUTHENTICATE(token: str) -> Caller:  # noqa: N802
    if token not in CALLERS:
        raise NotAuthenticated("api_key_invalid", "Invalid API key provided.")
    return CALLERS[token]


class Address(Struct, frozen=True, forbid_unknown_fields=True):
    line1: Annotated[str, Meta(max_length=500)]
    city: Annotated[str, Meta(min_length=1, max_length=100)] | None = None


class LineItem(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    quantity: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    tags: list[str] = []


class Card(Struct, frozen=True, forbid_unknown_fields=True):
    number: Annotated[str, Meta(max_length=30)]
    exp_month: int | None = None


class PaymentMethodData(Struct, frozen=True, forbid_unknown_fields=True):
    type: Literal["card", "customer_balance"]
    card: Card | None = None


class CreateToy(Struct, frozen=True, forbid_unknown_fields=True):
    """As a payment intent's parameters."""

    amount: Annotated[int, Meta(ge=1, le=999_999_999_999)]
    currency: Annotated[str, Meta(max_length=10)]
    confirm: bool = False
    capture_method: Literal["automatic", "manual"] = "automatic"
    customer: Annotated[str, Meta(max_length=255)] | None = None
    description: Annotated[str, Meta(max_length=1000)] | UnsetType | None = UNSET
    fee: int | UnsetType | None = UNSET
    expires: int | Literal["never"] | None = None
    weight: float | None = None
    metadata: dict[str, str] | UnsetType | None = UNSET
    payment_method_data: PaymentMethodData | None = None
    payment_method_types: list[Literal["card", "customer_balance"]] = msgspec.field(default_factory=lambda: ["card"])
    shipping: Address | UnsetType | None = UNSET
    line_items: list[LineItem] = []
    expand: list[str] = []


class Small(Struct, frozen=True, forbid_unknown_fields=True):
    amount: int
    currency: str


class Range(Struct, frozen=True, forbid_unknown_fields=True):
    gte: int | None = None
    lt: int | None = None


class ListToys(ListParams, frozen=True, kw_only=True):
    created: int | Range | None = None


class Wait(Struct, frozen=True, forbid_unknown_fields=True):
    ms: int = 0


class Fail(Struct, frozen=True, forbid_unknown_fields=True):
    how: Literal["bug", "declined", "rate", "busy", "database", "unencodable"]


class DatabaseAway(Exception):
    pass


class Toys:
    """Handlers that note what reached them."""

    def __init__(self) -> None:
        self.calls: list[Call[Any]] = []
        self.finished = asyncio.Event()

    async def echo(self, call: Call[Any]) -> Json:
        self.calls.append(call)
        fields = {name: value for name, value in msgspec.structs.asdict(call.params).items() if value is not UNSET}
        return {"object": "toy", "path": call.path, **fields}

    async def replay(self, call: Call[Small]) -> Answer:
        return Answer({"object": "toy"}, status=201, replayed=True, headers={"X-Toy": "yes"})

    async def wait(self, call: Call[Wait]) -> Json:
        self.calls.append(call)
        await asyncio.sleep(call.params.ms / 1000)
        self.finished.set()
        return {"object": "toy"}

    async def page(self, call: Call[ListToys]) -> Json:
        rows = [{"id": f"toy_{number}"} for number in range(call.params.limit + 1)]
        page, more = cut(rows, call.params)
        return list_object("/v1/toys", page, more)

    async def fail(self, call: Call[Fail]) -> Json:
        match call.params.how:
            case "declined":
                extra = {"decline_code": "insufficient_funds", "payment_intent": {"id": "pi_1"}}
                raise PaymentFailed("card_declined", "Your card was declined.", extra=extra)
            case "rate":
                raise RateLimited("rate_limit", "Too many requests.")
            case "busy":
                raise Overloaded("lane_full", "Busy.")
            case "database":
                raise DatabaseAway("connection to 10.0.0.7 refused")
            case "unencodable":
                return {"object": object()}
            case _:
                raise RuntimeError("secret 4242424242424242")

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/v1/toys", self.echo, CreateToy, "Create a toy", returns="toy"),
            Route("GET", "/v1/toys", self.page, ListToys, "List toys", returns="list"),
            Route("GET", "/v1/toys/search", self.echo, NoParams, "Search toys", returns="toy"),
            Route("GET", "/v1/toys/{id}", self.echo, NoParams, "Retrieve a toy", "publishable", "toy"),
            Route("DELETE", "/v1/toys/{toy}", self.echo, NoParams, "Delete a toy", returns="toy"),
            Route("POST", "/v1/toys/{toy}/parts/{part}", self.echo, Small, "Change a part", returns="part"),
            Route("POST", "/v1/small", self.echo, Small, "Take two fields"),
            Route("POST", "/v1/replay", self.replay, Small, "Say that it was said before"),
            Route("POST", "/v1/wait", self.wait, Wait, "Take time"),
            Route("POST", "/v1/fail", self.fail, Fail, "Go wrong"),
            Route("GET", "/v1/hello", self.echo, NoParams, "Greet anybody", "public"),
        ]


def toy_routes() -> list[Route]:
    """The toys' routes where nobody looks at what was called."""
    toys = Toys()

    async def echo(call: Call[Any]) -> Json:
        return {"object": "toy", "id": "toy_1", "amount": 1200, "currency": "cny", "metadata": {}, "path": call.path}

    toys.echo = echo  # type: ignore[method-assign]
    return toys.routes()
