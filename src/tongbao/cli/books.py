"""Commands that prove the books."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tongbao.cli.processes import Data
from tongbao.cli.screen import Json, command, err, out, run, table, write_json

if TYPE_CHECKING:
    from tongbao.operations.books import Proof

books = typer.Typer(no_args_is_help=True, help="Prove the books.")


@books.callback()
def _books() -> None:
    """Prove the books."""


@command(books, "verify")
def verify(
    merchant: Annotated[
        str | None,
        typer.Option("--merchant", metavar="MERCHANT", help="Only this merchant's books.", show_default=False),
    ] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Prove that everything booked is where it must be. Ends with 1 if it is not.

    Checks in one snapshot, while payments go on: every transfer sums to zero, every balance equals its postings, no
    chain of balances is broken, nothing is negative that may not be.

    Example:  tongbao books verify --merchant acct_…
    """
    from tongbao.operations import settings as all_settings
    from tongbao.operations.books import prove
    from tongbao.operations.databases import session

    async def work() -> Proof:
        async with session(all_settings.load(data=data)) as connection:
            with err.status("Checking the books…"):
                return await prove(connection, merchant)

    proof = run(work())
    if json:
        write_json(_told(proof))
    else:
        _show(proof)
    if not proof.holds:
        raise typer.Exit(1)


def _told(proof: Proof) -> dict[str, object]:
    return {
        "holds": proof.holds,
        "checked": proof.counts,
        "seconds": round(proof.seconds, 3),
        "checks": [
            {"name": check.name, "says": check.says, "findings": [each._asdict() for each in proof.findings_of(check)]}
            for check in proof.checks
        ],
    }


def _show(proof: Proof) -> None:
    for check in proof.checks:
        broken = proof.findings_of(check)
        out.print(f"[red]✗[/] {check.says}" if broken else f"[green]✓[/] {check.says}")
    out.print()
    counted = ", ".join(f"{number:,} {name}" for name, number in proof.counts.items())
    out.print(f"Checked {counted} in {proof.seconds:.2f} s.")
    if proof.holds:
        out.print("[bold green]The books hold.[/]")
        return
    out.print()
    table("Found", ("Check", "Merchant", "What", "How"), proof.findings)
    out.print("\n[bold red]The books do not hold.[/] Each check shows at most twenty findings.")
