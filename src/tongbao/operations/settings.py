"""Settings as an installation starts: read from the environment, or refused with the cause and the remedy."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from tongbao.foundation.config import Settings
from tongbao.foundation.errors import InvalidRequest

PREFIX = "TONGBAO_"
OF_SCRIPTS_AND_TESTS = frozenset(
    {"TONGBAO_CI", "TONGBAO_CITUS_URL", "TONGBAO_PYTHON", "TONGBAO_TEST_POSTGRES_BIN"}
)  # fmt: skip
"""Variables with our prefix that mean nothing to an installation."""


def variable_of(field: str) -> str:
    """The environment variable that sets this field of ``Settings``."""
    alias = Settings.model_fields[field].validation_alias
    return alias if isinstance(alias, str) else PREFIX + field.upper()


VARIABLES = {variable_of(field): field for field in Settings.model_fields}


def load(environment: Mapping[str, str] | None = None, **given: Any) -> Settings:
    """Read the settings from the environment; ``given`` (not ``None``) counts more.

    :raises InvalidRequest: a value cannot be used, or a variable with our prefix is unknown. The message never
        repeats a value, which may be a secret.
    """
    _refuse_unknown(os.environ if environment is None else environment)
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as invalid:
        raise InvalidRequest("settings_invalid", "\n".join(_explain(invalid))) from None


def as_environment(settings: Settings) -> dict[str, str]:
    """The variables that give another process the settings that differ from their defaults."""
    told = {}
    for variable, field in VARIABLES.items():
        value = getattr(settings, field)
        if value != Settings.model_fields[field].default:
            told[variable] = str(value.get_secret_value() if hasattr(value, "get_secret_value") else value)
    return told


def _explain(invalid: ValidationError) -> Iterable[str]:
    for error in invalid.errors(include_url=False, include_input=False):
        field = str(error["loc"][0]) if error["loc"] else ""
        name = variable_of(field) if field in Settings.model_fields else field
        problem = error["msg"].removeprefix("Value error, ")
        problem = (
            problem if not name or problem.startswith("must") else f"is not usable: {problem[0].lower()}{problem[1:]}"
        )
        yield f"{name} {problem}.".strip()


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in VARIABLES and name not in OF_SCRIPTS_AND_TESTS:
            bare = {variable.removeprefix(PREFIX): variable for variable in VARIABLES}
            near = difflib.get_close_matches(name.removeprefix(PREFIX), bare, 1)
            meant = f"Did you mean {bare[near[0]]}?" if near else "docs/configuration.md lists all."
            raise InvalidRequest("setting_unknown", f"{name} is not a setting of Tongbao. {meant} Remedy: unset it.")
