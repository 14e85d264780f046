"""Settings come from the environment, and what cannot be right stops the start with its name and a remedy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tongbao.foundation.config import Settings
from tongbao.foundation.errors import InvalidRequest
from tongbao.operations import settings

CONFIGURATION = Path(__file__).parents[2] / "docs" / "configuration.md"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in settings.VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_the_documentation_tells_every_setting_and_no_other() -> None:
    documented = re.findall(r"^\| `([A-Z_]+)` \|", CONFIGURATION.read_text(), re.M)
    assert sorted(documented) == sorted(settings.VARIABLES)


def test_the_documentation_tells_the_defaults() -> None:
    told = dict(re.findall(r"^\| `([A-Z_]+)` \| `([^`]+)` \|", CONFIGURATION.read_text(), re.M))
    shown = {name: str(Settings.model_fields[settings.VARIABLES[name]].default) for name in told}
    assert {name: text.lower() for name, text in shown.items()} == told


def test_the_documentation_tells_which_variables_are_no_settings() -> None:
    section = CONFIGURATION.read_text().partition("## Not settings")[2]
    assert set(re.findall(r"`(TONGBAO_\w+)`", section)) == settings.OF_SCRIPTS_AND_TESTS


def test_options_count_more_than_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TONGBAO_PORT", "9000")
    monkeypatch.setenv("TONGBAO_HOST", "127.0.0.2")
    loaded = settings.load(port=9001, host=None)
    assert (loaded.port, loaded.host) == (9001, "127.0.0.2")


def test_a_variable_that_is_set_to_nothing_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    monkeypatch.setenv("TONGBAO_PORT", "")
    assert (settings.load().database_url, settings.load().port) == (None, 8080)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("TONGBAO_DATABASE_URL", "DATABASE_URL"),
        ("TONGBAO_PUBLICURL", "TONGBAO_PUBLIC_URL"),
        ("TONGBAO_CARD_SECRETS", "TONGBAO_CARD_SECRET"),
        ("TONGBAO_Q", None),
    ],
)
def test_an_unknown_variable_stops_the_start(monkeypatch: pytest.MonkeyPatch, name: str, meant: str | None) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(InvalidRequest, match=f"^{name} is not a setting") as refused:
        settings.load()
    assert (f"Did you mean {meant}?" if meant else "docs/configuration.md") in refused.value.message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TONGBAO_PORT", "eighty"),
        ("TONGBAO_PORT", "70000"),
        ("TONGBAO_LANES", "0"),
        ("TONGBAO_LOG_LEVEL", "loud"),
        ("TONGBAO_PUBLIC_URL", "shop.example.org"),
        ("TONGBAO_PUBLIC_URL", "https://pay.example.com/?x=1"),
        ("DATABASE_URL", "mysql://u:hidden@host/db"),
        ("TONGBAO_CARD_URL", "ftp://hidden"),
        ("TONGBAO_ACCESS_LOG", "perhaps"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_its_name_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidRequest, match=f"^{name} ") as refused:
        settings.load()
    assert value not in refused.value.message


def test_a_card_acquirer_without_its_secret_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TONGBAO_CARD_URL", "https://acquirer.example")
    monkeypatch.setenv("TONGBAO_CARD_TERMINAL", "t1")
    with pytest.raises(InvalidRequest, match="needs TONGBAO_CARD_TERMINAL and TONGBAO_CARD_SECRET beside it"):
        settings.load()


def test_settings_that_are_handed_on_arrive_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "DATABASE_URL": "postgresql://u:p@host/db",
        "TONGBAO_DATA": "/srv/tongbao",
        "TONGBAO_PORT": "9000",
        "TONGBAO_CARD_URL": "https://acquirer.example",
        "TONGBAO_CARD_TERMINAL": "t1",
        "TONGBAO_CARD_SECRET": "s" * 32,
        "TONGBAO_ACCESS_LOG": "true",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    loaded = settings.load()
    handed_on = settings.as_environment(loaded)
    assert set(handed_on) == set(given)
    for name, value in handed_on.items():
        monkeypatch.setenv(name, value)
    assert settings.load() == loaded
