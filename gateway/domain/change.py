"""A change: what an administrator wants of the policy, as data, and the states it lives through.

A change holds the parts that it touches (``policy_parts``), never a whole policy: it can be put on a later version as
long as nobody else has touched the same parts, and it can be taken back. Its states and the ways between them stand in
one table, ``WAYS``; whoever moves a change does so by ``moved``, which writes its history.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from gateway.domain.errors import InvalidValue
from gateway.domain.milder import is_no_harsher, milder
from gateway.domain.notice import Tell
from gateway.domain.operator import same_name
from gateway.domain.policy import Exemption, PolicyVersion
from gateway.domain.policy_parts import FlagPart, PartValue, Touch, parts_of, put_parts
from gateway.domain.stages import EVERYBODY, Stage, staged

HISTORY_LONGEST = 500
PUT_BACK = "the database was put back to an earlier state"


class State(StrEnum):
    """Where a change stands."""

    DRAFT = "draft"
    PREVIEWED = "previewed"
    APPROVED = "approved"
    SCHEDULED = "scheduled"
    APPLYING = "applying"
    APPLIED = "applied"
    HALTED = "halted"
    WITHDRAWN = "withdrawn"
    REJECTED = "rejected"


WAYS: dict[State, frozenset[State]] = {
    State.DRAFT: frozenset({State.PREVIEWED, State.SCHEDULED, State.APPLYING, State.REJECTED}),
    State.PREVIEWED: frozenset({State.PREVIEWED, State.APPROVED, State.SCHEDULED, State.APPLYING, State.REJECTED}),
    State.APPROVED: frozenset({State.PREVIEWED, State.APPROVED, State.SCHEDULED, State.APPLYING, State.REJECTED}),
    State.SCHEDULED: frozenset({State.PREVIEWED, State.APPLYING, State.REJECTED}),
    State.APPLYING: frozenset({State.APPLYING, State.APPLIED, State.HALTED, State.WITHDRAWN}),
    State.HALTED: frozenset({State.APPLYING, State.WITHDRAWN}),
    State.APPLIED: frozenset({State.WITHDRAWN}),
    State.WITHDRAWN: frozenset(),
    State.REJECTED: frozenset(),
}
"""From each state, where to. Only what turns enforcement down goes from draft at once. A new preview makes an approval
void, and one that has ended is given again; a rejected or withdrawn change is over."""

UNDER_WAY = frozenset({State.APPLYING, State.HALTED})
"""Stages are in force, and others may follow: previews and approvals are of what is left."""


@dataclass(frozen=True, slots=True)
class PreviewSeen:
    """The preview that a decision stands on; its numbers and its set of devices are kept beside the change."""

    digest: str
    """Over what it says: the policy before and after, and the devices that turn."""
    policy_version: int
    sequence: int
    """Of the change log: what the evidence was."""
    at: float
    newly_cut: int
    newly_admitted: int
    devices: int
    """All that are known."""


@dataclass(frozen=True, slots=True)
class Approval:
    """A second person's yes to one preview."""

    operator: str
    token_id: str
    at: float
    digest: str
    ends_at: float


@dataclass(frozen=True, slots=True)
class StageDone:
    """A stage that is in force."""

    stage: int
    policy_version: int
    at: float
    by: str
    newly_cut: int = 0
    newly_admitted: int = 0
    """As computed when it came into force."""
    by_name: int = 0
    """People beside these who turned where a login alone asks."""


@dataclass(frozen=True, slots=True)
class Moved:
    """One step of a change's history."""

    state: State
    at: float
    by: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class GuardedAction:
    """What is no part of the policy and still needs a second person: an operator, a wide source, a bold binding."""

    kind: str
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """A change as it stands."""

    number: int
    author: str
    token_id: str
    created_at: float
    title: str
    base_version: int
    """The policy version that it was made against."""
    touches: tuple[Touch, ...] = ()
    action: GuardedAction | None = None
    """Done when the change is applied; then nothing of the policy is touched."""
    stages: tuple[Stage, ...] = (EVERYBODY,)
    state: State = State.DRAFT
    preview: PreviewSeen | None = None
    approvals: tuple[Approval, ...] = ()
    done: tuple[StageDone, ...] = ()
    starts_at: float | None = None
    """Not before this moment; None: when somebody applies it."""
    withdrawn_by_version: int | None = None
    note: str = ""
    source: str = ""
    """The policy file that it was made from, comments included; empty for single commands."""
    history: tuple[Moved, ...] = field(default=(), repr=False)
    tell: Tell | None = None
    """How the people whom it cuts are told; None: as the site does."""
    own_starts_at: float | None = None
    """The moment that it was made with, where a warning has put another one into ``starts_at``."""

    @property
    def next_stage(self) -> int:
        """Number of the stage that comes next; ``len(stages)`` when all are in force."""
        return len(self.done)


