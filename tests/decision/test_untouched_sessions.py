"""Of many sessions those are told that an edit turns, whatever it is, although most of them are not judged again."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.decision.decision_point import DecisionPoint
from gateway.decision.device_cache import DeviceCache
from gateway.decision.live_sessions import Follower
from gateway.domain import matching
from gateway.domain.access import AccessRequest, Protocol
from gateway.domain.ageing import Ageing
from gateway.domain.bans import Ban, Flag, Matcher, MatcherKind
from gateway.domain.decide import decide
from gateway.domain.evidence import PersonRecord
from gateway.domain.inventory import App, Platform
from gateway.domain.policy import Exemption, Policy, PolicyVersion, first_policy, policy_of
from gateway.domain.verdict import Effect, Verdict
from tests.support.evidence_strategies import MAIL, NOW, TIKTOK, WECHAT, bound, denying, of_person, seen

APPS = (TIKTOK, WECHAT, App(Platform.IOS, "Com.Example.Chat"), App(Platform.ANDROID, "com.example.maps"))
PEOPLE = 30
Edit = Callable[[PolicyVersion, random.Random], PolicyVersion]


class Waiting:
    def __init__(self, request: AccessRequest, told: list[AccessRequest]) -> None:
        self.request = request
        self._told = told

    def verdict_turned(self, verdict: Verdict) -> None:
        if verdict.effect is not Effect.ALLOW:
            self._told.append(self.request)


class Following(Follower):
    def __init__(self, request: AccessRequest) -> None:
        self.request = request
        self.verdicts: list[Verdict] = []

    def verdict_turned(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)


def person(number: int, chance: random.Random) -> PersonRecord:
    apps = (MAIL, *chance.sample(APPS, chance.choice((0, 0, 0, 1, 2))))
    record = of_person(bound(seen(*apps, age=chance.choice((10.0, 10.0, 10.0, 90 * 86_400.0)))))
    return replace(record, person_id=f"p{number}", logins=(f"p{number}",))


def add_ban(version: PolicyVersion, chance: random.Random) -> PolicyVersion:
    app = chance.choice(APPS)
    kind = chance.choice((MatcherKind.ID, MatcherKind.ID, MatcherKind.ID, MatcherKind.ID_PREFIX))
    value = app.id if kind is MatcherKind.ID else app.id.rpartition(".")[0]
    ban = Ban(f"b{len(version.bans)}{version.number}", (Matcher(kind, value.upper(), app.platform),))
    if app.platform is Platform.ANDROID:
        ban = replace(ban, matchers=(Matcher(kind, value, app.platform),))
    flag = chance.choice((Flag.REPORT_ONLY, Flag.ENFORCE))
    return replace(version, bans=(*version.bans, replace(ban, flag=flag)))


def set_flag(version: PolicyVersion, chance: random.Random) -> PolicyVersion:
    flags = tuple(replace(ban, flag=chance.choice((*Flag, Flag.ENFORCE, Flag.ENFORCE))) for ban in version.bans)
    return replace(version, bans=flags)


def remove_ban(version: PolicyVersion, chance: random.Random) -> PolicyVersion:
    return replace(version, bans=version.bans[chance.randrange(2) :])


def set_unknowns(version: PolicyVersion, chance: random.Random) -> PolicyVersion:
    return replace(version, unknowns=denying("stale") if chance.randrange(2) else first_policy(0.0).unknowns)


def exempt(version: PolicyVersion, chance: random.Random) -> PolicyVersion:
    who = f"p{chance.randrange(PEOPLE)}"
    return replace(version, exemptions=(Exemption("e", "ann", "", 0.0, NOW + 99.0, who),))


def switch(version: PolicyVersion, chance: random.Random) -> PolicyVersion:
    return replace(version, enforcement_on=bool(chance.randrange(3)))


EDITS: tuple[Edit, ...] = (add_ban, add_ban, set_flag, set_flag, set_flag, remove_ban, set_unknowns, exempt, switch)


def edited(policy: Policy, edit: Edit, chance: random.Random) -> Policy:
    version = edit(policy.version, chance)
    return policy_of(replace(version, number=policy.version.number + 1), policy)


async def crowd(chance: random.Random) -> tuple[DecisionPoint, list[Waiting], list[AccessRequest]]:
    records = {f"p{number}": person(number, chance) for number in range(PEOPLE)}

    async def read(login: str) -> PersonRecord:
        return records[login]

    told: list[AccessRequest] = []
    decision = DecisionPoint(DeviceCache(read, capacity=1_000), policy_of(first_policy(0.0)), lambda: NOW)
    sessions = [
        Waiting(AccessRequest(login, device, protocol), told)
        for login, record in records.items()
        for device in (*record.devices, *(("invented",) if login.endswith("7") else ()))
        for protocol in (Protocol.ACTIVESYNC, Protocol.IMAP)
    ]
    for session in sessions:
        decision.sessions.add(session)
        await decision.judge_loading(session.request)
    return decision, sessions, told


async def denied(decision: DecisionPoint, sessions: list[Waiting]) -> set[AccessRequest]:
    found = set()
    for session in sessions:
        record = await decision.cache.load(session.request.login)
        if decide(session.request, record, decision.policy, NOW).effect is not Effect.ALLOW:
            found.add(session.request)
    return found


async def edits_one_after_the_other(seed: int) -> tuple[int, int]:
    """How many were told, and how many were not looked at."""
    chance = random.Random(seed)
    decision, sessions, told = await crowd(chance)
    turned, untouched = 0, decision._is_untouched
    left_out: list[str] = []

    def noting(login: str) -> bool:
        if found := untouched(login):
            left_out.append(login)
        return found

    decision._is_untouched = noting  # type: ignore[method-assign]
    for _ in range(20):
        told.clear()
        match chance.randrange(20):
            case 0:
                await decision.break_glass(not decision.glass_broken)
            case 1:
                await decision.let_age(Ageing(until=NOW - 86_400.0 * chance.randrange(100)))
                continue
            case _:
                await decision.use(edited(decision.given, chance.choice(EDITS), chance))
        assert set(told) == await denied(decision, sessions)
        turned += len(told)
        for session in chance.sample(sessions, 10):
            # Some ask again between two edits.
            assert decision.judge(session.request) == decide(
                session.request, await decision.cache.load(session.request.login), decision.policy, NOW
            )
    await decision.close()
    return turned, len(left_out)


@pytest.mark.parametrize("remembered", [200_000, 3])
async def test_those_are_told_whom_the_core_denies(remembered: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "REMEMBERED_APPS", remembered)
    found = [await edits_one_after_the_other(seed) for seed in range(20)]
    told, left_out = (sum(each) for each in zip(*found, strict=True))
    assert told > 100
    # With nothing remembered of apps nobody can be left out for the bans that are added, but for flags that are set.
    assert left_out > 100


async def test_who_has_nothing_of_what_is_banned_is_not_judged_again_and_who_keeps_verdicts_for_others_is() -> None:
    chance = random.Random(1)
    decision, sessions, _ = await crowd(chance)
    following = Following(sessions[0].request)
    decision.sessions.add(following)
    looked_at: list[str] = []
    judge = decision.judge

    def looking(request: AccessRequest) -> Verdict | None:
        looked_at.append(request.login)
        return judge(request)

    decision.judge = looking  # type: ignore[method-assign]
    ban = Ban("b", (Matcher(MatcherKind.ID, TIKTOK.id, TIKTOK.platform),), flag=Flag.ENFORCE)
    await decision.use(edited(decision.given, lambda version, _: replace(version, bans=(ban,)), chance))
    holders = set()
    for session in sessions:
        record = await decision.cache.load(session.request.login)
        assert record is not None
        if any(TIKTOK in source.apps for device in record.devices.values() for source in device.sources):
            holders.add(session.request.login)
    assert holders <= set(looked_at)
    assert len(following.verdicts) == 1
    await decision.close()
