"""What each error code means, for ``/docs/errors``: read from the project's own documents, in both languages.

``docs/errors.md`` and ``docs/errors.zh-CN.md`` are what is written; an installed package carries copies beside this
file. A house rule holds that every code the program can answer with is explained there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup, escape

from tongbao.web.languages import Language

_NAMES: dict[Language, str] = {"en": "errors.md", "zh": "errors.zh-CN.md"}
_HERE = Path(__file__).resolve().parent
_CHECKOUT = _HERE.parents[2] / "docs"


class Entry(NamedTuple):
    """One row: the codes that share a meaning, and the meaning."""

    codes: list[str]
    text: Markup


class Group(NamedTuple):
    """One section of the document."""

    title: str
    entries: list[Entry]


def groups(language: Language) -> list[Group]:
    """The sections that hold codes, in the document's order."""
    found: list[Group] = []
    for line in _document(language).splitlines():
        if line.startswith("## "):
            found.append(Group(line.removeprefix("## ").strip(), []))
        elif found and (row := re.fullmatch(r"\|\s*(`[^|]+)\|\s*([^|]+?)\s*\|", line)):
            found[-1].entries.append(Entry(re.findall(r"`([^`]+)`", row[1]), _marked_up(row[2])))
    return [group for group in found if group.entries]


def _document(language: Language) -> str:
    name = _NAMES[language]
    found = next((path for path in (_HERE / name, _CHECKOUT / name) if path.is_file()), None)
    # A package that was built without its documents still takes payments.
    return found.read_text(encoding="utf-8") if found else ""


def _marked_up(text: str) -> Markup:
    """The two marks that these documents use: code and bold."""
    html = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text)))
    return Markup(re.sub(r"\*\*([^*]+)\*\*", r"<b>\1</b>", html))  # noqa: S704 - escaped above