def moved(change: PolicyChange, to: State, at: float, by: str, words: str = "") -> PolicyChange:
    """The change in another state. Raises ``InvalidValue`` where no way leads there."""
    if to not in WAYS[change.state]:
        ways = ", ".join(sorted(WAYS[change.state])) or "nothing any more: make a new change"
        raise InvalidValue(f"change {change.number} is {change.state}; from there it can become {ways}, not {to}")
    return _stepped(change, to, at, by, words)


def _stepped(change: PolicyChange, to: State, at: float, by: str, words: str) -> PolicyChange:
    steps = (*change.history, Moved(to, at, by, words))[-HISTORY_LONGEST:]
    return replace(change, state=to, history=steps)


def previewed(change: PolicyChange, preview: PreviewSeen, by: str, *, approvals_stand: bool = False) -> PolicyChange:
    """With a (new) preview. Approvals of another one are void, unless who knows both says that they stand."""
    kept = tuple(each for each in change.approvals if approvals_stand or each.digest == preview.digest)
    words = f"{preview.newly_cut} newly cut, {preview.newly_admitted} newly admitted"
    unasked = change.state is State.SCHEDULED and not change.approvals
    if unasked or change.state in UNDER_WAY or (change.state in (State.APPROVED, State.SCHEDULED) and kept):
        return replace(change, preview=preview, approvals=kept)
    return replace(moved(change, State.PREVIEWED, preview.at, by, words), preview=preview, approvals=kept)


def approved(change: PolicyChange, approval: Approval) -> PolicyChange:
    """With a second person's yes. Raises ``InvalidValue``: to another preview, by the author, in another state."""
    if change.preview is None or change.preview.digest != approval.digest:
        raise InvalidValue(
            f"the preview of change {change.number} is another one by now: look at it again (gatepost change show "
            f"{change.number}) and approve what it says"
        )
    if same_name(approval.operator, change.author):
        raise InvalidValue(f"{approval.operator} made change {change.number}: it needs another person's approval")
    words = f"preview {approval.digest[:12]} approved"
    if change.state is State.SCHEDULED or change.state in UNDER_WAY:
        # It goes on where it stands: its moment, or its next stage, lacked nothing but the yes.
        stepped = _stepped(change, State.APPROVED, approval.at, approval.operator, words)
        agreed = replace(stepped, state=change.state)
    else:
        agreed = moved(change, State.APPROVED, approval.at, approval.operator, words)
    return replace(agreed, approvals=(*change.approvals, approval))


def approval_in_force(change: PolicyChange, now: float) -> Approval | None:
    """The newest approval that counts, if one has not ended; void ones went with the preview that made them so.

    What was approved when the first stage came was the whole change: that yes lasts as long as the change is under way.
    One that was good when people were warned was good for the stage that they were warned of, and lasts so, too.
    """
    return next((each for each in reversed(change.approvals) if _lasts(each, change, now)), None)


def _lasts(approval: Approval, change: PolicyChange, now: float) -> bool:
    began_under_it = any(approval.at <= at < approval.ends_at for at in _began(change))
    return began_under_it or now < approval.ends_at


def _began(change: PolicyChange) -> Iterator[float]:
    """When the first stage came, and when it began to wait for that, people being warned meanwhile: either counts."""
    if not change.done:
        return
    first = change.done[0].at
    yield first
    since: float | None = None
    for step in change.history:
        if step.at > first or step.state is State.APPLYING:
            break
        if step.state is not State.APPROVED:
            # A yes to what waits moves nothing; a preview that made approvals void ended the wait.
            since = step.at if step.state is State.SCHEDULED else None
    if since is not None:
        yield since


def put_back(change: PolicyChange, at: float, by: str) -> PolicyChange:
    """The change in a store that was put back to an earlier state: what became of it since, nobody there knows.

    So nothing of it comes by itself, and nobody's yes to it counts any more.
    """
    stops = {State.APPROVED: State.PREVIEWED, State.SCHEDULED: State.PREVIEWED, State.APPLYING: State.HALTED}
    if change.state in stops:
        change = moved(change, stops[change.state], at, by, PUT_BACK)
    return replace(change, approvals=())


