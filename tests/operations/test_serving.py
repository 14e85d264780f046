"""The server bounds what a client may send before a request begins, and stops when it is told to."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tongbao.foundation.errors import Conflict, InvalidRequest
from tongbao.operations import serving, settings


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Says what it was sent; ``/slow`` takes a second, ``/stuck`` for ever."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["path"] in ("/slow", "/stuck"):
        await asyncio.sleep(1 if scope["path"] == "/slow" else 60)
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    body = ",".join(sorted({name.decode() for name, _ in scope["headers"]})).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


class Running:
    def __init__(self, port: int, task: asyncio.Task[None]) -> None:
        self.port = port
        self.task = task

    async def talk(self, *sent: bytes, wait_s: float = 5.0) -> bytes:
        """Send, and return all that comes until the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for part in sent:
                writer.write(part)
                await writer.drain()
            return await asyncio.wait_for(reader.read(), wait_s)
        except ConnectionError:
            return b""
        finally:
            writer.close()


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    monkeypatch.setattr(serving, "HEAD_SECONDS_MAX", 0.3)
    listener = serving.listen("127.0.0.1", 0)
    ready = asyncio.Event()
    program = serving._Server(serving._config(serving._Application(application)), ready.set)
    task = asyncio.create_task(program.serve([listener]))
    await asyncio.wait_for(ready.wait(), 5)
    yield Running(listener.getsockname()[1], task)
    program.should_exit = True
    await asyncio.wait([task], timeout=5)


async def test_a_request_is_answered_and_the_server_does_not_name_itself(server: Running) -> None:
    answer = await server.talk(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"server:" not in answer.lower()


async def test_headers_without_end_are_refused(server: Running) -> None:
    line = b"x-filler: " + b"y" * 8_000 + b"\r\n"
    answer = await server.talk(b"GET / HTTP/1.1\r\n", *[line] * 64)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 431", b"HTTP/1.1 400"))


async def test_headers_that_are_too_large_are_refused_though_they_come_at_once(server: Running) -> None:
    head = b"GET / HTTP/1.1\r\nx: " + b"y" * (serving.HEAD_BYTES_MAX + 1) + b"\r\n\r\n"
    assert not (await server.talk(head)).startswith(b"HTTP/1.1 200")


async def test_a_client_that_says_nothing_is_let_go(server: Running) -> None:
    assert await server.talk(wait_s=2) == b""


async def test_a_client_that_dawdles_over_its_headers_is_let_go(server: Running) -> None:
    assert await server.talk(b"GET / HTTP/1.1\r\nhost:", wait_s=2) == b""


async def test_a_client_that_dawdles_over_its_second_request_is_let_go(server: Running) -> None:
    answer = await server.talk(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"GET / HT", wait_s=2)
    assert answer.count(b"HTTP/1.1") == 1


async def test_a_slow_answer_is_waited_for(server: Running) -> None:
    answer = await server.talk(b"GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")


async def test_headers_after_the_body_are_left_out(server: Running) -> None:
    answer = await server.talk(
        b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
        b"2\r\nab\r\n0\r\nx-late: 1\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"x-late" not in answer


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_request_under_way_is_finished_when_the_server_is_told_to_stop(
    server: Running, number: signal.Signals
) -> None:
    asking = asyncio.create_task(server.talk(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n"))
    await asyncio.sleep(0.2)
    os.kill(os.getpid(), number)
    assert (await asking).startswith(b"HTTP/1.1 200")
    await asyncio.wait_for(server.task, 2)


async def test_a_request_that_does_not_end_holds_up_the_stop_for_seconds_only(server: Running) -> None:
    asking = asyncio.create_task(server.talk(b"GET /stuck HTTP/1.1\r\nhost: x\r\n\r\n"))
    await asyncio.sleep(0.2)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(server.task, serving.GRACE_SECONDS + 1)
    await asking


async def test_why_the_application_did_not_start_is_told() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise InvalidRequest("settings_invalid", "no good")

    listener = serving.listen("127.0.0.1", 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving, "asgi_app", lambda _: broken)
        with pytest.raises(InvalidRequest, match="no good"):
            await serving.serve(settings.load(), listener, lambda: None)
    listener.close()


def test_a_port_that_is_taken_is_told() -> None:
    with serving.listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Conflict, match=f"listens on 127.0.0.1:{port}. Remedy: "):
            serving.listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["203.0.113.7", "no-such-host.invalid"])
def test_an_address_that_is_not_ours_is_told(host: str) -> None:
    with pytest.raises(InvalidRequest, match=f"Cannot listen on {host}:0: .* Remedy: "):
        serving.listen(host, 0)


def test_an_address_for_all_networks_can_be_reached_on_this_machine() -> None:
    with serving.listen("0.0.0.0", 0) as listener:
        host, port = serving.address_of(listener)
        socket.create_connection((host, port), 1).close()
    assert serving.http_url("::1", 80) == "http://[::1]:80"
