"""The desk where changes are made: proposed, previewed, approved, rejected. Applying them is ``applying``'s.

Each step is one unit of work on the store that reads the change anew, so that two people who act at once cannot undo
one another, and a process that dies leaves a change as it was or one step further.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from gateway.changes.audited import change_told
from gateway.changes.guards import turns_down_only
from gateway.changes.previews import Approved, Previewed, Previews, decode_preview, encode_preview, of_change, within
from gateway.domain import change as lives
from gateway.domain.audit import AuditKind
from gateway.domain.audit.entry import Value
from gateway.domain.change import Approval, GuardedAction, PolicyChange, State
from gateway.domain.errors import InvalidValue
from gateway.domain.notice import Tell
from gateway.domain.operator import Action, not_allowed
from gateway.domain.policy import PolicyVersion
from gateway.domain.policy_parts import Touch, differences, parts_of
from gateway.domain.stages import EVERYBODY, Stage, see_that_stages_rise, staged
from gateway.ports.store import Reading, Store, Writing

log = structlog.get_logger()

TITLE_LONGEST = 300
NOTE_LONGEST = 2_000
SOURCE_LONGEST = 4 << 20
APPROVAL_SECONDS = 86_400.0
NUMBERS_BELOW = 1 << 31
"""Of changes."""

Edit = Callable[[PolicyVersion], PolicyVersion]
Ended = Callable[[Writing, PolicyChange, str], Awaitable[None]]
"""What else happens in the unit of work that ends a change; the words are the reason."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts."""

    name: str
    token_id: str
    may_approve: bool = True
    may_edit: bool = True
    """False: only what enforces less."""
    first_start: bool = False
    """By the token that the first start has written."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody wants of a change beside its content."""

    title: str = ""
    note: str = ""
    source: str = ""
    stages: tuple[Stage, ...] = (EVERYBODY,)
    starts_at: float | None = None
    tell: Tell | None = None
    """How the people whom it cuts are told; None: as the site does."""
    based_on: int | None = None
    """The policy version that the edit is meant for; None: the newest."""


class NoSuchChange(InvalidValue):
    """There is no change of that number."""


class NotAllowed(InvalidValue):
    """No role of the operator allows that."""


class ChangeDesk:
    """Makes changes and takes decisions about them."""

    def __init__(
        self,
        store: Store,
        previews: Previews,
        now: Callable[[], float] = time.time,
        *,
        approval_seconds: float = APPROVAL_SECONDS,
        operators: Callable[[Reading], Awaitable[int]] | None = None,
        rejected: Ended | None = None,
    ) -> None:
        """``operators``: how many named operators there are; ``rejected`` runs in the unit of work that rejects."""
        self._store = store
        self._previews = previews
        self._now = now
        self._approval_seconds = approval_seconds
        self._operators = operators
        self._rejected = rejected

    async def propose(self, actor: Actor, edit: Edit, wanted: Wanted = Wanted()) -> PolicyChange | None:
        """A draft of what ``edit`` does to the newest policy; None when that changes nothing.

        Raises what ``edit`` raises (``InvalidValue``), and ``InvalidValue`` for what is wanted beside it.
        """
        _check(wanted)

        async def work(writing: Writing) -> PolicyChange | None:
            newest = await writing.policy()
            if newest is None:
                raise InvalidValue("there is no policy yet: the gateway is still starting")
            base = await _base(writing, newest, wanted.based_on)
            edited = edit(base)
            touches = _left_to_do(differences(base, edited), newest)
            if not touches:
                return None
            title = wanted.title or edited.summary
            change = await self._new(writing, actor, replace(wanted, title=title), base.number)
            change = replace(change, touches=touches)
            _see_that_nobody_touched(change, newest)
            if not actor.may_edit and not turns_down_only(touches):
                raise NotAllowed(not_allowed(actor.name, Action.EDIT_POLICY))
            for number in range(len(change.stages)):
                for touch in touches:
                    staged(touch, change.stages[: number + 1])
            return await self._put(writing, change, AuditKind.CHANGE_PROPOSED, actor.name, stages=len(change.stages))

        change, _ = await self._store.write(work)
        return change

    async def propose_action(self, actor: Actor, action: GuardedAction, wanted: Wanted) -> PolicyChange:
        """A draft of something that is no part of the policy and needs a second person."""
        _check(wanted)

        async def work(writing: Writing) -> PolicyChange:
            policy = await writing.policy()
            number = policy.number if policy else 0
            change = replace(await self._new(writing, actor, wanted, number), action=action)
            return await self._put(writing, change, AuditKind.CHANGE_PROPOSED, actor.name, stages=len(change.stages))

        change, _ = await self._store.write(work)
        return change

    async def _new(self, writing: Writing, actor: Actor, wanted: Wanted, base: int) -> PolicyChange:
        newest = await writing.policy_changes(limit=1)
        return PolicyChange(
            number=newest[0].number + 1 if newest else 1,
            author=actor.name,
            token_id=actor.token_id,
            created_at=self._now(),
            title=wanted.title[:TITLE_LONGEST],
            base_version=base,
            stages=wanted.stages,
            starts_at=wanted.starts_at,
            note=wanted.note,
            source=wanted.source,
            tell=wanted.tell,
        )

    async def preview(self, number: int, by: str) -> tuple[PolicyChange, Previewed]:
        """What the whole change would do now; kept with it.

        An approval stands while what it was given for is not left behind (``previews.beyond``); otherwise it is void.
        """
        async with self._store.read() as reading:
            change, policy = await change_and_policy(reading, number)
        if change.state not in lives.UNDER_WAY and State.PREVIEWED not in lives.WAYS[change.state]:
            raise InvalidValue(f"change {number} is {change.state}: there is nothing to preview any more")
        after = policy if change.action else lives.at_stage(change, policy, len(change.stages) - 1)
        found = await of_change(self._previews, policy, after, change, self._now())

        async def work(writing: Writing) -> PolicyChange:
            present, _ = await change_and_policy(writing, number)
            approved = await approved_of(writing, present)
            stands = approved is not None and within(approved, found)
            changed = lives.previewed(present, found.seen, by, approvals_stand=stands)
            content = encode_preview(found, approved if changed.approvals else None)
            await writing.put_change_preview(number, found.seen.digest, content)
            figures = {"newly_cut": found.seen.newly_cut, "newly_admitted": found.seen.newly_admitted}
            return await self._put(writing, changed, AuditKind.PREVIEW_SHOWN, by, **figures)

        seen, _ = await self._store.write(work)
        return seen, found

    async def approve(self, number: int, actor: Actor, digest: str) -> PolicyChange:
        """A second person's yes to the preview with that digest. Raises ``InvalidValue`` where it does not count."""
        if not actor.may_approve:
            raise NotAllowed(not_allowed(actor.name, Action.APPROVE))

        async def work(writing: Writing) -> PolicyChange:
            change, _ = await change_and_policy(writing, number)
            if actor.token_id == change.token_id:
                raise InvalidValue(f"change {number} was made with the same token: another person approves it")
            await self._see_that_the_first_token_may(writing, actor)
            now = self._now()
            # What comes by itself at its moment has to find the approval there.
            ends_at = max(now, change.starts_at or now) + self._approval_seconds
            approval = Approval(actor.name, actor.token_id, now, digest, ends_at)
            return await self._put(writing, lives.approved(change, approval), AuditKind.CHANGE_APPROVED, actor.name)

        change, _ = await self._store.write(work)
        return change

    async def _see_that_the_first_token_may(self, writing: Writing, actor: Actor) -> None:
        if actor.first_start and self._operators is not None and await self._operators(writing) > 1:
            raise InvalidValue(
                "the token of the first start cannot approve now that there is a second operator: approve with a "
                "token of your own name"
            )

    async def reject(self, number: int, actor: Actor, words: str = "") -> PolicyChange:
        """The end of a change that has not begun; anybody who may change things can end it."""

        async def work(writing: Writing) -> PolicyChange:
            change, _ = await change_and_policy(writing, number)
            if change.done:
                raise InvalidValue(
                    f"change {number} is {change.state}: withdraw it instead (gatepost withdraw {number})"
                )
            rejected = lives.moved(change, State.REJECTED, self._now(), actor.name, words)
            if self._rejected is not None:
                # Who was warned of it is told that it does not come.
                await self._rejected(writing, rejected, words)
            return await self._put(writing, rejected, AuditKind.CHANGE_REJECTED, actor.name, reason=words)

        change, _ = await self._store.write(work)
        return change

    async def _put(
        self, writing: Writing, change: PolicyChange, kind: AuditKind, by: str, **details: Value
    ) -> PolicyChange:
        await writing.put_policy_change(change, self._now())
        await writing.log_audit(change_told(change, kind, by, **details))
        return change


