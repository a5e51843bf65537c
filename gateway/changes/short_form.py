"""The short form of a change: one edit, previewed and applied in one go where one person may.

``flag set``, ``ban add`` and the like end here. What the guards stop stays behind as a previewed change with a number:
nothing is in force, a second person can approve it, and then it is applied as it stands.
"""

import time
from collections.abc import Callable

from gateway.changes.apply import AppliedEdit
from gateway.changes.applying import Applier, NotApplied
from gateway.changes.desk import Actor, ChangeDesk, Edit, Wanted
from gateway.changes.guards import turns_down_only
from gateway.domain.change import State
from gateway.domain.errors import InvalidValue
from gateway.domain.notice import Tell
from gateway.ports.store import Store


class NeedsApproval(InvalidValue):
    """The guards stopped an edit; it waits as a change. The sentence says why and what to do."""

    def __init__(self, refused: NotApplied) -> None:
        reasons = "; ".join(hit.sentence for hit in refused.hits)
        super().__init__(f"{reasons}. Nothing is in force: {refused.sentence}" if reasons else refused.sentence)
        self.refused = refused


class ShortForm:
    """Edits of one step."""

    def __init__(self, store: Store, desk: ChangeDesk, applier: Applier, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._desk = desk
        self._applier = applier
        self._now = now

    async def apply(self, actor: Actor, edit: Edit, note: str = "", tell: Tell | None = None) -> AppliedEdit:
        """Make the version that ``edit`` describes, and wait until it is in force; ``tell``: not as the site does.

        Raises what ``edit`` raises (``InvalidValue``), ``NeedsApproval``, ``Conflict``, ``StoreUnavailable``.
        """
        change = await self._desk.propose(actor, edit, Wanted(note=note, tell=tell))
        if change is None:
            return await self._as_it_is()
        if not turns_down_only(change.touches):
            await self._desk.preview(change.number, actor.name)
        done = await self._applier.apply(change.number, actor.name)
        if isinstance(done, NotApplied):
            raise NeedsApproval(done)
        assert done.change.state is State.APPLIED
        force = done.in_force
        return AppliedEdit(done.version, True, force.workers, force.in_force, done.seconds, force.silent)

    async def _as_it_is(self) -> AppliedEdit:
        began = time.monotonic()
        async with self._store.read() as reading:
            version = await reading.policy()
        if version is None:
            raise InvalidValue("there is no policy yet: the gateway is still starting")
        force = await self._applier.in_force(version)
        seconds = time.monotonic() - began
        return AppliedEdit(version, False, force.workers, force.in_force, seconds, force.silent)
