"""What is told of a change: a mailing begins in the unit of work that orders it, and its recipients follow.

``begin`` is a few statements whatever the number of people, so that it stands in the transaction that brings a change
into force. Who the recipients are is written down by ``recipients`` afterwards; nothing leaves before that has ended
and the hold is over.
"""

from dataclasses import dataclass, replace

from gateway.domain.change import PolicyChange, State
from gateway.domain.errors import InvalidValue
from gateway.domain.notice import (
    NEWEST_PREVIEW,
    Mailing,
    MailingState,
    NoticeKind,
    Plan,
    mailing_moved,
)
from gateway.ports.store import Reading, Writing

ALLOWED = {
    NoticeKind.WARNING: frozenset({State.PREVIEWED, State.APPROVED, State.SCHEDULED, State.APPLYING, State.APPLIED}),
    NoticeKind.CUT: frozenset({State.APPLYING, State.APPLIED}),
    # By the newest preview: in the middle of its stages that has people whom nothing has cut yet.
    NoticeKind.ADMITTED: frozenset({State.APPLIED}),
}
"""In which states of a change which notices are planned; corrections plan themselves."""
AHEAD_LONGEST_SECONDS = 368 * 86_400.0
"""Of a deadline; a change lies a year ahead at most. In the zones of readers the calendar ends with the year 9999."""
OVER = frozenset({State.REJECTED, State.WITHDRAWN})
"""States of a change in which no notice about it leaves, but for corrections."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A mailing that somebody wants, or that goes with a change."""

    kind: NoticeKind
    by: str
    hold_seconds: float = 600.0
    expires_seconds: float = 86_400.0
    deadline: float | None = None
    urgent: bool = False
    apps: tuple[str, ...] = ()
    text: str = ""
    waves: tuple[int, ...] = (NEWEST_PREVIEW,)
    """See ``domain.notice.Plan.waves``."""


def by_hand(change: PolicyChange, kind: NoticeKind) -> tuple[int, ...]:
    """The waves of a mailing that somebody orders. Of a cut only those are told whom what is in force cuts.

    Others go by the newest preview: who is warned is not cut yet, and who has mail again is cut no more.
    """
    if kind is not NoticeKind.CUT:
        return (NEWEST_PREVIEW,)
    return tuple(each.policy_version for each in change.done if not change.stages[each.stage].report_only)


async def begin(writing: Writing, change: PolicyChange, wanted: Wanted, now: float) -> Mailing:
    """Write down that people are told; a mailing that is there already gets another wave of recipients.

    Raises ``InvalidValue`` where the change is in no state for it, the mailing was taken back, or there is nobody new.
    """
    _see_that_it_fits(change, wanted, now)
    if not wanted.waves:
        raise InvalidValue(f"change {change.number} cuts nobody yet: what is in force of it only reports")
    present = await writing.mailing(change.number, wanted.kind)
    known = (*present.plan.waves, *present.plan.written) if present is not None else ()
    waves = tuple(wave for wave in wanted.waves if wave not in known)
    plan = Plan(waves, hold_seconds=wanted.hold_seconds, expires_seconds=wanted.expires_seconds)
    if present is None:
        begun = Mailing(
            change.number,
            wanted.kind,
            now,
            wanted.by,
            deadline=wanted.deadline,
            urgent=wanted.urgent,
            apps=wanted.apps,
            text=wanted.text,
            life=await writing.incarnation(),
            plan=plan,
        )
    elif not waves or NEWEST_PREVIEW in waves or present.state is MailingState.CANCELLED:
        raise InvalidValue(f"the {wanted.kind} notices of change {change.number} are {present.state} already")
    else:
        begun = _with_waves(present, plan)
    await writing.put_mailing(begun)
    return begun


def _see_that_it_fits(change: PolicyChange, wanted: Wanted, now: float) -> None:
    if wanted.kind not in ALLOWED:
        raise InvalidValue("corrections go out by themselves when a change is withdrawn")
    if wanted.deadline is not None and wanted.deadline <= now:
        raise InvalidValue("the deadline is over already")
    if wanted.deadline is not None and wanted.deadline > now + AHEAD_LONGEST_SECONDS:
        raise InvalidValue("the deadline lies more than a year ahead")
    if change.state not in ALLOWED[wanted.kind]:
        raise InvalidValue(f"change {change.number} is {change.state}: a {wanted.kind} notice is not for that")


def _with_waves(present: Mailing, plan: Plan) -> Mailing:
    """Some waves more: a few first again, since it is a new stage. What somebody has stopped stays so."""
    before = present.plan
    waves = (*before.waves, *plan.waves)
    following = replace(
        plan,
        waves=waves,
        without_address=before.without_address,
        not_found=before.not_found,
        not_so=before.not_so,
        written=before.written,
    )
    if before.waves:
        following = replace(before, waves=waves)
    to = MailingState.STOPPED if present.state is MailingState.STOPPED else MailingState.PLANNING
    moved = (
        replace(present, version=present.version + 1)
        if present.state is to
        else mailing_moved(present, to, present.words)
    )
    return replace(moved, plan=following, batch=0, next_batch_at=0.0)


async def planned_people(reading: Reading, mailing: Mailing) -> int:
    """How many notices of a mailing are written down."""
    return sum((await reading.notice_counts(mailing.change, mailing.kind)).values())
