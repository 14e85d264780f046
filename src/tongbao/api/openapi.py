"""The OpenAPI 3.1 document, written from the routes: what is served and what is described cannot differ."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from tongbao.api.decoding import FORM, JSON
from tongbao.foundation.http import Json, Route

_COMPONENT = "#/components/schemas/{name}"
_ERRORS = {
    400: "The request cannot be right: a parameter is missing, unknown or malformed, or the state forbids it.",
    401: "No API key, or one that is unknown.",
    402: "The request was right; the payment was refused.",
    403: "The key may not do this.",
    404: "No such object.",
    408: "The body did not arrive in time.",
    409: "Another request with this idempotency key, or on this object, is under way.",
    413: "The body is too large.",
    415: "The body is neither a form nor JSON.",
    429: "Too many requests.",
    500: "Something went wrong on the server.",
    503: "A queue is full, or the database is away; try again after Retry-After seconds.",
}
_ONLY_WITH_BODY = frozenset({402, 408, 409, 413, 415})
_ONLY_WITH_KEY = frozenset({401, 403})
_RETRIED = frozenset({429, 503})


def openapi(routes: Iterable[Route], *, title: str = "Tongbao", version: str = "1", server_url: str = "/") -> Json:
    """Return the document. Objects that are returned are described loosely, by name."""
    listed = list(routes)
    references, schemas = msgspec.json.schema_components(
        list(dict.fromkeys(route.params for route in listed)), ref_template=_COMPONENT
    )
    schemas = dict(schemas)
    by_params = dict(zip(dict.fromkeys(route.params for route in listed), references, strict=True))
    paths: dict[str, Json] = {}
    for route in listed:
        schemas.setdefault(_component(route.returns), _loose_object(route.returns))
        reference = by_params[route.params]
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, reference, schemas)
    schemas["Error"] = _error_schema()
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "servers": [{"url": server_url}],
        "security": [{"bearer": []}, {"basic": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {str(status): _error_answer(status) for status in _ERRORS},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic", "description": "The key is the user name."},
            },
            "headers": {
                "Request-Id": {"schema": {"type": "string"}, "description": "Names this request to the operator."}
            },
        },
    }


def _operation(route: Route, reference: Json, schemas: dict[str, Json]) -> Json:
    parameters: list[Json] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "maxLength": 255}}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    operation: Json = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "tags": [_tag(route.path)],
        "parameters": parameters,
    }
    if route.method == "POST":
        parameters.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "Repeating a request with its key repeats the answer, not the act.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255},
            }
        )
        operation["requestBody"] = _request_body(reference, schemas)
    else:
        parameters += _query(reference, schemas)
    if route.access == "public":
        operation["security"] = []
    operation["responses"] = _answers(route)
    return operation


def _request_body(reference: Json, schemas: dict[str, Json]) -> Json:
    schema = _resolved(reference, schemas)
    nested = {
        name: {"style": "deepObject", "explode": True}
        for name, part in schema.get("properties", {}).items()
        if _shapes(part, schemas) & {"object", "array"}
    }
    form: Json = {"schema": reference}
    if nested:
        form["encoding"] = nested
    return {"required": bool(schema.get("required")), "content": {FORM: form, JSON: {"schema": reference}}}


def _query(reference: Json, schemas: dict[str, Json]) -> list[Json]:
    schema = _resolved(reference, schemas)
    required = schema.get("required", [])
    parameters: list[Json] = []
    for name, part in schema.get("properties", {}).items():
        shapes = _shapes(part, schemas)
        parameter: Json = {"name": name, "in": "query", "required": name in required, "schema": part}
        if "array" in shapes:
            parameter |= {"name": f"{name}[]", "style": "form", "explode": True}
        elif "object" in shapes:
            parameter |= {"style": "deepObject", "explode": True}
        parameters.append(parameter)
    return parameters


def _answers(route: Route) -> Json:
    content = {JSON: {"schema": {"$ref": _COMPONENT.format(name=_component(route.returns))}}}
    answers: Json = {"200": {"description": "Done.", "headers": _request_id(), "content": content}}
    for status in _ERRORS:
        bodiless = route.method != "POST" and status in _ONLY_WITH_BODY
        keyless = route.access == "public" and status in _ONLY_WITH_KEY
        if not bodiless and not keyless:
            answers[str(status)] = {"$ref": f"#/components/responses/{status}"}
    return answers


def _error_answer(status: int) -> Json:
    headers = _request_id()
    if status in _RETRIED:
        headers["Retry-After"] = {"schema": {"type": "integer"}, "description": "Seconds to wait."}
    content = {JSON: {"schema": {"$ref": _COMPONENT.format(name="Error")}}}
    return {"description": _ERRORS[status], "headers": headers, "content": content}


def _error_schema() -> Json:
    text = {"type": "string"}
    return {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["type", "code", "message"],
                "properties": {
                    "type": {
                        "type": "string",
                        "enum": ["api_error", "card_error", "idempotency_error", "invalid_request_error"],
                    },
                    "code": {"type": "string", "description": "Stable; meant for programs."},
                    "message": {"type": "string", "description": "Meant for people."},
                    "param": {"type": "string", "description": "The parameter at fault: line_items[0][quantity]."},
                    "decline_code": text,
                    "doc_url": text,
                },
            }
        },
    }


def _loose_object(name: str) -> Json:
    return {"type": "object", "title": name, "properties": {"id": {"type": "string"}, "object": {"type": "string"}}}


def _request_id() -> Json:
    return {"Request-Id": {"$ref": "#/components/headers/Request-Id"}}


def _resolved(schema: Json, schemas: dict[str, Json]) -> Json:
    reference = schema.get("$ref")
    return schemas[str(reference).rpartition("/")[2]] if reference else schema


def _shapes(schema: Json, schemas: dict[str, Json]) -> set[str]:
    """The JSON types that a schema allows."""
    schema = _resolved(schema, schemas)
    found: Any = schema.get("type", [])
    types = {found} if isinstance(found, str) else set(found)
    return types.union(*(_shapes(part, schemas) for part in schema.get("anyOf", [])))


def _operation_id(route: Route) -> str:
    words = [word.strip("{}") for word in route.path.split("/") if word]
    return "_".join([route.method.lower(), *words])


def _tag(path: str) -> str:
    fixed = [word for word in path.split("/") if word and not word.startswith("{")]
    return fixed[1] if len(fixed) > 1 else fixed[0]


def _component(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)
