"""Secrets kept in the database, sealed so that the database alone does not give them away."""

from tongbao.vault.keys import MasterKeyUnusable, decode_master_key, key_id, load_or_make_master_key
from tongbao.vault.vault import CannotOpen, Vault

__all__ = ["CannotOpen", "MasterKeyUnusable", "Vault", "decode_master_key", "key_id", "load_or_make_master_key"]
