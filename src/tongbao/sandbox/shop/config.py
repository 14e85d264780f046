"""What the shop is told at its start: where the API is, with which keys, and where to keep its own data."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import msgspec


class ShopConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The shop's settings, as written in its JSON file.

    ``api_base`` is the API's address without ``/v1``; ``public_url`` is the shop's own, as browsers see it.
    ``customer_id`` names the demo shopper's customer (with a funded cash balance); empty means that only guests
    buy. ``checkout_origin`` is where the hosted payment pages live, if not beside the API.
    """

    api_base: str
    secret_key: str
    webhook_secret: str
    public_url: str
    data_dir: str
    customer_id: str | None = None
    checkout_origin: str | None = None

    def __post_init__(self) -> None:
        for name in ("api_base", "public_url"):
            parts = urlsplit(getattr(self, name))
            if parts.scheme not in ("http", "https") or not parts.netloc:
                raise ValueError(f"{name} must be an http or https address such as http://127.0.0.1:8100/shop")
        for name in ("secret_key", "webhook_secret", "data_dir"):
            if not getattr(self, name):
                raise ValueError(f"{name} must not be empty")

    @property
    def base_path(self) -> str:
        """The path under which the shop is seen, without a closing slash: ``/shop`` or nothing."""
        return urlsplit(self.public_url).path.rstrip("/")

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach the shop over TLS, so that cookies can demand it."""
        return urlsplit(self.public_url).scheme == "https"


def load(path: Path) -> ShopConfig:
    """Read the settings from a JSON file. Raises ``ValueError`` that names the file and what is wrong in it."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=ShopConfig)
    except (OSError, msgspec.MsgspecError) as error:
        raise ValueError(f"The shop's settings in {path} cannot be used: {error}") from error


def origin_of(url: str) -> str:
    """``https://pay.example.com:8443/x`` gives ``https://pay.example.com:8443``; nothing for other schemes."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in ("http", "https") and parts.netloc else ""
