"""What a command prints: tables and colour on a terminal, plain aligned text in a pipe, or JSON."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway.changes.explain import age_words
from gateway.cli.terminal import on_terminal

_STYLES = {
    "enforce": "bold red",
    "deny": "bold red",
    "defer": "yellow",
    "report-only": "yellow",
    "allow": "green",
    "off": "dim",
}


@dataclass(frozen=True, slots=True)
class Rows:
    """A table."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    empty: str = "none"


def print_json(data: Any) -> None:
    """The answer as JSON, in which nothing steers the terminal either."""
    text = json.dumps(data, ensure_ascii=False, indent=2)
    # Only within strings; the escape means the same.
    print("".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text))


def print_rows(table: Rows) -> None:
    """A table, as it suits the reader."""
    rows = [[_cell(value) for value in row] for row in table.rows]
    if not rows:
        print(table.empty)
    elif on_terminal():
        _print_table(table.columns, rows)
    else:
        print_plain([list(table.columns), *rows])


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    # Here, because `gatepost run` need not wait for it.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(*columns, box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for row in rows:
        shown.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    Console(highlight=False).print(shown)


def print_plain(rows: Sequence[Sequence[str]]) -> None:
    """Columns by blanks, never cut."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Names and values, one a line; empty values are left out."""
    kept = [(harmless(name), _cell(value)) for name, value in pairs if value not in (None, "", [])]
    width = max((len(name) for name, _ in kept), default=0)
    if on_terminal():
        _print_pairs(kept, width)
        return
    for name, value in kept:
        print(f"{name.ljust(width)}  {value}")


def _print_pairs(pairs: Iterable[tuple[str, str]], width: int) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    for name, value in pairs:
        console.print(Text(name.ljust(width), style="bold"), Text(value, style=_STYLES.get(value, "")), sep="  ")


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return harmless(", ".join(map(str, value))) or "-"
    return harmless(str(value)) or "-"


def harmless(text: str) -> str:
    """One line in which nothing that a phone or a source wrote steers the terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)


def moment(text: str | None) -> str:
    """A moment of an answer for people: date, time to the second, zone."""
    if not text:
        return "-"
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def ago(text: str | None, now: str) -> str:
    """How long a moment is past, or ahead."""
    if not text:
        return "-"
    seconds = (datetime.fromisoformat(now) - datetime.fromisoformat(text)).total_seconds()
    return f"{age_words(seconds)} ago" if seconds >= 0 else f"in {age_words(-seconds)}"
