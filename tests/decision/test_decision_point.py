"""The decision point: answers when a record changes, goes, or cannot be had at the very moment of the answer."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from gateway.decision.decision_point import DecisionPoint
from gateway.decision.device_cache import DeviceCache
from gateway.domain.access import AccessRequest
from gateway.domain.bans import Flag
from gateway.domain.evidence import PersonRecord
from gateway.domain.policy import Policy, Unavailable, first_policy, policy_of
from gateway.domain.verdict import Effect, Reason, Verdict
from gateway.ports.store import StoreUnavailable
from tests.support.evidence_strategies import LOGIN, MAIL, NOW, TIKTOK, TIKTOK_BAN, bound, of_person, seen

ASKED = AccessRequest(LOGIN, "d1")
CLEAN, DIRTY = of_person(bound(seen(MAIL))), of_person(bound(seen(MAIL, TIKTOK)))


def policy(flag: Flag = Flag.ENFORCE, unavailable: Unavailable = Unavailable.DEFER, number: int = 1) -> Policy:
    ban = replace(TIKTOK_BAN, flag=flag)
    return policy_of(replace(first_policy(0.0), number=number, bans=(ban,), unavailable=unavailable))


class Evidence:
    """One record, and what happens in the moment in which it has been read."""

    def __init__(self, record: PersonRecord) -> None:
        self.record = record
        self.away = False
        self.once: Callable[[], None] | None = None
        self.each_time: Callable[[], None] | None = None

    async def read(self, login: str) -> PersonRecord:
        """The record as it is now."""
        if self.away:
            raise StoreUnavailable("away")
        found, happens, self.once = self.record, self.once, None
        for each in (happens, self.each_time):
            if each is not None:
                # Comes after the end of the load, and before those who wait for it are woken.
                asyncio.get_running_loop().call_soon(each)
        return found

    def point(self, use: Policy, capacity: int = 100) -> DecisionPoint:
        """A decision point that reads here."""
        return DecisionPoint(DeviceCache(self.read, capacity=capacity), use, lambda: NOW)


def changes(evidence: Evidence, decision: DecisionPoint) -> Callable[[], None]:
    """The person turns dirty, and the worker hears of it; the clean record has left the memory already."""

    def happen() -> None:
        decision.cache.entries.pop(LOGIN, None)
        evidence.record = replace(DIRTY, sequence=2)
        decision.changed(LOGIN, 2)

    return happen


async def test_a_record_that_is_evicted_and_overtaken_as_its_asker_wakes() -> None:
    evidence = Evidence(CLEAN)
    decision = evidence.point(policy())
    evidence.once = changes(evidence, decision)
    verdict = await decision.judge_loading(ASKED)
    assert verdict.effect is Effect.DENY


async def test_everybody_changes_as_an_asker_wakes() -> None:
    evidence = Evidence(CLEAN)
    decision = evidence.point(policy())

    def everybody() -> None:
        evidence.record = replace(DIRTY, sequence=2)
        decision.cache.invalidate_all(2)

    evidence.once = everybody
    verdict = await decision.judge_loading(ASKED)
    assert verdict.effect is Effect.DENY


async def test_a_change_as_the_asker_wakes_is_no_want_of_state() -> None:
    evidence = Evidence(CLEAN)
    decision = evidence.point(policy())

    def harmless() -> None:
        evidence.record = replace(CLEAN, sequence=2)
        decision.changed(LOGIN, 2)

    evidence.once = harmless
    assert (await decision.judge_loading(ASKED)).reason is Reason.CLEAN


async def test_one_who_is_overtaken_for_ever_is_told_to_come_back() -> None:
    evidence = Evidence(CLEAN)
    decision = evidence.point(policy())

    def again() -> None:
        evidence.record = replace(CLEAN, sequence=evidence.record.sequence + 1)
        decision.changed(LOGIN, evidence.record.sequence)

    evidence.each_time = again
    assert (await decision.judge_loading(ASKED)).effect is Effect.DEFER


async def test_a_record_that_is_evicted_as_its_asker_wakes_still_answers() -> None:
    evidence = Evidence(DIRTY)
    decision = evidence.point(policy())
    evidence.each_time = decision.cache.entries.clear
    assert (await decision.judge_loading(ASKED)).reason is Reason.BANNED_APP


@pytest.mark.parametrize("everybody", [False, True])
async def test_a_known_denial_outlives_the_state(everybody: bool) -> None:
    evidence = Evidence(DIRTY)
    decision = evidence.point(policy(unavailable=Unavailable.ALLOW))
    assert (await decision.judge_loading(ASKED)).effect is Effect.DENY
    # Something changed, and neither cache nor store can tell what.
    if everybody:
        await decision.everybody_changed(2)
    else:
        decision.changed(LOGIN, 2)
    evidence.away = True
    assert (await decision.judge_loading(ASKED)).effect is Effect.DENY
    evidence.away, evidence.record = False, replace(CLEAN, sequence=2)
    assert (await decision.judge_loading(ASKED)).effect is Effect.ALLOW


async def test_a_known_denial_ends_with_the_enforcement_that_caused_it() -> None:
    evidence = Evidence(DIRTY)
    decision = evidence.point(policy(unavailable=Unavailable.ALLOW))
    assert (await decision.judge_loading(ASKED)).effect is Effect.DENY
    decision.changed(LOGIN, 2)
    evidence.away = True
    await decision.use(policy(Flag.REPORT_ONLY, Unavailable.ALLOW, number=2))
    assert (await decision.judge_loading(ASKED)).effect is Effect.ALLOW


async def test_nobody_is_denied_for_what_cannot_be_known() -> None:
    evidence = Evidence(DIRTY)
    decision = evidence.point(policy())
    assert (await decision.judge_loading(ASKED)).effect is Effect.DENY
    decision.changed(LOGIN, 2)
    evidence.away = True
    assert (await decision.judge_loading(ASKED)).effect is Effect.DEFER


async def test_an_edit_reaches_those_first_against_whom_something_is_known() -> None:
    """Of thousands who wait some few turn by an edit, and those are cut before the others are looked at."""

    class Waiting:
        def __init__(self, login: str) -> None:
            self.request = AccessRequest(login, "d1")

        def verdict_turned(self, verdict: Verdict) -> None:
            order.append(self.request.login)

    async def read(login: str) -> PersonRecord:
        return replace(DIRTY if login.startswith("dirty") else CLEAN, person_id=login, logins=(login,))

    order: list[str] = []
    decision = DecisionPoint(DeviceCache(read), policy(Flag.REPORT_ONLY), lambda: NOW)
    logins = [f"{'dirty' if number % 10 == 9 else 'clean'}{number:03}" for number in range(600)]
    for login in logins:
        session = Waiting(login)
        decision.sessions.add(session)
        assert (await decision.judge_loading(session.request)).effect is Effect.ALLOW
    looked_at: list[str] = []
    judge = decision.judge

    def looking(request: AccessRequest) -> Verdict | None:
        looked_at.append(request.login)
        return judge(request)

    decision.judge = looking  # type: ignore[method-assign]
    await decision.use(policy(Flag.ENFORCE, number=2))
    assert sorted(looked_at) == sorted(logins)
    assert order == [login for login in logins if login.startswith("dirty")] == looked_at[: len(order)]


async def test_a_ban_that_is_added_reaches_those_who_have_its_app() -> None:
    """Until then nothing was known against anybody."""

    class Waiting:
        def __init__(self, login: str) -> None:
            self.request = AccessRequest(login, "d1")

        def verdict_turned(self, verdict: Verdict) -> None:
            """Looked at is enough."""

    async def read(login: str) -> PersonRecord:
        return replace(DIRTY if login.startswith("dirty") else CLEAN, person_id=login, logins=(login,))

    before = policy_of(first_policy(0.0))
    decision = DecisionPoint(DeviceCache(read, capacity=1_000), before, lambda: NOW)
    logins = [f"{'dirty' if number % 10 == 9 else 'clean'}{number:03}" for number in range(600)]
    for login in logins:
        session = Waiting(login)
        decision.sessions.add(session)
        assert (await decision.judge_loading(session.request)).reason is Reason.CLEAN
    looked_at: list[str] = []
    judge = decision.judge

    def looking(request: AccessRequest) -> Verdict | None:
        looked_at.append(request.login)
        return judge(request)

    decision.judge = looking  # type: ignore[method-assign]
    await decision.use(policy_of(replace(before.version, number=2, bans=(TIKTOK_BAN,)), before))
    # Of all others it is known that nothing turns.
    assert looked_at == [login for login in logins if login.startswith("dirty")]


async def test_a_mistake_about_one_session_leaves_no_other_uncut() -> None:
    told: list[str] = []

    class Waiting:
        def __init__(self, login: str) -> None:
            self.request = AccessRequest(login, "d1")

        def verdict_turned(self, verdict: Verdict) -> None:
            told.append(self.request.login)
            if self.request.login in ("u0", "u2"):
                raise OSError("a socket that is none any more")

    async def read(login: str) -> PersonRecord:
        return replace(DIRTY, person_id=login, logins=(login,))

    decision = DecisionPoint(DeviceCache(read), policy(Flag.REPORT_ONLY), lambda: NOW)
    for number in range(4):
        session = Waiting(f"u{number}")
        decision.sessions.add(session)
        await decision.judge_loading(session.request)
    with capture_logs() as logged:
        await decision.use(policy(Flag.ENFORCE, number=2))
    assert sorted(told) == ["u0", "u1", "u2", "u3"]
    assert [each["login"] for each in logged if each["event"] == "session_not_told"] == ["u0", "u2"]


async def test_a_broken_glass_lets_through_whatever_is_known_and_a_later_policy_too() -> None:
    evidence = Evidence(DIRTY)
    decision = evidence.point(policy())
    assert (await decision.judge_loading(ASKED)).effect is Effect.DENY
    await decision.break_glass(True)
    assert (await decision.judge_loading(ASKED)).reason is Reason.ENFORCEMENT_OFF
    await decision.use(policy(number=2))
    assert (await decision.judge_loading(ASKED)).effect is Effect.ALLOW
    assert decision.given.version.enforcement_on
    await decision.break_glass(False)
    assert (await decision.judge_loading(ASKED)).effect is Effect.DENY


async def test_a_broken_glass_lets_through_when_nothing_can_be_read() -> None:
    evidence = Evidence(DIRTY)
    evidence.away = True
    decision = evidence.point(policy(unavailable=Unavailable.DENY))
    assert (await decision.judge_loading(ASKED)).effect is Effect.DENY
    await decision.break_glass(True)
    assert (await decision.judge_loading(ASKED)).effect is Effect.ALLOW
