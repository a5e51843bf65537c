"""Edits of one step: numbers, authors, conflicts, and waiting for the workers."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import pytest

from gateway.changes import edits
from gateway.changes.apply import ATTEMPTS, AppliedEdit, ensure_first_policy
from gateway.changes.applying import Applier
from gateway.changes.desk import Actor, ChangeDesk, Edit, Wanted
from gateway.changes.short_form import ShortForm
from gateway.domain.bans import Flag
from gateway.domain.errors import InvalidValue
from gateway.domain.policy import PolicyVersion
from gateway.ports.store import Change, ChangeKind, Conflict, Store, Writing
from gateway.storage.memory import MemoryStore
from tests.changes.by_hand import ByHand
from tests.support.control import Workers

T = TypeVar("T")
ANNA = Actor("anna", "t1")


class Sent:
    """What was published."""

    def __init__(self) -> None:
        self.changes: list[Change] = []

    async def __call__(self, changes: Sequence[Change]) -> None:
        self.changes.extend(changes)


class Contended(MemoryStore):
    """A store in which somebody else makes a version before each step of ours."""

    def __init__(self, losses: int) -> None:
        super().__init__()
        self.losses = losses

    async def write(self, work: Callable[[Writing], Awaitable[T]]) -> tuple[T, tuple[Change, ...]]:
        if self.losses > 0 and work.__qualname__.startswith("Applier.apply"):
            self.losses -= 1
            raise Conflict("the version number is taken")
        return await super().write(work)


async def applied(editor: ShortForm, actor: Actor, edit: Edit, note: str = "") -> AppliedEdit:
    done = await editor.make(actor, edit, Wanted(note=note))
    assert isinstance(done, AppliedEdit)
    return done


def switch(on: bool) -> Callable[[PolicyVersion], PolicyVersion]:
    return lambda version: edits.set_global(version, on)


async def short_form(store: Store, sent: Sent, workers: Workers | None = None) -> ShortForm:
    await ensure_first_policy(store, sent, 5.0)
    previews = ByHand()
    desk = ChangeDesk(store, previews, lambda: 77.0)
    return ShortForm(store, desk, Applier(store, previews, sent, workers or Workers(), lambda: 77.0), lambda: 77.0)


async def test_an_edit_makes_the_next_version_and_waits_for_the_workers() -> None:
    store, sent, workers = MemoryStore(), Sent(), Workers(("worker-1", "worker-2"))
    editor = await short_form(store, sent, workers)
    done = await applied(editor, ANNA, switch(on=False), "ticket 4711")
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
    done = await applied(await short_form(MemoryStore(), Sent(), workers), ANNA, switch(on=False))
    assert (done.in_force_on, done.silent, done.in_force) == (1, ("worker-2",), False)


async def test_an_edit_that_changes_nothing_makes_no_version() -> None:
    sent = Sent()
    done = await applied(await short_form(MemoryStore(), sent), ANNA, switch(on=True))
    assert (done.changed, done.version.number, len(sent.changes)) == (False, 1, 1)


async def test_a_refused_edit_leaves_no_trace() -> None:
    store, sent = MemoryStore(), Sent()
    editor = await short_form(store, sent)
    with pytest.raises(InvalidValue):
        await applied(editor, ANNA, lambda version: edits.set_flag(version, "nothing", Flag.OFF))
    async with store.read() as reading:
        assert len(await reading.policies()) == 1
        assert await reading.policy_changes() == []


async def test_edits_at_once_follow_one_another() -> None:
    store = MemoryStore()
    editor = await short_form(store, Sent())
    edited = [
        applied(editor, Actor(f"a{n}", f"t{n}"), lambda version, n=n: edits.set_grace(version, 0.0, n))  # type: ignore[misc]
        for n in (3,)
    ]
    edited += [applied(editor, ANNA, switch(on=False))]
    await asyncio.gather(*edited)
    async with store.read() as reading:
        assert [version.number for version in await reading.policies()] == [3, 2, 1]


async def test_an_edit_is_tried_again_when_others_were_faster() -> None:
    done = await applied(await short_form(Contended(ATTEMPTS - 1), Sent()), ANNA, switch(on=False))
    assert done.version.number == 2
    with pytest.raises(Conflict, match="others keep changing the policy"):
        await applied(await short_form(Contended(ATTEMPTS), Sent()), ANNA, switch(on=False))
