"""The OpenAPI document describes the routes as they are served."""

from __future__ import annotations

import re
from typing import Any

from tests.api.edge.toys import Toys

from tongbao.api.openapi import openapi


def document() -> dict[str, Any]:
    return openapi(Toys().routes(), title="Toys", version="1", server_url="http://localhost:8000")


def test_every_route_is_an_operation_with_a_name_of_its_own() -> None:
    operations = [operation for path in document()["paths"].values() for operation in path.values()]
    assert len(operations) == len(Toys().routes())
    assert len({operation["operationId"] for operation in operations}) == len(operations)


def test_every_reference_leads_somewhere() -> None:
    whole = document()
    for reference in re.findall(r"'\$ref': '#/([^']+)'", str(whole)):
        node = whole
        for step in reference.split("/"):
            assert step in node, reference
            node = node[step]


def test_bodies_are_described_as_form_and_json() -> None:
    post = document()["paths"]["/v1/toys"]["post"]
    form = post["requestBody"]["content"]["application/x-www-form-urlencoded"]
    assert form["schema"] == {"$ref": "#/components/schemas/CreateToy"}
    assert set(form["encoding"]) == {
        "metadata",
        "payment_method_data",
        "payment_method_types",
        "shipping",
        "line_items",
        "expand",
    }
    assert "application/json" in post["requestBody"]["content"]
    assert [parameter["name"] for parameter in post["parameters"]] == ["Idempotency-Key"]
    assert {"200", "400", "401", "402", "403", "404", "409", "413", "415", "429", "500", "503"} <= set(
        post["responses"]
    )


def test_queries_and_variables_are_parameters() -> None:
    paths = document()["paths"]
    by_name = {parameter["name"]: parameter for parameter in paths["/v1/toys"]["get"]["parameters"]}
    assert set(by_name) == {"limit", "starting_after", "ending_before", "expand[]", "created"}
    assert by_name["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 100, "default": 10}
    assert by_name["created"]["style"] == "deepObject"
    names = [parameter["name"] for parameter in paths["/v1/toys/{toy}/parts/{part}"]["post"]["parameters"]]
    assert names == ["toy", "part", "Idempotency-Key"]


def test_a_public_route_needs_no_key() -> None:
    get = document()["paths"]["/v1/hello"]["get"]
    assert get["security"] == []
    assert "401" not in get["responses"]
