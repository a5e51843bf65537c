"""Applying edits: numbers, authors, conflicts, and waiting for the workers."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import pytest

from gateway.changes import edits
from gateway.changes.apply import ATTEMPTS, InForceResult, PolicyEditor, ensure_first_policy
from gateway.domain.bans import Flag
from gateway.domain.errors import InvalidValue
from gateway.domain.policy import PolicyVersion
from gateway.ports.store import Change, ChangeKind, Conflict, Writing
from gateway.storage.memory import MemoryStore
from tests.support.control import Workers

T = TypeVar("T")


class Sent:
    """What was published."""

    def __init__(self) -> None:
        self.changes: list[Change] = []

    async def __call__(self, changes: Sequence[Change]) -> None:
        self.changes.extend(changes)


class Contended(MemoryStore):
    """A store in which somebody else wins the first races."""

    def __init__(self, losses: int) -> None:
        super().__init__()
        self.losses = losses

    async def write(self, work: Callable[[Writing], Awaitable[T]]) -> tuple[T, tuple[Change, ...]]:
        if self.losses > 0:
            self.losses -= 1
            raise Conflict("the version number is taken")
        return await super().write(work)


def switch(on: bool) -> Callable[[PolicyVersion], PolicyVersion]:
    return lambda version: edits.set_global(version, on)


async def test_an_edit_makes_the_next_version_and_waits_for_the_workers() -> None:
    store, sent, workers = MemoryStore(), Sent(), Workers(("worker-1", "worker-2"))
    editor = PolicyEditor(store, sent, workers, lambda: 77.0)
    done = await editor.apply("anna", switch(on=False), "ticket 4711")
    assert (done.version.number, done.version.author, done.version.created_at) == (2, "anna", 77.0)
    assert done.version.summary == "enforcement switched off globally (ticket 4711)"
    assert (done.workers, done.in_force_on, done.in_force, done.changed) == (2, 2, True, True)
    assert [(each.kind, each.version) for each in sent.changes] == [(ChangeKind.POLICY, 1), (ChangeKind.POLICY, 2)]
    assert workers.waited_for == [2]
    async with store.read() as reading:
        assert await reading.policy() == done.version
        assert (await reading.policy(1)) is not None


async def test_silent_workers_are_named() -> None:
    workers = Workers(("worker-1", "worker-2"), silent=("worker-2",))
    done = await PolicyEditor(MemoryStore(), Sent(), workers).apply("anna", switch(on=False))
    assert (done.in_force_on, done.silent, done.in_force) == (1, ("worker-2",), False)


async def test_an_edit_that_changes_nothing_makes_no_version() -> None:
    sent = Sent()
    editor = PolicyEditor(MemoryStore(), sent, Workers())
    done = await editor.apply("anna", switch(on=True))
    assert (done.changed, done.version.number, len(sent.changes)) == (False, 1, 1)


async def test_a_refused_edit_leaves_no_trace() -> None:
    store, sent = MemoryStore(), Sent()
    await ensure_first_policy(store, sent, 5.0)
    editor = PolicyEditor(store, sent, Workers())
    with pytest.raises(InvalidValue):
        await editor.apply("anna", lambda version: edits.set_flag(version, "nothing", Flag.OFF))
    async with store.read() as reading:
        assert [each.number for each in await reading.policies()] == [1]


async def test_edits_at_once_come_one_after_the_other() -> None:
    store = MemoryStore()
    editor = PolicyEditor(store, Sent(), Workers())
    await asyncio.gather(*(editor.apply(f"a{n}", switch(on=bool(n % 2))) for n in range(10)))
    async with store.read() as reading:
        numbers = [each.number for each in await reading.policies()]
    assert numbers == sorted(range(1, len(numbers) + 1), reverse=True)


async def test_who_loses_the_race_tries_again() -> None:
    done = await PolicyEditor(Contended(ATTEMPTS - 1), Sent(), Workers()).apply("anna", switch(on=False))
    assert done.version.number == 2
    with pytest.raises(Conflict):
        await PolicyEditor(Contended(ATTEMPTS), Sent(), Workers()).apply("anna", switch(on=False))


async def test_the_first_policy_is_made_once() -> None:
    store, sent = MemoryStore(), Sent()
    first = await ensure_first_policy(store, sent, 5.0)
    assert (first.number, first.author) == (1, "gatepost")
    assert await ensure_first_policy(store, sent, 6.0) == first
    assert len(sent.changes) == 1


async def test_the_result_counts_workers() -> None:
    assert InForceResult(2, 2, 0.1).silent == ()
