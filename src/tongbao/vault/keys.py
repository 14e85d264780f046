"""Where the master key comes from: the operator's setting, or a file made once in the data folder."""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import os
from pathlib import Path

from tongbao.foundation.errors import InvalidRequest

FILE = "master.key"
_BYTES = 32


class MasterKeyUnusable(InvalidRequest):
    """The master key cannot be used. The message says why and what to do; it never holds the key."""

    def __init__(self, message: str) -> None:
        super().__init__("master_key_unusable", message)


def key_id(key: bytes) -> str:
    """A short name for a master key that tells nothing about it: by it a sealed secret names its key."""
    return hashlib.sha256(b"tongbao master key id\0" + key).hexdigest()[:12]


def decode_master_key(text: str, source: str = "TONGBAO_MASTER_KEY") -> bytes:
    """The key in ``text``: 32 bytes in base64, plain or URL-safe.

    :raises MasterKeyUnusable: if it is anything else. ``source`` says where the text came from.
    """
    try:
        key = base64.b64decode(text.strip().replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _BYTES:
        raise MasterKeyUnusable(
            f"{source} does not hold {_BYTES} bytes in base64. Make a key with: openssl rand -base64 {_BYTES}"
        )
    return key


def load_or_make_master_key(data_dir: Path) -> bytes:
    """The key in ``data_dir/master.key``, made if it is not there. Several processes may call this at once.

    :raises MasterKeyUnusable: if the file is damaged, or others than its owner may read it.
    :raises OSError: if the folder cannot be used.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / FILE
    lock = os.open(data_dir / f".{FILE}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            _write(path, base64.b64encode(os.urandom(_BYTES)) + b"\n")
    finally:
        os.close(lock)
    mode = path.stat().st_mode
    if mode & 0o077:
        raise MasterKeyUnusable(f"Others may read {path} (mode {mode & 0o777:o}). Run: chmod 600 {path}")
    return decode_master_key(path.read_text(errors="replace"), str(path))


def _write(path: Path, content: bytes) -> None:
    """Write all or nothing, and be sure that it is on the disk: what is sealed with a lost key is lost."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, content)
        os.fsync(file)
    finally:
        os.close(file)
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