def lost_upto(number: int, base_version: int, at: float, by: str) -> PolicyChange:
    """What stands for the changes up to that number that a store lost as it was put back: over, and nothing in it.

    Notices that had left and the audit log tell of them by number, so none of theirs is given out again.
    """
    title = "changes up to this number were lost with the database that was replaced; none is given out twice"
    draft = PolicyChange(number, by, "", at, title, base_version)
    return moved(draft, State.REJECTED, at, by, PUT_BACK)


# --- what a change does to a policy


@dataclass(frozen=True, slots=True)
class Clash:
    """A part that somebody else has touched meanwhile."""

    part: str
    expected: PartValue | None
    present: PartValue | None


def clashes(change: PolicyChange, version: PolicyVersion) -> tuple[Clash, ...]:
    """The parts of the change that are no longer as it left or found them."""
    parts = parts_of(version)
    expected = {touch.part: _values(change, touch) for touch in change.touches}
    return tuple(
        Clash(touch.part, touch.before, parts.get(touch.part))
        for touch in change.touches
        if parts.get(touch.part) not in expected[touch.part]
    )


def _values(change: PolicyChange, touch: Touch) -> Sequence[PartValue | None]:
    """What the part may be: as before or as after; with a stage in force, as that has made it or as after.

    As before it is then by somebody's word: who turns a flag back between two stages is not overruled by the next one.
    """
    if not change.done:
        return [touch.before, touch.after]
    return [staged(touch, change.stages[: change.done[-1].stage + 1]), touch.after]


def at_stage(change: PolicyChange, version: PolicyVersion, stage: int) -> PolicyVersion:
    """The policy with the change up to that stage. Raises ``InvalidValue`` where somebody touched the same parts."""
    found = clashes(change, version)
    if found:
        names = ", ".join(clash.part for clash in found)
        raise InvalidValue(
            f"somebody changed the same thing since change {change.number} was made (policy version "
            f"{change.base_version}, now {version.number}): {names}. Plan it anew on what is there now"
        )
    values = {touch.part: staged(touch, change.stages[: stage + 1]) for touch in change.touches}
    return put_parts(version, values)


def in_full(version: PolicyVersion, change: PolicyChange, now: float) -> PolicyVersion:
    """The version with what the change brings at a later date as if that had come: guards see whom it turns then."""
    parts = parts_of(version)
    values = {touch.part: _begun(parts.get(touch.part), now) for touch in change.touches}
    return put_parts(version, {part: value for part, value in values.items() if value is not None})


def _begun(value: PartValue | None, now: float) -> PartValue | None:
    """A ban's flag, or an exemption, that begins later, begun; None: nothing of it does."""
    if isinstance(value, FlagPart) and value.starts_at is not None and value.starts_at > now:
        return replace(value, starts_at=None)
    if isinstance(value, Exemption) and value.starts_at > now:
        # The same whenever it is asked for: a preview's digest is over this.
        return replace(value, starts_at=0.0)
    return None


@dataclass(frozen=True, slots=True)
class TakenBack:
    """A policy without a change."""

    version: PolicyVersion
    clashes: tuple[str, ...] = ()
    """Parts that a later change had touched, too: the milder value stands."""
    kept: tuple[str, ...] = ()
    """Parts that are not as before the change, because that would enforce more than is enforced now."""


def taken_back(change: PolicyChange, version: PolicyVersion) -> TakenBack:
    """The policy in which what the change touched is as before, as far as that enforces nothing more. Never refuses."""
    parts = parts_of(version)
    later = {clash.part for clash in clashes(change, version)}
    values = {touch.part: _value_back(touch, parts.get(touch.part), touch.part in later) for touch in change.touches}
    whole = _whole_bans(values, parts)
    return TakenBack(
        put_parts(version, whole),
        tuple(touch.part for touch in change.touches if touch.part in later),
        tuple(touch.part for touch in change.touches if whole.get(touch.part) != touch.before),
    )


def _value_back(touch: Touch, present: PartValue | None, touched_since: bool) -> PartValue | None:
    if not touched_since and is_no_harsher(touch.before, present):
        return touch.before
    return milder(touch.before, present)


def _whole_bans(values: dict[str, PartValue | None], parts: dict[str, PartValue]) -> dict[str, PartValue | None]:
    """Without flags of bans that are not there."""
    present = {**parts, **values}
    return {
        part: value
        for part, value in values.items()
        if not part.startswith("flag:") or present.get(f"ban:{part.removeprefix('flag:')}") is not None
    }
