"""The client that sends: bounded, never redirected, never led into our own network."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from tests.webhooks.receiver import Receiver

from tongbao.webhooks.client import Client

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    client = Client(timeout_s=0.5, private_targets=True)
    yield client
    await client.close()


@contextlib.asynccontextmanager
async def raw_server(serve: Serve) -> AsyncIterator[str]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    server.close()


def headers(body: bytes) -> dict[str, str]:
    return {"Content-Length": str(len(body))}


async def post(client: Client, url: str, livemode: bool = False) -> tuple[int | None, str]:
    sent = await client.post(url, headers(b"{}"), b"{}", livemode=livemode)
    return sent.status, sent.detail


async def test_connections_are_kept_for_a_moment_and_used_again(client: Client) -> None:
    connections: list[Any] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(2)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    async with raw_server(serve) as url:
        assert [await post(client, url) for _ in range(3)] == [(200, "ok")] * 3
        assert len(connections) == 1
        connections[0].close()  # The other side has had enough: the next request must not be lost by that.
        await asyncio.sleep(0.05)
        assert await post(client, url) == (200, "ok")
        assert len(connections) == 2


async def test_an_answer_without_end_or_without_haste_is_cut_off(client: Client) -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 999999999999\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(b"x" * 65536)
                await writer.drain()

    async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.2)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(2)
        writer.close()

    async with raw_server(endless) as url:
        assert await post(client, url) == (500, "x" * 500)
    async with raw_server(dripping) as url:
        status, detail = await post(client, url)
        assert (status, set(detail)) == (200, {"x"}), "it has taken the event, whatever it wanted to say besides"
    async with raw_server(silent) as url:
        begun = time.monotonic()
        assert await post(client, url) == (None, "No answer within 0.5 seconds.")
        assert time.monotonic() - begun < 1.9


async def test_what_is_not_http_is_told_as_it_is(client: Client) -> None:
    async def ssh(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        writer.close()

    async def gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    for serve in (ssh, gone):
        async with raw_server(serve) as url:
            status, detail = await post(client, url)
            assert status is None
            assert detail
            assert await post(client, url.replace("http:", "https:")) != (200, "")


async def test_a_name_that_leads_nowhere_or_a_port_where_nobody_listens_is_told(client: Client) -> None:
    status, detail = await post(client, "http://nowhere.invalid/")
    assert status is None
    assert "nowhere.invalid" in detail
    status, detail = await post(client, "http://127.0.0.1:1/")
    assert status is None
    assert detail


async def test_in_live_mode_no_name_leads_into_our_own_network(
    client: Client, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with DNS rebinding: the name was public when the endpoint was made and is not any more."""
    real = socket.getaddrinfo

    def rebound(host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        return real("127.0.0.1" if host == "shop.example" else host, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    https = f"https://shop.example:{receiver.port}/hook"
    assert await post(client, https, livemode=True) == (
        None,
        "shop.example has no address that events may be sent to.",
    )
    for literal in ("127.0.0.1", "[::1]", "0x7f000001", "2130706433", "localhost"):
        status, _ = await post(client, f"https://{literal}:{receiver.port}/hook", livemode=True)
        assert status is None
    status, detail = await post(client, f"http://shop.example:{receiver.port}/hook", livemode=True)
    assert (status, detail) == (None, "In live mode events are sent over https only.")
    assert receiver.arrivals == []
    assert (await post(client, f"http://shop.example:{receiver.port}/hook"))[0] == 200
    assert receiver.arrivals[0].headers["host"] == f"shop.example:{receiver.port}"


async def test_a_certificate_has_to_be_good_in_either_mode(client: Client, receiver: Receiver) -> None:
    status, detail = await post(client, f"https://127.0.0.1:{receiver.port}/hook")
    assert status is None
    assert detail


async def test_a_private_address_is_not_connected_to_unless_the_installation_allows_it() -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise AssertionError("it was connected to")

    careful = Client(timeout_s=0.5)
    async with raw_server(never) as url:
        sent = await careful.post(url, {}, b"{}", livemode=False)
    await careful.close()
    assert not sent.ok
    assert "TONGBAO_PRIVATE_WEBHOOKS" in str(sent.detail)
