"""What commands write: results to standard output, all else to standard error."""

from __future__ import annotations

import asyncio
import inspect
import re
import sys
from collections.abc import Callable, Coroutine, Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import msgspec
import typer
import uvloop
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tongbao.foundation.errors import KINDS, DomainError

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

Json = Annotated[bool, typer.Option("--json", help="Write one line of JSON, for programs.")]

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def run(work: Coroutine[Any, Any, T], factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop) -> T:
    """Run a command's work to its end; Ctrl-C ends it quietly."""
    with asyncio.Runner(loop_factory=factory) as runner:
        try:
            return runner.run(work)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None


def write_json(value: Any) -> None:
    """Write one line of JSON to standard output."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def say(line: str) -> None:
    """Tell the person what happens; not a result."""
    err.print(escape(line), soft_wrap=True)


def complain(problem: DomainError) -> int:
    """Tell an expected error, and return its exit code."""
    err.print(f"[bold red]tongbao:[/] {escape(problem.message)}", soft_wrap=True)
    return KINDS[problem.kind].exit_code


def help_of(command: Callable[..., Any]) -> str:
    """The docstring as help: lines of a paragraph flow, indented ones stay, and an example stands out."""
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    flowing = (text if text.startswith("    ") else " ".join(text.splitlines()) for text in paragraphs)
    return "\n\n".join(_EXAMPLE.sub(r"Example:  [cyan]\1[/cyan]", text) for text in flowing)


def command(group: typer.Typer, name: str) -> Callable[[F], F]:
    """Make a function a command of ``group``, with its docstring as help."""

    def register(function: F) -> F:
        return group.command(name, help=help_of(function))(function)

    return register


_EXAMPLE = re.compile(r"^Example: +(.+)$")


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Write a table to standard output."""
    made = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(escape(cell) for cell in row))
    out.print(made)


def when(ms: int | None) -> str:
    """A time for people: ``2026-05-04 12:30``, in UTC."""
    return "" if ms is None else datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
