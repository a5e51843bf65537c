"""Who was to be cut and has not been is followed on: by the next turn, or a minute later, it is cut after all.

No list of an asker's tells here who is connected, unless a test says so.
"""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import pytest
from structlog.testing import capture_logs

from gateway.authz import cutter as cutter_module
from gateway.authz import following as following_module
from gateway.authz.cutter import Cutter
from gateway.authz.following import Cut, Following
from gateway.authz.inquiry import Whereabouts
from gateway.authz.let_in import JUDGED_EVERY_SECONDS, LetIn
from gateway.decision.refusal_log import RefusalLog
from gateway.decision.refusal_pace import RefusalPace
from gateway.domain.access import AccessRequest, Protocol
from gateway.domain.verdict import Verdict
from tests.support.cutting import Cutting
from tests.support.fake_means import FakeRuntime
from tests.support.fronted import settled, until

ANNA = "anna@corp.example"
FOR_EVER = 1_000_000
CLIENT = "192.0.2.7:4711"


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed is tried again at once."""
    monkeypatch.setattr(cutter_module, "FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(cutter_module, "LONGEST_PAUSE_SECONDS", 0.0)


async def turned_in_vain(cutting: Cutting, device: str = "annaphone") -> None:
    """Anna's device is denied while nobody can be ended."""
    cutting.means.failures = FOR_EVER
    cutting.asking.dirty(ANNA, device)
    await until(lambda: cutting.means.failures < FOR_EVER)


async def turned_back(cutting: Cutting, device: str = "annaphone") -> None:
    """It is in order again before anybody could be ended."""
    cutting.asking.clean(ANNA, device)
    await cutting.asking.cache.load(ANNA)


async def given_up(cutting: Cutting, times: int = 1) -> None:
    """Time goes on until it is not tried any more."""
    cutting.clock.ahead += cutter_module.GIVE_UP_SECONDS + 1
    await until(lambda: cutting.counted("given_up") == times)
    await settled()


def a_minute_later(cutting: Cutting) -> None:
    """All who are followed are judged once more."""
    cutting.clock.ahead += JUDGED_EVERY_SECONDS + 1
    cutting.let_in.sweep()


def has_ended(cutting: Cutting, *users: str) -> bool:
    return set(users) <= set(cutting.means.cuts)


def by_device(device: str) -> AccessRequest:
    return AccessRequest(ANNA, device, Protocol.ACTIVESYNC)


# --- it turned back before it was ended


async def test_who_turned_back_before_he_was_ended_is_followed_on(cutting: Cutting) -> None:
    assert await cutting.login(ANNA) == 0
    await turned_in_vain(cutting)
    await turned_back(cutting)
    await until(lambda: cutting.cut.cutter.waiting == 0)
    cutting.means.failures = 0
    assert cutting.means.cuts == []
    cutting.asking.dirty(ANNA, "annaphone")
    await until(lambda: cutting.means.cuts == [ANNA])


async def test_so_is_who_turned_back_before_he_was_ended_once_more(cutting: Cutting) -> None:
    """He may have been on his way when he was ended the first time."""
    assert await cutting.login(ANNA) == 0
    cutting.asking.dirty(ANNA, "annaphone")
    await until(lambda: cutting.means.cuts == [ANNA])
    await turned_back(cutting)
    cutting.clock.ahead += cutter_module.YOUNG_SECONDS + 1
    # Somebody else's turn, or the cutter would not look at this clock.
    assert await cutting.login("dora@corp.example") == 0
    cutting.asking.dirty("dora@corp.example", "doraphone")
    await until(lambda: cutting.means.cuts == [ANNA, "dora@corp.example"])
    cutting.asking.dirty(ANNA, "annaphone")
    await until(lambda: cutting.means.cuts[2:3] == [ANNA])


async def test_of_two_devices_the_one_that_turned_back_holds_not_the_other_one(cutting: Cutting) -> None:
    """Both are ended by the user's one name."""
    for device in ("annaphone", "annalaptop"):
        cutting.asking.clean(ANNA, device)
        cutting.cut.note("dovecot", by_device(device), Whereabouts(user="anna"))
    await turned_in_vain(cutting)
    cutting.asking.dirty(ANNA, "annalaptop")
    await until(lambda: len(cutting.let_in) == 0)
    await turned_back(cutting)
    await until(lambda: len(cutting.let_in) == 1)
    assert cutting.cut.cutter.waiting == 1
    cutting.means.failures = 0
    await until(lambda: cutting.means.cuts == ["anna"])


