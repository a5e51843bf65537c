"""What is left of a change when a person whom it names is erased.

A guarded action about the person, and an exemption of the person that is in force no more, stay as what they were, with
nobody's name in them. Title, note, policy file and history lose the names where they stand letter for letter; whatever
else somebody wrote about the person there nobody can find. A change that is still to be decided is not rewritten: what
was previewed and approved must stay what it is, so it is ended first.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from gateway.changes.audited import change_told
from gateway.domain.audit import AuditKind
from gateway.domain.change import PolicyChange, State, moved
from gateway.domain.notice import MailingState
from gateway.domain.policy import Exemption
from gateway.domain.policy_parts import PartValue, Touch, parts_of
from gateway.ports.store import Reading, Writing

NOBODY = "(erased)"
UNDECIDED = frozenset({State.DRAFT, State.PREVIEWED, State.APPROVED, State.SCHEDULED})
"""States in which a change has not begun."""
MAILINGS_AT_MOST = 10_000
_ABOUT = ("person", "device", "source_device")
"""Of a guarded action: what says about whom it is."""


def is_about(change: PolicyChange, logins: Collection[str]) -> bool:
    """Whether the change is about nobody but the person: ended, it is missing to nobody else."""
    if change.action is not None:
        return _acts_on(change, logins)
    return bool(change.touches) and all(_exempts(touch, logins) for touch in change.touches)


def names(change: PolicyChange, logins: Collection[str]) -> bool:
    """Whether what the change does names the person; its words are another matter."""
    return _acts_on(change, logins) or any(_exempts(touch, logins) for touch in change.touches)


def nameless(change: PolicyChange, logins: Collection[str], in_force: Collection[str]) -> PolicyChange:
    """The change without the person; ``in_force``: the parts of the newest policy, which stay as they are here."""
    hidden = {login for login in logins if "@" in login}
    action, touches = change.action, change.touches
    if action is not None and _acts_on(change, logins):
        hidden |= {value for key in _ABOUT if (value := action.values.get(key, ""))}
        values = {key: NOBODY if key in _ABOUT and value else value for key, value in action.values.items()}
        action = replace(action, values=values)
    if change.state not in (State.APPLYING, State.HALTED):
        hidden |= set(_named_in(touches, logins))
        touches = tuple(touch if touch.part in in_force else _blank(touch, logins) for touch in touches)
    return replace(
        change,
        action=action,
        touches=touches,
        title=_without(change.title, hidden),
        note=_without(change.note, hidden),
        source=_without(change.source, hidden),
        history=tuple(replace(step, words=_without(step.words, hidden)) for step in change.history),
    )


def _acts_on(change: PolicyChange, logins: Collection[str]) -> bool:
    return change.action is not None and change.action.values.get("person", "") in logins


def _exempts(touch: Touch, logins: Collection[str]) -> bool:
    return any(isinstance(each, Exemption) and each.login in logins for each in (touch.before, touch.after))


def _named_in(touches: Collection[Touch], logins: Collection[str]) -> Iterator[str]:
    for touch in touches:
        for each in (touch.before, touch.after):
            if isinstance(each, Exemption) and each.login in logins:
                yield from (name for name in (each.login, each.device_id) if name)


def _blank(touch: Touch, logins: Collection[str]) -> Touch:
    def blank(value: PartValue | None) -> PartValue | None:
        if not isinstance(value, Exemption) or value.login not in logins:
            return value
        # What a withdrawal may put back is for nobody.
        reason = _without(value.reason, set(logins))
        return replace(value, login=NOBODY, device_id=NOBODY if value.device_id else "", reason=reason)

    return replace(touch, before=blank(touch.before), after=blank(touch.after))


def _without(text: str, hidden: Collection[str]) -> str:
    # The longest first: one may be a part of another.
    for name in sorted(hidden, key=len, reverse=True):
        # Whole names only: ann@corp.example is no part of joann@corp.example.
        pattern = rf"(?<![\w.%+-])(?<!\w'){re.escape(name)}(?![\w%+-]|\.\w)"
        text = re.sub(pattern, NOBODY, text, flags=re.IGNORECASE)
    return text


# --- in the store


async def mailings_made_nameless(writing: Writing, names: Collection[str]) -> int:
    """Take these names out of what mailings were stopped or cancelled with and had come to; how many were rewritten.

    Operators write them, and versions before wrote the mail server's own words, with the reader's address.
    """
    count = 0
    for each in await writing.mailings(limit=MAILINGS_AT_MOST):
        words = _without(each.words, {name for name in names if "@" in name})
        # How far the recipients of one that was taken back were written down.
        over = each.state is MailingState.CANCELLED and each.plan.after in names
        plan = replace(each.plan, after="") if over else each.plan
        if words != each.words or plan != each.plan:
            await writing.put_mailing(replace(each, version=each.version + 1, words=words, plan=plan))
            count += 1
    return count


async def changes_naming(reading: Reading, logins: Collection[str], most: int) -> list[int]:
    """The numbers of the newest ``most`` changes that name the person in what they do or in their words."""
    policy = await reading.policy()
    parts = parts_of(policy) if policy is not None else {}
    found = await reading.policy_changes(most)
    return [each.number for each in found if names(each, logins) or nameless(each, logins, parts) != each]


async def made_nameless(
    writing: Writing, numbers: Sequence[int], logins: Collection[str], author: str, at: float
) -> tuple[int, list[int]]:
    """In the unit of work that erases: how many changes were rewritten, and which wait and are about others as well.

    What waits and is about the person only is rejected: applied later it would bring the name back.
    """
    policy = await writing.policy()
    parts = parts_of(policy) if policy is not None else {}
    count = 0
    left: list[int] = []
    for number in numbers:
        present = change = await writing.policy_change(number)
        if change is None:
            continue
        if change.state in UNDECIDED and names(change, logins):
            if not is_about(change, logins):
                left.append(number)
                continue
            change = moved(change, State.REJECTED, at, author, "the person whom it was about is erased")
            await writing.log_audit(change_told(change, AuditKind.CHANGE_REJECTED, author))
        without = nameless(change, logins, parts)
        if without != present:
            await writing.put_policy_change(without, at)
            count += 1
    return count, left
