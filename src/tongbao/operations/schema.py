"""The schema as a whole: importing this module declares every table of every capability.

``python -m tongbao.operations.schema`` (``script/migration``) writes the initial migration anew.
"""

from __future__ import annotations

import sys
from pathlib import Path

import sqlalchemy as sa

import tongbao.checkout.model
import tongbao.engine.tables
import tongbao.identity.model
import tongbao.ledger.model
import tongbao.orders.model
import tongbao.payments.model
import tongbao.webhooks.model  # noqa: F401 - imported for the tables that they declare
from tongbao.database import ddl
from tongbao.database.migrate import MIGRATIONS
from tongbao.database.rows import METADATA, TABLES

INITIAL = MIGRATIONS / "versions" / "0001_initial.sql"


def tables() -> list[sa.Table]:
    """Every table, by name. (Tables that tests declare for themselves are not ours.)"""
    ours = sorted(table.name for row, table in TABLES.items() if row.__module__.startswith("tongbao."))
    return [METADATA.tables[name] for name in ours]


def initial_sql() -> str:
    """The text of the initial migration, from the declared rows."""
    return "".join(f"{statement};\n\n" for statement in ddl.statements(tables())).rstrip() + "\n"


def main() -> None:
    """Write the initial migration anew, and say which file it is."""
    text = initial_sql()
    if INITIAL.exists() and INITIAL.read_text() == text:
        sys.stderr.write(f"{_short(INITIAL)} is up to date.\n")
        return
    INITIAL.write_text(text)
    sys.stderr.write(f"{_short(INITIAL)} written. A database made before must be made anew.\n")


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


if __name__ == "__main__":
    main()
