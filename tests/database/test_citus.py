"""Every table can be distributed by merchant over a Citus cluster, and payments work on it as on one server.

``TONGBAO_CITUS_URL`` names a database of a cluster (Citus 12 or newer) that has the extension and its nodes; one node
that also holds shards will do (``citus_set_node_property(host, port, 'shouldhaveshards', true)``). The test makes a
schema of its own there and removes it.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
import stripe
from tests import world as worlds

from tongbao.database.migrate import migrate
from tongbao.operations import schema

CITUS_URL = os.environ.get("TONGBAO_CITUS_URL")
CARD: stripe.params.PaymentIntentCreateParams = {
    "amount": 4_200,
    "currency": "cny",
    "payment_method": "pm_card_visa",
    "confirm": True,
}
pytestmark = [
    pytest.mark.may_skip,
    pytest.mark.skipif(CITUS_URL is None, reason="needs a Citus cluster: set TONGBAO_CITUS_URL to a database of one"),
]


@pytest.fixture(scope="module")
async def distributed() -> AsyncIterator[str]:
    """The URL of an empty schema whose tables are all distributed."""
    assert CITUS_URL is not None
    name = f"test_{uuid.uuid4().hex[:12]}"
    url = f"{CITUS_URL}{'&' if '?' in CITUS_URL else '?'}search_path={name}"
    connection = await asyncpg.connect(url)
    await connection.execute(f"CREATE SCHEMA {name}")
    try:
        await migrate(url)
        # Citus calls triggers unsafe because they could reach other nodes. The one of append-only tables only refuses.
        await connection.execute("SET citus.enable_unsafe_triggers TO on")
        await connection.execute("SET citus.shard_count TO 4")
        for table in schema.tables():
            await connection.execute(f"SELECT create_distributed_table('{table.name}', 'merchant_id')")
        yield url
    finally:
        await connection.execute(f"DROP SCHEMA {name} CASCADE")
        await connection.close()


@pytest.fixture(scope="module")
def world(distributed: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[worlds.World]:
    made = worlds.build(tmp_path_factory.mktemp("world"), distributed)
    yield made
    made.stop()


def test_every_table_is_distributed_by_merchant(world: worlds.World) -> None:
    found = world.sql("SELECT table_name::text FROM public.citus_tables WHERE distribution_column = 'merchant_id'")
    assert {table.name for table in schema.tables()} <= {row["table_name"].rpartition(".")[2] for row in found}


@pytest.mark.parametrize("statement", ["UPDATE postings SET amount = 1", "DELETE FROM transfers", "TRUNCATE events"])
def test_append_only_tables_refuse_changes_on_every_node(world: worlds.World, statement: str) -> None:
    world.funded_customer()
    with pytest.raises(asyncpg.PostgresError, match="is append-only"):
        world.sql(statement)


def test_payments_refunds_and_orders_work(world: worlds.World) -> None:
    client = world.stripe()
    customer = world.funded_customer(10_000)
    by_balance = client.v1.payment_intents.create(
        {
            "amount": 2_800,
            "currency": "cny",
            "customer": customer.id,
            "payment_method_data": {"type": "customer_balance"},
            "confirm": True,
        }
    )
    by_card = client.v1.payment_intents.create(CARD)
    assert (by_balance.status, by_card.status) == ("succeeded", "succeeded")
    refund = client.v1.refunds.create({"payment_intent": by_card.id, "amount": 1_000})
    worlds.eventually(lambda: client.v1.refunds.retrieve(refund.id).status == "succeeded", what="the refund")
    again = client.v1.payment_intents.list({"limit": 10})
    assert {by_balance.id, by_card.id} <= {intent.id for intent in again.data}
    assert world.broken_books() == []


def test_what_is_to_be_done_later_is_done(world: worlds.World) -> None:
    wish = {"currency": "cny", "line_items": [{"name": "Tea", "unit_amount": 100, "quantity": 1}]}
    with world.http() as http:
        made = http.post("/v1/orders", json=wish | {"expires_at": int(time.time()) + 2}).json()
        worlds.eventually(
            lambda: http.get(f"/v1/orders/{made['id']}").json()["status"] == "expired", what="the order's expiry"
        )
    assert world.sql("SELECT * FROM jobs WHERE subject = $1", made["id"]) == []


def test_two_requests_with_one_idempotency_key_are_one_payment(world: worlds.World) -> None:
    client = world.stripe()
    one = client.v1.payment_intents.create(CARD, {"idempotency_key": "citus-1"})
    other = client.v1.payment_intents.create(CARD, {"idempotency_key": "citus-1"})
    assert one.id == other.id


def test_a_server_that_is_killed_loses_nothing_that_it_answered(world: worlds.World) -> None:
    paid = world.stripe().v1.payment_intents.create(CARD)
    world.kill("serve")
    world.start("serve")
    assert world.stripe().v1.payment_intents.retrieve(paid.id).status == "succeeded"
    assert world.broken_books() == []
