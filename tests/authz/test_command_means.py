"""A program of the operator's ends sessions: the name is one argument, time is bounded, what it says is told."""

import sys
from pathlib import Path

import pytest

from gateway.authz import command_means
from gateway.authz.command_means import CommandMeans
from gateway.authz.cutter import CutFailed

REMEMBER = "import sys, pathlib; pathlib.Path(sys.argv[1]).open('a').write(repr(sys.argv[2:]) + '\\n')"


async def test_a_name_is_one_argument_whatever_it_holds(tmp_path: Path) -> None:
    there = tmp_path / "said"
    means = CommandMeans([sys.executable, "-c", REMEMBER, str(there), "kick", "{user}"])
    names = ["anna", "an na; touch /tmp/x", "$(id)", "o'neil", "{user}"]
    for name in names:
        assert await means.cut([name]) == 1
    assert there.read_text().splitlines() == [repr(["kick", name]) for name in names]


async def test_nobody_there_is_no_failure() -> None:
    means = CommandMeans([sys.executable, "-c", "raise SystemExit(68)", "{user}"])
    assert await means.cut(["anna", "bert"]) == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["/no/such/program", "{user}"], "/no/such/program cannot be run: No such file or directory"),
        ([sys.executable, "-c", "import sys; sys.exit('not allowed')", "{user}"], "ended with 1: not allowed"),
    ],
)
async def test_a_failure_says_why(words: list[str], told: str) -> None:
    with pytest.raises(CutFailed) as failed:
        await CommandMeans(words).cut(["anna"])
    assert told in str(failed.value)


async def test_it_is_killed_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_means, "SECONDS", 0.2)
    means = CommandMeans([sys.executable, "-c", "import time; time.sleep(600)", "{user}"])
    with pytest.raises(CutFailed, match="does not end"):
        await means.cut(["anna"])
