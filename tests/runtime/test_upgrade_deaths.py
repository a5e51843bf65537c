"""Children that die, hang or are born too late while the next version takes over: the supervisor never ends for it."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from tests.runtime.test_upgrade import CONTROL, OLD, Next, upgraded
from tests.support.supervised import Supervised, child, supervised, workers


class Marks:
    """What a patient control process waits for."""

    def __init__(self, directory: Path) -> None:
        self.stand_by, self.begin = directory / "stand-by", directory / "begin"
        self.control = child("control", "patient", str(self.stand_by), str(self.begin), control=True)

    def let(self, mark: Path, sentence: str = "") -> None:
        """It is there as a whole, or not at all."""
        fresh = mark.with_suffix(".fresh")
        fresh.write_text(sentence)
        fresh.replace(mark)


@pytest.fixture
def marks(tmp_path: Path) -> Marks:
    return Marks(tmp_path)


def new_pid(run: Supervised, name: str) -> int:
    """Of the new worker: at the start nobody is named."""
    return next(int(entry["pid"]) for entry in run.logs("child_ready") if entry["name"] == name)


async def kill_new(run: Supervised, name: str = "worker-1") -> None:
    """As the kernel does where memory is short."""
    await run.until(lambda: name in [entry["name"] for entry in run.logs("child_ready")])
    os.kill(new_pid(run, name), signal.SIGKILL)
    await run.until(lambda: name in [entry["name"] for entry in run.logs("child_ended")])


def told_to_begin(run: Supervised) -> bool:
    return bool(run.took("begin"))


async def asked(run: Supervised) -> set[int]:
    return {await run.ask() for _ in range(40)}


async def ended_well(run: Supervised) -> None:
    assert run.task is not None
    assert not run.task.done()
    assert run.logs("supervisor_broken") == []
    assert await run.end() == 0


async def test_a_new_worker_dies_while_control_is_to_stand_by(marks: Marks) -> None:
    async with supervised(OLD, successor=Next([marks.control, *workers(2)])) as run:
        await run.ready()
        old = await asked(run)
        os.kill(os.getpid(), signal.SIGUSR2)
        await run.until(lambda: run.events("waiting"))
        await kill_new(run)
        # At once, and not when control stands by at last.
        await run.until(lambda: run.logs("upgrade_given_up"))
        assert run.logs("upgrade_given_up")[0]["reason"] == "worker-1: ended by SIGKILL"
        assert await asked(run) == old
        await ended_well(run)


@pytest.mark.parametrize("name", ["worker-1", "worker-2"])
async def test_a_new_worker_dies_while_control_is_exchanged(marks: Marks, name: str) -> None:
    async with supervised(OLD, successor=Next([marks.control, *workers(2)])) as run:
        await run.ready()
        old = await asked(run)
        os.kill(os.getpid(), signal.SIGUSR2)
        marks.let(marks.stand_by)
        await run.until(partial(told_to_begin, run))
        await kill_new(run, name)
        assert 0 not in await asked(run)
        marks.let(marks.begin)
        await run.until(partial(upgraded, run))
        found = await asked(run)
        assert len(found) == 2
        assert not found & old
        # Nobody waits in its queue: the old one beside it was told to end when it was there again.
        told = [(entry["event"], entry.get("name")) for entry in run.logged]
        again = max(number for number, each in enumerate(told) if each == ("child_ready", name))
        assert again < told.index(("child_drained", name))
        await ended_well(run)


async def test_it_dies_and_then_control_does_not_begin(marks: Marks) -> None:
    async with supervised(OLD, successor=Next([marks.control, *workers(2)])) as run:
        await run.ready()
        old = await asked(run)
        os.kill(os.getpid(), signal.SIGUSR2)
        marks.let(marks.stand_by)
        await run.until(partial(told_to_begin, run))
        await kill_new(run)
        marks.let(marks.begin, "no such database")
        await run.until(lambda: run.logs("upgrade_given_up"))
        assert run.logs("upgrade_given_up")[0]["reason"] == "control: no such database"
        assert await asked(run) == old
        await ended_well(run)


async def test_control_dies_while_it_stands_by_and_the_old_one_ends() -> None:
    stubborn = child("control", "stubborn", control=True)
    async with supervised([stubborn, *workers(2)], successor=Next(OLD)) as run:
        await run.ready()
        old = await asked(run)
        os.kill(os.getpid(), signal.SIGUSR2)
        await run.until(lambda: run.took("drain"))
        os.kill(new_pid(run, "control"), signal.SIGKILL)
        await run.until(lambda: run.logs("child_ended"))
        (first,) = {line["pid"] for line in run.events("took") if line["message"]["type"] == "drain"}
        os.kill(first, signal.SIGKILL)
        await run.until(lambda: run.logs("upgrade_given_up"))
        assert run.logs("upgrade_given_up")[0]["reason"] == "control: ended by SIGKILL"
        assert await asked(run) == old
        # The old one's successor is as stubborn.
        os.kill(os.getpid(), signal.SIGTERM)
        await run.until(lambda: run.logs("ending"))
        os.kill(os.getpid(), signal.SIGTERM)
        assert await run.ended() == 0


async def test_a_new_worker_dies_while_the_old_ones_end() -> None:
    """Only who lives can be handed over: the next version waits until it is there again."""
    successor = Next(OLD)
    async with supervised([CONTROL, *workers(2, "stubborn")], successor=successor) as run:
        await run.ready()
        old = await asked(run)
        os.kill(os.getpid(), signal.SIGUSR2)
        await run.until(lambda: len(run.took("drain")) == 3)
        await kill_new(run)
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        await run.until(partial(upgraded, run))
        assert len(successor.became) == 1
        assert {each.pid for each in successor.became[0] if each.spec.worker} == await asked(run)
        await ended_well(run)
