"""Metadata: a caller's own names and values on an object, by Stripe's rules (docs.stripe.com/api/metadata)."""

from __future__ import annotations

from collections.abc import Mapping

from tongbao.foundation.errors import InvalidRequest

KEYS_MAX = 50
KEY_LENGTH_MAX = 40
VALUE_LENGTH_MAX = 500


def check_metadata(new: Mapping[str, str], param: str = "metadata") -> dict[str, str]:
    """Return the metadata of a new object, without its empty values; raise ``InvalidRequest`` for a breach."""
    return merge_metadata({}, new, param)


def merge_metadata(old: Mapping[str, str], new: Mapping[str, str] | None, param: str = "metadata") -> dict[str, str]:
    """Return ``old`` changed by ``new``: names not mentioned stay, an empty value deletes, ``None`` deletes all.

    Raises ``InvalidRequest`` naming the entry when a name or value is too long or a name holds a square
    bracket, and when more than ``KEYS_MAX`` entries would result.
    """
    if new is None:
        return {}
    merged = dict(old)
    for key, value in new.items():
        _check_entry(key, value, param)
        if value:
            merged[key] = value
        else:
            merged.pop(key, None)
    if len(merged) > KEYS_MAX:
        message = f"Metadata can have at most {KEYS_MAX} keys; this would make {len(merged)}."
        raise InvalidRequest("metadata_invalid", message, param=param)
    return merged


def _check_entry(key: str, value: str, param: str) -> None:
    if not key or len(key) > KEY_LENGTH_MAX:
        message = f"Metadata keys must have 1 to {KEY_LENGTH_MAX} characters; one has {len(key)}."
        raise InvalidRequest("metadata_invalid", message, param=param)
    if "[" in key or "]" in key:
        message = "Metadata keys must not contain square brackets ([ and ])."
        raise InvalidRequest("metadata_invalid", message, param=param)
    if len(value) > VALUE_LENGTH_MAX:
        message = f"Metadata values must be at most {VALUE_LENGTH_MAX} characters; '{key}' has {len(value)}."
        raise InvalidRequest("metadata_invalid", message, param=f"{param}[{key}]")
