"""A worker follows the brake: held lists do not age in it, and a mere renewal disturbs nobody."""

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from gateway.decision.brake_feed import RENEWED_BEFORE_SECONDS, BrakeFeed
from gateway.decision.decision_point import DecisionPoint
from gateway.decision.device_cache import DeviceCache
from gateway.domain.brake import Brake, Hold, Trouble
from gateway.domain.evidence import PersonRecord
from gateway.domain.policy import first_policy, policy_of
from gateway.domain.verdict import Effect, Reason, Verdict
from gateway.ports.store import StoreUnavailable
from gateway.storage.memory import MemoryStore
from tests.support.evidence_strategies import DAY, HOUR, MAIL, NOW, asking, bound, denying, of_person, seen

STRICT = policy_of(replace(first_policy(0.0), unknowns=denying("stale")))
ASKED = asking()
HELD = Hold("mdm", Trouble.STALE, NOW - 2 * HOUR, 100)


class Phone:
    """A session that waits."""

    request = ASKED

    def __init__(self) -> None:
        self.told: list[Effect] = []

    def verdict_turned(self, verdict: Verdict) -> None:
        """Its end."""
        self.told.append(verdict.effect)


class Worker:
    """Somebody whose list is stale for an hour."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.now = NOW
        self.decision = DecisionPoint(DeviceCache(self._read), STRICT, lambda: self.now)
        self.feed = BrakeFeed(self.store, self.decision, lambda: self.now)

    async def _read(self, login: str) -> PersonRecord:
        return of_person(bound(seen(MAIL, age=DAY + HOUR)))

    async def follows(self, brake: Brake) -> None:
        """Control writes, and the worker reads."""
        await self.store.write(lambda writing: writing.put_brake(brake))
        await self.feed.look()

    async def verdict(self) -> Verdict:
        """What it answers."""
        return await self.decision.judge_loading(ASKED)


async def test_it_holds_and_lets_go() -> None:
    worker = Worker()
    assert (await worker.verdict()).effect is Effect.DENY
    with capture_logs() as log:
        await worker.follows(Brake(NOW + 600, (HELD,)))
    assert [(each["event"], each["source"]) for each in log] == [("ageing_held", "mdm")]
    assert (await worker.verdict()).reason is Reason.HELD
    phone = Phone()
    worker.decision.sessions.add(phone)
    with capture_logs() as log:
        await worker.follows(Brake(NOW + 600))
    assert (log[0]["event"], log[0]["source"]) == ("ageing_goes_on", "mdm")
    assert phone.told == [Effect.DENY]
    assert (await worker.verdict()).effect is Effect.DENY


async def test_nobody_looked_so_far_and_then_somebody_does() -> None:
    worker = Worker()
    await worker.follows(Brake(NOW - 2 * HOUR))
    verdict = await worker.verdict()
    assert (verdict.reason, verdict.valid_until) == (Reason.HELD, NOW + 60)
    await worker.follows(Brake(NOW + 600))
    # What is remembered is judged again at its end, and not at once.
    assert (await worker.verdict()).reason is Reason.HELD
    worker.now += 60
    assert (await worker.verdict()).effect is Effect.DENY


async def test_a_renewal_is_taken_when_it_is_needed() -> None:
    worker = Worker()
    assert worker.feed.until is None
    await worker.follows(Brake(NOW + 600))
    assert worker.feed.until == NOW + 600
    followed = worker.decision.policy
    await worker.follows(Brake(NOW + 610))
    assert worker.decision.policy is followed
    worker.now += 600 - RENEWED_BEFORE_SECONDS
    await worker.follows(Brake(worker.now + 600))
    assert worker.decision.policy.ageing.until == worker.now + 600
    # Another life of the clock: no further than was looked at in it.
    await worker.follows(Brake(NOW - DAY))
    assert worker.decision.policy.ageing.until == NOW - DAY


async def test_a_policy_version_keeps_what_is_held() -> None:
    worker = Worker()
    await worker.follows(Brake(NOW + 600, (HELD,)))
    newer = replace(STRICT.version, number=2)
    await worker.decision.use(policy_of(newer, worker.decision.given))
    assert (await worker.verdict()).reason is Reason.HELD


async def test_the_glass_stays_broken() -> None:
    worker = Worker()
    await worker.decision.break_glass(True)
    await worker.follows(Brake(NOW + 600))
    assert (await worker.verdict()).reason is Reason.ENFORCEMENT_OFF
    await worker.follows(Brake(NOW + 600, (HELD,)))
    assert (await worker.verdict()).reason is Reason.HELD
    assert not worker.decision.policy.version.enforcement_on


async def test_without_the_store_it_goes_on_by_what_it_knows() -> None:
    worker = Worker()
    await worker.follows(Brake(NOW + 600, (HELD,)))
    worker.store.unavailable = "away"
    with pytest.raises(StoreUnavailable):
        await worker.feed.look()
    assert (await worker.verdict()).reason is Reason.HELD
