"""What came of a request to apply a change or to take one back: values, and how the log tells of them."""

from dataclasses import dataclass

from gateway.changes.apply import InForceResult
from gateway.changes.guards import GuardHit
from gateway.domain.change import PolicyChange
from gateway.domain.policy import PolicyVersion


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
    edited: bool = True
    """Whether it made a version; otherwise the policy is as it was, and the version is somebody else's."""

    def told(self) -> dict[str, object]:
        """For a line in the log."""
        return {
            "change": self.change.number,
            "title": self.change.title,
            "author": self.change.author,
            "policy_version": self.version.number,
            "workers": self.in_force.workers,
            "in_force": self.in_force.in_force,
            "silent": list(self.in_force.silent),
            "seconds": round(self.seconds, 4),
        }


@dataclass(frozen=True, slots=True)
class NotApplied:
    """Nothing was done."""

    change: PolicyChange
    hits: tuple[GuardHit, ...]
    sentence: str
    """What stands in the way and what to do."""
    comes_at: float | None = None
    """Nothing but the time stands in the way: then it comes by itself."""


def lasting(seconds: float) -> str:
    """A time to wait in words."""
    for size, word in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {word}"
    return f"{seconds:.0f} seconds"
