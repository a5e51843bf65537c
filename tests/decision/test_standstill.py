"""A worker that stood still does not judge by what it knew before: it learns first what it missed."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from gateway.decision.decision_point import TRUSTED_WITHIN_SECONDS, DecisionPoint
from gateway.decision.device_cache import DeviceCache
from gateway.decision.standstill import GIVE_UP_SECONDS, PULSE_SECONDS, TRUSTED_SECONDS, Standstill
from gateway.domain.evidence import PersonRecord
from gateway.domain.policy import Unavailable
from gateway.domain.verdict import Effect, Verdict
from gateway.ports.store import StoreUnavailable
from tests.decision.test_decision_point import ASKED, CLEAN, DIRTY, policy
from tests.support.interleaving import OrderedLoop, in_order

TURNED = replace(DIRTY, sequence=2)


class Phone:
    """A session that waits."""

    request = ASKED

    def __init__(self) -> None:
        self.told: list[Effect] = []

    def verdict_turned(self, verdict: Verdict) -> None:
        """Its end."""
        self.told.append(verdict.effect)


class Stopped:
    """A decision point in a process that can stand still: its clock goes on, and nothing else does."""

    def __init__(self) -> None:
        self.record = CLEAN
        self.skipped = 0.0
        self.log_is_away = False
        self.caught_up = 0
        self.reading_seconds = 0.1
        cache = DeviceCache(self._read)
        self.decision = DecisionPoint(cache, policy(unavailable=Unavailable.ALLOW), self._now)
        self.standstill = Standstill(self.decision, self._catch_up)

    def _now(self) -> float:
        return asyncio.get_running_loop().time() + self.skipped

    async def _read(self, login: str) -> PersonRecord:
        return self.record

    async def _catch_up(self) -> None:
        await asyncio.sleep(self.reading_seconds)
        if self.log_is_away:
            raise StoreUnavailable("away")
        self.caught_up += 1
        if self.record is TURNED:
            self.decision.changed(ASKED.login, 2)


def run(scenario: Callable[["Stopped"], Coroutine[object, object, None]]) -> None:
    """On a clock that waits for nobody, with a pulse."""

    async def scene(loop: OrderedLoop) -> None:
        loop.calm = True
        stopped = Stopped()
        pulse = asyncio.create_task(stopped.standstill.watch())
        assert (await stopped.decision.judge_loading(ASKED)).effect is Effect.ALLOW
        await scenario(stopped)
        assert not pulse.done()
        pulse.cancel()

    in_order(0, scene)


def test_what_is_in_memory_counts_as_long_as_the_pulse_beats() -> None:
    async def scenario(stopped: Stopped) -> None:
        for _ in range(50):
            await asyncio.sleep(0.1)
            assert stopped.decision.judge(ASKED) is not None
        assert stopped.caught_up == 0

    run(scenario)


def test_after_a_standstill_nobody_is_judged_before_it_is_known_what_was_missed() -> None:
    async def scenario(stopped: Stopped) -> None:
        stopped.record = TURNED
        stopped.skipped += 10 * TRUSTED_SECONDS
        # The request that waited meanwhile is read first of all.
        assert stopped.decision.judge(ASKED) is None
        assert (await stopped.decision.judge_loading(ASKED)).effect is Effect.DENY
        assert stopped.caught_up == 1

    run(scenario)


def test_a_phone_that_waited_through_it_is_cut_as_soon_as_that_is_known() -> None:
    async def scenario(stopped: Stopped) -> None:
        phone = Phone()
        stopped.decision.sessions.add(phone)
        stopped.record = TURNED
        stopped.skipped += 10 * TRUSTED_SECONDS
        await asyncio.sleep(2 * PULSE_SECONDS)
        assert phone.told == [Effect.DENY]

    run(scenario)


def test_when_the_log_cannot_be_read_what_was_known_counts_again() -> None:
    async def scenario(stopped: Stopped) -> None:
        stopped.log_is_away = True
        stopped.skipped += 10 * TRUSTED_SECONDS
        assert (await stopped.decision.judge_loading(ASKED)).effect is Effect.ALLOW
        assert stopped.caught_up == 0

    run(scenario)


def test_a_reading_that_takes_long_is_given_up_and_goes_on() -> None:
    """It may be in the midst of a change, which nobody would bring to its end."""

    async def scenario(stopped: Stopped) -> None:
        stopped.reading_seconds = 1.2 * GIVE_UP_SECONDS
        stopped.record = TURNED
        stopped.skipped += 10 * TRUSTED_SECONDS
        with capture_logs() as logged:
            await asyncio.sleep(1.1 * GIVE_UP_SECONDS)
        assert [each["event"] for each in logged] == ["stood_still", "change_log_unreadable"]
        assert stopped.caught_up == 0
        assert stopped.decision.judge(ASKED) is not None
        await asyncio.sleep(0.2 * GIVE_UP_SECONDS)
        assert stopped.caught_up == 1

    run(scenario)


def test_a_mistake_in_what_was_missed_ends_the_watch_also_after_it_was_given_up() -> None:
    async def scene(loop: OrderedLoop) -> None:
        loop.calm = True
        stopped = Stopped()

        async def mistaken() -> None:
            await asyncio.sleep(1.2 * GIVE_UP_SECONDS)
            raise LookupError("a mistake")

        pulse = asyncio.create_task(Standstill(stopped.decision, mistaken).watch())
        await asyncio.sleep(PULSE_SECONDS)
        stopped.skipped += 10 * TRUSTED_SECONDS
        with pytest.raises(LookupError):
            await pulse

    in_order(0, scene)


def test_without_a_pulse_a_question_is_answered_by_setting_and_a_known_denial_stays() -> None:
    async def scene(loop: OrderedLoop) -> None:
        loop.calm = True
        for record, effect in ((CLEAN, Effect.ALLOW), (DIRTY, Effect.DENY)):
            dead = Stopped()
            dead.record = record
            await dead.decision.judge_loading(ASKED)
            dead.decision.trust(0.0)
            dead.skipped += 1.0
            began = loop.time()
            assert (await dead.decision.judge_loading(ASKED)).effect is effect
            assert loop.time() - began == TRUSTED_WITHIN_SECONDS

    in_order(0, scene)
