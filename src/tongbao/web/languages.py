"""Chinese and English, as equals. The sources hold English; ``locale/zh`` holds the same in Chinese.

``script/translations`` brings the catalogue up to date with the sources and compiles it.
"""

from __future__ import annotations

import gettext
import re
from pathlib import Path
from typing import Literal

Language = Literal["zh", "en"]

LOCALES = Path(__file__).parent / "locale"
TAGS: dict[Language, str] = {"zh": "zh-CN", "en": "en"}
"""What ``<html lang>`` says."""
OTHER: dict[Language, Language] = {"zh": "en", "en": "zh"}
NAMES: dict[Language, str] = {"zh": "中文", "en": "English"}

CATALOGUES: dict[Language, gettext.NullTranslations] = {
    "en": gettext.NullTranslations(),
    "zh": gettext.translation("web", LOCALES, ["zh"]),
}

_RANGE = re.compile(r"\s*([a-zA-Z]{1,8})(?:-[\w-]*)?\s*(?:;\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*)?", re.ASCII)
_HEADER_MAX = 500


def N_(text: str) -> str:  # noqa: N802 - gettext's name for it, which extraction looks for
    """Mark a text that is translated later, where the language is known."""
    return text


def say(language: Language, text: str, **values: object) -> str:
    """The text in this language, with its ``%(names)s`` filled in."""
    told = CATALOGUES[language].gettext(text)
    return told % values if values else told


def known(tag: str | None) -> Language | None:
    """The language that a tag such as ``zh``, ``zh-TW`` or ``en-GB`` asks for, if it is one of ours."""
    head = (tag or "").partition("-")[0].lower()
    return "zh" if head == "zh" else "en" if head == "en" else None


def accepted(header: str) -> Language | None:
    """The one of our languages that ``Accept-Language`` likes best."""
    best: Language | None = None
    weight = 0.0
    for part in header[:_HEADER_MAX].split(","):
        match = _RANGE.fullmatch(part)
        language = known(match[1]) if match else None
        if match and language and float(match[2] or 1) > weight:
            best, weight = language, float(match[2] or 1)
    return best


def choose(asked: str | None, remembered: str | None, shop: str | None, header: str) -> Language:
    """What the reader asked for, here or earlier in this checkout; then what the shop says; then the browser."""
    return known(asked) or known(remembered) or known(shop) or accepted(header) or "en"
