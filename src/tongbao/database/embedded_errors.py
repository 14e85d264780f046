"""What keeps the embedded PostgreSQL from starting, told with its cause and its remedy."""

from __future__ import annotations


class CannotStart(RuntimeError):
    """The embedded PostgreSQL cannot start. The message gives the cause and the remedy."""


class InUse(CannotStart):
    """Another process owns this data directory, and with it the server."""


REMEDIES = {
    b"No space left on device": "The disk is full. Remedy: free some space, or choose a folder on another disk.",
    b"Disk quota exceeded": "Your quota is used up. Remedy: free some space, or choose another folder.",
    b"Read-only file system": "The disk is read-only. Remedy: choose a folder that can be written to.",
    b"Permission denied": "Remedy: choose a data folder that belongs to you.",
    b"Operation not permitted": "PostgreSQL does not run as root, and this process may not become another user. "
    "Remedy: start as an ordinary user, or set DATABASE_URL.",
    b"Cannot allocate memory": "There is too little memory. Remedy: free about 500 MB.",
    b"still in use": "Remedy: end the old server processes of this folder, then start again.",
}


def failure(what: str, output: bytes) -> CannotStart:
    """The error for a server that did not come up: the end of what it said, and what to do about it."""
    lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
    remedy = next((text for sign, text in REMEDIES.items() if sign in output), "")
    return CannotStart("\n".join([f"{what}. {remedy}".rstrip(), *(f"  {line}" for line in lines[-8:])]))
