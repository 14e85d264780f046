"""The commands, and the tour that ``tongbao --help`` gives."""

from __future__ import annotations

import typer

from tongbao.cli import bench, books, merchants, processes
from tongbao.cli.screen import help_of

app = typer.Typer(
    name="tongbao",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def tour() -> None:
    """[bold]Tongbao 通宝[/bold], a payment system that you run yourself.

    [bold]See it work.[/bold] One command starts a database, the server, a worker and a tea shop to buy from, and
    prints where they are and the keys to use:

        [cyan]tongbao demo[/cyan]

    [bold]Run it.[/bold] Set DATABASE_URL to a PostgreSQL (without it, one is embedded). Then, each on its own:

        [cyan]tongbao migrate[/cyan]
        [cyan]tongbao serve[/cyan]
        [cyan]tongbao worker[/cyan]

    [bold]Let a shop in.[/bold] A merchant comes with a twin for tests. A key is shown once:

        [cyan]tongbao merchant create "Hillside Tea"[/cyan]
        [cyan]tongbao key create acct_…[/cyan]

    [bold]Be sure.[/bold] Prove that every cent that was booked is where it must be:

        [cyan]tongbao books verify[/cyan]

    Every command explains itself: [cyan]tongbao serve --help[/cyan]. For programs there is --json. Settings are in
    the environment; docs/configuration.md lists them.
    """


TRY, RUN, SHOPS, SURE = "See it work", "Run it", "Let a shop in", "Be sure"

app.callback(help=help_of(tour))(tour)
app.command("demo", rich_help_panel=TRY, help=help_of(processes.demo))(processes.demo)
app.command(
    "sandbox",
    rich_help_panel=TRY,
    help=help_of(processes.sandbox),
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)(processes.sandbox)
for command in (processes.serve, processes.worker, processes.migrate, processes.version):
    app.command(rich_help_panel=RUN, help=help_of(command))(command)
app.add_typer(merchants.merchant, name="merchant", rich_help_panel=SHOPS)
app.add_typer(merchants.key, name="key", rich_help_panel=SHOPS)
app.add_typer(books.books, name="books", rich_help_panel=SURE)
app.command("bench", rich_help_panel=SURE, help=help_of(bench.bench))(bench.bench)
