"""Fixtures for every test.

``database_url``    (session) the URL of a running PostgreSQL's empty database ``tongbao``, whose user may
                    create others. Each pytest process has its own server, started when first asked for.
``fresh_database``  (function) the URL of a new, empty database on that server; dropped afterwards.
``bin_dir``         (session) the folder of the PostgreSQL programs under test.

``TONGBAO_TEST_POSTGRES_BIN`` names another PostgreSQL's programs, e.g. ``/usr/lib/postgresql/15/bin``.
``TONGBAO_CI=1`` turns every skip into a failure, because continuous integration has every part installed,
except the skips of tests marked ``may_skip`` (for Citus).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest
import structlog
from tests.support import create_database, drop_database

from tongbao.database import embedded


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and item.get_closest_marker("may_skip") is None:
        refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped:
        refuse_skip(report)
    return report


def refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if os.environ.get("TONGBAO_CI") == "1":
        report.outcome = "failed"
        report.longrepr = f"Skipped, but nothing may be missing in continuous integration: {report.longreprtext}"


# Plain tracebacks, as in a running program: drawing the local variables of a large batch takes seconds.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)


@pytest.fixture(scope="session")
def bin_dir() -> Path:
    return Path(os.environ.get("TONGBAO_TEST_POSTGRES_BIN") or embedded.bin_dir())


@pytest.fixture(scope="session")
def database_url(bin_dir: Path) -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="tongbao-test-"))
    server = embedded.EmbeddedPostgres(folder / "postgres", bin_dir)
    try:
        yield server.start()
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def fresh_database(database_url: str) -> AsyncIterator[str]:
    url = await create_database(database_url)
    yield url
    await drop_database(database_url, url)
