"""Envelope encryption: each secret has a data key of its own, and a master key seals the data keys.

So the master key only ever encrypts random keys, and could live in a key service. Both steps are AES-256-GCM (NIST SP
800-38D) with the context as associated data: what was sealed for one merchant and purpose opens for no other.

A sealed secret is text: ``v1.{key id}.{base64url of nonce, sealed data key, nonce, sealed secret}``.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION = "v1"
_NONCE = 12
_KEY = 32
_TAG = 16
_DATA_KEY_END = _NONCE + _KEY + _TAG


class CannotOpen(Exception):
    """The sealed secret is damaged, was sealed for another context, or by a master key that is not here."""


class Vault:
    """Seals and opens secrets. ``keys`` are the master keys by key id; ``current`` names the one that seals.

    To rotate: add a key, make it current, keep the old ones as long as something is sealed by them.
    """

    def __init__(self, keys: Mapping[str, bytes], current: str) -> None:
        """:raises ValueError: if a key has not 32 bytes, an id holds a dot, or ``current`` is not among ``keys``."""
        if current not in keys:
            raise ValueError("The current master key is not among the keys.")
        if any(len(key) != _KEY for key in keys.values()):
            raise ValueError(f"A master key must have {_KEY} bytes.")
        if any(not id or "." in id for id in keys):
            raise ValueError("A master key's id must not be empty or hold a dot.")
        self._masters = {id: AESGCM(key) for id, key in keys.items()}
        self._current = current

    def seal(self, plaintext: bytes, context: str) -> str:
        """Seal a secret for ``context`` (merchant id and purpose), which has to be given again to open it."""
        bound = context.encode()
        data_key = AESGCM.generate_key(8 * _KEY)
        nonces = os.urandom(_NONCE), os.urandom(_NONCE)
        envelope = self._masters[self._current].encrypt(nonces[0], data_key, bound)
        sealed = AESGCM(data_key).encrypt(nonces[1], plaintext, bound)
        body = base64.urlsafe_b64encode(nonces[0] + envelope + nonces[1] + sealed).decode()
        return f"{_VERSION}.{self._current}.{body}"

    def open(self, sealed: str, context: str) -> bytes:
        """The secret.

        :raises CannotOpen: if it cannot be had; the text says why and holds no secret.
        """
        version, _, rest = sealed.partition(".")
        id, _, body = rest.partition(".")
        if version != _VERSION or not body:
            raise CannotOpen("This is not a sealed secret.")
        master = self._masters.get(id)
        if master is None:
            raise CannotOpen(f"The master key {id!r} is not here.")
        bound = context.encode()
        try:
            raw = base64.b64decode(body.encode(), altchars=b"-_", validate=True)
            data_key = master.decrypt(raw[:_NONCE], raw[_NONCE:_DATA_KEY_END], bound)
            nonce_end = _DATA_KEY_END + _NONCE
            return AESGCM(data_key).decrypt(raw[_DATA_KEY_END:nonce_end], raw[nonce_end:], bound)
        except (InvalidTag, ValueError, binascii.Error, UnicodeEncodeError):
            raise CannotOpen("The secret is damaged, or was sealed for another context.") from None
