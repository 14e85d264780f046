"""Extract, update, compile every catalogue under ``src``; see ``script/translations``."""

from __future__ import annotations

import sys
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
# As tests/house_rules/test_translations.py looks at them.
METHODS = [("**.py", "python"), ("**.html", "jinja2"), ("**.txt", "jinja2")]


HEADER = """\
msgid ""
msgstr ""
"Project-Id-Version: Tongbao\\n"
"Language: {locale}\\n"
"Plural-Forms: {plural}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"

"""


def template(package: Path) -> Catalog:
    """Every message that the package's sources hold."""
    catalogue = Catalog(charset="utf-8")
    for name, _, message, comments, context in extract_from_dir(package, METHODS):
        # No line numbers: they would change with every edit.
        catalogue.add(message, locations=[(name, 0)], auto_comments=comments, context=context)
    return catalogue


def main() -> int:
    wanting = []
    for path in sorted((ROOT / "src").rglob("LC_MESSAGES/*.po")):
        with path.open("rb") as file:
            catalogue = read_po(file, locale=path.parents[1].name)
        catalogue.update(template(path.parents[3]), no_fuzzy_matching=True)
        catalogue.obsolete.clear()
        # A header of our own: Babel's holds dates, which would change with every run.
        header = HEADER.format(locale=catalogue.locale_identifier, plural=catalogue.plural_forms)
        with path.open("wb") as file:
            file.write(header.encode())
            write_po(file, catalogue, width=0, sort_output=True, include_lineno=False, omit_header=True)
        with path.with_suffix(".mo").open("wb") as file:
            write_mo(file, catalogue)
        wanting += [
            f"{path.relative_to(ROOT)}: {message.id}"
            for message in catalogue
            if message.id and not whole(message.string)
        ]
    for line in wanting:
        print(f"to be translated: {line}", file=sys.stderr)
    return 1 if wanting else 0


def whole(translation: object) -> bool:
    return all(translation) if isinstance(translation, list | tuple) else bool(translation)


if __name__ == "__main__":
    sys.exit(main())
