"""What the edge costs per request, without sockets: ``python -m tests.api.edge.cost``. Not a test.

A handler that does nothing is served through the whole edge by a bare ASGI loop, so what is timed is the
Python of the edge alone: routing, key, body, decoding, hash, encoding, log.
"""

from __future__ import annotations

import io
import time
from typing import Any

import msgspec
import structlog
import uvloop
from tests.api.edge.toys import AUTHENTICATE, HASH_KEY, toy_routes

from tongbao.api.edge import Edge

FORM = (
    b"amount=129900&currency=cny&confirm=true&capture_method=automatic&customer=cus_00000000000000000000000a"
    b"&payment_method_data[type]=card&payment_method_data[card][number]=4242&metadata[order]=A-1001"
    b"&line_items[0][name]=Tea&line_items[0][quantity]=2"
)
JSON = (
    b'{"amount":129900,"currency":"cny","confirm":true,"capture_method":"automatic",'
    b'"customer":"cus_00000000000000000000000a","payment_method_data":{"type":"card","card":{"number":"4242"}},'
    b'"metadata":{"order":"A-1001"},"line_items":[{"name":"Tea","quantity":2}]}'
)
SMALL = b"amount=129900&currency=cny"


def request(method: str, path: str, body: bytes, content_type: bytes) -> dict[str, Any]:
    """An ASGI scope such as uvicorn makes."""
    headers = [
        (b"host", b"localhost:8000"),
        (b"user-agent", b"Stripe/v1 PythonBindings/12.0.0"),
        (b"accept", b"*/*"),
        (b"accept-encoding", b"gzip, deflate"),
        (b"connection", b"keep-alive"),
        (b"authorization", b"Bearer sk_test_1"),
        (b"idempotency-key", b"0b5a8b2e-6b0f-4c57-8a0e-7a1d2f1f6f10"),
        (b"content-length", str(len(body)).encode()),
        (b"content-type", content_type),
    ]
    if not body:
        headers = headers[:-2]
    return {"type": "http", "method": method, "path": path, "query_string": b"", "headers": headers}


async def cost_us(edge: Edge, scope: dict[str, Any], body: bytes, rounds: int = 60, times: int = 300) -> float:
    """Microseconds of processor time per request, in the best of many short rounds: others use the machine too."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == 200

    best = float("inf")
    for _ in range(rounds):
        begun = time.process_time()
        for _ in range(times):
            await edge(scope, receive, send)
        best = min(best, (time.process_time() - begun) / times)
    return best * 1e6


def msgspec_json(event: Any, **_: Any) -> bytes:
    return msgspec.json.encode(event)


async def main() -> None:
    """Print the table."""
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer(msgspec_json)],
        wrapper_class=structlog.make_filtering_bound_logger(20),
        logger_factory=structlog.BytesLoggerFactory(io.BytesIO()),
        cache_logger_on_first_use=True,
    )
    form = b"application/x-www-form-urlencoded"
    cases = [
        ("GET by id", request("GET", "/v1/toys/toy_1", b"", b""), b""),
        ("POST form, 2 fields", request("POST", "/v1/small", SMALL, form), SMALL),
        ("POST form, 10 nested fields", request("POST", "/v1/toys", FORM, form), FORM),
        ("POST JSON, same", request("POST", "/v1/toys", JSON, b"application/json"), JSON),
    ]
    for log in (False, True):
        edge = Edge(toy_routes(), AUTHENTICATE, hash_key=HASH_KEY, access_log=log)
        for name, scope, body in cases:
            print(f"{name:30} access log {'on ' if log else 'off'} {await cost_us(edge, scope, body):6.1f} µs")


if __name__ == "__main__":
    uvloop.run(main())
