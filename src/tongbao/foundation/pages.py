"""Lists in pages: parameters, cutting and the list object, as Stripe's (docs.stripe.com/api/pagination)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from msgspec import Meta, Struct

from tongbao.foundation.errors import InvalidRequest
from tongbao.foundation.http import Json

LIMIT_MAX = 100

Row = TypeVar("Row")
Cursor = Annotated[str, Meta(max_length=255)]


class ListParams(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every list takes; a route's own filters are added in a subclass.

    Lists go from new to old. ``starting_after`` asks for what is older than that id, ``ending_before`` for
    what is newer.
    """

    limit: Annotated[int, Meta(ge=1, le=LIMIT_MAX)] = 10
    starting_after: Cursor | None = None
    ending_before: Cursor | None = None
    expand: list[str] = []

    def __post_init__(self) -> None:
        """Refuse both cursors at once."""
        if self.starting_after is not None and self.ending_before is not None:
            raise InvalidRequest(
                "parameters_exclusive",
                "You may only specify one of these parameters: starting_after, ending_before.",
                param="starting_after",
            )


def cut(rows: Sequence[Row], params: ListParams) -> tuple[list[Row], bool]:
    """Return one page, new to old, and whether there is more in the direction of travel.

    ``rows`` are up to ``limit + 1`` rows in the order of travel: new to old, or old to new with
    ``ending_before``.
    """
    page = list(rows[: params.limit])
    if params.ending_before is not None:
        page.reverse()
    return page, len(rows) > params.limit


def list_object(url: str, data: Sequence[Any], has_more: bool) -> Json:
    """The list object. ``url`` is the list's own address without its query."""
    return {"object": "list", "url": url, "has_more": has_more, "data": data}