@pytest.mark.parametrize("turning", ["annaphone", "annalaptop"])
async def test_of_two_devices_that_turned_back_both_are_followed_on(cutting: Cutting, turning: str) -> None:
    for device in ("annaphone", "annalaptop"):
        cutting.asking.clean(ANNA, device)
        cutting.cut.note("dovecot", by_device(device), Whereabouts(user="anna"))
    await turned_in_vain(cutting, "annaphone")
    cutting.asking.dirty(ANNA, "annalaptop")
    await until(lambda: len(cutting.let_in) == 0)
    for device in ("annaphone", "annalaptop"):
        await turned_back(cutting, device)
    await until(lambda: cutting.cut.cutter.waiting == 0)
    cutting.means.failures = 0
    cutting.asking.dirty(ANNA, turning)
    await until(lambda: cutting.means.cuts == ["anna"])


async def test_who_has_come_anew_meanwhile_is_remembered_as_that(cutting: Cutting) -> None:
    cutting.means.gate = asyncio.Event()
    assert await cutting.login(ANNA) == 0
    cutting.means.failures = 1
    cutting.asking.dirty(ANNA, "annaphone")
    await until(cutting.means.called.is_set)
    cutting.clock.ahead += 100
    await turned_back(cutting)
    assert await cutting.login(ANNA) == 0
    (anew,) = cutting.let_in._sessions.values()
    cutting.means.gate.set()
    await until(lambda: cutting.counted("failed") == 1)
    await settled()
    assert list(cutting.let_in._sessions.values()) == [anew]
    assert (cutting.cut.cutter.waiting, cutting.asking.decision.sessions.count) == (0, 1)


