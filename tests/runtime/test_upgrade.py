"""The next version's children take over from the old ones; what goes wrong on the way; and what is handed over."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from gateway.runtime import upgrade
from gateway.runtime.adopted import UNKNOWN_CODE, AdoptedProcess
from gateway.runtime.board import WorkerBoard
from gateway.runtime.child import ChildSpec, LivingChild
from gateway.runtime.link import Link
from gateway.runtime.lock import DataDirLock, DataDirUnusable
from gateway.runtime.sockets import bind_all, close_all
from gateway.runtime.succession import (
    Estate,
    NoSuccession,
    Plan,
    descriptors_of,
    leave,
    plan_text,
    read_plan,
    take_over,
)
from tests.support.supervised import Supervised, child, supervised, workers

CONTROL = child("control", "control", control=True)
OLD = [CONTROL, *workers(2)]


class Next:
    """A next version that would run these children."""

    def __init__(self, children: Sequence[ChildSpec]) -> None:
        self.told = Plan("2", tuple(children), 5.0, {}, "{}")
        self.became: list[Sequence[LivingChild]] = []
        self.refusal = ""

    async def plan(self) -> Plan:
        if self.refusal:
            raise NoSuccession(self.refusal)
        return self.told

    def become(self, plan: Plan, children: Sequence[LivingChild], began: float) -> None:
        self.became.append(children)
        raise OSError("not in a test")


def upgraded(run: Supervised, count: int = 1) -> bool:
    return len(run.logs("upgrade_not_finished")) == count


async def test_all_children_are_new_and_the_sockets_are_the_same() -> None:
    successor = Next(OLD)
    async with supervised(OLD, successor=successor) as run:
        await run.ready()
        old = {await run.ask() for _ in range(40)}
        for turn in (1, 2):
            os.kill(os.getpid(), signal.SIGUSR2)
            await run.until(partial(upgraded, run, turn))
            new = {await run.ask() for _ in range(40)}
            assert len(new) == 2
            assert not new & old
            old = new
        (*_, living) = successor.became
        assert {each.pid for each in living if each.spec.worker} == old
        # In order, and handed over: the control process when the new workers served, the old workers last.
        drains = [message for message in run.took("drain") if message.get("handed_over")]
        assert len(drains) == 6
        assert run.logs("child_killed") == run.logs("child_ended") == []
        assert await run.end() == 0


async def test_control_hears_of_both_versions_while_there_are_two() -> None:
    async with supervised(OLD, successor=Next(OLD)) as run:
        await run.ready()
        os.kill(os.getpid(), signal.SIGUSR2)
        await run.until(lambda: upgraded(run))
        names = {message["name"] for message in run.took("worker")}
        assert {"worker-1", "worker-1 of the next version", "worker-1 of the version before"} <= names
        buried = {"worker-1 of the version before", "worker-2 of the version before"}
        await run.until(lambda: {message["name"] for message in run.took("worker") if message.get("gone")} >= buried)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (child("worker-2", "dies", "no", number=2), "worker-2: ended with code 1"),
        (child("worker-2", "fails", "no such thing", number=2), "worker-2: no such thing"),
        (ChildSpec("worker-2", ("/no/such/program",), worker=2), "worker-2: could not be started"),
    ],
    ids=["dies", "says why", "not there"],
)
async def test_a_worker_that_does_not_start(spec: ChildSpec, reason: str) -> None:
    async with supervised(OLD, successor=Next([CONTROL, workers(1)[0], spec])) as run:
        await run.ready()
        old = {await run.ask() for _ in range(40)}
        os.kill(os.getpid(), signal.SIGUSR2)
        await run.until(lambda: run.logs("upgrade_given_up"))
        assert reason in run.logs("upgrade_given_up")[0]["reason"]
        assert {await run.ask() for _ in range(40)} == old
        assert await run.end() == 0


async def test_one_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upgrade, "READY_SECONDS", 5.0)
    async with supervised(OLD, successor=Next([CONTROL, workers(1)[0], child("worker-2", "silent", number=2)])) as run:
        await run.ready()
        os.kill(os.getpid(), signal.SIGUSR2)
        await run.until(lambda: run.logs("upgrade_given_up"))
        assert "worker-2 was not ready within" in run.logs("upgrade_given_up")[0]["reason"]
        assert await run.end() == 0


async def test_a_control_process_that_does_not_start_leaves_the_old_one() -> None:
    async with supervised(OLD, successor=Next([child("control", "dies", "no", control=True), *workers(2)])) as run:
        await run.ready()
        old = {await run.ask() for _ in range(40)}
        os.kill(os.getpid(), signal.SIGUSR2)
        await run.until(lambda: run.logs("upgrade_given_up"))
        assert {await run.ask() for _ in range(40)} == old
        assert run.took("drain") == [{"type": "drain", "handed_over": True}] * 2


async def test_a_plan_that_is_refused() -> None:
    successor = Next(OLD)
    successor.refusal = "[http] listen: set differently now, which takes a restart"
    async with supervised(OLD, successor=successor) as run:
        await run.ready()
        os.kill(os.getpid(), signal.SIGUSR2)
        await run.until(lambda: run.logs("upgrade_given_up"))
        assert run.logs("upgrade_given_up")[0]["reason"] == successor.refusal


async def test_told_to_end_in_the_middle_of_it() -> None:
    silent = child("worker-2", "silent", number=2)
    async with supervised(OLD, successor=Next([CONTROL, workers(1)[0], silent]), drain_seconds=0.5) as run:
        await run.ready()
        os.kill(os.getpid(), signal.SIGUSR2)
        await run.until(lambda: run.events("waiting"))
        os.kill(os.getpid(), signal.SIGUSR2)
        await run.until(lambda: run.logs("upgrade_refused"))
        assert await run.end() == 0


async def test_without_a_successor_the_signal_is_harmless() -> None:
    async with supervised(OLD) as run:
        await run.ready()
        os.kill(os.getpid(), signal.SIGUSR2)
        await run.until(lambda: run.logs("upgrade_refused"))
        assert await run.end() == 0


# --- what is handed over


async def test_an_adopted_process() -> None:
    for script, code in (("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 9)", -9)):
        words = (sys.executable, "-c", script)
        process = AdoptedProcess(os.posix_spawn(sys.executable, words, os.environ))  # noqa: ASYNC221  (does not wait)
        assert await asyncio.wait_for(process.wait(), 20) == code
        with pytest.raises(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        buried = AdoptedProcess(process.pid)
        assert await buried.wait() == UNKNOWN_CODE


def test_a_plan_survives_its_text() -> None:
    plan = Plan("0.2.0", tuple(OLD), 25.0, {"[http] listen": "http://x"}, "{}")
    assert read_plan(plan_text(plan)) == plan


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "{}", '{"format": 1}'])
def test_a_plan_that_is_none(text: str) -> None:
    with pytest.raises(NoSuccession, match="does not say what it would run"):
        read_plan(text)


def test_another_format_takes_a_restart() -> None:
    row = json.loads(plan_text(Plan("2", (), 1.0, {}, "{}")))
    with pytest.raises(NoSuccession, match="hands over by format 2, this one by 1: restart"):
        read_plan(json.dumps({**row, "format": 2}))


def test_an_estate(tmp_path: Path) -> None:
    sockets = bind_all({"http": ["http://127.0.0.1:0"]}, 2, environment={})
    ours, theirs = socket.socketpair()
    link = Link(ours)
    link._unread += b'{"type":"sta'
    link._unsent += b"the rest\n"
    spec = replace(workers(1)[0], environment={"A": "b"})
    lock = DataDirLock(tmp_path)
    child = LivingChild(spec, 4711, *link.handed_over(), theirs.fileno(), {"policy_version": 3})
    left = Estate("{}", "0.2.0", sockets, (child,), lock.fd, 42, 1.5)
    try:
        fd = leave(left)
        assert all(os.get_inheritable(each) for each in (fd, *descriptors_of(left)))
        # As exec(2) has it, by the same numbers; here beside the first holder, so with copies.
        for kept in descriptors_of(left):
            os.set_inheritable(kept, False)
        text = os.pread(fd, 1 << 20, 0).decode()
        for bound in sockets:
            text = text.replace(f'"fd": {bound.socket.fileno()}', f'"fd": {os.dup(bound.socket.fileno())}')
        os.pwrite(fd, text.encode(), 0)
        found = take_over(str(fd))
        assert [(each.part, each.url, each.worker) for each in found.sockets] == [
            (each.part, each.url, each.worker) for each in sockets
        ]
        assert (found.children, found.lock_fd, found.cache_pid, found.version) == ((child,), lock.fd, 42, "0.2.0")
        close_all(found.sockets)
        with pytest.raises(DataDirUnusable):
            DataDirLock(tmp_path)
        copy = DataDirLock.taken_over(os.dup(lock.fd))
        copy.release()
    finally:
        close_all(sockets)
        ours.close()
        theirs.close()
    DataDirLock(tmp_path).release()
    lock.release()


@pytest.mark.parametrize("value", ["x", "999999", "-1"])
def test_a_variable_that_somebody_set(value: str) -> None:
    with pytest.raises(NoSuccession, match="GATEPOST_SUCCESSION is for Gatepost's own use"):
        take_over(value)


def test_the_board_forgets_who_has_gone_but_not_what_it_counted() -> None:
    board = WorkerBoard()
    counted = [{"kind": "counter", "name": "n", "help": "", "labels": [], "values": [[[], 5]]}]
    told = {"type": "worker", "name": "worker-1 of the version before", "alive": True}
    board.take({**told, "status": {"policy_version": 1, "metrics": counted}})
    assert "of the version before" in str(board.status())
    board.take({**told, "alive": False, "status": {}, "gone": True})
    assert board.status() == {"workers": []}
    assert "5" in str([row for row in board.metrics().snapshot() if row["name"] == "n"])
