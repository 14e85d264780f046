"""What comes twice gets the first answer, whatever the first one changed."""

from __future__ import annotations

import secrets

from tests.world import World


def test_a_declined_confirmation_with_the_intents_own_method_is_replayed_as_declined(world: World) -> None:
    with world.http() as http:
        body = {"amount": 100, "currency": "cny", "payment_method": "pm_card_chargeDeclined"}
        intent = http.post("/v1/payment_intents", json=body).json()["id"]
        key = {"Idempotency-Key": secrets.token_hex(8)}
        first = http.post(f"/v1/payment_intents/{intent}/confirm", headers=key)
        again = http.post(f"/v1/payment_intents/{intent}/confirm", headers=key)
        assert first.status_code == 402
        assert (again.status_code, again.json()) == (402, first.json())
        assert again.headers["idempotent-replayed"] == "true"


def test_a_confirmation_without_any_method_is_refused_and_changes_nothing(world: World) -> None:
    with world.http() as http:
        intent = http.post("/v1/payment_intents", json={"amount": 100, "currency": "cny"}).json()
        refused = http.post(f"/v1/payment_intents/{intent['id']}/confirm")
        assert refused.status_code == 400
        error = refused.json()["error"]
        assert (error["code"], error["param"]) == ("payment_intent_payment_method_missing", "payment_method")
        assert http.get(f"/v1/payment_intents/{intent['id']}").json() == intent
