"""The command that measures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tongbao.cli.screen import Json, err, run, write_json

if TYPE_CHECKING:
    from tongbao.operations.bench.run import Run


def bench(
    seconds: Annotated[
        float | None,
        typer.Option("--seconds", min=0.2, help="How long each row is measured in a round.", show_default="5"),
    ] = None,
    rounds: Annotated[
        int | None, typer.Option("--rounds", min=1, max=100, help="How often. The table has medians.", show_default="3")
    ] = None,
    rows: Annotated[
        str,
        typer.Option("--rows", metavar="A,B", help="Only rows whose names begin so, and pgbench.", show_default="all"),
    ] = "",
    quick: Annotated[bool, typer.Option("--quick", help="Little data, one round of a second: does it work?")] = False,
    json: Json = False,
) -> None:
    """Measure this machine: payments per second beside pgbench.

    Starts a PostgreSQL of its own in a temporary folder (TMPDIR chooses the disk) or makes a database on that of
    DATABASE_URL, starts servers and the sandbox, takes turns over all rows, proves the books, and leaves nothing
    behind. Ten minutes with nothing else running. docs/benchmarks.md says what the rows mean.

    Example:  tongbao bench --rows pay,shops --rounds 5
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from tongbao.operations import settings as all_settings
    from tongbao.operations.bench import cases, report, world
    from tongbao.operations.bench import run as runs

    chosen = cases.choose([row.strip() for row in rows.split(",") if row.strip()])
    rounds = rounds or (1 if quick else 3)
    seconds = seconds or (1.0 if quick else 5.0)
    settings = all_settings.load()
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
    )
    with progress:
        task = progress.add_task("", total=len(chosen) * rounds + 2)
        begun = False

        def tell(what: str) -> None:
            nonlocal begun
            progress.update(task, description=what, advance=1 if begun else 0)
            begun = True

        done: Run = run(
            runs.run(
                settings.database_url,
                chosen,
                world.QUICK if quick else world.Sizes(),
                seconds=seconds,
                rounds=rounds,
                tell=tell,
            )
        )
        progress.advance(task)
    if json:
        write_json(report.as_data(done))
    else:
        typer.echo(report.as_text(done))
