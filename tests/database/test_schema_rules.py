"""What every table keeps to, so that rows of two merchants never meet and the whole schema can be distributed."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from tongbao.operations.schema import tables

TABLES = tables()
DIALECT = postgresql.asyncpg.dialect()  # type: ignore[no-untyped-call]
TYPES = {'TEXT COLLATE "C"', "BIGINT", "BOOLEAN", "BYTEA", "JSONB"}

NOT_BY_MERCHANT = {
    "ix_jobs_run_at_ms_merchant_id": "the worker asks which merchants have jobs that are due",
}


@pytest.fixture(params=TABLES, ids=[table.name for table in TABLES])
def table(request: pytest.FixtureRequest) -> sa.Table:
    made: sa.Table = request.param
    return made


def test_every_row_belongs_to_a_merchant(table: sa.Table) -> None:
    assert not table.columns["merchant_id"].nullable


def test_the_merchant_comes_first_in_every_key(table: sa.Table) -> None:
    assert next(iter(table.primary_key.columns)).name == "merchant_id"
    for index in table.indexes:
        if index.unique:
            assert next(iter(index.columns)).name == "merchant_id", index.name
    others = [each for each in table.constraints if not isinstance(each, sa.PrimaryKeyConstraint)]
    assert others == [], "unique constraints are declared as unique indexes, and foreign keys are not used"


def test_the_merchant_comes_first_in_every_index_but_those_with_a_reason(table: sa.Table) -> None:
    for index in table.indexes:
        if next(iter(index.columns)).name != "merchant_id":
            assert str(index.name) in NOT_BY_MERCHANT


def test_no_index_is_the_beginning_of_another(table: sa.Table) -> None:
    whole = [index for index in table.indexes if index.dialect_options["postgresql"]["where"] is None]
    keys = [tuple(column.name for column in each.columns) for each in whole]
    keys.append(tuple(column.name for column in table.primary_key.columns))
    for one in keys:
        assert not any(one != other and one == other[: len(one)] for other in keys), f"{one} is superfluous"


def test_no_number_comes_from_a_sequence(table: sa.Table) -> None:
    for column in table.columns:
        assert column.autoincrement is False, column.name
        assert column.identity is None, column.name
        assert column.server_default is None, column.name


def test_no_limit_of_the_business_hides_in_a_columns_type(table: sa.Table) -> None:
    for column in table.columns:
        assert column.type.compile(DIALECT) in TYPES, column.name


def test_every_exception_is_still_needed() -> None:
    names = {str(index.name) for table in TABLES for index in table.indexes}
    assert set(NOT_BY_MERCHANT) <= names
