"""A soak of seconds works from end to end, and its verdict finds what it is there to find."""

import random
import ssl
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.faults.judging import SLACK_SECONDS, Judge
from tests.faults.model import Model
from tests.soak.__main__ import soak
from tests.soak.mail_server import mail_for
from tests.soak.phones import BLOCKED, SoakPhone
from tests.soak.plot import PANELS, plot
from tests.soak.sampling import KINDS
from tests.soak.site import Size
from tests.soak.tally import Tally
from tests.soak.verdict import Finding, slope, verdict
from tests.support.raw_http import HttpAnswer

SMALL = Size(phones=12, waiting=20, reports_per_second=5.0, rest_seconds=1.5, bound_seconds=6.0)
"""The bound is wide: other tests have the same cores."""


async def test_a_soak_of_seconds_runs_to_its_end_and_finds_nothing_wrong(tmp_path: Path) -> None:
    found = {each.what: each for each in await soak(6.0, SMALL, tmp_path, every_seconds=1.0)}

    for what in ("wrong answers", "errors", "sessions at rest", "waiting at the mail server at rest"):
        assert found[what].found == "0", (tmp_path / "soak.txt").read_text()
    lines = (tmp_path / "soak.csv").read_text().splitlines()
    assert len(lines) >= 5
    assert "worker_pss_mb" in lines[0]
    assert "what clients had: mail" in (tmp_path / "soak.txt").read_text()
    assert ElementTree.parse(tmp_path / "soak.svg").getroot().tag.endswith("svg")  # noqa: S314  (our own)


# --- the verdict


def row(seconds: float, *, rest: bool = False, **different: float) -> dict[str, float]:
    usual: dict[str, float] = {"seconds": seconds, "rest": float(rest), "p99_ms": 3.0}
    for kind in KINDS:
        usual |= {f"{kind}_pss_mb": 100.0, f"{kind}_fds": 50.0, f"{kind}_threads": 4.0}
    others = {column: 0.0 for panel in PANELS for column in panel.columns} | {"gatepost_sessions": 0.0}
    return {**others, **usual, **different}


def hour(growth_mb: float = 0.0, **at_the_end: float) -> list[dict[str, float]]:
    """Samples of an hour whose workers grow by that much."""
    loaded = [row(at, worker_pss_mb=100.0 + growth_mb * at / 3600) for at in range(130, 3600, 5)]
    return [row(60.0), row(120.0, rest=True), *loaded, row(3600.0, rest=True, **at_the_end)]


def bad(found: Sequence[Finding]) -> list[str]:
    return [each.what for each in found if not each.good]


def test_an_even_hour_is_good() -> None:
    assert bad(verdict(hour(), 0, 0, 0, (0.01, 0.01))) == []


def test_growing_memory_is_found() -> None:
    assert bad(verdict(hour(growth_mb=40.0), 0, 0, 0, (0.01, 0.01))) == ["memory of worker under load"]


def test_minutes_are_too_few_to_judge_memory_by() -> None:
    rows = [row(20.0, rest=True), *(row(at, worker_pss_mb=100.0 + at) for at in range(25, 180, 5))]
    assert bad(verdict([*rows, row(180.0, rest=True, worker_pss_mb=300.0)], 0, 0, 0, (0.01, 0.01))) == []


def test_a_single_peak_is_no_growth() -> None:
    rows = hour()
    rows[300]["worker_pss_mb"] = 900.0
    assert bad(verdict(rows, 0, 0, 0, (0.01, 0.01))) == []


@pytest.mark.parametrize(
    ("left", "what"),
    [
        ({"worker_fds": 80.0}, "open files of worker at rest"),
        ({"control_threads": 30.0}, "threads of control at rest"),
        ({"cache_pss_mb": 140.0}, "memory of cache at rest"),
        ({"gatepost_sessions": 1.0}, "sessions at rest"),
        ({"parked": 1.0}, "waiting at the mail server at rest"),
        ({"upstream_connections": 2.0}, "connections to the mail server at rest"),
    ],
)
def test_what_is_left_over_is_found(left: dict[str, float], what: str) -> None:
    assert bad(verdict(hour(**left), 0, 0, 0, (0.01, 0.01))) == [what]


@pytest.mark.parametrize(("place", "what"), [(0, "errors"), (1, "wrong answers"), (2, "faults in the log")])
def test_one_of_these_is_enough(place: int, what: str) -> None:
    counts = [0, 0, 0]
    counts[place] = 1
    (found,) = bad(verdict(hour(), counts[0], counts[1], counts[2], (0.01, 0.01)))
    assert found.startswith(what)


def test_the_slope_is_per_second() -> None:
    assert slope([(0.0, 10.0), (10.0, 30.0), (20.0, 50.0)]) == 2.0


def test_the_plot_has_a_line_for_every_column() -> None:
    drawn = ElementTree.fromstring(plot(hour(), "an <hour>"))  # noqa: S314  (our own)
    lines = drawn.findall("{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == sum(len(panel.columns) for panel in PANELS)


# --- what a phone takes for right


def phone(*, dirty: bool, since: float) -> SoakPhone:
    """A phone whose list was acknowledged then, the ban enforced."""
    judge = Judge(Model(), bound_seconds=1.0)
    made = SoakPhone(
        "http://x", "anna@corp.example", judge, Tally(), random.Random(1), ssl.create_default_context(), waits=False
    )
    for fact, value in ((judge.model.enforced, True), (judge.model.fact(made.device), dirty)):
        fact.sending(value)
        fact.acknowledged(since)
    return made


def answer(body: bytes, *, closed: bool = False) -> HttpAnswer:
    return HttpAnswer(200, (), body, closed)


LONG_AGO, JUST_NOW = 60.0, 0.1


@pytest.mark.parametrize(("ago", "wrong"), [(LONG_AGO, 1), (JUST_NOW, 0)])
def test_mail_for_a_phone_with_a_banned_app_is_wrong_after_the_bound(ago: float, wrong: int) -> None:
    asking = phone(dirty=True, since=time.monotonic() - ago)
    asking._judge("Sync", answer(mail_for(asking.device)), 0, time.monotonic(), short=True)
    assert len(asking.judge.violations) == wrong


@pytest.mark.parametrize(("ago", "wrong"), [(LONG_AGO, 1), (JUST_NOW, 0)])
def test_a_refusal_of_a_clean_phone_is_wrong_after_the_bound(ago: float, wrong: int) -> None:
    asking = phone(dirty=False, since=time.monotonic() - ago)
    asking._judge("Sync", answer(b"\x03\x01\x6a\x00\x45\x4e" + BLOCKED), 0, time.monotonic(), short=True)
    assert asking.tally.wrong == wrong


def test_what_is_neither_mail_nor_a_refusal_is_an_error() -> None:
    asking = phone(dirty=False, since=0.0)
    asking._judge("Sync", replace(answer(b"come back later"), status=503), 0, time.monotonic(), short=True)
    assert asking.tally.errors == 1


def test_an_answer_that_breaks_is_an_error_unless_the_phone_turns() -> None:
    for dirty, errors in ((False, 1), (True, 0)):
        asking = phone(dirty=dirty, since=time.monotonic() - SLACK_SECONDS)
        asking._judge("ItemOperations", answer(b"mail for s", closed=True), 10, time.monotonic(), short=False)
        assert asking.tally.errors == errors
