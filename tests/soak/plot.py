"""The samples of a soak as one SVG: a panel for each question, lines by name, time along the bottom."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

WIDTH, HEIGHT = 1000, 150
LEFT, RIGHT, TOP, GAP = 70, 190, 40, 46
COLOURS = ("#0b6", "#c33", "#36c", "#c80", "#818", "#555")


@dataclass(frozen=True, slots=True)
class Panel:
    """Some columns on one scale."""

    title: str
    columns: Mapping[str, str]
    """Column: what it is called."""


PANELS = (
    Panel(
        "Memory (PSS), MB",
        {
            "worker_pss_mb": "workers",
            "control_pss_mb": "control",
            "cache_pss_mb": "Valkey",
            "supervisor_pss_mb": "supervisor",
        },
    ),
    Panel(
        "Open files", {"worker_fds": "workers", "control_fds": "control", "upstream_connections": "at the mail server"}
    ),
    Panel("Threads", {"worker_threads": "workers", "control_threads": "control"}),
    Panel("CPU, cores", {"worker_cpu": "workers", "control_cpu": "control", "cache_cpu": "Valkey"}),
    Panel("Short requests, ms", {"p50_ms": "p50", "p99_ms": "p99", "own_lag_ms": "of it the clients' own"}),
    Panel("Whole machine: waiting for it, per cent of the time", {"cpu_pressure": "processor", "io_pressure": "disk"}),
    Panel("Requests per second", {"requests_per_second": "all clients"}),
    Panel("Sessions", {"gatepost_sessions": "gateway's own count", "parked": "waiting at the mail server"}),
    Panel("Errors and wrong answers so far", {"errors": "errors", "wrong": "wrong"}),
)


def plot(rows: Sequence[Mapping[str, float]], title: str) -> str:
    """The SVG's text."""
    height = TOP + len(PANELS) * (HEIGHT + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + RIGHT}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        _text(LEFT, 22, title, size=15),
    ]
    for number, panel in enumerate(PANELS):
        parts += _panel(panel, rows, TOP + number * (HEIGHT + GAP) + 16)
    return "\n".join((*parts, "</svg>\n"))


def write_plot(path: Path, rows: Sequence[Mapping[str, float]], title: str) -> None:
    """Into a file."""
    path.write_text(plot(rows, title), "utf-8")


def _panel(panel: Panel, rows: Sequence[Mapping[str, float]], top: float) -> list[str]:
    end = max((row["seconds"] for row in rows), default=0.0) or 1.0
    most = max((row[column] for row in rows for column in panel.columns), default=0.0) or 1.0
    parts = [
        _text(LEFT, top - 5, panel.title),
        f'<rect x="{LEFT}" y="{top}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#999"/>',
        _text(LEFT - 6, top + 10, f"{most:,.4g}", anchor="end"),
        _text(LEFT - 6, top + HEIGHT, "0", anchor="end"),
        _text(LEFT, top + HEIGHT + 14, "0"),
        _text(LEFT + WIDTH, top + HEIGHT + 14, _time(end), anchor="end"),
    ]
    for row in rows:
        if row["rest"]:
            at = LEFT + row["seconds"] / end * WIDTH
            parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{top}" y2="{top + HEIGHT}" stroke="#ddd"/>')
    for number, (column, name) in enumerate(panel.columns.items()):
        colour = COLOURS[number]
        points = " ".join(
            f"{LEFT + row['seconds'] / end * WIDTH:.1f},{top + HEIGHT - row[column] / most * HEIGHT:.1f}"
            for row in rows
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.3"/>')
        last = f"{name}: {rows[-1][column]:,.4g}" if rows else name
        parts.append(_text(LEFT + WIDTH + 8, top + 12 + number * 16, last, colour=colour))
    return parts


def _text(x: float, y: float, text: str, *, anchor: str = "start", colour: str = "#222", size: int = 12) -> str:
    place = f'x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" fill="{colour}" font-size="{size}"'
    return f"<text {place}>{escape(text)}</text>"


def _time(seconds: float) -> str:
    return (
        f"{seconds / 3600:.2f} h"
        if seconds >= 3600
        else f"{seconds / 60:.1f} min"
        if seconds >= 120
        else f"{seconds:.0f} s"
    )
