"""Applies changes stage by stage, and takes them back.

Applying computes the impact again, asks the guards, and compares the newly cut devices with those that were approved.
A stage is one unit of work: the new policy version and the change's step stand together in the store or not at all.
A refusal is a value that says what stands in the way and what to do. Taking back asks nobody: it refuses nothing and
enforces nothing more.
"""

import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar

import structlog

from gateway.changes.apply import ATTEMPTS, IN_FORCE_WITHIN_SECONDS, InForce, InForceResult, Publish
from gateway.changes.audited import change_told, policy_edited
from gateway.changes.desk import approved_of, author_changes, change_and_policy
from gateway.changes.guards import COUNTED_SECONDS, GuardHit, GuardLimits, guard_hits, turns_down_only
from gateway.changes.previews import Approved, Previewed, Previews, beyond, beyond_number
from gateway.changes.telling import Before, Telling
from gateway.domain import change as lives
from gateway.domain.audit import AuditKind
from gateway.domain.change import Approval, GuardedAction, PolicyChange, StageDone, State
from gateway.domain.errors import InvalidValue
from gateway.domain.notice import NoticeKind, Tell
from gateway.domain.policy import PolicyVersion
from gateway.ports.store import Change, Conflict, Reading, Store, Writing

log = structlog.get_logger()

T = TypeVar("T")

Withdrawn = Callable[[Writing, PolicyChange, str], Awaitable[None]]
"""What else happens in the unit of work that takes a change back; the words are the reason."""

Perform = Callable[[Writing, GuardedAction, PolicyChange], Awaitable[None]]
"""Does a guarded action inside the unit of work that applies it."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A stage, or a withdrawal, is in the store and published."""

    change: PolicyChange
    version: PolicyVersion
    in_force: InForceResult
    seconds: float
    """From the request to the last worker."""
    clashes: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    """Of a withdrawal: parts not as before the change, see ``domain.change.TakenBack``."""


@dataclass(frozen=True, slots=True)
class NotApplied:
    """Nothing was done."""

    change: PolicyChange
    hits: tuple[GuardHit, ...]
    sentence: str
    """What stands in the way and what to do."""
    comes_at: float | None = None
    """Nothing but the time stands in the way: then it comes by itself."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that decide who may apply what."""

    limits: GuardLimits = field(default_factory=GuardLimits)
    second_person: bool = True
    """False: guards are shown and obeyed by nobody (shops of one operator)."""


Stands = Callable[[Reading, Approval], Awaitable[bool]]
"""Whether who approved may still approve, by the token that was used."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What guards look at beside the change and its preview."""

    recent: Sequence[PolicyChange]
    own_logins: Collection[str]
    approved: Approved | None


