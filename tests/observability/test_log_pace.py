"""Log lines that anybody can cause: a bounded number, and how many were left out."""

import json
import logging

import pytest
import structlog

from gateway.observability.log_pace import BURST, KEYS_MOST, LEFT_OUT, PACED, LogPace
from gateway.observability.logging import configure_logging


class Now:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def passed(pace: LogPace, event: str, count: int) -> int:
    """How many of so many lines pass."""
    through = 0
    for _ in range(count):
        try:
            pace(None, "warning", {"event": event})
            through += 1
        except structlog.DropEvent:
            continue
    return through


def test_a_flood_of_one_event_is_thinned_and_says_so() -> None:
    now = Now()
    pace = LogPace(now)
    assert passed(pace, "report_not_authentic", 10_000) == BURST
    # Another event has its own lines.
    assert passed(pace, "upstream_lost", 10) == 10
    now.at = 1.0
    assert pace(None, "warning", {"event": "report_not_authentic"}) == {
        "event": "report_not_authentic",
        LEFT_OUT: 10_000 - BURST,
    }
    now.at = 1e6
    assert passed(pace, "report_not_authentic", 10_000) == BURST


@pytest.mark.parametrize("event", ["refused", "cut", "policy_in_force", "device_first_seen", "child_ended"])
def test_what_an_operator_must_see_is_always_written(event: str) -> None:
    assert event not in PACED
    assert passed(LogPace(Now()), event, 10_000) == 10_000


def test_a_librarys_lines(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", json=True)
    for number in range(1000):
        logging.getLogger("uvicorn.error").warning("Invalid HTTP request received. %s", number)
        structlog.get_logger().warning("upstream_lost", number=number)
    structlog.get_logger().info("ready")
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert 2 * BURST < len(lines) < 2 * BURST + 20
    assert lines[-1]["event"] == "ready"


def test_names_that_nobody_foresaw_share_one_bucket() -> None:
    pace = LogPace(Now())
    for number in range(10_000):
        pace.filter(logging.LogRecord(f"invented.{number}", logging.WARNING, "", 0, "x", (), None))
    assert len(pace._buckets) == KEYS_MOST + 1


def test_what_a_stranger_s_request_can_write_is_paced() -> None:
    """A secret in the store that cannot be read is met by each message, and a fault of ours by each repetition."""
    assert {
        "source_secret_unusable",
        "report_unreadable",
        "api_failed",
        "receiver_failed",
        "api_store_unavailable",
        "login_put_off",
        "mail_server_unwatchable",
        "certificate_wrong",
    } <= PACED


def test_a_librarys_line_whose_arguments_do_not_fit_is_its_own_loss(capfd: pytest.CaptureFixture[str]) -> None:
    """Also where it is the one that says how many were left out."""
    configure_logging("info", json=True)
    [handler] = logging.getLogger().handlers
    [paced] = handler.filters
    pace = paced.__self__  # type: ignore[union-attr]
    now = Now()
    pace._now = now
    for number in range(int(BURST) + 10):
        logging.getLogger("lib").warning("line %s", number)
    for arguments in (({"b": 1},), ("x", 2)):
        now.at += 1.0
        logging.getLogger("lib").warning("%(a)s and %d", *arguments)
    now.at += 1.0
    logging.getLogger("lib").warning("still there")
    lines = [json.loads(line)["event"] for line in capfd.readouterr().err.splitlines()]
    assert lines[-1] == "still there"
    assert "(arguments do not fit: " in lines[-2]
    assert "(10 lines left out before)" in lines[-3]


class Unspeakable:
    """Cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("message", "arguments"), [("%(a)s", ({"b": 1},)), ("%s", (Unspeakable(),)), (Unspeakable(), ()), ("%d", ("x",))]
)
def test_whatever_a_library_logs_its_caller_goes_on(
    capfd: pytest.CaptureFixture[str], message: object, arguments: tuple[object, ...]
) -> None:
    configure_logging("info", json=True)
    logging.getLogger("lib").warning(message, *arguments)
    logging.getLogger("lib").warning("still there")
    lines = [json.loads(line)["event"] for line in capfd.readouterr().err.splitlines()]
    assert [line.partition(" (")[2] for line in lines[:-1]] in (
        [f"arguments do not fit: {name})"] for name in ("KeyError", "RuntimeError", "TypeError")
    )
    assert lines[-1] == "still there"
