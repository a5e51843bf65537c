"""Children that die, hang or are born too late while the next version takes over: the supervisor never ends for it."""

import asyncio
import errno
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from gateway.runtime import child as following
from gateway.runtime import hanging
from gateway.runtime import supervisor as supervising
from gateway.runtime.child import Child, ChildSpec, LivingChild
from gateway.runtime.link import LINK_VARIABLE, SOCKETS_VARIABLE
from gateway.runtime.succession import Plan
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


async def test_who_is_born_after_all_were_told_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = child("worker-2", "silent", number=2)
    gone = ChildSpec("worker-1", ("/no/such/program",), worker=1)
    begin = Child._start

    async def late(self: Child, theirs: socket.socket, stderr: int) -> asyncio.subprocess.Process:
        if self.spec is silent:
            (kept,) = (each for each in run.supervisor._children.everyone() if each.spec is silent)
            while not kept.retired:  # noqa: ASYNC110  (a round or two)
                await asyncio.sleep(0)
        return await begin(self, theirs, stderr)

    monkeypatch.setattr(Child, "_start", late)
    async with supervised(OLD, successor=Next([CONTROL, gone, silent])) as run:
        await run.ready()
        os.kill(os.getpid(), signal.SIGUSR2)
        await run.until(lambda: run.logs("upgrade_given_up"))
        assert run.logs("child_killed") == []
        await ended_well(run)


async def test_a_next_version_that_cannot_even_be_asked() -> None:
    class Limited(Next):
        async def plan(self) -> Plan:
            raise RuntimeError("can't start new thread")

    async with supervised(OLD, successor=Limited(OLD)) as run:
        await run.ready()
        os.kill(os.getpid(), signal.SIGUSR2)
        await run.until(lambda: run.logs("upgrade_given_up"))
        assert "can't start new thread" in run.logs("upgrade_given_up")[0]["reason"]
        await ended_well(run)


async def test_a_child_that_cannot_be_watched_is_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread may be had, a process is not started, with another error than an operating system's."""
    begin = Child._start
    failed: list[str] = []

    async def limited(self: Child, theirs: socket.socket, stderr: int) -> asyncio.subprocess.Process:
        if run.logs("ready") and not failed:
            failed.append(self.spec.name)
            raise RuntimeError("can't start new thread")
        return await begin(self, theirs, stderr)

    monkeypatch.setattr(Child, "_start", limited)
    async with supervised([CONTROL, *workers(1)]) as run:
        await run.ready()
        assert await run.ask(b"die\n") == 0
        assert await run.ask()
        assert failed == ["worker-1"]
        await ended_well(run)


# --- after the next version has taken over


@contextmanager
def handed_over(spec: ChildSpec) -> Iterator[tuple[LivingChild, subprocess.Popen[bytes]]]:
    """A child that another program of this process started."""
    ours, theirs = socket.socketpair()
    read_end, write_end = os.pipe()
    environment = {**os.environ, **spec.environment, LINK_VARIABLE: str(theirs.fileno()), SOCKETS_VARIABLE: "[]"}
    process = subprocess.Popen(spec.argv, stderr=write_end, pass_fds=[theirs.fileno()], env=environment)
    theirs.close()
    os.close(write_end)
    try:
        yield LivingChild(spec, process.pid, ours.detach(), b"", b"", read_end, {"policy_version": 1}), process
    finally:
        process.kill()
        process.wait()


async def test_a_worker_that_hung_when_it_was_handed_over_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "WATCH_SECONDS", 0.05)
    monkeypatch.setattr(hanging, "HANGS_AFTER_SECONDS", 0.5)
    with handed_over(child("worker-1", "silent", number=1)) as (living, process):
        async with supervised(workers(1), living=[living]) as run:
            await run.until(lambda: run.logs("child_ended"))
            assert run.logs("child_hangs")[0]["pid"] == process.pid
            assert await run.ask() != process.pid
            await ended_well(run)


async def test_one_that_cannot_be_followed_ends_and_another_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where that does not begin either, the supervisor hears what it is told."""

    def no_room(pid: int) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(following, "AdoptedProcess", no_room)
    with handed_over(child("worker-1", "worker", number=1)) as (living, process):
        async with supervised([ChildSpec("worker-1", ("/no/such/program",), worker=1)], living=[living]) as run:
            # Its link is closed, and where it wrote to.
            await asyncio.to_thread(process.wait, 20)
            await run.until(lambda: len(run.logs("child_ended")) > 1)
            await ended_well(run)
