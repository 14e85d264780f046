"""Bounds hold on every way in, also on the ones beside the front door."""

from __future__ import annotations

from tests.world import World


def test_metadata_of_a_method_given_with_a_payment_is_bounded_like_any_other(world: World) -> None:
    with world.http() as http:
        method = {"type": "card", "card": {"token": "tok_visa"}, "metadata": {"note": "x" * 501}}
        body = {"amount": 100, "currency": "cny", "confirm": True, "payment_method_data": method}
        refused = http.post("/v1/payment_intents", json=body)
        assert refused.status_code == 400
        error = refused.json()["error"]
        assert (error["code"], error["param"]) == ("metadata_invalid", "payment_method_data[metadata][note]")


def test_an_escaped_slash_in_an_id_does_not_lead_to_another_call(world: World) -> None:
    """Clients escape ids so that one that a stranger made up stays an id."""
    with world.http() as http:
        body = {"amount": 100, "currency": "cny"}
        intent = http.post("/v1/payment_intents", json=body).json()["id"]
        for way in (f"/v1/payment_intents/{intent}%2Fcancel", f"/v1/payment_intents%2f{intent}/cancel"):
            answer = http.post(way)
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "url_unrecognized")
        assert http.get(f"/v1/payment_intents/{intent}").json()["status"] == "requires_payment_method"
