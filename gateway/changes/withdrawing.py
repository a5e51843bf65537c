"""Takes changes back: at once, by one person, whatever else happened since.

What a change touched is as before, as far as that enforces nothing more than now. The new policy version, the change's
end, its waiting notices and the words in the audit log are one unit of work.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

import structlog

from gateway.changes.applied import Applied
from gateway.changes.apply import ATTEMPTS, InForceResult, Publish
from gateway.changes.audited import change_told, policy_edited
from gateway.changes.desk import change_and_policy
from gateway.domain import change as lives
from gateway.domain.audit import AuditKind
from gateway.domain.change import PolicyChange, State
from gateway.domain.policy import PolicyVersion
from gateway.ports.store import Change, Conflict, Store, Writing

log = structlog.get_logger()

T = TypeVar("T")

Withdrawn = Callable[[Writing, PolicyChange, str], Awaitable[None]]
"""What else happens in the unit of work that takes a change back; the words are the reason."""
Follow = Callable[[PolicyVersion], Awaitable[InForceResult]]
"""Waits until the workers judge by a version."""


async def nothing_else(writing: Writing, change: PolicyChange, words: str) -> None:
    """Nobody was told of the change (``Withdrawn``)."""


async def put_version(
    writing: Writing, edited: PolicyVersion, newest: PolicyVersion, now: float, *, author: str, summary: str
) -> PolicyVersion:
    """In a unit of work: the policy as it shall be, as the next version, with all that tells of it."""
    version = replace(edited, number=newest.number + 1, created_at=now, author=author, summary=summary)
    await writing.put_policy(version)
    writing.log_policy(version.number)
    await writing.log_audit(policy_edited(newest, version))
    return version


class Withdrawing:
    """One per control process."""

    def __init__(
        self, store: Store, publish: Publish, follow: Follow, now: Callable[[], float], withdrawn: Withdrawn
    ) -> None:
        self._store = store
        self._publish = publish
        self._follow = follow
        self._now = now
        self._withdrawn = withdrawn

    async def withdraw(self, number: int, by: str, words: str) -> Applied:
        """Take a change back. Raises ``InvalidValue`` only where the change is over already."""
        began = time.monotonic()
        (change, version, back), changes = await self._written(
            lambda writing: self._step(writing, number, by, words),
        )
        await self._publish(changes)
        in_force = await self._follow(version)
        edited = version.number != back.version.number
        done = Applied(change, version, in_force, time.monotonic() - began, back.clashes, back.kept, edited)
        log.info("change_withdrawn", by=by, **done.told())
        return done

    async def _step(
        self, writing: Writing, number: int, by: str, words: str
    ) -> tuple[PolicyChange, PolicyVersion, lives.TakenBack]:
        change, newest = await change_and_policy(writing, number)
        now = self._now()
        back, version, to = lives.TakenBack(newest), newest, State.REJECTED
        if change.done:
            back, to = _undone(change, newest), State.WITHDRAWN
        ended = lives.moved(change, to, now, by, words)
        if back.version != newest:
            summary = f"change {number} withdrawn: {change.title}"
            version = await put_version(writing, back.version, newest, now, author=by, summary=summary)
        ended = replace(ended, withdrawn_by_version=version.number if change.done else None)
        await writing.put_policy_change(ended, now)
        await self._withdrawn(writing, ended, words)
        kind = AuditKind.CHANGE_WITHDRAWN if change.done else AuditKind.CHANGE_REJECTED
        clashes, kept = list(back.clashes), list(back.kept)
        told = change_told(ended, kind, by, reason=words, version=version.number, clashes=clashes, kept=kept)
        await writing.log_audit(told)
        return ended, version, back

    async def _written(self, work: Callable[[Writing], Awaitable[T]]) -> tuple[T, Sequence[Change]]:
        """Write, again where somebody else was quicker: taking back is never refused for that."""
        for _ in range(ATTEMPTS - 1):
            with suppress(Conflict):
                return await self._store.write(work)
        return await self._store.write(work)


def _undone(change: PolicyChange, newest: PolicyVersion) -> lives.TakenBack:
    if change.action is not None:
        # Undoing it (removing an operator, say) is an act of its own, which may take a second person.
        return lives.TakenBack(newest, kept=(f"action:{change.action.kind}",))
    return lives.taken_back(change, newest)
