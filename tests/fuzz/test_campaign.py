"""The harness: findings are made small and saved, a process that dies or hangs is one, a replay says what is wrong."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import campaign
from tests.fuzz.judging import ACCEPTED, REFUSED, Difference, Target
from tests.fuzz.keeping import chosen
from tests.fuzz.mutation import smaller
from tests.fuzz.names import HERE
from tests.fuzz.tally import Tally, save
from tests.fuzz.targets import TARGETS

ROOT = HERE.parents[1]


def _checked(octets: bytes) -> str:
    if b"ab" in octets:
        raise Difference("ab")
    if b"!" in octets:
        raise ZeroDivisionError
    return ACCEPTED if octets else REFUSED


TARGET = Target("invented", "nothing", _checked, lambda random: b"x")


def test_each_kind_of_finding_once_and_small() -> None:
    tally = Tally(TARGET)
    for octets in (b"x", b"", b"xxxxabxxxx", b"aab", b"12!45"):
        tally.take(octets)
    assert sorted(finding.octets for finding in tally.findings.values()) == [b"!", b"ab"]
    assert (tally.cases, tally.accepted, tally.verdicts["finding"]) == (5, 1, 3)


def test_what_takes_long_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.tally.SLOW_SECONDS", 0.0)
    tally = Tally(TARGET)
    tally.take(b"x" * 100)
    assert "of processor time" in tally.findings["slow"].what


def test_smaller_keeps_what_fails() -> None:
    assert (
        smaller(b"0123456789" * 30 + b"a" + b"0123456789" + b"b", lambda each: b"a" in each and b"b" in each) == b"ab"
    )


def test_a_finding_is_saved_with_what_is_wrong(tmp_path: Path) -> None:
    tally = Tally(TARGET)
    tally.take(b"ab")
    (finding,) = tally.findings.values()
    path = save(finding, "invented", tmp_path / "findings")
    assert path.name.startswith("invented.")
    assert path.read_bytes() == b"ab"
    assert path.with_suffix(path.suffix + ".txt").read_text() == "Difference: ab\n"


def _runs(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> campaign.Outcome:
    begun = (
        "import os, sys, time; from pathlib import Path; from tests.fuzz.board import Board; "
        "board = Board(Path(sys.argv[1])); board.begin(7, b'in hand'); "
    )
    monkeypatch.setattr(campaign, "FINDINGS", tmp_path)
    monkeypatch.setattr(campaign, "command", lambda *asked: (sys.executable, "-c", begun + script, str(asked[-1])))
    return campaign.run("heads", ("mutation",), 10, 1, lambda target, done: None)


@pytest.mark.parametrize(
    ("script", "words"), [("os.abort()", "the process ended (-6)"), ("time.sleep(600)", "a case takes more than 1 s")]
)
def test_a_process_that_dies_or_hangs(script: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "HANG_SECONDS", 1.0)
    outcome = _runs(script, tmp_path, monkeypatch)
    ((path, what),) = outcome.findings
    assert path.read_bytes() == b"in hand"
    assert words in what
    assert outcome.cases == 7


def test_what_a_process_found_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results: dict[str, object] = {"cases": 9, "processor_seconds": 1.5, "accepted": 2, "stricter": {"host": 3}}
    results["findings"] = [["6162", "Difference: x"]]
    outcome = _runs(f"board.end({results!r})", tmp_path, monkeypatch)
    assert (outcome.cases, outcome.accepted, outcome.stricter) == (9, 2, {"host": 3})
    assert outcome.processor_seconds == 1.5
    ((path, what),) = outcome.findings
    assert (path.read_bytes(), what) == (b"ab", "Difference: x")


def _fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-m", "tests.fuzz", *arguments),
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_the_command_runs_both_engines_and_prints_a_table() -> None:
    done = _fuzz("--target", "credentials", "--cases", "2000", "--seed", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    row = next(line for line in done.stdout.splitlines() if line.split()[:2] == ["credentials", "2,000"])
    assert row.split()[-1] == "0"
    assert ("atheris is not installed" in done.stdout) is not campaign.has_coverage()


def test_a_replay_says_what_is_wrong(tmp_path: Path) -> None:
    kept = next((HERE / "corpus" / "queries").iterdir())
    assert _fuzz("--replay", str(kept)).returncode == 0
    nobody = tmp_path / "nobody.0123"
    nobody.write_bytes(b"x")
    done = _fuzz("--replay", str(nobody))
    assert done.returncode == 2
    assert "does not begin with a target" in done.stdout


def test_help_teaches() -> None:
    done = _fuzz("--help")
    assert done.returncode == 0
    for word in ("--replay", "--keep", "tests/fuzz/corpus", *TARGETS):
        assert word in done.stdout


def test_what_is_kept_is_the_shortest_that_reaches_every_place() -> None:
    target = TARGETS["queries"]
    inputs = [b"Cmd=Sync&User=a&DeviceId=B&DeviceType=c", b"Cmd=Sync&User=aa&DeviceId=B&DeviceType=c", b"", b"%"]
    kept = chosen(target, inputs)
    assert inputs[1] not in kept
    assert {inputs[0], inputs[2], inputs[3]} == set(kept)
