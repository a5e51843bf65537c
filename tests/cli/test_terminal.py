"""On a terminal: tables with colour, questions; in a pipe: plain text. By real processes."""

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.served_control import Served

ROOT = Path(__file__).parents[2]
WITHIN_SECONDS = 30.0


def environment(api: Served, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GATEPOST_", "NO_COLOR"))}
    return {**kept, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "120", **api.environment, **more}


def on_terminal(api: Served, *words: str, typed: str = "") -> tuple[int, str]:
    """Run a command on a pseudo-terminal; exit code and all that it wrote."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway.cli.main", *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(api),
        close_fds=True,
    )
    os.close(theirs)
    try:
        os.write(ours, typed.encode())
        written = _read_all(ours)
        return process.wait(WITHIN_SECONDS), written
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _read_all(descriptor: int) -> str:
    chunks, deadline = [], time.monotonic() + WITHIN_SECONDS
    while select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
        try:
            chunk = os.read(descriptor, 65536)
        except OSError:
            # Linux says EIO when the last writer is gone.
            break
        if not chunk:
            break
        chunks.append(chunk)
    return b"".join(chunks).decode()


def in_a_pipe(api: Served, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway.cli.main", *words],
        env=environment(api, **more),
        capture_output=True,
        text=True,
        timeout=WITHIN_SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_colour_on_a_terminal_plain_text_in_a_pipe(api: Served) -> None:
    code, written = on_terminal(api, "flag", "list")
    assert code == 0
    assert "\x1b[33mreport-only" in written
    piped = in_a_pipe(api, "flag", "list")
    assert (piped.returncode, piped.stderr) == (0, "")
    assert "\x1b" not in piped.stdout
    assert piped.stdout.splitlines()[0] == "what                     setting      for"


@pytest.mark.parametrize(("typed", "code", "on"), [("y\n", 0, False), ("n\n", 1, True)])
def test_a_question_is_asked_and_its_answer_obeyed(api: Served, typed: str, code: int, on: bool) -> None:
    ended, written = on_terminal(api, "flag", "set", "--unknown", "missing", "deny", typed=typed)
    assert ended == code
    assert "devices that are missing: report-only → deny" in written
    assert "Apply change 1: 0 devices newly cut, 0 devices newly admitted? [y/N]:" in written
    listed = json.loads(in_a_pipe(api, "flag", "list", "--json").stdout)
    assert (listed["unknowns"][0]["setting"] == "report-only") is on


@pytest.mark.parametrize(("typed", "code", "state"), [("y\n", 3, "previewed"), ("n\n", 1, "rejected")])
def test_whether_it_shall_wait_for_a_second_person_is_asked(api: Served, typed: str, code: int, state: str) -> None:
    words = ("exempt", "add", "--group", "board", "--for", "2d", "--reason", "x")
    ended, written = on_terminal(api, *words, typed=typed)
    assert ended == code
    assert "warning: the whole group board would be exempt" in written
    assert "Leave change 1 to a second person, who may approve it? [y/N]:" in written
    assert ("gatepost approve 1" in written) is (code == 3)
    listed = json.loads(in_a_pipe(api, "change", "list", "--json").stdout)
    assert [each["state"] for each in listed["changes"]] == [state]


def test_help_without_borders_in_a_pipe(api: Served) -> None:
    told = in_a_pipe(api, "--help").stdout
    assert "─" not in told
    assert "GATEPOST_TOKEN" in told
    assert "╭" in on_terminal(api, "--help")[1]


def test_no_arguments_teach(api: Served) -> None:
    shown = in_a_pipe(api)
    assert shown.returncode == 2
    assert "Commands:" in shown.stdout + shown.stderr


def test_a_reader_that_leaves_early_is_no_failure_worth_a_traceback(api: Served) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway.cli.main", "policy", "list"],
        env=environment(api),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    process.wait(WITHIN_SECONDS)
    assert "Traceback" not in errors
