"""What an edit that turns many leaves to be written down: after the last of them, whole, with its moment."""

import asyncio
from dataclasses import replace

from structlog.testing import capture_logs

from gateway.decision.afterwards import AT_ONCE, Afterwards
from gateway.decision.decision_point import DecisionPoint
from gateway.decision.device_cache import DeviceCache
from gateway.decision.refusal_log import RefusalLog
from gateway.decision.refusal_pace import RefusalPace
from gateway.domain.access import AccessRequest
from gateway.domain.bans import Flag
from gateway.domain.evidence import PersonRecord
from gateway.domain.policy import Policy, first_policy, policy_of
from gateway.domain.verdict import Effect, Verdict
from tests.support.evidence_strategies import MAIL, NOW, TIKTOK, TIKTOK_BAN, bound, of_person, seen

COUNT = 3 * AT_ONCE


def policy(flag: Flag, number: int) -> Policy:
    return policy_of(replace(first_policy(0.0), number=number, bans=(replace(TIKTOK_BAN, flag=flag),)))


async def written(afterwards: Afterwards) -> None:
    """Until nothing waits any more."""
    async with asyncio.timeout(10):
        while afterwards._waiting:  # noqa: ASYNC110  (rounds of the loop, no time)
            await asyncio.sleep(0)


class Waiting:
    """A session that writes down that it was cut, as those of the proxies do."""

    def __init__(self, login: str, log: RefusalLog, order: list[str]) -> None:
        self.request = AccessRequest(login, "d1")
        self._log = log
        self._order = order

    def verdict_turned(self, verdict: Verdict) -> None:
        self._log.write_down("cut", self.request, verdict)
        self._order.append(self.request.login)


async def crowd(clean: int = 0) -> tuple[DecisionPoint, list[str]]:
    async def read(login: str) -> PersonRecord:
        evidence = seen(MAIL) if login.startswith("clean") else seen(MAIL, TIKTOK)
        return replace(of_person(bound(evidence)), person_id=login, logins=(login,))

    decision = DecisionPoint(DeviceCache(read, capacity=10_000), policy(Flag.REPORT_ONLY, 1), lambda: NOW)
    log, order = RefusalLog(RefusalPace(), None, decision.afterwards), list[str]()
    for login in (*(f"clean{each:03}" for each in range(clean)), *(f"u{each:03}" for each in range(COUNT))):
        session = Waiting(login, log, order)
        decision.sessions.add(session)
        assert (await decision.judge_loading(session.request)).effect is Effect.ALLOW
    return decision, order


async def test_all_are_told_before_a_line_of_it_is_written_and_none_is_missing() -> None:
    decision, order = await crowd()
    with capture_logs() as logged:
        await decision.use(policy(Flag.ENFORCE, 2))
        assert len(order) == COUNT
        assert logged == []
        await written(decision.afterwards)
    for event in ("verdict_changed", "cut"):
        assert [each["login"] for each in logged if each["event"] == event] == order
    assert {each["timestamp"] for each in logged} == {"2001-09-09T01:46:40Z"}
    await decision.close()


async def test_others_have_their_turn_between_the_lines() -> None:
    decision, _ = await crowd()
    await decision.use(policy(Flag.ENFORCE, 2))
    waited = []
    while decision.afterwards._waiting:
        waited.append(len(decision.afterwards._waiting))
        await asyncio.sleep(0)
    assert len(waited) >= 2 * COUNT // AT_ONCE
    await decision.close()


async def test_what_comes_while_lines_wait_is_written_behind_them_and_at_any_other_time_at_once() -> None:
    decision, _ = await crowd()
    log = RefusalLog(RefusalPace(), None, decision.afterwards)
    request = AccessRequest("late", "d1")
    with capture_logs() as logged:
        await decision.use(policy(Flag.ENFORCE, 2))
        denied = await decision.judge_loading(AccessRequest("u000", "d1"))
        log.write_down("refused", request, denied)
        assert logged == []
        await written(decision.afterwards)
        assert (logged[-1]["event"], logged[-1]["login"]) == ("refused", "late")
        log.write_down("cut", request, denied)
        assert (logged[-1]["event"], logged[-1]["login"]) == ("cut", "late")
        assert "timestamp" not in logged[-1]
    await decision.close()


async def test_at_the_end_of_the_process_what_waits_is_written() -> None:
    decision, order = await crowd()
    with capture_logs() as logged:
        await decision.use(policy(Flag.ENFORCE, 2))
        await decision.close()
    assert len(logged) == 2 * len(order)


async def test_a_line_that_cannot_be_written_keeps_no_other_from_it() -> None:
    afterwards, seen_at = Afterwards(lambda: NOW), list[float | None]()

    def fails(at: float | None) -> None:
        raise ValueError("no line")

    with capture_logs() as logged:
        with afterwards.turn():
            afterwards.write(fails)
            afterwards.write(seen_at.append)
        await written(afterwards)
    assert seen_at == [NOW]
    assert [each["event"] for each in logged] == ["not_written_down"]


async def test_a_turn_that_begins_while_lines_are_written_is_not_held_up() -> None:
    afterwards, seen_at = Afterwards(lambda: NOW), list[float | None]()
    with afterwards.turn():
        for _ in range(COUNT):
            afterwards.write(seen_at.append)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    before = len(seen_at)
    assert 0 < before < COUNT
    with afterwards.turn():
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(seen_at) == before
    await written(afterwards)
    assert len(seen_at) == COUNT


async def test_what_waits_does_not_grow_where_many_are_refused_all_the_time() -> None:
    afterwards, seen_at = Afterwards(lambda: NOW), list[float | None]()
    with afterwards.turn():
        afterwards.write(seen_at.append)
    longest = 0
    for _ in range(400):
        for _ in range(5 * AT_ONCE):
            afterwards.write(seen_at.append)
        longest = max(longest, len(afterwards._waiting))
        await asyncio.sleep(0)
    assert longest < 200 * AT_ONCE
    await afterwards.close()
    assert len(seen_at) == 400 * 5 * AT_ONCE + 1
