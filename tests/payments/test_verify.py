"""The proof between payments, orders and ledger finds what is planted, and nothing on honest books."""

from __future__ import annotations

from collections.abc import Iterator

import asyncpg
import pytest
from tests import world as worlds
from tests.support import create_database

from tongbao.ledger.verify import verify
from tongbao.payments.verify import CHECKS


@pytest.fixture(scope="module")
def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[worlds.World]:
    """An installation with a paid and partly refunded order."""
    url = worlds.run_apart(lambda: create_database(database_url))
    made = worlds.build(tmp_path_factory.mktemp("verify"), url)
    with made.http() as client:
        order = client.post(
            "/v1/orders", data={"currency": "cny", "line_items[0][name]": "x", "line_items[0][unit_amount]": 500}
        ).json()
        form = {"order": order["id"], "payment_method": "pm_card_visa", "confirm": "true"}
        intent = client.post("/v1/payment_intents", data=form).json()
        assert client.post("/v1/refunds", data={"payment_intent": intent["id"], "amount": 120}).status_code == 200
    yield made
    made.stop()


async def findings(url: str, spoil: str | None = None) -> set[str]:
    connection = await asyncpg.connect(url)
    try:
        if spoil:
            await connection.execute(spoil)
        return {finding.check for finding in await verify(connection, CHECKS)}
    finally:
        await connection.close()


def test_honest_books_have_no_findings(world: worlds.World) -> None:
    assert worlds.run_apart(lambda: findings(world.database_url)) == set()


@pytest.mark.parametrize(
    ("spoil", "mend", "found"),
    [
        (
            "UPDATE charges SET amount_captured = amount_captured + 1",
            "UPDATE charges SET amount_captured = amount_captured - 1",
            {"charges_are_booked", "intents_received_what_was_captured"},
        ),
        (
            "UPDATE payment_intents SET amount_received = amount_received + 1",
            "UPDATE payment_intents SET amount_received = amount_received - 1",
            {"intents_received_what_was_captured"},
        ),
        (
            "UPDATE charges SET amount_refunded = 501",
            "UPDATE charges SET amount_refunded = 120",
            {"refunds_fit_their_charges"},
        ),
        (
            "UPDATE refunds SET status = 'pending'",
            "UPDATE refunds SET status = 'succeeded'",
            {"reserves_are_refunds_on_their_way"},
        ),
        (
            "UPDATE orders SET amount_paid = amount_paid + 1",
            "UPDATE orders SET amount_paid = amount_paid - 1",
            {"orders_got_what_payments_received"},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("UPDATE") and "+" in value else None,
)
def test_each_planted_fault_is_found(world: worlds.World, spoil: str, mend: str, found: set[str]) -> None:
    try:
        assert worlds.run_apart(lambda: findings(world.database_url, spoil)) == found
    finally:
        worlds.run_apart(lambda: findings(world.database_url, mend))
