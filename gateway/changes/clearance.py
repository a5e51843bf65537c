"""Whether a change may come into force now: what its guards say, and whether a second person's word stands for it.

The newly cut devices of now are held against those that were approved. What stands in the way is a value that says
what to do.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from gateway.changes.applied import NotApplied
from gateway.changes.desk import approved_of, author_changes
from gateway.changes.guards import COUNTED_SECONDS, GuardLimits, guard_hits
from gateway.changes.previews import Approved, Previewed, beyond, beyond_number
from gateway.domain import change as lives
from gateway.domain.change import Approval, PolicyChange, State
from gateway.ports.store import Reading

Stands = Callable[[Reading, Approval], Awaitable[bool]]
"""Whether who approved may still approve, by the token that was used."""
LoginsOf = Callable[[Reading, str], Awaitable[Collection[str]]]
"""An operator's mail logins."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that decide who may apply what."""

    limits: GuardLimits = field(default_factory=GuardLimits)
    second_person: bool = True
    """False: guards are shown and obeyed by nobody (shops of one operator)."""


@dataclass(frozen=True, slots=True)
class Known:
    """What guards look at beside the change's preview, as it stands at one moment in the store."""

    change: PolicyChange
    """With those approvals that count."""
    recent: Sequence[PolicyChange]
    own_logins: Collection[str]
    approved: Approved | None


class Clearance:
    """One per control process."""

    def __init__(
        self,
        now: Callable[[], float],
        rules: Callable[[], Rules],
        stands: Stands | None = None,
        logins_of: LoginsOf | None = None,
    ) -> None:
        self._now = now
        self._rules = rules
        self._stands = stands
        self._logins_of = logins_of

    async def known(self, reading: Reading, change: PolicyChange) -> Known:
        """All that is asked of the store. Raises ``StoreUnavailable``."""
        standing = await self.standing(reading, change)
        recent = await author_changes(reading, self._now() - COUNTED_SECONDS)
        own = await self._logins_of(reading, change.author) if self._logins_of else ()
        return Known(standing, recent, own, await approved_of(reading, standing))

    async def standing(self, reading: Reading, change: PolicyChange) -> PolicyChange:
        """The change with the approvals that count: a token that was revoked since, or a role taken, ends its word."""
        if self._stands is None:
            return change
        # What was approved when the first stage came was the whole change, whatever became of the approver since.
        began = change.done[0].at if change.done else float("-inf")
        kept = [a for a in change.approvals if a.at <= began or await self._stands(reading, a)]
        return replace(change, approvals=tuple(kept))

    def refusal(self, known: Known, found: Previewed, approved_at: float) -> NotApplied | None:
        """What stands in the way, time apart; ``approved_at``: the moment for which an approval must be good."""
        change, rules, now = known.change, self._rules(), self._now()
        number = change.number
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
        left_behind = _beyond(known.approved or Approved(), found)
        if left_behind is None:
            return None
        words, most = left_behind
        return NotApplied(
            change,
            hits,
            f"{words} the preview that {approval.operator} approved (at most {most} may differ): preview it "
            f"again (gatepost change preview {number}) and have that approved",
        )

    def first_alone(self, known: Known, whole: Previewed, first: Previewed) -> NotApplied | None:
        """What stands in the way of a first stage that turns more than the whole change, which guards have seen.

        What only lessens comes with it, what takes its place with the last; a flag comes with it, what narrows its ban
        with the last: in between stands what nobody approved, and an approval of the whole does not help.
        """
        change, rules = known.change, self._rules()
        cut, most_cut = beyond(whole.newly_cut, first.newly_cut)
        admitted, most = beyond_number(_admitted(whole), _admitted(first))
        hits = guard_hits(change, first.measured, known.recent, rules.limits, known.own_logins, self._now())
        guards = {hit.guard for hit in hits}
        if not rules.second_person:
            return None
        if admitted > most and "newly_admitted" in guards:
            words = f"let in {admitted} that the whole change does not: what only lessens comes at once, what takes its"
            words += " place in the end"
        elif cut > most_cut and guards & {"newly_cut", "named_people"}:
            words = f"cut {cut} that the whole change does not: a flag comes at once, what narrows its ban in the end"
        else:
            return None
        return NotApplied(change, (), f"its first stage would {words}. Make two changes of it, or leave the stages out")


def _admitted(found: Previewed) -> int:
    return found.measured.newly_admitted + found.measured.admitted_by_name


def _beyond(approved: Approved, found: Previewed) -> tuple[str, int] | None:
    """By how much that what is found leaves the approved behind, and how much may be; None: it does not."""
    more, most = beyond(approved.newly_cut, found.newly_cut)
    if more > most:
        return f"{more} devices would be cut that were not in", most
    more, most = beyond_number(approved.newly_admitted, found.measured.newly_admitted)
    return (f"{more} devices more would be admitted than in", most) if more > most else None
