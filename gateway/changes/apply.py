"""What everything that makes policy versions needs: the first version, and the word of the workers.

A version is in force when every worker judges by it; who does not say so in time is named.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from gateway.changes.audited import policy_begun
from gateway.domain.policy import PolicyVersion, first_policy
from gateway.ports.store import Change, Store, Writing

log = structlog.get_logger()

ATTEMPTS = 8
"""How often an edit is tried when others keep taking the number."""
IN_FORCE_WITHIN_SECONDS = 5.0

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
    newly_cut: int = 0
    """Devices, as computed when it came into force."""
    newly_admitted: int = 0

    @property
    def in_force(self) -> bool:
        """Whether every worker judges by it."""
        return not self.silent and self.in_force_on == self.workers


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
