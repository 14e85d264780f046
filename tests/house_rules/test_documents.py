"""Documents do not promise what is not there."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from urllib.parse import unquote

from tests.house_rules.files import project_files, short

LINK = re.compile(r"\[[^\]]*\]\(<?([^)\s>]+)>?[^)]*\)|<(?:img|source|a)\b[^>]*?\b(?:src|srcset|href)=\"([^\"]+)\"")


def documents() -> list[Path]:
    return [path for path in project_files() if path.suffix == ".md"]


def test_every_link_between_documents_leads_somewhere() -> None:
    broken = []
    for document in documents():
        for match in LINK.finditer(without_code(document.read_text())):
            target, _, fragment = unquote(match[1] or match[2]).partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            goal = (document.parent / target).resolve() if target else document
            if not goal.exists():
                broken.append(f"{short(document)} → {target}")
            elif fragment and goal.suffix == ".md" and fragment not in anchors(goal):
                broken.append(f"{short(document)} → {target}#{fragment}")
    assert broken == []


def test_every_script_that_a_document_names_is_there_and_can_be_run() -> None:
    root = Path(__file__).resolve().parents[2]
    missing = [
        f"{short(document)}: {name}"
        for document in documents()
        for name in sorted(set(re.findall(r"(?<![\w/.])script/[a-z]+\b(?!\.)", document.read_text())))
        if not (root / name).is_file() or not (root / name).stat().st_mode & 0o100
    ]
    assert missing == []


def without_code(text: str) -> str:
    return re.sub(r"^(```|~~~).*?^\1|`[^`\n]*`", "", text, flags=re.S | re.M)


def anchors(document: Path) -> set[str]:
    """The names by which the document's headings can be linked to, as GitHub makes them."""
    text = document.read_text()
    found = set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", text))
    for heading in re.findall(r"^#{1,6}\s+(.*?)\s*#*$", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M), re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        kept = "".join(c for c in plain if c in "-_ " or unicodedata.category(c)[0] in "LNM")
        found.add(kept.replace(" ", "-"))
    return found
