"""Applies an edit: a new immutable policy version with author and time, published, and waited for.

An edit is a pure function from policy version to policy version (``edits``). It is run inside the store's
transaction, so that it always stands on the newest version; where another one took the number first it is run again
on what that one left. ``PolicyEditor.apply`` answers only when every worker judges by the new version, or says which
ones are silent.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from gateway.changes.audited import policy_begun, policy_edited
from gateway.domain.policy import PolicyVersion, first_policy
from gateway.ports.store import Change, Conflict, Store, Writing

log = structlog.get_logger()

ATTEMPTS = 8
"""How often an edit is tried when others keep taking the number."""
IN_FORCE_WITHIN_SECONDS = 5.0

Edit = Callable[[PolicyVersion], PolicyVersion]
Publish = Callable[[Sequence[Change]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class InForceResult:
    """On how many workers a policy version is in force."""

    workers: int
    in_force: int
    seconds: float
    silent: tuple[str, ...] = ()
    """Names of the workers that did not say so in time."""


class InForce(Protocol):
    """Knows what the workers judge by."""

    async def wait(self, version: int, timeout_seconds: float) -> InForceResult:
        """Wait until all workers judge by ``version`` or a newer one, at most so long. Never raises."""
        ...


@dataclass(frozen=True, slots=True)
class AppliedEdit:
    """What became of an edit."""

    version: PolicyVersion
    changed: bool
    """False: everything was so already, and no new version was made."""
    workers: int
    in_force_on: int
    seconds: float
    """From the request to the last worker, commit included."""
    silent: tuple[str, ...] = ()

    @property
    def in_force(self) -> bool:
        """Whether every worker judges by it."""
        return not self.silent and self.in_force_on == self.workers


class PolicyEditor:
    """Makes policy versions, one after the other."""

    def __init__(
        self,
        store: Store,
        publish: Publish,
        in_force: InForce,
        now: Callable[[], float] = time.time,
        *,
        timeout_seconds: float = IN_FORCE_WITHIN_SECONDS,
    ) -> None:
        self._store = store
        self._publish = publish
        self._in_force = in_force
        self._now = now
        self._timeout_seconds = timeout_seconds

    async def apply(self, author: str, edit: Edit, note: str = "") -> AppliedEdit:
        """Make the version that ``edit`` describes and wait until it is in force.

        Raises what ``edit`` raises (``InvalidValue``), ``Conflict`` when others keep editing, ``StoreUnavailable``.
        """
        began = time.monotonic()
        (version, changed), changes = await self._commit(author, edit, note)
        await self._publish(changes)
        result = await self._in_force.wait(version.number, self._timeout_seconds)
        seconds = time.monotonic() - began
        if changed:
            log.info(
                "policy_applied",
                policy_version=version.number,
                author=author,
                summary=version.summary,
                workers=result.workers,
                in_force=result.in_force,
                silent=list(result.silent),
                seconds=round(seconds, 4),
            )
        return AppliedEdit(version, changed, result.workers, result.in_force, seconds, result.silent)

    async def _commit(
        self, author: str, edit: Edit, note: str
    ) -> tuple[tuple[PolicyVersion, bool], tuple[Change, ...]]:
        async def work(writing: Writing) -> tuple[PolicyVersion, bool]:
            return await _next_version(writing, author, edit, note, self._now())

        for _ in range(ATTEMPTS - 1):
            try:
                return await self._store.write(work)
            except Conflict:
                continue
        return await self._store.write(work)


async def _next_version(writing: Writing, author: str, edit: Edit, note: str, now: float) -> tuple[PolicyVersion, bool]:
    current = await writing.policy()
    if current is None:
        current = await _begin(writing, now)
    edited = edit(current)
    if replace(edited, summary=current.summary) == current:
        return current, False
    version = replace(
        edited,
        number=current.number + 1,
        created_at=now,
        author=author,
        summary=f"{edited.summary} ({note})" if note else edited.summary,
    )
    await writing.put_policy(version)
    writing.log_policy(version.number)
    await writing.log_audit(policy_edited(current, version))
    return version, True


async def _begin(writing: Writing, now: float) -> PolicyVersion:
    first = first_policy(now)
    await writing.put_policy(first)
    writing.log_policy(first.number)
    await writing.log_audit(policy_begun(first))
    return first


async def ensure_first_policy(store: Store, publish: Publish, now: float) -> PolicyVersion:
    """The newest policy version; version 1 (nothing banned, nothing enforced) is made where there is none."""

    async def work(writing: Writing) -> PolicyVersion:
        return await writing.policy() or await _begin(writing, now)

    version, changes = await store.write(work)
    await publish(changes)
    return version
