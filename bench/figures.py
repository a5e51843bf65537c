"""What a part of the benchmarks hands back: tables for the reader, and figures for the budgets.

Figures of one run differ with the machine's moods, so everything is measured in interleaved rounds, and a ratio is
taken within a round before it is summed up: ``Spread`` is least, median, most over the rounds.
"""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Spread:
    """Least, median and most of some rounds."""

    least: float
    median: float
    most: float

    def text(self, digits: int = 2) -> str:
        """For a table: the median with the range behind it."""
        return f"{self.median:,.{digits}f} ({self.least:,.{digits}f}–{self.most:,.{digits}f})"


def spread(values: Iterable[float]) -> Spread:
    """The spread of at least one value."""
    ordered = sorted(values)
    return Spread(ordered[0], statistics.median(ordered), ordered[-1])


def ratios(above: Sequence[float], below: Sequence[float]) -> Spread:
    """Round by round."""
    return spread(one / other for one, other in zip(above, below, strict=True))


def at_share(values: Iterable[float], share: float) -> float:
    """A percentile: the value that ``share`` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def interleaved(targets: Sequence[K], rounds: int, run: Callable[[K], T]) -> dict[K, list[T]]:
    """Each target once per round, the order turned round every other time."""
    results: dict[K, list[T]] = {target: [] for target in targets}
    for number in range(rounds):
        for target in targets if number % 2 == 0 else tuple(reversed(targets)):
            results[target].append(run(target))
    return results


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under a title."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""


@dataclass(slots=True)
class Outcome:
    """What one part found."""

    tables: list[Table] = field(default_factory=list)
    measured: dict[str, float] = field(default_factory=dict)
    """By the names that ``budgets`` knows."""
    raw: list[dict[str, object]] = field(default_factory=list)
    """Every round, for the JSON file."""

    def show(self, table: Table) -> None:
        """Keep a table, and print it at once: a run is long."""
        self.tables.append(table)
        print(rendered(table), flush=True)


def rendered(table: Table) -> str:
    """The table in plain text, columns aligned."""
    lines = [table.columns, *table.rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(table.columns))]

    def line(cells: Sequence[str]) -> str:
        first, *others = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
        return "  ".join((first.strip().ljust(widths[0]), *others)).rstrip()

    parts = [table.title, line(table.columns), "  ".join("-" * width for width in widths), *map(line, table.rows)]
    return "\n".join((*parts, table.note) if table.note else parts) + "\n"
