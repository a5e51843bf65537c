"""The short form of a change: one edit, previewed and applied in one go where one person may.

``flag set``, ``ban add`` and the like end here. What the guards stop stays behind as a previewed change with a number:
nothing is in force, a second person can approve it, and then it is applied as it stands. Who wants to look first has
it held: previewed, and applied by its number or rejected. What cannot be previewed or applied at all is rejected at
once: a draft that nobody knows of helps nobody.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

import structlog

from gateway.changes.apply import AppliedEdit
from gateway.changes.applying import Applier, NotApplied
from gateway.changes.desk import Actor, ChangeDesk, Edit, Wanted
from gateway.changes.guards import turns_down_only
from gateway.changes.previews import Previewed
from gateway.domain.change import GuardedAction, PolicyChange
from gateway.domain.errors import InvalidValue
from gateway.domain.stages import EVERYBODY
from gateway.ports.store import Conflict, Store, StoreUnavailable

log = structlog.get_logger()


class NotInForce(InvalidValue):
    """A change is stored, and nothing more of it is in force. The sentence says why and what to do."""

    def __init__(self, refused: NotApplied) -> None:
        super().__init__(refusal_words(refused))
        self.refused = refused


class NeedsApproval(NotInForce):
    """The guards ask for a second person."""


class ComesByItself(NotInForce):
    """It has been taken, and comes at its moment: the people whom it cuts are warned first, or it has a time."""


class NotYet(NotInForce):
    """Something else comes first, and then it is to be applied again: a preview, notices that wait, its time."""


def not_in_force(refused: NotApplied) -> NotInForce:
    """Which of them it is."""
    if refused.comes_at is not None:
        return ComesByItself(refused)
    return NeedsApproval(refused) if refused.hits else NotYet(refused)


def refusal_words(refused: NotApplied) -> str:
    """Why a change is not applied, and what to do."""
    reasons = "; ".join(hit.sentence for hit in refused.hits)
    return f"{reasons}. Nothing is in force: {refused.sentence}" if reasons else refused.sentence


@dataclass(frozen=True, slots=True)
class Held:
    """A change that is previewed and waits for a word."""

    change: PolicyChange
    found: Previewed
    refused: NotApplied | None
    """What would refuse to apply it now."""


class ShortForm:
    """Edits of one step."""

    def __init__(self, store: Store, desk: ChangeDesk, applier: Applier, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._desk = desk
        self._applier = applier
        self._now = now

    async def make(self, actor: Actor, edit: Edit, wanted: Wanted, *, hold: bool = False) -> AppliedEdit | Held:
        """Make the version that ``edit`` describes, or its first stage, and wait until it is in force.

        ``hold``: what is more than turning down is previewed and not applied. Raises what ``edit`` raises
        (``InvalidValue``), ``NotInForce``, ``Conflict``, ``StoreUnavailable``.
        """
        change = await self._desk.propose(actor, edit, wanted)
        if change is None:
            return await self._as_it_is()
        plain = wanted.starts_at is None and wanted.stages == (EVERYBODY,)
        async with self._ended_otherwise(change, actor):
            if not (plain and turns_down_only(change.touches)):
                change, found = await self._desk.preview(change.number, actor.name)
                if hold:
                    return Held(change, found, await self._applier.stands_in_the_way(change, found))
            done = await self._applier.apply(change.number, actor.name)
        if isinstance(done, NotApplied):
            raise not_in_force(done)
        force, stage = done.in_force, done.change.done[-1]
        version = done.version
        if not done.edited:
            # A first stage in which nothing is turned yet: told by itself, and not by what made the version before.
            version = replace(version, summary=f"{done.change.title}: begun as change {done.change.number}")
        return AppliedEdit(
            version,
            True,
            force.workers,
            force.in_force,
            done.seconds,
            force.silent,
            stage.newly_cut,
            stage.newly_admitted,
        )

    async def plan(self, actor: Actor, edit: Edit, wanted: Wanted) -> Held | None:
        """A previewed change, whatever it does; None where it would change nothing. Raises like ``make``."""
        change = await self._desk.propose(actor, edit, wanted)
        if change is None:
            return None
        async with self._ended_otherwise(change, actor):
            return await self.held(change.number, actor.name)

    async def ready(self, actor: Actor, action: GuardedAction, wanted: Wanted) -> PolicyChange:
        """A change of what is no part of the policy, previewed, for a second person. Raises like ``held``."""
        change = await self._desk.propose_action(actor, action, wanted)
        async with self._ended_otherwise(change, actor):
            change, _ = await self._desk.preview(change.number, actor.name)
        return change

    @asynccontextmanager
    async def _ended_otherwise(self, change: PolicyChange, actor: Actor) -> AsyncIterator[None]:
        """No draft stays behind of what cannot be previewed or applied: who asks again makes another one."""
        try:
            yield
        except Exception as error:
            await self._ended(change, actor)
            if isinstance(error, Conflict):
                raise Conflict("others keep changing the policy: nothing was made, do it again") from error
            raise

    async def _ended(self, change: PolicyChange, actor: Actor) -> None:
        try:
            # Refused where a stage of it is in force after all: nothing is to be ended then.
            with suppress(InvalidValue):
                await self._desk.reject(change.number, actor, "it could not be previewed or applied")
        except (Conflict, StoreUnavailable) as error:
            log.warning("draft_left_behind", change=change.number, reason=str(error))

    async def held(self, number: int, by: str) -> Held:
        """A change with a new preview. Raises ``InvalidValue``, ``StoreUnavailable``."""
        change, found = await self._desk.preview(number, by)
        return Held(change, found, await self._applier.stands_in_the_way(change, found))

    async def _as_it_is(self) -> AppliedEdit:
        began = time.monotonic()
        async with self._store.read() as reading:
            version = await reading.policy()
        if version is None:
            raise InvalidValue("there is no policy yet: the gateway is still starting")
        force = await self._applier.in_force(version)
        seconds = time.monotonic() - began
        return AppliedEdit(version, False, force.workers, force.in_force, seconds, force.silent)
