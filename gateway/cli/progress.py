"""How far something is that takes longer than a moment: a bar on a terminal, elsewhere a line now and then.

It goes to standard error, and leaves standard output alone where that is no terminal: there the answer goes into a
file. A terminal that cannot move its cursor (TERM=dumb) gets lines.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from gateway.cli.desk import Desk

SHOWN_AFTER_SECONDS = 1.0
LINE_EVERY_SECONDS = 10.0
WIDE = 80
"""Columns of a terminal from which on there is room for a bar."""

Tick = Callable[[str, int, int], None]
"""Told what is done, how much of it, and of how much (0: not known yet)."""


@contextmanager
def shown(desk: Desk, *, hidden: bool = False) -> Iterator[Tick]:
    """What to tell of each step; it is shown when a step takes long. ``hidden``: not at all."""
    console = Console(stderr=True)
    if hidden or desk.as_json:
        yield lambda what, done, whole: None
    elif sys.stderr.isatty() and not console.is_dumb_terminal:
        with _bar(console) as tick:
            yield tick
    else:
        yield _lines()


@contextmanager
def _bar(console: Console) -> Iterator[Tick]:
    # Without the last: what is printed meanwhile would go to standard error, whatever it was meant for.
    bar = Progress(*_columns(console.width), console=console, transient=True, redirect_stdout=sys.stdout.isatty())
    tasks: dict[str, TaskID] = {}
    began = time.monotonic()

    def tick(what: str, done: int, whole: int) -> None:
        if what not in tasks:
            tasks[what] = bar.add_task(what, visible=False)
        late = time.monotonic() - began > SHOWN_AFTER_SECONDS
        there = late and (not whole or done < whole)
        bar.update(tasks[what], completed=done, total=whole or None, visible=there)

    with bar:
        yield tick


def _columns(width: int) -> list[ProgressColumn]:
    """As many as stand on one line: a bar on two is drawn anew below itself each time."""
    what = TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis"))
    if width < WIDE:
        return [TaskProgressColumn(table_column=Column(no_wrap=True, min_width=4)), what]
    return [what, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]


def _lines() -> Tick:
    next_at = time.monotonic() + LINE_EVERY_SECONDS

    def tick(what: str, done: int, whole: int) -> None:
        nonlocal next_at
        if time.monotonic() >= next_at:
            next_at = time.monotonic() + LINE_EVERY_SECONDS
            print(f"{what}: {done:,}" + (f" of {whole:,}" if whole else ""), file=sys.stderr, flush=True)

    return tick
