"""What a measurement yields: a sample per case and round, and their medians."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from tongbao.foundation.errors import DomainError


class BenchFailed(DomainError):
    """The measurement is worth nothing: something was refused, lost, or does not add up."""

    kind = "internal"


class Tally(msgspec.Struct, frozen=True):
    """What one process that caused load says of it."""

    done: int
    """How many succeeded at all, before and after the window included."""
    counted: int
    """How many of them ended within the window."""
    seconds: float
    """How long the window was."""
    latencies_ms: list[float]
    """Of those that ended within the window."""
    cpu_s: float
    """CPU of that process while it caused load…"""
    wall_s: float
    """…and how long that was."""
    batch: float | None = None
    failures: dict[str, int] = {}
    """Answers other than success, by status, with how many there were."""
    failure: str | None = None
    """One of them, to be shown."""


class Sample(msgspec.Struct, frozen=True):
    """One case in one round, or the medians of several. "One" is a payment, a transfer, a transaction, a read."""

    per_second: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    batch: float | None = None
    """How many were committed together, on average."""
    server_cpu_ms: float | None = None
    """CPU of Tongbao's processes for one."""
    postgres_cpu_ms: float | None = None
    """CPU of PostgreSQL for one. Not known of a server that is not ours."""
    written_bytes: float | None = None
    """Write-ahead log for one."""
    rss_mb: float | None = None
    """Memory of the largest server process."""
    client_cpu: float | None = None
    """How much of one core the process that caused the load took: what the measured ones did not have."""


@dataclass(frozen=True, slots=True)
class Measured:
    """All rounds of one case."""

    name: str
    says: str
    samples: list[Sample]

    @property
    def median(self) -> Sample:
        """The medians of every figure."""
        figures = {name: _median([getattr(each, name) for each in self.samples]) for name in Sample.__struct_fields__}
        return msgspec.convert(figures, Sample)

    @property
    def spread(self) -> float:
        """How far the fastest and the slowest round lie apart, as a share of the median."""
        rates = [each.per_second for each in self.samples]
        return (max(rates) - min(rates)) / statistics.median(rates)


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value that ``share`` of them do not exceed (nearest rank); zero if there are none."""
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)] if ordered else 0.0
