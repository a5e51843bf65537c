"""A progress bar on standard error, for work that takes longer than a moment; silent in a pipe."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from gateway.cli.desk import Desk

SHOWN_AFTER_SECONDS = 1.0

Tick = Callable[[str, int, int], None]
"""Told what is done, how much of it, and of how much."""


@contextmanager
def shown(desk: Desk) -> Iterator[Tick]:
    """What to tell of each step; the bar appears when a step takes long, on a terminal only."""
    if desk.as_json or not sys.stderr.isatty():
        yield lambda what, done, whole: None
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
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
