"""Many whose verdict ends at one moment are judged again a few at a time, so that nobody else has to wait for it."""

import asyncio
import weakref
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.decision.in_turn import AT_ONCE
from gateway.domain.access import AccessRequest
from gateway.domain.verdict import Effect, Verdict
from gateway.proxies import verdict_watch
from gateway.proxies.verdict_watch import VerdictWatch
from tests.support.asking import Asking, asking
from tests.support.fronted import BAN, TIKTOK, policy, settled, until

MANY = 10 * AT_ONCE


class Turns:
    """How often the loop has gone round."""

    def __init__(self) -> None:
        self.count = 0
        self._task = asyncio.create_task(self._go())

    async def _go(self) -> None:
        while True:
            self.count += 1
            await asyncio.sleep(0)

    def end(self) -> None:
        """Count no more."""
        self._task.cancel()


class Session:
    """One that waits."""

    def __init__(self, request: AccessRequest, turns: Turns) -> None:
        self.request = request
        self.turned: list[int] = []
        self._turns = turns

    def verdict_turned(self, verdict: Verdict) -> None:
        """When it was told."""
        assert verdict.effect is Effect.DENY
        self.turned.append(self._turns.count)


class Waiting:
    """Sessions whose verdict ends when a ban begins."""

    def __init__(self, made: Asking) -> None:
        self.made = made
        self.turns = Turns()
        self.sessions: list[Session] = []
        self.watches: list[VerdictWatch] = []

    async def begin(self) -> None:
        """Many, each with a banned app."""
        begins = self.made.now() + 600.0
        await self.made.decision.use(policy(replace(BAN, starts_at=begins), number=2))
        for number in range(MANY):
            login = f"user{number}@corp.example"
            self.made.evidence.put(login, "phone", TIKTOK)
            await self.made.cache.load(login)
            session = Session(AccessRequest(login, "phone"), self.turns)
            self.sessions.append(session)
            self.watches.append(VerdictWatch(session, self.made.decision, self.made.now))
        self.made.now.ahead += 601.0
        for watch in self.watches:
            watch.until(begins)


@pytest.fixture
async def waiting(tmp_path: Path) -> AsyncIterator[Waiting]:
    """They wait, and their timers are about to ring."""
    async with asking(tmp_path) as made:
        waiting = Waiting(made)
        await waiting.begin()
        yield waiting
        for watch in waiting.watches:
            watch.end()
        waiting.turns.end()


async def test_many_at_one_moment_are_told_a_few_at_a_time(waiting: Waiting) -> None:
    await until(lambda: all(each.turned for each in waiting.sessions))
    assert [len(each.turned) for each in waiting.sessions] == [1] * MANY
    told = [each.turned[0] for each in waiting.sessions]
    assert max(told.count(turn) for turn in told) <= 2 * AT_ONCE


async def test_a_mistake_of_ours_leaves_nobody_with_the_old_verdict(
    waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdict_watch, "AGAIN_SECONDS", 0.0)
    decision, judge = waiting.made.decision, waiting.made.decision.judge_loading
    mistakes = iter(range(MANY // 2))

    async def sometimes(request: AccessRequest) -> Verdict:
        if next(mistakes, None) is not None:
            raise RecursionError("too deep")
        return await judge(request)

    monkeypatch.setattr(decision, "judge_loading", sometimes)
    with capture_logs() as logged:
        await until(lambda: all(each.turned for each in waiting.sessions))
    assert [each["event"] for each in logged if each["event"] == "session_not_judged_again"] == [
        "session_not_judged_again"
    ] * (MANY // 2)


async def test_one_that_is_judged_at_once_has_one_timer(waiting: Waiting) -> None:
    """Another one would keep the session long after its end."""
    watch = waiting.watches[0]
    first = watch._timer
    watch.until(waiting.made.now() + 60.0)
    assert first is not None
    assert first.cancelled()


async def test_one_that_is_over_meanwhile_is_not_judged(waiting: Waiting) -> None:
    await until(lambda: any(each.turned for each in waiting.sessions))
    for watch in waiting.watches:
        watch.end()
    told = sum(map(bool, (each.turned for each in waiting.sessions)))
    assert told < MANY
    for _ in range(MANY):
        await settled()
    assert sum(map(bool, (each.turned for each in waiting.sessions))) == told


@pytest.mark.usefixtures("no_collector")
async def test_nothing_is_kept_of_a_session_that_is_over_while_its_record_is_read(tmp_path: Path) -> None:
    async with asking(tmp_path) as made:
        turns = Turns()
        session = Session(AccessRequest("anna@corp.example", "phone"), turns)
        watch = VerdictWatch(session, made.decision, made.now)
        made.evidence.gate = asyncio.Event()
        watch.until(made.now())
        await until(lambda: made.evidence.reads == 1)
        watch.end()
        ended = weakref.ref(session)
        del session, watch
        await until(lambda: ended() is None)
        turns.end()
