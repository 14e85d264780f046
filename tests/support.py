"""Helpers that tests call themselves; fixtures are in ``conftest.py``."""

from __future__ import annotations

import uuid
from urllib.parse import urlsplit

import asyncpg


async def create_database(admin_url: str, template: str = "template0") -> str:
    """Make a database with a new name as a copy of ``template``; return its URL."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    connection = await asyncpg.connect(admin_url)
    try:
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    finally:
        await connection.close()
    return urlsplit(admin_url)._replace(path=f"/{name}").geturl()


async def drop_database(admin_url: str, url: str) -> None:
    """Remove a database that ``create_database`` made, whoever is still connected to it."""
    connection = await asyncpg.connect(admin_url)
    try:
        await connection.execute(f'DROP DATABASE "{urlsplit(url).path.lstrip("/")}" WITH (FORCE)')
    finally:
        await connection.close()
