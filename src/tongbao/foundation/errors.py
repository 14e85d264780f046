"""What can go wrong, as a caller sees it.

Every error has a stable ``code``, a ``kind`` that ``KINDS`` maps to an HTTP status, an exit code and the
``type`` that Stripe's API uses, a message that helps, and the offending ``param`` where there is one.

Tree::

    DomainError
    ├── InvalidRequest      400  the request cannot be right, whatever the state
    ├── NotAuthenticated    401  no key, or one that is unknown
    ├── PaymentFailed       402  the request was right, the payment was refused
    ├── NotPermitted        403  the key may not do this
    ├── NotFound            404  no such object for this merchant
    ├── Conflict            409  another request with this key or on this object is under way
    ├── TooLarge            413  the body or a field exceeds its bound
    ├── RateLimited         429  too many requests
    └── Overloaded          503  a bounded queue is full, or the database is away: try again
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple


class Kind(NamedTuple):
    """How one kind of error is told: over HTTP, on the command line, and in the API's ``error.type``."""

    http_status: int
    exit_code: int
    type: str


KINDS: dict[str, Kind] = {
    "invalid_request": Kind(400, 2, "invalid_request_error"),
    "idempotency": Kind(400, 2, "idempotency_error"),
    "not_authenticated": Kind(401, 3, "invalid_request_error"),
    "payment_failed": Kind(402, 4, "card_error"),
    "not_permitted": Kind(403, 3, "invalid_request_error"),
    "not_found": Kind(404, 5, "invalid_request_error"),
    "method_not_allowed": Kind(405, 2, "invalid_request_error"),
    "timeout": Kind(408, 6, "invalid_request_error"),
    "conflict": Kind(409, 6, "invalid_request_error"),
    "too_large": Kind(413, 2, "invalid_request_error"),
    "unsupported_media_type": Kind(415, 2, "invalid_request_error"),
    "rate_limited": Kind(429, 6, "invalid_request_error"),
    "overloaded": Kind(503, 6, "api_error"),
    "internal": Kind(500, 1, "api_error"),
}


class DomainError(Exception):
    """The base of every expected error. ``extra`` is added to the API's error object (e.g. the intent).

    ``replayed``: this is the stored answer to an earlier request with the same idempotency key.
    """

    kind: ClassVar[str] = "internal"
    replayed: bool = False

    def __init__(
        self, code: str, message: str, *, param: str | None = None, extra: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.extra = extra or {}


class InvalidRequest(DomainError):
    """The request cannot be right: a missing, unknown or malformed parameter, or a state that forbids it."""

    kind = "invalid_request"


class IdempotencyMismatch(DomainError):
    """The same idempotency key came with another request."""

    kind = "idempotency"


class NotAuthenticated(DomainError):
    """No API key, or one that is unknown or revoked."""

    kind = "not_authenticated"


class PaymentFailed(DomainError):
    """The request was right; the payment was refused. ``extra`` may hold ``decline_code`` and the intent."""

    kind = "payment_failed"


class NotPermitted(DomainError):
    """The caller is known and may not do this."""

    kind = "not_permitted"


class NotFound(DomainError):
    """No such object exists for this merchant."""

    kind = "not_found"


class MethodNotAllowed(DomainError):
    """The address exists, but not with this HTTP method."""

    kind = "method_not_allowed"


class RequestTimeout(DomainError):
    """The request's body did not arrive in time."""

    kind = "timeout"


class Conflict(DomainError):
    """Another request with the same idempotency key, or on the same object, is under way."""

    kind = "conflict"


class TooLarge(DomainError):
    """The body, or a part of it, exceeds its bound."""

    kind = "too_large"


class UnsupportedMediaType(DomainError):
    """The body is neither a form nor JSON, or not in UTF-8."""

    kind = "unsupported_media_type"


class RateLimited(DomainError):
    """Too many requests; ``retry_after_s`` says when to come back."""

    kind = "rate_limited"
    retry_after_s: int = 1


class Overloaded(DomainError):
    """A bounded queue is full or the database is away. Nothing was done; try again after ``retry_after_s``."""

    kind = "overloaded"
    retry_after_s: int = 1


def missing(param: str) -> InvalidRequest:
    """The error for a required parameter that is not there."""
    return InvalidRequest("parameter_missing", f"Missing required param: {param}.", param=param)


def no_such(what: str, id: str, param: str | None = "id") -> NotFound:
    """The error for an object that does not exist for this merchant, in Stripe's words."""
    return NotFound("resource_missing", f"No such {what}: '{id[:100]}'", param=param)
