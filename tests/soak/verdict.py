"""Whether a soak went well: no wrong answer, no error, no fault in the log, no growth, nothing left over.

Memory is judged twice: by its trend under load after the warm-up (Theil-Sen: the median of all slopes, which single
peaks do not move), and by two moments of rest, with no client connected, near the beginning and at the end. Open files
must be the same at both moments.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from tests.soak.sampling import KINDS

Row = Mapping[str, float]

GROWTH_MB = 8.0
GROWTH_SHARE = 0.05
"""Growth over the whole run up to both of these is noise: arenas of the allocator, statistics, caches that fill."""
FILES = 6
"""SQLite's readers open their files when they are first needed."""
MOST_POINTS = 300
LEAST_SECONDS = 600.0
"""Memory is not judged by less: caches and allocator fill for minutes."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the verdict."""

    what: str
    found: str
    good: bool


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Per second: the median of the slopes between all pairs."""
    step = max(1, len(points) // MOST_POINTS)
    pairs = combinations(points[::step], 2)
    slopes = [(later[1] - earlier[1]) / (later[0] - earlier[0]) for earlier, later in pairs if later[0] > earlier[0]]
    return statistics.median(slopes) if slopes else 0.0


def trend(rows: Sequence[Row], kind: str) -> Finding:
    """Of a kind's memory under load."""
    points = [(row["seconds"], row[f"{kind}_pss_mb"]) for row in rows]
    if len(points) < 3:
        return Finding(f"memory of {kind} under load", "too short to tell", good=True)
    seconds = points[-1][0] - points[0][0]
    per_second = slope(points)
    grown = per_second * seconds
    level = statistics.median(value for _, value in points)
    text = f"{level:.0f} MB, {per_second * 3600:+.2f} MB per hour, {grown:+.1f} MB in {seconds:.0f} s"
    if seconds < LEAST_SECONDS:
        return Finding(f"memory of {kind} under load", f"{text}: too short to judge", good=True)
    return Finding(f"memory of {kind} under load", text, good=grown <= max(GROWTH_MB, GROWTH_SHARE * level))


def left_over(first: Row, last: Row) -> list[Finding]:
    """What is there at rest in the end that was not there at rest in the beginning."""
    found = []
    for kind in KINDS:
        files = last[f"{kind}_fds"] - first[f"{kind}_fds"]
        text = f"{first[f'{kind}_fds']:.0f}, then {last[f'{kind}_fds']:.0f}"
        found.append(Finding(f"open files of {kind} at rest", text, good=files <= FILES))
        memory = last[f"{kind}_pss_mb"] - first[f"{kind}_pss_mb"]
        bound = max(GROWTH_MB, GROWTH_SHARE * first[f"{kind}_pss_mb"])
        short = last["seconds"] - first["seconds"] < LEAST_SECONDS
        text = f"{first[f'{kind}_pss_mb']:.1f} MB, then {last[f'{kind}_pss_mb']:.1f} MB"
        text += ": too short to judge" * short
        found.append(Finding(f"memory of {kind} at rest", text, good=short or memory <= bound))
        threads = f"{first[f'{kind}_threads']:.0f}, then {last[f'{kind}_threads']:.0f}"
        grown = last[f"{kind}_threads"] - first[f"{kind}_threads"]
        found.append(Finding(f"threads of {kind} at rest", threads, good=grown <= FILES))
    for name, what in (("gatepost_sessions", "sessions"), ("parked", "waiting at the mail server")):
        found.append(Finding(f"{what} at rest", f"{last[name]:.0f}", good=last[name] == 0))
    found.append(
        Finding(
            "connections to the mail server at rest",
            f"{last['upstream_connections']:.0f}",
            good=last["upstream_connections"] == 0,
        )
    )
    return found


def verdict(rows: Sequence[Row], errors: int, wrong: int, faults: int, stale: tuple[float, float]) -> list[Finding]:
    """All of it. ``stale``: in seconds, ever and but for the moments in which all came at once."""
    rests = [row for row in rows if row["rest"]]
    loaded = [row for row in rows if not row["rest"] and row["seconds"] > rests[0]["seconds"]]
    # The first fifth after the rest is filling up again.
    warm = loaded[len(loaded) // 5 :]
    lag = max((row["own_lag_ms"] for row in loaded), default=0.0)
    latency = [row["p99_ms"] for row in loaded if row["p99_ms"]]
    middle = statistics.median(latency) if latency else 0.0
    busy = ", ".join(
        f"{statistics.median(values):.0f} % ({max(values):.0f} %)"
        for values in ([row[f"{what}_pressure"] for row in loaded or rests] for what in ("cpu", "io"))
    )
    return [
        Finding("wrong answers", str(wrong), good=wrong == 0),
        Finding("errors", str(errors), good=errors == 0),
        Finding("faults in the log, processes that changed", str(faults), good=faults == 0),
        Finding("longest mail after a refusal was due", f"{stale[0] * 1000:.0f} ms", good=True),
        Finding("the same but for ten seconds after all came at once", f"{stale[1] * 1000:.0f} ms", good=True),
        Finding(
            "p99 of short requests, median and longest", f"{middle:.1f} ms, {max(latency, default=0):.1f} ms", True
        ),
        Finding("the clients' own event loop was late by at most", f"{lag:.0f} ms", good=True),
        Finding("time that anything here waited for a processor, for the disk", f"{busy}, median and most", good=True),
        *(trend(warm, kind) for kind in KINDS),
        *left_over(rests[0], rests[-1]),
    ]
