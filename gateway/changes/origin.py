"""By which change a policy version came to be: who made it, who agreed, and who brought it into force.

A version is a stage of one change or its withdrawal; the first one, and one from a restore, belongs to none.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gateway.domain.change import PolicyChange


@dataclass(frozen=True, slots=True)
class Origin:
    """The change behind a policy version."""

    change: int
    title: str
    author: str
    applied_by: str
    approved_by: tuple[str, ...]
    """Second persons who had agreed by then; nobody need agree to a withdrawal."""
    stage: int
    """Counted from 1; 0 where it is the withdrawal."""
    stages: int
    withdrawn: bool
    """The version takes the change back."""


def origin_of(number: int, changes: Iterable[PolicyChange]) -> Origin | None:
    """The change that made version ``number``, if it is among these."""
    # What changed nothing stands with the number that it found: the first of all has made the version.
    found = sorted((each for change in changes for each in _made(number, change)), key=lambda each: each[0])
    return found[0][1] if found else None


def _made(number: int, change: PolicyChange) -> Iterator[tuple[float, Origin]]:
    for done in change.done:
        if done.policy_version == number:
            yield done.at, _origin(change, done.by, done.stage + 1, done.at)
    if change.withdrawn_by_version == number and change.history:
        last = change.history[-1]
        yield last.at, _origin(change, last.by, 0, last.at)


def _origin(change: PolicyChange, by: str, stage: int, at: float) -> Origin:
    agreed = [each for each in change.approvals if each.at <= at] if stage else []
    approvers = tuple(dict.fromkeys(each.operator for each in agreed))
    return Origin(
        change.number, change.title, change.author, by, approvers, stage, len(change.stages), withdrawn=stage == 0
    )