def _check(wanted: Wanted) -> None:
    see_that_stages_rise(wanted.stages)
    if len(wanted.note) > NOTE_LONGEST:
        raise InvalidValue(f"a note has at most {NOTE_LONGEST} characters")
    if len(wanted.source) > SOURCE_LONGEST:
        raise InvalidValue("a policy file has at most 4 MB")


async def change_and_policy(reading: Reading, number: int) -> tuple[PolicyChange, PolicyVersion]:
    """A change and the newest policy. Raises ``NoSuchChange``."""
    # No database takes any number.
    change = await reading.policy_change(number) if 0 < number < NUMBERS_BELOW else None
    policy = await reading.policy()
    if change is None or policy is None:
        raise NoSuchChange(f"there is no change {number}: gatepost change list shows them")
    return change, policy


async def author_changes(reading: Reading, since: float) -> Sequence[PolicyChange]:
    """Changes written since then, for guards that count a day."""
    return await reading.policy_changes(limit=10_000, since=since)


async def approved_of(reading: Reading, change: PolicyChange) -> Approved | None:
    """What the newest approval of the change was given for; None without an approval."""
    if change.preview is None or not change.approvals:
        return None
    content = await reading.change_preview(change.number, change.preview.digest)
    if content is None:
        return None
    kept = decode_preview(content)
    if kept.approved is not None and change.approvals[-1].digest != change.preview.digest:
        return kept.approved
    return Approved(kept.newly_cut, change.preview.newly_admitted)


# --- made against an older policy version


async def _base(reading: Reading, newest: PolicyVersion, wanted: int | None) -> PolicyVersion:
    if wanted is None or wanted == newest.number:
        return newest
    base = await reading.policy(wanted) if wanted < newest.number else None
    if base is None:
        raise InvalidValue(
            f"based_on names policy version {wanted}, the newest here is {newest.number}: export it anew (gatepost "
            f"policy export), or leave based_on out to go by what is in force"
        )
    return base


def _left_to_do(touches: tuple[Touch, ...], newest: PolicyVersion) -> tuple[Touch, ...]:
    """Without what is by now as it shall be."""
    parts = parts_of(newest)
    return tuple(touch for touch in touches if parts.get(touch.part) != touch.after)


def _see_that_nobody_touched(change: PolicyChange, newest: PolicyVersion) -> None:
    found = lives.clashes(change, newest)
    if found:
        raise InvalidValue(
            f"somebody changed the same thing since policy version {change.base_version} (now {newest.number}): "
            f"{', '.join(clash.part for clash in found)}. Nothing was made: export it anew (gatepost policy export), "
            "or leave based_on out to overrule that"
        )
