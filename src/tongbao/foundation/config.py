"""Settings, from the environment. Every one has a meaning, a default that is safe, or must be given."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_POSTGRESQL = ("postgresql", "postgres", "postgresql+asyncpg")


class Settings(BaseSettings):
    """What an installation can set. Names in the environment are ``TONGBAO_…``, except ``DATABASE_URL``.

    A variable that is set to nothing counts as not set. ``docs/configuration.md`` says the same at more length.
    """

    model_config = SettingsConfigDict(
        env_prefix="TONGBAO_", env_ignore_empty=True, extra="ignore", populate_by_name=True, hide_input_in_errors=True
    )

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
    private_webhooks: bool = False
    """In test mode, send webhooks to private addresses too: for a shop on a developer's machine."""
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

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, url: str | None) -> str | None:
        if url is not None and url.partition("://")[0] not in _POSTGRESQL:
            raise ValueError("must be the address of a PostgreSQL: postgresql://user:password@host:5432/database")
        return url

    @field_validator("public_url", "card_url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        if url is not None:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
                raise ValueError("must be an http or https address such as https://pay.example.com")
        return url

    @model_validator(mode="after")
    def _check_card(self) -> Settings:
        if self.card_url is not None and (self.card_terminal is None or self.card_secret is None):
            raise ValueError("TONGBAO_CARD_URL needs TONGBAO_CARD_TERMINAL and TONGBAO_CARD_SECRET beside it")
        return self
