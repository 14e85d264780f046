"""What a demo prints when it is ready. Keys and addresses stay on one line each, to be copied whole."""

from __future__ import annotations

from rich.markup import escape

from tongbao.cli.screen import out
from tongbao.operations.demo import Facts

CARDS = (
    ("4242 4242 4242 4242", "is paid"),
    ("4000 0000 0000 3220", "asks for 3-D Secure first"),
    ("4000 0000 0000 9995", "is declined: insufficient funds"),
)


def welcome(facts: Facts) -> None:
    """Tell where everything is, and what to try."""
    out.print("\n[bold]Tongbao 通宝 is running.[/] Ctrl-C stops it; what was done is kept.\n")
    _row("Shop", f"[bold cyan]{facts.store_url}[/]  (buy some tea here)")
    _row("API", f"[cyan]{facts.url}/v1[/]")
    _row("Secret key", escape(facts.secret_key))
    _row("Publishable key", escape(facts.publishable_key))
    _row("Database", escape(facts.database_url))
    _row("Data and logs", escape(facts.data))
    out.print()
    for number, effect in CARDS:
        _row("Test card", f"[bold]{number}[/]  {effect}")
    _row("", "with any month to come and any three digits")
    out.print()
    _row("Try", f"curl {facts.url}/v1/payment_intents -u {facts.secret_key}: -d amount=2800 -d currency=cny\n")


def _row(name: str, value: str) -> None:
    out.print(f"  [dim]{name:<17}[/]{value}", soft_wrap=True)
