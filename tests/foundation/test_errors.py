"""Errors: every kind has its status, exit code and type, and says what to do."""

from __future__ import annotations

import re

import pytest

from tongbao.foundation import errors
from tongbao.foundation.errors import KINDS, DomainError, InvalidRequest, missing, no_such


def every(cls: type[DomainError] = DomainError) -> list[type[DomainError]]:
    """All classes of errors of the foundation."""
    return [cls, *(one for child in cls.__subclasses__() for one in every(child))]


CLASSES = [cls for cls in every() if cls.__module__ == errors.__name__]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_has_a_kind_that_the_table_knows(cls: type[DomainError]) -> None:
    assert cls.kind in KINDS


def test_every_kind_is_told_by_a_fitting_status_exit_code_and_type() -> None:
    assert {cls.kind for cls in CLASSES} == set(KINDS)
    for kind in KINDS.values():
        assert 400 <= kind.http_status <= 599
        assert 1 <= kind.exit_code <= 6
        assert kind.type in ("api_error", "card_error", "idempotency_error", "invalid_request_error")
        assert (kind.type == "api_error") == (kind.http_status >= 500)


def test_the_tree_in_the_docstring_names_the_statuses_of_the_table() -> None:
    told = dict(re.findall(r"── (\w+) +(\d{3}) ", errors.__doc__ or ""))
    assert len(told) >= 9
    for name, status in told.items():
        assert KINDS[getattr(errors, name).kind].http_status == int(status), name


def test_an_error_carries_its_code_message_param_and_extra() -> None:
    error = InvalidRequest("code_1", "Message.", param="x", extra={"a": 1})
    assert (error.code, error.message, error.param, error.extra, str(error)) == (
        "code_1",
        "Message.",
        "x",
        {"a": 1},
        "Message.",
    )
    assert InvalidRequest("code_1", "Message.").extra == {}


def test_what_is_missing_or_does_not_exist_is_named_and_long_names_are_cut() -> None:
    assert (missing("amount").param, missing("amount").code) == ("amount", "parameter_missing")
    error = no_such("customer", "x" * 5_000, "customer")
    assert (error.code, error.param) == ("resource_missing", "customer")
    assert len(error.message) < 200


def test_who_is_to_come_again_is_told_when() -> None:
    assert errors.Overloaded("a_b", "x").retry_after_s >= 1
    assert errors.RateLimited("a_b", "x").retry_after_s >= 1
