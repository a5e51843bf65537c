"""Applies changes stage by stage, and is where they are taken back.

Applying computes the impact again, asks whether that is cleared (``clearance``), and sees to it that people are told.
A stage is one unit of work: the new policy version and the change's step stand together in the store or not at all.
A refusal is a value that says what stands in the way and what to do. Taking back (``withdrawing``) asks nobody: it
refuses nothing and enforces nothing more.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial

import structlog

from gateway.changes.applied import Applied, NotApplied, lasting
from gateway.changes.apply import ATTEMPTS, IN_FORCE_WITHIN_SECONDS, InForce, InForceResult, Publish
from gateway.changes.audited import change_told
from gateway.changes.clearance import Clearance, Known, LoginsOf, Rules, Stands
from gateway.changes.desk import change_and_policy
from gateway.changes.guards import turns_down_only
from gateway.changes.previews import Previewed, Previews, of_change
from gateway.changes.telling import Before, Telling
from gateway.changes.withdrawing import Withdrawing, Withdrawn, nothing_else, put_version
from gateway.domain import change as lives
from gateway.domain.audit import AuditKind
from gateway.domain.change import GuardedAction, PolicyChange, StageDone, State
from gateway.domain.errors import InvalidValue
from gateway.domain.notice import Mailing, NoticeKind, Tell
from gateway.domain.policy import PolicyVersion
from gateway.ports.store import Conflict, Reading, Store, Writing

__all__ = ["Applied", "Applier", "NotApplied", "Rules"]

log = structlog.get_logger()

Perform = Callable[[Writing, GuardedAction, PolicyChange], Awaitable[None]]
"""Does a guarded action inside the unit of work that applies it."""


@dataclass(frozen=True, slots=True)
class _Looked:
    """What the store says of a change, at one moment."""

    change: PolicyChange
    policy: PolicyVersion
    """The newest."""
    warning: Mailing | None
    known: Known


@dataclass(frozen=True, slots=True)
class _Stage:
    """A stage that nothing stands in the way of, and how it was looked at."""

    change: PolicyChange
    policy: PolicyVersion
    found: Previewed | None
    """None: it turns down only, and was not looked at."""
    cut: int
    """How many devices it cuts when it comes."""
    tell: Tell | None
    by: str
    standing: PolicyChange | None = None
    """With the approvals that counted when it was looked at; None: it needs none."""


class Applier:
    """Puts changes into force and takes them back."""

    def __init__(
        self,
        store: Store,
        previews: Previews,
        publish: Publish,
        in_force: InForce,
        now: Callable[[], float] = time.time,
        *,
        rules: Callable[[], Rules] = Rules,
        perform: Perform | None = None,
        withdrawn: Withdrawn = nothing_else,
        telling: Telling | None = None,
        stands: Stands | None = None,
        logins_of: LoginsOf | None = None,
        timeout_seconds: float = IN_FORCE_WITHIN_SECONDS,
    ) -> None:
        """``withdrawn`` runs in the unit of work that takes a change back; ``logins_of``: an operator's mail logins."""
        self._store = store
        self._previews = previews
        self._publish = publish
        self._in_force = in_force
        self._now = now
        self._clearance = Clearance(now, rules, stands, logins_of)
        self._perform = perform
        self._telling = telling or Telling(now=now)
        self._timeout_seconds = timeout_seconds
        self._withdrawing = Withdrawing(store, publish, self.in_force, now, withdrawn)

    async def in_force(self, version: PolicyVersion) -> InForceResult:
        """Wait until every worker judges by that version or a newer one; who does not is named."""
        return await self._in_force.wait(version.number, self._timeout_seconds)

    async def apply(
        self, number: int, by: str, tell: Tell | None = None, *, stage: int | None = None
    ) -> Applied | NotApplied:
        """The next stage of a change, if guards, approval and time let it; ``tell``: in place of what the change says.

        ``stage``: the one that is meant; who asks again because no answer came does not bring the one behind it.
        Raises ``InvalidValue`` where the change cannot be applied at all: its state, or somebody touched the same.
        """
        began = time.monotonic()
        self._telling.see_that_it_can(tell)
        for _ in range(ATTEMPTS):
            cleared = await self._cleared(number, by, tell, stage)
            if isinstance(cleared, NotApplied):
                return cleared
            try:
                (change, version), changes = await self._store.write(
                    lambda writing: self._step(writing, cleared)  # noqa: B023
                )
            except Conflict:
                continue
            await self._publish(changes)
            in_force = await self.in_force(version)
            edited = version.number != cleared.policy.number
            done = Applied(change, version, in_force, time.monotonic() - began, edited=edited)
            log.info("change_applied", stage=cleared.change.next_stage + 1, **done.told())
            return done
        raise Conflict(f"others keep changing the policy: apply change {number} again")

    # --- whether it may come

    async def _cleared(self, number: int, by: str, tell: Tell | None, wanted: int | None) -> _Stage | NotApplied:
        looked = await self._looked(number)
        change, policy, warning = looked.change, looked.policy, looked.warning
        place = _stage_of(change, wanted)
        found, cut, standing = None, 0, None
        if change.action is not None or not turns_down_only(change.touches):
            target = policy if change.action else lives.at_stage(change, policy, place)
            found = await self._previewed(policy, target, change)
            judged = await self._judged(change, policy, found)
            standing = looked.known.change
            refusal = self._clearance.first_alone(looked.known, judged, found)
            refusal = refusal or self._clearance.refusal(looked.known, judged, self._telling.judged_at(change, warning))
            if refusal is not None:
                return refusal
            cut = await self._cut_at_once(change, policy, target, found)
            before = self._telling.before(change, policy, cut, warning, tell)
            if before is not None:
                return await self._told_first(change, policy, before, tell, by)
        waits = self._not_before(self._telling.at_once(change, warning, tell), place)
        if waits is not None:
            return await self._scheduled(change, waits, by)
        return _Stage(change, policy, found, cut, tell, by, standing)

    async def _looked(self, number: int) -> _Looked:
        return await self._store.read_at_once(partial(self._look, number))

    async def _look(self, number: int, reading: Reading) -> _Looked:
        change, policy = await change_and_policy(reading, number)
        warning = await reading.mailing(number, NoticeKind.WARNING)
        return _Looked(change, policy, warning, await self._clearance.known(reading, change))

    async def stands_in_the_way(self, change: PolicyChange, found: Previewed) -> NotApplied | None:
        """What would refuse the change now, time apart, were ``found`` what it does; None: one person may apply it."""
        async with self._store.read() as reading:
            known = await self._clearance.known(reading, change)
            _, policy = await change_and_policy(reading, change.number)
        alone = None
        if len(change.stages) > 1 and not change.done:
            first = await self._previewed(policy, lives.at_stage(change, policy, 0), change)
            alone = self._clearance.first_alone(known, found, first)
        return alone or self._clearance.refusal(known, found, self._now())

    async def would_refuse(self, number: int) -> NotApplied | None:
        """What would refuse a change that has not begun, were all of it applied now; None: nothing, time apart.

        Of one that has begun the whole was let through. Raises like ``apply``, and ``NotReadyYet``.
        """
        async with self._store.read() as reading:
            change, policy = await change_and_policy(reading, number)
        if change.done or change.action is not None:
            return None
        whole = lives.at_stage(change, policy, len(change.stages) - 1)
        found = await self._previewed(policy, whole, change)
        return await self.stands_in_the_way(change, found)

    async def _cut_at_once(
        self, change: PolicyChange, policy: PolicyVersion, target: PolicyVersion, found: Previewed
    ) -> int:
        """How many devices it cuts when it comes; those of a later date are not told of yet."""
        if lives.in_full(target, change, self._now()) != target:
            found = await self._previews.of(policy, target, brief=True)
        return found.measured.newly_cut

    async def _judged(self, change: PolicyChange, policy: PolicyVersion, found: Previewed) -> Previewed:
        """What guards look at. The first stage is let through for all that follow: they may come by themselves."""
        if change.done or len(change.stages) == 1:
            return found
        whole = lives.at_stage(change, policy, len(change.stages) - 1)
        return await self._previewed(policy, whole, change)

    async def _previewed(self, policy: PolicyVersion, target: PolicyVersion, change: PolicyChange) -> Previewed:
        return await of_change(self._previews, policy, target, change, self._now(), brief=True)

    # --- what comes later

    def _not_before(self, change: PolicyChange, stage: int) -> float | None:
        moments = []
        if change.starts_at is not None:
            moments.append(change.starts_at)
        if stage and change.done:
            moments.append(change.done[-1].at + change.stages[stage].after_seconds)
        latest = max(moments, default=0.0)
        return latest if latest > self._now() else None

    async def _scheduled(self, change: PolicyChange, at: float, by: str) -> NotApplied:
        waiting = change
        if State.SCHEDULED in lives.WAYS[change.state]:

            async def work(writing: Writing) -> PolicyChange:
                present, _ = await change_and_policy(writing, change.number)
                if present != change:
                    raise Conflict(f"change {change.number} moved meanwhile: look at it again")
                scheduled = lives.moved(change, State.SCHEDULED, self._now(), by)
                await writing.put_policy_change(scheduled, self._now())
                await writing.log_audit(change_told(scheduled, AuditKind.CHANGE_SCHEDULED, by))
                return scheduled

            waiting, _ = await self._store.write(work)
        by_itself = waiting.state is State.SCHEDULED or change.stages[change.next_stage].by_itself
        then = "it comes then by itself" if by_itself else f"then: gatepost apply {change.number}"
        sentence = f"not before its time, in {lasting(at - self._now())}; {then}"
        return NotApplied(waiting, (), sentence, at if by_itself else None)

    async def _told_first(
        self, change: PolicyChange, policy: PolicyVersion, before: Before, tell: Tell | None, by: str
    ) -> NotApplied:
        if before.sentence:
            return NotApplied(change, (), before.sentence)
        waiting, _ = await self._store.write(
            lambda writing: self._telling.put_off(writing, change, policy, before, tell, by)
        )
        left = lasting(before.until - self._now())
        return NotApplied(
            waiting,
            (),
            f"the people whom change {change.number} cuts are warned first: it comes by itself in {left}; to cut at "
            f"once: gatepost apply {change.number} --tell with-the-cut",
            before.until,
        )

    # --- the unit of work

    async def _step(self, writing: Writing, cleared: _Stage) -> tuple[PolicyChange, PolicyVersion]:
        change, by = cleared.change, cleared.by
        present, newest = await change_and_policy(writing, change.number)
        if present != change or newest.number != cleared.policy.number:
            # What was looked at is not what is there: look again.
            raise Conflict(f"change {change.number} or the policy moved meanwhile")
        if cleared.standing is not None and await self._clearance.standing(writing, change) != cleared.standing:
            # To look at a large fleet takes its time: a token may have been revoked in it, or a role taken.
            raise Conflict(f"an approval of change {change.number} ended meanwhile")
        now, stage = self._now(), change.next_stage
        version = newest
        if change.action is not None:
            await self._do(writing, change.action, change)
        else:
            version = await self._next_version(writing, change, newest)
        last = stage + 1 == len(change.stages)
        words = f"stage {stage + 1} of {len(change.stages)}, policy version {version.number}"
        done = replace(
            lives.moved(change, State.APPLYING, now, by, words),
            done=(*change.done, _stage_done(cleared, version, now)),
            tell=cleared.tell or change.tell,
        )
        if last:
            done = lives.moved(done, State.APPLIED, now, by)
        await writing.put_policy_change(done, now)
        await self._telling.cut(writing, done, version, cleared.cut, by)
        kind = AuditKind.CHANGE_APPLIED if last else AuditKind.CHANGE_STAGE
        await writing.log_audit(change_told(done, kind, by, stage=stage + 1, version=version.number))
        return done, version

    async def _do(self, writing: Writing, action: GuardedAction, change: PolicyChange) -> None:
        if self._perform is None:
            raise InvalidValue(f"nobody here can do {action.kind}")
        try:
            await self._perform(writing, action, change)
        except Conflict as error:
            # Not the policy moved, which is looked at again: what was wanted is not possible any more.
            raise InvalidValue(f"change {change.number} cannot be applied any more: {error}") from None

    async def _next_version(self, writing: Writing, change: PolicyChange, newest: PolicyVersion) -> PolicyVersion:
        edited = lives.at_stage(change, newest, change.next_stage)
        if edited == newest:
            return newest
        several = len(change.stages) > 1
        place = f", stage {change.next_stage + 1} of {len(change.stages)}" if several else ""
        note = f" ({change.note})" if change.note else ""
        summary = f"{change.title}{place}{note}"
        return await put_version(writing, edited, newest, self._now(), author=change.author, summary=summary)

    # --- halting, and back

    async def halt(self, number: int, by: str, words: str) -> PolicyChange:
        """Stop a change between two stages; what is in force stays so. ``apply`` goes on with it."""

        async def work(writing: Writing) -> PolicyChange:
            change, _ = await change_and_policy(writing, number)
            halted = lives.moved(change, State.HALTED, self._now(), by, words)
            await writing.put_policy_change(halted, self._now())
            await writing.log_audit(change_told(halted, AuditKind.CHANGE_HALTED, by, reason=words))
            return halted

        halted, _ = await self._store.write(work)
        log.warning("change_halted", change=number, by=by, reason=words)
        return halted

    async def withdraw(self, number: int, by: str, words: str = "") -> Applied:
        """Take a change back. Raises ``InvalidValue`` only where the change is over already."""
        return await self._withdrawing.withdraw(number, by, words)


def _stage_of(change: PolicyChange, wanted: int | None) -> int:
    if State.APPLYING not in lives.WAYS[change.state]:
        lives.moved(change, State.APPLYING, 0.0, "")
    if wanted is not None and wanted != change.next_stage:
        raise InvalidValue(
            f"stage {wanted + 1} of change {change.number} is in force already: look at it again (gatepost change "
            f"show {change.number})"
        )
    return change.next_stage


def _stage_done(cleared: _Stage, version: PolicyVersion, now: float) -> StageDone:
    stage, by = cleared.change.next_stage, cleared.by
    if cleared.found is None:
        return StageDone(stage, version.number, now, by)
    seen = cleared.found.measured
    by_name = seen.cut_by_name + seen.admitted_by_name
    return StageDone(stage, version.number, now, by, seen.newly_cut, seen.newly_admitted, by_name)
