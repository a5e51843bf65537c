"""The table of what was seen: a line per fault, as text, Markdown and JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

RESIDENT_MARGIN_KIB = 24 << 10
DESCRIPTORS_MARGIN = 40
"""Connections that phones, agents and probes may have open at the one moment and not at the other."""
Use = dict[str, tuple[int, int]]


@dataclass(slots=True)
class Outcome:
    """What one repetition showed."""

    longest_stale: float = 0.0
    recovery_seconds: float = 0.0
    """From the fault's end until all is healthy and each phone has had the right answer."""
    acknowledged: int = 0
    lost: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Row:
    """One fault, all its repetitions."""

    fault: str
    bound_seconds: float
    seed: int
    outcomes: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0
    before: Use = field(default_factory=dict)
    after: Use = field(default_factory=dict)
    broken: str = ""
    """Why the whole site fell."""

    @property
    def failed(self) -> int:
        """How many repetitions."""
        return sum(bool(each.wrong) for each in self.outcomes) + bool(self.broken)

    def grown(self) -> list[str]:
        """Processes that hold more memory or descriptors than before, beyond the margins."""
        wrong = []
        for name, (resident, files) in self.after.items():
            resident_before, files_before = self.before.get(name, (resident, files))
            if resident > resident_before + RESIDENT_MARGIN_KIB:
                wrong.append(f"{name} grew from {resident_before} to {resident} KiB")
            if files > files_before + DESCRIPTORS_MARGIN:
                wrong.append(f"{name} has {files} descriptors open, {files_before} before")
        return wrong

    def cells(self) -> list[str]:
        """As in the table's head."""
        if not self.outcomes:
            return [self.fault, "0", "not made", *["–"] * 5]
        grown = max((now[0] - self.before.get(name, now)[0] for name, now in self.after.items()), default=0)
        recoveries = sorted(each.recovery_seconds for each in self.outcomes)
        return [
            self.fault,
            str(len(self.outcomes)),
            "ok" if not self.failed else f"{self.failed} failed",
            f"{max(each.longest_stale for each in self.outcomes):.2f} of {self.bound_seconds:.0f}",
            f"{recoveries[len(recoveries) // 2]:.1f} / {recoveries[-1]:.1f}",
            str(sum(each.acknowledged for each in self.outcomes)),
            str(sum(each.lost for each in self.outcomes)),
            f"{grown / 1024:+.0f}",
        ]

    def line(self) -> str:
        """For the terminal."""
        widths = (30, 4, 10, 11, 12, 7, 4, 5)
        return "  ".join(cell.ljust(width) for cell, width in zip(self.cells(), widths, strict=True))


HEAD = (
    "fault",
    "times",
    "result",
    "longest stale, s",
    "recovery, s (median / longest)",
    "reports acknowledged",
    "lost",
    "memory, MiB",
)


def markdown(rows: Sequence[Row]) -> str:
    """A table."""
    lines = [HEAD, ["---"] * len(HEAD), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(rows: Sequence[Row], directory: Path) -> None:
    """As files, for who wants to look again."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "faults.md").write_text(markdown(rows) + "\n")
    (directory / "faults.json").write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
