"""Parameter types that several capabilities share. Every one has a bound."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta, UnsetType

from tongbao.foundation.errors import InvalidRequest
from tongbao.foundation.money import AMOUNT_MAX

Id = Annotated[str, Meta(min_length=1, max_length=100)]
Amount = Annotated[int, Meta(ge=1, le=AMOUNT_MAX)]
Currency = Annotated[str, Meta(min_length=3, max_length=3)]
Name = Annotated[str, Meta(max_length=256)]
Email = Annotated[str, Meta(max_length=512)]
Phone = Annotated[str, Meta(max_length=40)]
Description = Annotated[str, Meta(max_length=1000)]
Url = Annotated[str, Meta(max_length=2048)]
Metadata: TypeAlias = dict[str, str]
Expand = list[Annotated[str, Meta(max_length=200)]]

OptionalName = Name | None | UnsetType
"""An update: absent leaves it, ``None`` or an empty text unsets it."""
OptionalEmail = Email | None | UnsetType
OptionalPhone = Phone | None | UnsetType
OptionalDescription = Description | None | UnsetType
OptionalMetadata = Metadata | None | UnsetType


def check_web_address(url: str | None, param: str) -> str | None:
    """Return an address that a browser may be sent to.

    :raises InvalidRequest: unless it is http or https: a ``javascript:`` address would run on our page.
    """
    if url is not None and not url.lower().startswith(("https://", "http://")):
        raise InvalidRequest("url_invalid", f"{param} must be an http or https address.", param=param)
    return url
