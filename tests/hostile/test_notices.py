"""Strangers at the door where channels send their notices."""

from __future__ import annotations

import socket

from tests.world import World


def test_a_notice_whose_body_never_comes_is_given_up(world: World) -> None:
    with socket.create_connection(("127.0.0.1", world.port), timeout=20) as connection:
        address = f"/notices/card/{world.merchant_id}"
        connection.sendall(f"POST {address} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 408")


def test_unsigned_oversized_and_misdirected_notices_are_refused(world: World) -> None:
    with world.http() as http:
        address = f"/notices/card/{world.merchant_id}"
        assert http.post(address, content=b"{}").status_code == 400
        assert http.post(address, content=b"\xff" * 1000, headers={"acquirer-signature": "x"}).status_code == 400
        assert http.post(address, content=b" " * 300_000).status_code == 413
        assert http.post(f"/notices/customer_balance/{world.merchant_id}", content=b"{}").status_code == 400
        assert http.post(f"/notices/elsewhere/{world.merchant_id}", content=b"{}").status_code == 404
