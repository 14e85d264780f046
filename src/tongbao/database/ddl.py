"""The declared schema as SQL: what an empty database has to be told to have it.

Beyond tables and indexes, ``info`` of a table may say ``append_only`` (the database refuses to change or remove
rows), and ``FILLFACTOR`` names those whose rows change often.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

FILLFACTOR = {"accounts": 70, "charges": 80, "jobs": 80, "lanes": 50, "orders": 80, "payment_intents": 70}
"""How full (percent) a page of these tables is filled at first. Their rows are overwritten soon after they are
made, or all the time; room beside them lets the new version stay on the same page, and indexes untouched."""

REFUSE_CHANGE = """\
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'Table % is append-only: % is refused. What is wrong is corrected by a new entry.',
    TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END
$$"""


_DIALECT = postgresql.asyncpg.dialect()  # type: ignore[no-untyped-call]


def statements(tables: Iterable[sa.Table]) -> Iterator[str]:
    """Every statement that makes these tables, in order and without its semicolon."""
    yield REFUSE_CHANGE
    for table in tables:
        yield _text(CreateTable(table)) + _storage(table)
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            yield _text(CreateIndex(index))
        if table.info.get("append_only"):
            yield append_only_trigger(table.name)


def append_only_trigger(table: str) -> str:
    """The statement that makes this table append-only. ``refuse_change`` must exist."""
    return (
        f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}\n"
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


def _storage(table: sa.Table) -> str:
    fillfactor = FILLFACTOR.get(table.name)
    return f" WITH (fillfactor = {fillfactor})" if fillfactor else ""


def _text(statement: sa.schema.DDLElement) -> str:
    text = str(statement.compile(dialect=_DIALECT))
    return "\n".join(line.rstrip().replace("\t", "  ") for line in text.strip().splitlines())