async def test_who_turned_back_while_he_waited_for_the_next_time_is_let_be(
    cutting: Cutting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The means are there again before the next time comes."""
    monkeypatch.setattr(cutter_module, "LONGEST_PAUSE_SECONDS", 50.0)
    assert await cutting.login(ANNA) == 0
    await turned_in_vain(cutting)
    await given_up(cutting)
    a_minute_later(cutting)
    await settled()
    cutting.let_in.sweep()
    await settled()
    assert cutting.cut.cutter.waiting == 1
    await turned_back(cutting)
    cutting.means.failures = 0
    cutting.clock.ahead += JUDGED_EVERY_SECONDS
    assert await cutting.login("dora@corp.example") == 0
    cutting.asking.dirty("dora@corp.example", "doraphone")
    await until(lambda: cutting.cut.cutter.waiting == 0 and len(cutting.let_in) == 1)
    assert cutting.means.cuts == ["dora@corp.example"]


# --- it was given up


async def test_who_was_given_up_is_ended_a_minute_later(cutting: Cutting) -> None:
    assert await cutting.login(ANNA) == 0
    await turned_in_vain(cutting)
    await given_up(cutting)
    cutting.means.failures = 0
    a_minute_later(cutting)
    await until(lambda: cutting.means.cuts == [ANNA])
    assert len(cutting.let_in) == 0


async def test_who_found_no_room_among_those_that_wait_is_ended_a_minute_later(
    cutting: Cutting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutter_module, "WAITING_MOST", 0)
    assert await cutting.login(ANNA) == 0
    cutting.asking.dirty(ANNA, "annaphone")
    await until(lambda: cutting.counted("given_up") == 1)
    monkeypatch.setattr(cutter_module, "WAITING_MOST", 1)
    a_minute_later(cutting)
    await until(lambda: cutting.means.cuts == [ANNA])


async def test_who_was_given_up_is_tried_once_each_time_and_told_of_once(cutting: Cutting) -> None:
    assert await cutting.login(ANNA) == 0
    with capture_logs() as logged:
        await turned_in_vain(cutting)
        await given_up(cutting)
        tried = cutting.means.tried
        for _ in range(20):
            a_minute_later(cutting)
            await settled()
    assert cutting.means.tried == tried + 20
    assert [each["event"] for each in logged if each["event"].startswith("cut")] == ["cut_failed", "cut_given_up"]
    assert cutting.counted("given_up") == 1
    assert (len(cutting.let_in), cutting.asking.decision.sessions.count) == (1, 1)


async def test_however_often_who_was_given_up_is_judged_he_is_tried_with_pauses(
    cutting: Cutting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where few are remembered each is judged every second."""
    assert await cutting.login(ANNA) == 0
    await turned_in_vain(cutting)
    await given_up(cutting)
    monkeypatch.setattr(cutter_module, "LONGEST_PAUSE_SECONDS", 50.0)
    tried = cutting.means.tried
    for _ in range(20):
        cutting.let_in.sweep()
        await settled()
    assert (cutting.means.tried, cutting.cut.cutter.waiting) == (tried + 1, 1)


@pytest.mark.parametrize("anew", [False, True])
async def test_who_turned_back_after_he_was_given_up_is_tried_for_minutes_again(cutting: Cutting, anew: bool) -> None:
    """Seen at the next look round, or as he comes anew before that."""
    assert await cutting.login(ANNA) == 0
    await turned_in_vain(cutting)
    await given_up(cutting)
    await turned_back(cutting)
    if anew:
        assert await cutting.login(ANNA) == 0
    else:
        a_minute_later(cutting)
    cutting.asking.dirty(ANNA, "annaphone")
    tried = cutting.means.tried
    await until(lambda: cutting.means.tried > tried + 10)
    await given_up(cutting, 2)


async def test_who_was_given_up_holds_nobody_up(cutting: Cutting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in one batch with others, nor by the pause after it."""
    cutting.means.never = {ANNA}
    assert await cutting.login(ANNA) == 0
    cutting.asking.dirty(ANNA, "annaphone")
    await until(cutting.means.called.is_set)
    await given_up(cutting)
    monkeypatch.setattr(cutter_module, "LONGEST_PAUSE_SECONDS", 50.0)
    tried = cutting.means.tried
    a_minute_later(cutting)
    await until(lambda: cutting.means.tried == tried + 1)
    with capture_logs() as logged:
        for user in ("dora", "emil"):
            assert await cutting.login(user) == 0
            a_minute_later(cutting)
            cutting.asking.dirty(f"{user}@corp.example", "phone")
            await until(partial(has_ended, cutting, user))
        a_minute_later(cutting)
        await settled()
    # Nor does he fill the log.
    assert [each["event"] for each in logged if each["event"].startswith("cut")] == ["cuts_go_on", "cut", "cut"]
    assert cutting.means.tried >= tried + 4
    assert [batch for batch in cutting.means.batches if ANNA in batch] == []
    # And he is not forgotten over it.
    cutting.means.never = set()
    a_minute_later(cutting)
    assert await cutting.login("frida") == 0
    cutting.asking.dirty("frida@corp.example", "phone")
    await until(partial(has_ended, cutting, "frida", ANNA))


async def test_who_cannot_be_ended_is_forgotten_after_the_longest_session(cutting: Cutting) -> None:
    """As he would be if his verdict had never turned: no list says whether he is there."""
    assert await cutting.login(ANNA) == 0
    at = cutting.clock()
    await turned_in_vain(cutting)
    await given_up(cutting)
    while cutting.clock() - at < 3600.0 - 2 * JUDGED_EVERY_SECONDS:
        a_minute_later(cutting)
        # Others come after him and before he is followed on, again and again.
        cutting.let_in.note(f"imap {cutting.clock()}", "dora", "dovecot", by_device(str(cutting.clock())))
        await settled()
        assert cutting.asking.decision.sessions.of(ANNA)
    others = len(cutting.let_in) - sum(each.target == ANNA for each in cutting.let_in._sessions.values())
    for _ in range(4):
        a_minute_later(cutting)
        await settled()
    assert [each.target for each in cutting.let_in._sessions.values()] == ["dora"] * others
    assert cutting.cut.cutter.waiting == 0


async def test_who_is_given_up_after_the_longest_session_is_forgotten_at_once(cutting: Cutting) -> None:
    assert await cutting.login(ANNA) == 0
    await turned_in_vain(cutting)
    cutting.clock.ahead += 3601
    await until(lambda: cutting.counted("given_up") == 1)
    assert len(cutting.let_in) == 0


async def test_who_stands_behind_younger_ones_is_forgotten_before_them(cutting: Cutting) -> None:
    """Where he is remembered once more."""
    assert await cutting.login(ANNA) == 0
    await turned_in_vain(cutting)
    cutting.clock.ahead += 200
    assert await cutting.login("dora") == 0
    await turned_back(cutting)
    await until(lambda: len(cutting.let_in) == 2)
    cutting.clock.ahead += 3401
    cutting.let_in.sweep()
    assert [each.target for each in cutting.let_in._sessions.values()] == ["dora"]


async def test_who_is_followed_on_stays_within_the_bounds(cutting: Cutting) -> None:
    assert await cutting.login(ANNA) == 0
    await turned_in_vain(cutting)
    for number in range(100):
        cutting.let_in.note(f"imap u{number}", f"u{number}", "dovecot", AccessRequest(f"u{number}", "", Protocol.IMAP))
    await given_up(cutting)
    assert (len(cutting.let_in), cutting.asking.decision.sessions.count) == (100, 100)
    assert "imap u0" not in cutting.let_in
    assert cutting.let_in.is_there(f"imap {ANNA}")


async def test_a_mistake_in_judging_whoever_was_not_ended_lets_him_not_go_on(
    cutting: Cutting, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await cutting.login(ANNA) == 0
    await turned_in_vain(cutting)

    def mistaken(request: AccessRequest) -> Verdict | None:
        raise RecursionError("too deep")

    monkeypatch.setattr(cutting.cut.cutter, "_judge", mistaken)
    with capture_logs() as logged:
        tried = cutting.means.tried
        await until(lambda: cutting.means.tried > tried + 2)
        cutting.means.failures = 0
        await until(lambda: cutting.means.cuts == [ANNA])
    assert "session_not_judged_again" in [each["event"] for each in logged]


# --- where a list says who is there


@pytest.fixture
async def before_haproxy(cutting: Cutting, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeRuntime]:
    """A Ping of Anna's phone waits there, and the list is read all the time."""
    monkeypatch.setattr(following_module, "LOOK_SECONDS", 0.0)
    made, means = cutting.asking, FakeRuntime()
    cutter = Cutter(means, RefusalLog(RefusalPace()), made.metrics, made.decision.judge, monotonic=cutting.clock)
    cutting.means, cutting.let_in = (
        means,
        LetIn(made.decision, cutter, remembered_seconds=86_400.0, monotonic=cutting.clock),
    )
    cutting.cut = Cut(frozenset({"haproxy"}), cutter, cutting.let_in)
    following = Following(made.decision, made.rules, [cutting.cut])
    means.there = frozenset({CLIENT})
    cutting.cut.note("haproxy", by_device("annaphone"), Whereabouts(connection=CLIENT))
    await following.start()
    yield means
    await following.close()


async def turned_to_and_fro(cutting: Cutting) -> None:
    """And followed on."""
    cutting.clock.ahead += 60
    await turned_in_vain(cutting)
    await turned_back(cutting)
    await until(lambda: cutting.cut.cutter.waiting == 0)
    cutting.means.failures = 0


async def test_a_ping_that_waits_on_is_followed_on(cutting: Cutting, before_haproxy: FakeRuntime) -> None:
    await turned_to_and_fro(cutting)
    looks = before_haproxy.looks
    await until(lambda: before_haproxy.looks > looks + 5)
    cutting.asking.dirty(ANNA, "annaphone")
    await until(lambda: before_haproxy.cuts == [CLIENT])


async def test_a_ping_that_is_there_no_more_is_forgotten(cutting: Cutting, before_haproxy: FakeRuntime) -> None:
    await turned_to_and_fro(cutting)
    assert len(cutting.let_in) == 1
    before_haproxy.there = frozenset({"192.0.2.8:4711"})
    await until(lambda: len(cutting.let_in) == 0)
    assert cutting.asking.decision.sessions.count == 0


# --- one look round


async def test_a_mistake_in_judging_one_stops_nobody_behind_it(
    cutting: Cutting, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"u{number}" for number in range(9)]
    for name in names:
        cutting.asking.clean(f"{name}@corp.example", "phone")
        assert await cutting.login(name) == 0
    judge, judged = cutting.asking.decision.judge, []

    def with_a_mistake(request: AccessRequest) -> Verdict | None:
        judged.append(request.login.partition("@")[0])
        if judged[-1] in ("u0", "u4", "u8"):
            raise RecursionError("too deep")
        return judge(request)

    monkeypatch.setattr(cutting.asking.decision, "judge", with_a_mistake)
    with capture_logs() as logged:
        a_minute_later(cutting)
        # Within one look, wherever in it the mistake is; one line for all of it.
        assert sorted(judged) == names
        assert [each["event"] for each in logged] == ["session_not_judged_again"]
        for _ in range(20):
            cutting.clock.ahead += 7
            cutting.let_in.sweep()
    assert {name: judged.count(name) >= 3 for name in names} == dict.fromkeys(names, True)
