"""What a demo prints when it is ready."""

from __future__ import annotations

from rich.panel import Panel
from rich.table import Table

from tongbao.cli.screen import out
from tongbao.operations.demo import Facts

CARDS = (
    ("4242 4242 4242 4242", "is paid"),
    ("4000 0000 0000 3220", "asks for 3-D Secure first"),
    ("4000 0000 0000 9995", "is declined: insufficient funds"),
)


def welcome(facts: Facts) -> None:
    """Tell where everything is, and what to try."""
    told = Table.grid(padding=(0, 2))
    told.add_column(style="dim", no_wrap=True)
    told.add_column(overflow="fold")
    told.add_row("Shop", f"[bold link={facts.store_url}]{facts.store_url}[/]   ← buy some tea here")
    told.add_row("API", f"[link={facts.url}/v1]{facts.url}/v1[/]")
    told.add_row("Secret key", facts.secret_key)
    told.add_row("Publishable key", facts.publishable_key)
    told.add_row("Database", facts.database_url)
    told.add_row("Data and logs", facts.data)
    told.add_row("")
    for number, effect in CARDS:
        told.add_row("Test card", f"[bold]{number}[/]  {effect}")
    told.add_row("", "any month to come, any three digits")
    told.add_row("")
    told.add_row(
        "Try", f"curl {facts.url}/v1/payment_intents -u {facts.secret_key}: \\\n  -d amount=2800 -d currency=cny"
    )
    out.print(Panel(told, title="Tongbao 通宝", title_align="left", subtitle="Ctrl-C stops", subtitle_align="left"))
