"""Chinese and English are equal: every message is there in both, and compiled."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po
from tests.house_rules.files import ROOT, project_files, short

METHODS = [("**.py", "python"), ("**.html", "jinja2"), ("**.txt", "jinja2")]


def catalogues() -> dict[Path, Catalog]:
    found = {}
    for path in project_files():
        if path.suffix == ".po":
            with path.open("rb") as file:
                found[path] = read_po(file, locale=path.parent.parent.name)
    return found


def test_no_message_is_untranslated_or_doubtful() -> None:
    wanting = [
        f"{short(path)}: {message.id}"
        for path, catalogue in catalogues().items()
        for message in catalogue
        if message.id and (message.fuzzy or not whole(message.string))
    ]
    assert wanting == []


def test_every_translation_keeps_the_placeholders_of_its_message() -> None:
    wrong = [
        f"{short(path)}: {message.id}: {error}"
        for path, catalogue in catalogues().items()
        for message, errors in catalogue.check()
        for error in errors
    ]
    assert wrong == []


def test_every_message_of_the_sources_is_in_the_catalogues_and_no_other() -> None:
    for path, catalogue in catalogues().items():
        package = path.parents[3]  # <package>/<folder of catalogues>/<locale>/LC_MESSAGES/<name>.po
        used = {message for _, _, message, _, _ in extract_from_dir(package, METHODS)}
        held = {message.id if isinstance(message.id, str) else tuple(message.id) for message in catalogue if message.id}
        assert (used - held, held - used) == (set(), set()), short(path)


def test_every_compiled_catalogue_is_up_to_date() -> None:
    for path, catalogue in catalogues().items():
        compiled = path.with_suffix(".mo")
        assert compiled.is_file(), f"{compiled.relative_to(ROOT)} is missing: run pybabel compile"
        fresh = BytesIO()
        write_mo(fresh, catalogue)
        fresh.seek(0)
        with compiled.open("rb") as file:
            assert messages(read_mo(file)) == messages(read_mo(fresh)), f"run pybabel compile for {short(path)}"


def whole(translation: object) -> bool:
    """A translation is one text, or one for each plural form."""
    return all(translation) if isinstance(translation, list | tuple) else bool(translation)


def messages(catalogue: Catalog) -> dict[object, object]:
    return {str(message.id): message.string for message in catalogue if message.id}
