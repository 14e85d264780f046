"""Settings, from the environment. Every one has a meaning, a default that is safe, or must be given."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What an installation can set. Names in the environment are ``TONGBAO_…``, except ``DATABASE_URL``."""

    model_config = SettingsConfigDict(env_prefix="TONGBAO_", extra="ignore", populate_by_name=True)

    database_url: str | None = Field(None, validation_alias="DATABASE_URL")
    """PostgreSQL 15 or newer. Without it an embedded server runs in ``data``."""
    data: Path = Path(".tongbao")
    """The folder of everything that must survive: the embedded database, generated keys."""
    host: str = "127.0.0.1"
    """The address that the API and the hosted pages listen on."""
    port: int = Field(8080, ge=0, le=65535)
    """The port that the API and the hosted pages listen on."""
    public_url: str | None = None
    """How shoppers and channels reach this server, such as ``https://pay.example.com``. Default: host and port."""
    master_key: SecretStr | None = None
    """32 bytes in base64 that wrap the secrets kept in the database. Without it, made once in ``data``."""
    card_url: str | None = None
    """The card acquirer's base address. Without it cards are off."""
    card_terminal: str | None = None
    """Our terminal id at the card acquirer."""
    card_secret: SecretStr | None = None
    """The key that signs what we and the card acquirer say to each other."""
    card_fee_bps: int = Field(0, ge=0, le=10_000)
    """What a card payment costs the merchant: hundredths of a percent of the amount…"""
    card_fee_fixed: int = Field(0, ge=0)
    """…and this many minor units besides."""
    lanes: int = Field(4, ge=1, le=64)
    """How many merchants' batches one process commits at the same time."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important messages that are logged."""
    access_log: bool = False
    """Log one line for every request."""

    @property
    def base_url(self) -> str:
        """The public address without a slash at the end."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")
