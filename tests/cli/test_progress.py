"""How far something is, on terminals of several kinds and in pipes: by real processes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.served_control import Served
from tests.support.terminal import Terminal, terminal

ROOT = Path(__file__).parents[2]
WORK = """
import sys, time
from gateway.cli import progress
from gateway.cli.desk import Desk

progress.SHOWN_AFTER_SECONDS = 0.0
progress.LINE_EVERY_SECONDS = 0.0
with progress.shown(Desk(None, "--json" in sys.argv, True)) as tick:
    for done in range(0, 840_001, 210_000):
        tick("people of a large company written down", done, 840_000)
        time.sleep(0.12 if sys.stderr.isatty() else 0.0)
        print("told", done)
print("over")
"""
"""Longer than two frames of a bar (ten a second)."""
COLOUR = re.compile(r"\x1b\[[0-9;]*(3[0-7]|38|9[0-7])[0-9;]*m")


def environment(**more: str) -> dict[str, str]:
    dropped = ("GATEPOST_", "NO_COLOR", "FORCE_COLOR", "TERM", "COLUMNS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return {**kept, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **more}


def drawn(columns: int, **more: str) -> Terminal:
    """What the work draws, until it has ended."""
    with terminal((sys.executable, "-c", WORK), environment(**more), columns) as screen:
        assert screen.end() == 0, screen.written
        return screen


@pytest.mark.parametrize("columns", [40, 120])
def test_a_bar_stands_on_one_line_and_what_is_told_above_it(columns: int) -> None:
    screen = drawn(columns)
    bars = [line for line in screen.lines if "people of" in line]
    assert bars
    assert all(len(line) <= columns for line in screen.lines), screen.lines
    assert any("420000/840000" in line or "50%" in line for line in bars), bars
    assert ("━" in screen.written) is (columns == 120)
    assert [line for line in screen.lines if line.startswith(("told", "over"))] == [
        *(f"told {done}" for done in range(0, 840_001, 210_000)),
        "over",
    ]
    assert "\x1b[?25l" in screen.written
    assert screen.written.rfind("\x1b[?25h") > screen.written.rfind("\x1b[?25l"), "the cursor is shown again"
    assert COLOUR.search(screen.written)


def test_without_colour_where_that_is_asked() -> None:
    plain = drawn(120, NO_COLOR="1")
    assert not COLOUR.search(plain.written)
    assert any("420000/840000" in line for line in plain.lines)


def test_a_terminal_that_cannot_move_its_cursor_gets_lines() -> None:
    screen = drawn(80, TERM="dumb")
    assert "\x1b" not in screen.written
    assert "people of a large company written down: 420,000 of 840,000" in screen.lines


@pytest.mark.parametrize("as_json", [False, True])
def test_in_a_pipe_a_line_now_and_then_and_none_beside_json(*, as_json: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WORK, *(["--json"] if as_json else [])],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    expected = [f"people of a large company written down: {each:,} of 840,000" for each in range(0, 840_001, 210_000)]
    assert done.stderr.splitlines() == ([] if as_json else expected)
    assert done.stdout.splitlines()[-1] == "over"


def test_what_goes_into_a_file_goes_there_while_a_bar_is_on_the_terminal(api: Served, tmp_path: Path) -> None:
    """A bar that takes standard output over would send the answer to the terminal, broken into its lines."""
    file = tmp_path / "audit.jsonl"
    command = (sys.executable, "-m", "gateway.cli.main", "audit", "export")
    with file.open("wb") as out, terminal(command, environment(**api.environment), stdout=out) as screen:
        assert screen.end() == 0, screen.written
    entries = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert entries
    assert "entry" not in screen.written
