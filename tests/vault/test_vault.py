"""A sealed secret opens only where it was sealed for, and only by the key it was sealed with."""

from __future__ import annotations

import base64
import concurrent.futures
import os
import stat
from pathlib import Path

import pytest

from tongbao.vault import (
    CannotOpen,
    MasterKeyUnusable,
    Vault,
    decode_master_key,
    key_id,
    load_or_make_master_key,
)

OLD, NEW = os.urandom(32), os.urandom(32)
HERE = "acct_a/webhook_secret"


@pytest.mark.parametrize("secret", [b"", b"whsec_x", os.urandom(5000)])
def test_what_was_sealed_opens_for_the_same_context(secret: bytes) -> None:
    vault = Vault({"k1": OLD}, "k1")
    sealed = vault.seal(secret, HERE)
    assert vault.open(sealed, HERE) == secret
    assert sealed.isascii()
    assert sealed.startswith("v1.k1.")


def test_the_same_secret_never_looks_the_same_twice() -> None:
    vault = Vault({"k1": OLD}, "k1")
    assert vault.seal(b"x", HERE) != vault.seal(b"x", HERE)


@pytest.mark.parametrize("context", ["acct_b/webhook_secret", "acct_a/other", ""])
def test_it_opens_for_no_other_merchant_or_purpose(context: str) -> None:
    vault = Vault({"k1": OLD}, "k1")
    with pytest.raises(CannotOpen):
        vault.open(vault.seal(b"x", HERE), context)


def test_a_change_of_any_character_is_found() -> None:
    vault = Vault({"k1": OLD}, "k1")
    sealed = vault.seal(b"8 bytes.", HERE)
    assert not sealed.endswith("=")  # Or the last character would hold bits that mean nothing.
    for at in range(len(sealed)):
        changed = sealed[:at] + ("A" if sealed[at] != "A" else "B") + sealed[at + 1 :]
        with pytest.raises(CannotOpen):
            vault.open(changed, HERE)


@pytest.mark.parametrize("sealed", ["", "v1", "v1.k1", "v1.k1.", "v1.k1.AAAA", "v2.k1.AAAA", "v1.k1.é", "plain"])
def test_what_is_not_sealed_does_not_open(sealed: str) -> None:
    with pytest.raises(CannotOpen):
        Vault({"k1": OLD}, "k1").open(sealed, HERE)


def test_after_a_rotation_old_secrets_still_open_and_new_ones_use_the_new_key() -> None:
    sealed = Vault({"old": OLD}, "old").seal(b"x", HERE)
    rotated = Vault({"old": OLD, "new": NEW}, "new")
    assert rotated.open(sealed, HERE) == b"x"
    assert rotated.seal(b"x", HERE).startswith("v1.new.")
    with pytest.raises(CannotOpen, match="'old' is not here"):
        Vault({"new": NEW}, "new").open(sealed, HERE)
    with pytest.raises(CannotOpen):
        Vault({"old": NEW}, "old").open(sealed, HERE)


@pytest.mark.parametrize(
    ("keys", "current"), [({}, "k1"), ({"k1": OLD}, "k2"), ({"k1": b"short"}, "k1"), ({"a.b": OLD}, "a.b")]
)
def test_there_is_no_vault_without_a_proper_key(keys: dict[str, bytes], current: str) -> None:
    with pytest.raises(ValueError, match="key"):
        Vault(keys, current)


def test_the_master_key_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    data = tmp_path / "data"
    key = load_or_make_master_key(data)
    assert len(key) == 32
    assert load_or_make_master_key(data) == key
    assert stat.S_IMODE((data / "master.key").stat().st_mode) == 0o600
    assert sorted(path.name for path in data.iterdir()) == [".master.key.lock", "master.key"]


def test_many_processes_starting_at_once_get_one_key(tmp_path: Path) -> None:
    with concurrent.futures.ProcessPoolExecutor(4) as processes:
        keys = set(processes.map(load_or_make_master_key, [tmp_path] * 16))
    assert len(keys) == 1


def test_a_master_key_that_others_may_read_stops_the_start_with_the_remedy(tmp_path: Path) -> None:
    load_or_make_master_key(tmp_path)
    (tmp_path / "master.key").chmod(0o644)
    with pytest.raises(MasterKeyUnusable, match="chmod 600"):
        load_or_make_master_key(tmp_path)


def test_a_damaged_master_key_is_refused_and_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    path.touch(mode=0o600)
    with pytest.raises(MasterKeyUnusable):
        load_or_make_master_key(tmp_path)
    assert path.read_bytes() == b""


def test_a_master_key_is_given_in_either_base64() -> None:
    key = b"\xfb\xff" * 16
    assert decode_master_key(base64.b64encode(key).decode() + "\n") == key
    assert decode_master_key(base64.urlsafe_b64encode(key).decode()) == key
    for wrong in ("", "secret", base64.b64encode(key[:31]).decode(), base64.b64encode(key).decode()[:-1], "é" * 44):
        with pytest.raises(MasterKeyUnusable, match="TONGBAO_MASTER_KEY"):
            decode_master_key(wrong)


def test_a_keys_id_tells_keys_apart() -> None:
    assert key_id(OLD) == key_id(OLD) != key_id(NEW)
    assert len(key_id(OLD)) == 12
