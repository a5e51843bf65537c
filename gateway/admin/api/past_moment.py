"""The moment that a question is about: now, or one of the past within what is kept of it."""

from dataclasses import dataclass

from gateway.admin.api.deps import policy_in_store
from gateway.admin.api.moments import surely_shown
from gateway.admin.api.problems import not_found
from gateway.domain.errors import InvalidValue
from gateway.domain.policy import PolicyVersion
from gateway.ports.past import EvidenceReading
from gateway.ports.store import Reading


@dataclass(frozen=True, slots=True)
class Moment:
    """What a question at a moment is answered from."""

    at: float
    evidence: EvidenceReading
    version: PolicyVersion
    kept_since: float | None
    """Of a past moment: since when everything is known; None: the question is about now."""


async def moment_of(reading: Reading, at: float | None, now: float, number: int = 0) -> Moment:
    """The moment ``at``, or now; judged by policy version ``number``, or by the one that was in force.

    Raises ``InvalidValue`` for a moment ahead, or before what is kept; ``Refused`` for a version that is not there.
    """
    if at is None:
        return Moment(now, reading, await _version(reading, number) or await policy_in_store(reading), None)
    since = await reading.past_since()
    if at > now:
        raise InvalidValue("that moment lies ahead: what would change by itself stands under next change, without --at")
    if at < since:
        raise InvalidValue(
            f"what stood before {surely_shown(since):%Y-%m-%dT%H:%M:%SZ} is not known any more: [inventory] "
            "history_days says how long the past is kept"
        )
    version = await _version(reading, number) or await reading.policy_at(at)
    if version is None:
        raise not_found(f"there was no policy yet at {surely_shown(at):%Y-%m-%dT%H:%M:%SZ}: the gateway began later")
    return Moment(at, reading.as_of(at), version, since)


async def _version(reading: Reading, number: int) -> PolicyVersion | None:
    if not number:
        return None
    version = await reading.policy(number)
    if version is None:
        raise not_found(f"there is no policy version {number}: gatepost policy list shows them")
    return version