async def _nothing_else(writing: Writing, change: PolicyChange, words: str) -> None:
    """Nobody was told of the change."""


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
        withdrawn: Withdrawn = _nothing_else,
        telling: Telling | None = None,
        stands: Stands | None = None,
        logins_of: Callable[[Reading, str], Awaitable[Collection[str]]] | None = None,
        timeout_seconds: float = IN_FORCE_WITHIN_SECONDS,
    ) -> None:
        """``withdrawn`` runs in the unit of work that takes a change back; ``logins_of``: an operator's mail logins."""
        self._store = store
        self._previews = previews
        self._publish = publish
        self._in_force = in_force
        self._now = now
        self._rules = rules
        self._perform = perform
        self._withdrawn = withdrawn
        self._telling = telling or Telling(now=now)
        self._stands = stands
        self._logins_of = logins_of
        self._timeout_seconds = timeout_seconds

    async def in_force(self, version: PolicyVersion) -> InForceResult:
        """Wait until every worker judges by that version or a newer one; who does not is named."""
        return await self._in_force.wait(version.number, self._timeout_seconds)

    # --- applying

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
            async with self._store.read() as reading:
                change, policy = await change_and_policy(reading, number)
                warning = await reading.mailing(number, NoticeKind.WARNING)
                standing = await self._standing(reading, change)
                known = await self._known(reading, standing)
            place = self._stage_of(change, stage)
            target = policy if change.action else lives.at_stage(change, policy, place)
            found, cut = None, 0
            if change.action is not None or not turns_down_only(change.touches):
                found = await self._previews.of(policy, lives.in_full(target, change, self._now()), brief=True)
                judged, judged_at = await self._judged(change, policy, found), self._telling.judged_at(change, warning)
                refusal = self._refusal(standing, judged, known, judged_at)
                if refusal is not None:
                    return refusal
                cut = await self._cut_at_once(change, policy, target, found)
                before = self._telling.before(change, policy, cut, warning, tell)
                if before is not None:
                    return await self._told_first(change, policy, before, tell, by)
            waits = self._not_before(self._telling.at_once(change, warning, tell), place)
            if waits is not None:
                return await self._scheduled(change, waits, by)
            try:
                done, changes = await self._store.write(
                    lambda writing: self._step(writing, change, policy, found, by, tell, cut)  # noqa: B023
                )
            except Conflict:
                continue
            await self._publish(changes)
            version = done[1]
            in_force = await self.in_force(version)
            seconds = time.monotonic() - began
            log.info("change_applied", stage=place + 1, **_told_of(done[0], version, in_force, seconds))
            return Applied(done[0], version, in_force, seconds)
        raise Conflict(f"others keep changing the policy: apply change {number} again")

    async def _standing(self, reading: Reading, change: PolicyChange) -> PolicyChange:
        """The change with the approvals that count: a token that was revoked since, or a role taken, ends its word."""
        if self._stands is None or change.done:
            return change
        return replace(change, approvals=tuple([a for a in change.approvals if await self._stands(reading, a)]))

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
        return await self._previews.of(policy, lives.in_full(whole, change, self._now()), brief=True)

    async def stands_in_the_way(self, change: PolicyChange, found: Previewed) -> NotApplied | None:
        """What would refuse the change now, time apart, were ``found`` what it does; None: one person may apply it."""
        async with self._store.read() as reading:
            standing = await self._standing(reading, change)
            known = await self._known(reading, standing)
        return self._refusal(standing, found, known, self._now())

    async def would_refuse(self, number: int) -> NotApplied | None:
        """What would refuse a change that has not begun, were all of it applied now; None: nothing, time apart.

        Of one that has begun the whole was let through. Raises like ``apply``, and ``NotReadyYet``.
        """
        async with self._store.read() as reading:
            change, policy = await change_and_policy(reading, number)
        if change.done or change.action is not None:
            return None
        whole = lives.at_stage(change, policy, len(change.stages) - 1)
        found = await self._previews.of(policy, lives.in_full(whole, change, self._now()), brief=True)
        return await self.stands_in_the_way(change, found)

    async def _known(self, reading: Reading, change: PolicyChange) -> "_Known":
        recent = await author_changes(reading, self._now() - COUNTED_SECONDS)
        own = await self._logins_of(reading, change.author) if self._logins_of else ()
        return _Known(recent, own, await approved_of(reading, change))

    def _stage_of(self, change: PolicyChange, wanted: int | None) -> int:
        if State.APPLYING not in lives.WAYS[change.state]:
            lives.moved(change, State.APPLYING, 0.0, "")
        if wanted is not None and wanted != change.next_stage:
            raise InvalidValue(
                f"stage {wanted + 1} of change {change.number} is in force already: look at it again (gatepost change "
                f"show {change.number})"
            )
        return change.next_stage

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
        sentence = f"not before its time, in {_lasting(at - self._now())}; {then}"
        return NotApplied(waiting, (), sentence, at if by_itself else None)

    async def _told_first(
        self, change: PolicyChange, policy: PolicyVersion, before: Before, tell: Tell | None, by: str
    ) -> NotApplied:
        if before.sentence:
            return NotApplied(change, (), before.sentence)
        waiting, _ = await self._store.write(
            lambda writing: self._telling.put_off(writing, change, policy, before, tell, by)
        )
        left = _lasting(before.until - self._now())
        return NotApplied(
            waiting,
            (),
            f"the people whom change {change.number} cuts are warned first: it comes by itself in {left}; to cut at "
            f"once: gatepost apply {change.number} --tell with-the-cut",
            before.until,
        )

    def _refusal(
        self, change: PolicyChange, found: Previewed, known: "_Known", approved_at: float
    ) -> NotApplied | None:
        rules, now, number = self._rules(), self._now(), change.number
        if change.state is State.DRAFT:
            return NotApplied(change, (), f"change {number} has no preview yet: gatepost change preview {number}")
        hits = guard_hits(change, found.measured, known.recent, rules.limits, known.own_logins, now)
        if not hits or not rules.second_person:
            return None
        approval = lives.approval_in_force(change, approved_at)
        if approval is None:
            ended = any(each.ends_at <= now for each in change.approvals)
            word = "its approval has ended: " if ended else ""
            return NotApplied(
                change,
                hits,
                f"{word}change {number} needs the approval of a second person, not {change.author}: "
                f"gatepost approve {number}",
            )
        approved = known.approved or Approved()
        more, most = beyond(approved.newly_cut, found.newly_cut)
        words = f"{more} devices would be cut that were not in"
        if more <= most:
            more, most = beyond_number(approved.newly_admitted, found.measured.newly_admitted)
            words = f"{more} devices more would be admitted than in"
        if more <= most:
            return None
        return NotApplied(
            change,
            hits,
            f"{words} the preview that {approval.operator} approved (at most {most} may differ): preview it again "
            f"(gatepost change preview {number}) and have that approved",
        )

    async def _step(
        self,
        writing: Writing,
        change: PolicyChange,
        policy: PolicyVersion,
        found: Previewed | None,
        by: str,
        tell: Tell | None = None,
        cut: int = 0,
    ) -> tuple[PolicyChange, PolicyVersion]:
        present, newest = await change_and_policy(writing, change.number)
        if present != change or newest.number != policy.number:
            # What was looked at is not what is there: look again.
            raise Conflict(f"change {change.number} or the policy moved meanwhile")
        now, stage = self._now(), change.next_stage
        version = newest
        if change.action is not None:
            await self._do(writing, change.action, change)
        else:
            version = await self._next_version(writing, lives.at_stage(change, newest, stage), newest, change, stage)
        last = stage + 1 == len(change.stages)
        words = f"stage {stage + 1} of {len(change.stages)}, policy version {version.number}"
        done = replace(
            lives.moved(change, State.APPLYING, now, by, words),
            done=(*change.done, _stage_done(stage, version, found, now, by)),
            tell=tell or change.tell,
        )
        if last:
            done = lives.moved(done, State.APPLIED, now, by)
        await writing.put_policy_change(done, now)
        await self._telling.cut(writing, done, version, cut, by)
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

    async def _next_version(
        self, writing: Writing, edited: PolicyVersion, newest: PolicyVersion, change: PolicyChange, stage: int
    ) -> PolicyVersion:
        if edited == newest:
            return newest
        place = f", stage {stage + 1} of {len(change.stages)}" if len(change.stages) > 1 else ""
        note = f" ({change.note})" if change.note else ""
        return await self._put(writing, edited, newest, change.author, f"{change.title}{place}{note}")

    async def _put(
        self, writing: Writing, edited: PolicyVersion, newest: PolicyVersion, author: str, summary: str
    ) -> PolicyVersion:
        version = replace(edited, number=newest.number + 1, created_at=self._now(), author=author, summary=summary)
        await writing.put_policy(version)
        writing.log_policy(version.number)
        await writing.log_audit(policy_edited(newest, version))
        return version

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
        """Take a change back: at once, by one person, whatever else happened since.

        What it touched is as before, as far as that enforces nothing more than now; waiting notices are cancelled in
        the same unit of work. Raises ``InvalidValue`` only where the change is over already.
        """
        began = time.monotonic()

        async def work(writing: Writing) -> tuple[PolicyChange, PolicyVersion, lives.TakenBack]:
            change, newest = await change_and_policy(writing, number)
            now = self._now()
            back, version, to = lives.TakenBack(newest), newest, State.REJECTED
            if change.done:
                back, to = _undone(change, newest), State.WITHDRAWN
            ended = lives.moved(change, to, now, by, words)
            if back.version != newest:
                version = await self._put(
                    writing, back.version, newest, by, f"change {number} withdrawn: {change.title}"
                )
            ended = replace(ended, withdrawn_by_version=version.number if change.done else None)
            await writing.put_policy_change(ended, now)
            await self._withdrawn(writing, ended, words)
            kind = AuditKind.CHANGE_WITHDRAWN if change.done else AuditKind.CHANGE_REJECTED
            clashes, kept = list(back.clashes), list(back.kept)
            told = change_told(ended, kind, by, reason=words, version=version.number, clashes=clashes, kept=kept)
            await writing.log_audit(told)
            return ended, version, back

        (change, version, back), changes = await self._written(work)
        await self._publish(changes)
        in_force = await self.in_force(version)
        seconds = time.monotonic() - began
        log.info("change_withdrawn", by=by, **_told_of(change, version, in_force, seconds))
        return Applied(change, version, in_force, seconds, back.clashes, back.kept)

    async def _written(self, work: Callable[[Writing], Awaitable[T]]) -> tuple[T, Sequence[Change]]:
        """Write, again where somebody else was quicker: taking back is never refused for that."""
        for _ in range(ATTEMPTS - 1):
            with suppress(Conflict):
                return await self._store.write(work)
        return await self._store.write(work)


def _told_of(
    change: PolicyChange, version: PolicyVersion, in_force: InForceResult, seconds: float
) -> dict[str, object]:
    return {
        "change": change.number,
        "title": change.title,
        "author": change.author,
        "policy_version": version.number,
        "workers": in_force.workers,
        "in_force": in_force.in_force,
        "silent": list(in_force.silent),
        "seconds": round(seconds, 4),
    }


def _undone(change: PolicyChange, newest: PolicyVersion) -> lives.TakenBack:
    if change.action is not None:
        # Undoing it (removing an operator, say) is an act of its own, which may take a second person.
        return lives.TakenBack(newest, kept=(f"action:{change.action.kind}",))
    return lives.taken_back(change, newest)


def _stage_done(stage: int, version: PolicyVersion, found: Previewed | None, now: float, by: str) -> StageDone:
    if found is None:
        return StageDone(stage, version.number, now, by)
    seen = found.measured
    by_name = seen.cut_by_name + seen.admitted_by_name
    return StageDone(stage, version.number, now, by, seen.newly_cut, seen.newly_admitted, by_name)


def _lasting(seconds: float) -> str:
    """A time to wait in words."""
    for size, word in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {word}"
    return f"{seconds:.0f} seconds"
