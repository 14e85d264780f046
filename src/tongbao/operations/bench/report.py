"""What is shown of a run: a table that reads well on a screen and in a document alike, and the targets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from tongbao.operations.bench.cases import BASE, BASE_ALONE
from tongbao.operations.bench.results import Measured, Sample
from tongbao.operations.bench.run import Run

_COLUMNS = (
    "row", "per s", "× pgbench", "±", "p50 ms", "p99 ms", "p99.9 ms", "batch",
    "server CPU ms", "PG CPU ms", "WAL KB", "server MB", "client CPU",
)  # fmt: skip


class Target(NamedTuple):
    """What is aimed at: ``is_met`` by the figure that ``figure`` takes from the cases' medians."""

    says: str
    needs: Sequence[str]
    figure: Callable[[dict[str, Sample]], float]
    limit: Callable[[dict[str, Sample]], float]
    unit: str
    at_least: bool = True


def _best(*names: str) -> Callable[[dict[str, Sample]], float]:
    return lambda cases: max(cases[name].per_second for name in names) / cases[BASE].per_second


def _fixed(limit: float) -> Callable[[dict[str, Sample]], float]:
    return lambda cases: limit


TARGETS = [
    Target("HTTP payments from balance, 1 process", ["pay-128"], _best("pay-128"), _fixed(0.8), "× pgbench"),
    Target("HTTP payments from balance, 2 processes", ["pay-128-x2"], _best("pay-128-x2"), _fixed(1.2), "× pgbench"),
    Target(
        "One connection: 3 × the latency of a bare pgbench transaction + 2 ms",
        ["pay-1"],
        lambda cases: cases["pay-1"].p50_ms,
        lambda cases: 3 * cases[BASE_ALONE].p50_ms + 2,
        "ms",
        at_least=False,
    ),
    Target("Ledger transfers in bulk, 1 lane", ["ledger-bulk"], _best("ledger-bulk"), _fixed(6), "× pgbench"),
    Target("Ledger transfers in bulk, 2 lanes", ["ledger-bulk-x2"], _best("ledger-bulk-x2"), _fixed(9), "× pgbench"),
    Target(
        "Memory of a server process",
        ["pay-128"],
        lambda cases: max(sample.rss_mb or 0 for sample in cases.values()),
        _fixed(300),
        "MB",
        at_least=False,
    ),
]


def as_text(run: Run) -> str:
    """The whole report, as Markdown."""
    parts = [
        "\n".join(f"- {name}: {value}" for name, value in run.machine.items()),
        "- Settings: " + ", ".join(f"{name} = {value}" for name, value in run.settings.items()),
        f"- Medians of {run.rounds} rounds of {run.seconds:g} s each; rows take turns within a round",
        "",
        *_table(_COLUMNS, [_cells(case, run) for case in run.cases]),
        "",
        *(f"- {case.name}: {case.says}" for case in run.cases),
        "",
        *_table(("target", "at", "is", ""), list(_targets(run))),
        "",
        f"{run.answered:,} payments were answered with success, and as many are stored. The books hold: "
        + ", ".join(f"{number:,} {name}" for name, number in run.proof.counts.items())
        + f", proved in {run.proof.seconds:.1f} s.",
    ]
    return "\n".join(parts)


def as_data(run: Run) -> dict[str, Any]:
    """The same for programs, with every round."""
    base = _medians(run)[BASE].per_second
    return {
        "machine": run.machine,
        "settings": run.settings,
        "seconds": run.seconds,
        "rounds": run.rounds,
        "rows": [
            {
                "name": case.name,
                "says": case.says,
                **msgspec.structs.asdict(case.median),
                "times_pgbench": case.median.per_second / base,
                "rounds": [msgspec.structs.asdict(sample) for sample in case.samples],
            }
            for case in run.cases
        ],
        "targets": [
            {"says": target.says, "limit": limit, "is": figure, "unit": target.unit, "met": met}
            for target, limit, figure, met in _judged(run)
        ],
        "answered": run.answered,
        "books": {"hold": run.proof.holds, "checked": run.proof.counts},
    }


def _medians(run: Run) -> dict[str, Sample]:
    return {case.name: case.median for case in run.cases}


def _judged(run: Run) -> Iterator[tuple[Target, float, float, bool]]:
    cases = _medians(run)
    for target in TARGETS:
        if all(name in cases for name in target.needs):
            limit, figure = target.limit(cases), target.figure(cases)
            yield target, limit, figure, figure >= limit if target.at_least else figure <= limit


def _targets(run: Run) -> Iterator[list[str]]:
    for target, limit, figure, met in _judged(run):
        sign = "≥" if target.at_least else "≤"
        yield [target.says, f"{sign} {_short(limit)} {target.unit}", _short(figure), "met" if met else "NOT met"]


def _cells(case: Measured, run: Run) -> list[str]:
    median, base = case.median, _medians(run)[BASE]
    return [
        case.name,
        f"{median.per_second:,.0f}",
        f"{median.per_second / base.per_second:.2f}",
        f"{case.spread:.0%}" if len(case.samples) > 1 else "",
        _short(median.p50_ms),
        _short(median.p99_ms),
        _short(median.p999_ms),
        _short(median.batch),
        _short(median.server_cpu_ms),
        _short(median.postgres_cpu_ms),
        _short(None if median.written_bytes is None else median.written_bytes / 1000),
        "" if median.rss_mb is None else f"{median.rss_mb:.0f}",
        "" if median.client_cpu is None else f"{median.client_cpu:.0%}",
    ]


def _short(value: float | None) -> str:
    """Three digits that count."""
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table in Markdown, padded so that it is one on a screen too. All but the first column stand to the right."""
    widths = [max(len(row[number]) for row in (titles, *rows)) for number in range(len(titles))]

    def line(cells: Sequence[str]) -> str:
        first, *others = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
        return " | ".join([f"| {first.strip().ljust(widths[0])}", *others]) + " |"

    yield line(titles)
    yield "|" + "-" * (widths[0] + 2) + "|" + "".join("-" * (width + 1) + ":|" for width in widths[1:])
    for row in rows:
        yield line(row)
