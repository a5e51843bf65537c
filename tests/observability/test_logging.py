"""Logs as a process writes them: each case is a process of its own, because logging belongs to a whole process."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.observability.logging import TERMINAL_VARIABLE, wants_json

ROOT = Path(__file__).resolve().parents[2]


def logged(code: str, *, json_lines: bool = True, level: str = "info", stderr: Any = subprocess.PIPE) -> str:
    program = (
        "import logging, sys, structlog\n"
        "from gateway.observability.logging import configure_logging\n"
        f"configure_logging({level!r}, json={json_lines})\n"
        "log = structlog.get_logger()\n" + code + "\nprint('done')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        check=True,
        timeout=60,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert done.stdout == "done\n"
    return done.stderr or ""


def entries(code: str, level: str = "info") -> list[dict[str, Any]]:
    return [json.loads(line) for line in logged(code, level=level).splitlines()]


def test_one_json_object_a_line() -> None:
    [entry] = entries("log.info('verdict_changed', login='anna', device='PHONE\\n1', hits=('a', 'b'))")
    assert entry.pop("timestamp").endswith("Z")
    assert entry == {
        "event": "verdict_changed",
        "level": "info",
        "login": "anna",
        "device": "PHONE\n1",
        "hits": ["a", "b"],
    }


def test_the_level_is_kept_to() -> None:
    assert [each["event"] for each in entries("log.info('no'); log.warning('yes')", level="warning")] == ["yes"]
    assert [each["event"] for each in entries("log.debug('yes')", level="debug")] == ["yes"]


def test_an_exception_is_told_without_its_secrets_and_variables() -> None:
    code = """
def connect(password):
    raise ValueError("redis://:hidden@cache failed")
try:
    connect("hid" + "den too")
except ValueError:
    log.exception("cache_failed")
"""
    [entry] = entries(code)
    assert "ValueError: redis://***@cache failed" in entry["exception"]
    assert "hidden" not in json.dumps(entry)


def test_libraries_log_in_the_same_form() -> None:
    code = "logging.getLogger('lib').warning('%s said Bearer abcdefgh', 'x'); logging.getLogger('lib').info('chatter')"
    [entry] = entries(code)
    assert (entry["event"], entry["logger"], entry["level"]) == ("x said Bearer ***", "lib", "warning")


def test_a_library_whose_arguments_do_not_fit() -> None:
    [entry] = entries("logging.getLogger('lib').warning('%s and %d', 'x')")
    assert entry["event"].startswith("%s and %d (arguments do not fit")


def test_text_for_a_terminal_steers_nothing() -> None:
    text = logged("log.info('device_seen', name='\\x1b]0;title\\x07')", json_lines=False)
    assert "\\x1b]0;title\\x07" in text
    assert "\x1b]" not in text
    assert "\x07" not in text


def test_a_full_disk_stops_nothing() -> None:
    with Path("/dev/full").open("w") as full:
        logged("log.info('one'); logging.getLogger('lib').error('two')", stderr=full)


def test_a_reader_that_went_away_stops_nothing() -> None:
    logged("import os; r, w = os.pipe(); os.dup2(w, 2); os.close(r); os.close(w); log.info('lost')")


@pytest.mark.parametrize(("style", "terminal", "json_wanted"), [("json", "1", True), ("text", "", False)])
def test_the_style_wins(monkeypatch: pytest.MonkeyPatch, style: str, terminal: str, json_wanted: bool) -> None:
    monkeypatch.setenv(TERMINAL_VARIABLE, terminal)
    assert wants_json(style) is json_wanted


def test_a_child_logs_as_its_supervisor_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    monkeypatch.delenv(TERMINAL_VARIABLE, raising=False)
    assert wants_json("auto")
    monkeypatch.setenv(TERMINAL_VARIABLE, "1")
    assert not wants_json("auto")


def test_what_is_written_later_has_the_moment_at_which_it_happened() -> None:
    code = (
        "from gateway.observability.logging import happened\n"
        "log.info('cut', **happened(1700000000.25)); log.info('cut', **happened(None))"
    )
    earlier, now = entries(code)
    assert earlier["timestamp"] == "2023-11-14T22:13:20.250000Z"
    assert now["timestamp"] > "2026"
