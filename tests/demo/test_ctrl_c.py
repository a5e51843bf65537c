"""Ctrl-C in the midst of ``gatepost demo --story sent-in-error``: it ends soon, whole, with a sentence."""

import os
import sys
import time
from pathlib import Path

import pytest

from tests.demo.test_command import left_in
from tests.support.running import clean_environment
from tests.support.terminal import CTRL_C, terminal

SENTENCE = "gatepost: the demo was broken off in the middle of its story"
SOON_SECONDS = 30.0
"""The gateway is given 20 s for its own end; on a machine that is not busy all of it takes two."""
PARTS = (
    "the story of 10 July",
    "people with",
    "ready after",
    "phones report what is on them",
    "phones wait for mail (Ping)",
    "is an approver now",
    "held against the decision",
    "would be cut",
    "change 1 approved",
    "in force on",
    "waiting phones cut",
    "writing down",
    "nothing leaves for",
    "the first batch:",
    "gatepost withdraw",
    "phones have mail again",
    "waiting notices cancelled",
)
"""What each part begins or ends with, as it is told."""


def processes_of(directory: Path) -> list[str]:
    """Command lines of all that have that directory for their temporary one."""
    found = []
    for each in Path("/proc").iterdir():
        if each.name.isdigit() and int(each.name) != os.getpid():
            try:
                if f"TMPDIR={directory}".encode() in (each / "environ").read_bytes():
                    found.append((each / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
    return found


@pytest.mark.timeout(500)
@pytest.mark.parametrize("part", PARTS)
def test_it_ends_soon_and_leaves_nothing(tmp_path: Path, part: str) -> None:
    words = ("--story", "sent-in-error", "--people", "500", "--once")
    command = (sys.executable, "-m", "gateway.cli.main", "demo", *words)
    environment = clean_environment({"TMPDIR": str(tmp_path), "TERM": "xterm"})
    with terminal(command, environment, 400) as screen:
        screen.until(lambda drawn: part in drawn)
        screen.type(CTRL_C)
        pressed = time.monotonic()
        code = screen.end()
        took = time.monotonic() - pressed
    assert code == 1, screen.written
    assert screen.lines[-1].endswith(SENTENCE), "\n".join(screen.lines[-30:])
    assert "Traceback" not in screen.written
    assert took < SOON_SECONDS
    assert processes_of(tmp_path) == []
    assert left_in(tmp_path) == []
