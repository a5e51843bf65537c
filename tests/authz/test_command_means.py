"""A program of the operator's ends sessions: the name is one argument, time is bounded, what it says is told."""

import asyncio
import sys
from asyncio.subprocess import Process
from pathlib import Path

import pytest

from gateway.authz import command_means
from gateway.authz.command_means import CommandMeans
from gateway.authz.cutter import CutFailed
from tests.support.fronted import settled, until

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


async def test_one_that_leaves_its_output_to_a_child_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncio takes a program for ended when its output has."""
    monkeypatch.setattr(command_means, "SECONDS", 0.5)
    monkeypatch.setattr(command_means, "KILLED_SECONDS", 0.1)
    go, begun, begin = tmp_path / "go", list[Process](), asyncio.create_subprocess_exec

    async def kept(*words: str, **streams: int) -> Process:
        begun.append(await begin(*words, **streams))  # type: ignore[arg-type]
        return begun[0]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", kept)
    wait = "import os, sys, time\nos.fork()\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.05)"
    means = CommandMeans([sys.executable, "-c", wait, str(go), "{user}"])
    async with asyncio.timeout(30):
        with pytest.raises(CutFailed, match="does not end"):
            await means.cut(["anna"])
        go.touch()
        # uvloop complains of pipes that are open at its end.
        assert begun[0].stderr is not None
        await begun[0].stderr.read()
        await until(lambda: not means._left)
        await settled()


async def test_one_that_runs_as_root_is_not_ours_to_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """kill(2): sudo is root's, whoever has started it. The cut has failed, and is tried again like any other."""

    def not_permitted(process: Process) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(command_means, "SECONDS", 0.1)
    monkeypatch.setattr(command_means, "LEFT_MOST", 1)
    monkeypatch.setattr(Process, "kill", not_permitted)
    there = tmp_path / "go"
    wait = "import os, sys, time\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.05)"
    means = CommandMeans([sys.executable, "-c", wait, str(there), "{user}"])
    with pytest.raises(CutFailed, match="does not end within"):
        await means.cut(["anna"])
    with pytest.raises(CutFailed, match="begun 1 times and does not end"):
        await means.cut(["anna"])
    there.touch()
    monkeypatch.setattr(command_means, "SECONDS", 20.0)
    await until(lambda: not means._left)
    assert await means.cut(["anna"]) == 1
