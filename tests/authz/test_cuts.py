"""Who was let in through an asker is cut by its means when the verdict turns, once, and nobody waits for it."""

import asyncio
from collections import Counter
from dataclasses import replace
from functools import partial

import pytest
from structlog.testing import capture_logs

from gateway.authz import cutter as cutter_module
from gateway.authz import following as following_module
from gateway.authz.inquiry import Whereabouts
from gateway.authz.let_in import AskedSession
from gateway.domain.access import AccessRequest, IdentityStrength, Protocol
from gateway.domain.verdict import Effect, Verdict
from tests.support.asking import policy_request
from tests.support.cutting import Cutting
from tests.support.fronted import BAN, policy, settled, until

MANY = 5_000


async def test_who_was_let_in_is_cut_when_the_verdict_turns(cutting: Cutting) -> None:
    assert await cutting.login("Anna@corp.example") == 0
    with capture_logs() as logged:
        cutting.asking.dirty("anna@corp.example", "annaphone")
        await until(lambda: bool(cutting.means.batches))
        await settled()
    # By the name that Dovecot knows, and written down like a cut inline.
    assert cutting.means.cuts == ["Anna@corp.example"]
    cuts = [each for each in logged if each["event"] == "cut"]
    assert [(each["login"], each["asker"], each["reason"]) for each in cuts] == [
        ("anna@corp.example", "dovecot", "banned_app")
    ]
    assert cutting.counted("ended") == 1


async def test_once_for_all_protocols_of_a_user(cutting: Cutting) -> None:
    cutting.means.gate = asyncio.Event()
    for protocol in ("imap", "pop3", "imap"):
        assert await cutting.login("anna@corp.example", protocol) == 0
    cutting.asking.dirty("anna@corp.example", "annaphone")
    await until(cutting.means.called.is_set)
    cutting.means.gate.set()
    await until(lambda: bool(cutting.means.batches))
    await settled()
    assert cutting.means.cuts == ["anna@corp.example"]


async def test_who_was_refused_or_never_asked_is_not_cut(cutting: Cutting) -> None:
    assert await cutting.login("bert@corp.example") < 0
    cutting.asking.dirty("cora@corp.example", "coraphone")
    cutting.asking.dirty("bert@corp.example", "bertphone")
    assert await cutting.login("anna@corp.example") == 0
    cutting.asking.dirty("anna@corp.example", "annaphone")
    await until(lambda: bool(cutting.means.batches))
    assert cutting.means.cuts == ["anna@corp.example"]


async def test_cannot_know_now_cuts_nobody(cutting: Cutting) -> None:
    assert await cutting.login("anna@corp.example") == 0
    cutting.asking.decision.state_lost = True
    await cutting.asking.decision.rejudge_all()
    await settled()
    cutting.asking.decision.state_lost = False
    cutting.asking.dirty("anna@corp.example", "annaphone")
    await until(lambda: bool(cutting.means.batches))
    assert cutting.means.cuts == ["anna@corp.example"]


async def test_a_failure_is_tried_again_and_told_once(cutting: Cutting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutter_module, "FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(cutter_module, "LONGEST_PAUSE_SECONDS", 0.0)
    assert await cutting.login("anna@corp.example") == 0
    cutting.means.failures = 4
    with capture_logs() as logged:
        cutting.asking.dirty("anna@corp.example", "annaphone")
        await until(lambda: bool(cutting.means.batches))
        await settled()
    assert cutting.means.cuts == ["anna@corp.example"]
    assert [each["event"] for each in logged if each["event"].startswith("cut")] == ["cut_failed", "cuts_go_on", "cut"]


async def test_a_mistake_of_ours_loses_nobody(cutting: Cutting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following_module, "AGAIN_SECONDS", 0.0)
    assert await cutting.login("anna@corp.example") == 0
    cutting.means.mistakes = 2
    cutting.asking.dirty("anna@corp.example", "annaphone")
    await until(lambda: bool(cutting.means.batches))
    assert cutting.means.cuts == ["anna@corp.example"]
    assert cutting.counted("failed") == 2


async def test_one_that_turned_back_meanwhile_is_let_be(cutting: Cutting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutter_module, "FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(cutter_module, "LONGEST_PAUSE_SECONDS", 0.0)
    assert await cutting.login("anna@corp.example") == 0
    cutting.means.failures = 1_000_000
    cutting.asking.dirty("anna@corp.example", "annaphone")
    await until(lambda: cutting.means.failures < 1_000_000)
    cutting.asking.clean("anna@corp.example", "annaphone")
    await cutting.asking.cache.load("anna@corp.example")
    failures = cutting.means.failures
    for _ in range(100):
        await settled()
    assert cutting.means.batches == []
    # One more may have been under way.
    assert cutting.means.failures >= failures - 1


async def test_who_came_back_while_he_was_cut_is_cut_again(cutting: Cutting) -> None:
    """Clean, let in and dirty again, all while the means still work on the first time."""
    cutting.means.gate = asyncio.Event()
    assert await cutting.login("anna@corp.example") == 0
    cutting.asking.dirty("anna@corp.example", "annaphone")
    await until(cutting.means.called.is_set)
    cutting.asking.clean("anna@corp.example", "annaphone")
    assert await cutting.login("anna@corp.example") == 0
    cutting.asking.dirty("anna@corp.example", "annaphone")
    await until(lambda: len(cutting.let_in) == 0)
    cutting.means.gate.set()
    await until(lambda: cutting.means.cuts == ["anna@corp.example"] * 2)


async def test_it_is_given_up_after_a_while(cutting: Cutting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutter_module, "FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(cutter_module, "LONGEST_PAUSE_SECONDS", 0.0)
    assert await cutting.login("anna@corp.example") == 0
    cutting.means.failures = 1_000_000
    cutting.asking.dirty("anna@corp.example", "annaphone")
    await until(lambda: cutting.means.failures < 1_000_000)
    cutting.clock.ahead += cutter_module.GIVE_UP_SECONDS + 1
    await until(lambda: cutting.counted("given_up") == 1)


@pytest.mark.parametrize("most", [3, MANY])
@pytest.mark.parametrize("once_more", [False, True])
async def test_others_get_their_turn_while_many_are_judged_anew(
    cutting: Cutting, monkeypatch: pytest.MonkeyPatch, most: int, once_more: bool
) -> None:
    """All of them have turned back: there is nothing to wait for."""
    turns, judged = 0, list[int]()

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    def turned_back(request: AccessRequest) -> Verdict:
        judged.append(turns)
        return allowed

    allowed = await cutting.asking.decision.judge_loading(request_of("anna@corp.example"))
    denied = await cutting.asking.decision.judge_loading(request_of("bert@corp.example"))
    assert (allowed.effect, denied.effect) == (Effect.ALLOW, Effect.DENY)
    cutter = cutting.cut.cutter
    monkeypatch.setattr(cutter, "_judge", turned_back)
    monkeypatch.setattr(cutter, "_at_once", most)
    cutting.means.most = most
    for number in range(MANY):
        session = AskedSession(cutting.let_in, "", "", f"u{number}", "dovecot", request_of("u"), cutting.clock())
        cutter.cut(session, denied)
    if once_more:
        await until(lambda: len(cutting.means.cuts) == MANY)
    cutting.clock.ahead += cutter_module.YOUNG_SECONDS + 1
    beside = asyncio.create_task(others())
    cutter._wake.set()
    await until(lambda: len(judged) == MANY)
    beside.cancel()
    assert len(cutting.means.cuts) == MANY * once_more
    assert max(Counter(judged).values()) <= 2 * cutter_module.AT_A_TIME


async def test_a_verdict_waits_for_no_cut(cutting: Cutting) -> None:
    """The means hang; questions are answered all the same."""
    cutting.means.gate = asyncio.Event()
    assert await cutting.login("anna@corp.example") == 0
    cutting.asking.dirty("anna@corp.example", "annaphone")
    await until(cutting.means.called.is_set)
    assert await cutting.login("anna@corp.example") < 0


async def test_who_was_let_in_a_moment_ago_is_cut_once_more(cutting: Cutting) -> None:
    """Dovecot was told to let it in, and has not connected it yet when the first cut comes."""
    assert await cutting.login("anna@corp.example") == 0
    cutting.clock.ahead += 1
    cutting.asking.dirty("anna@corp.example", "annaphone")
    await until(lambda: len(cutting.means.cuts) == 1)
    await settled()
    cutting.clock.ahead += cutter_module.YOUNG_SECONDS
    assert await cutting.login("dora@corp.example") == 0
    cutting.asking.dirty("dora@corp.example", "doraphone")
    await until(lambda: len(cutting.means.cuts) >= 3)
    assert sorted(cutting.means.cuts)[:3] == ["anna@corp.example", "anna@corp.example", "dora@corp.example"]


async def test_each_device_that_was_let_in_a_moment_ago_is_cut_once_more(cutting: Cutting) -> None:
    """The second one comes after the first one's cut, and the first one is in order again before its second cut."""
    for device in ("annaphone", "annalaptop"):
        cutting.asking.clean("anna@corp.example", device)
    for times, device in enumerate(("annaphone", "annalaptop"), start=1):
        request = AccessRequest("anna@corp.example", device, Protocol.ACTIVESYNC)
        cutting.cut.note("nginx", request, Whereabouts(user="anna"))
        cutting.clock.ahead += 1
        cutting.asking.dirty("anna@corp.example", device)
        await until(partial(is_cut, cutting, "anna", times))
        cutting.clock.ahead += 2
    cutting.asking.clean("anna@corp.example", "annaphone")
    await cutting.asking.cache.load("anna@corp.example")
    for user in ("dora", "emil"):
        assert await cutting.login(user) == 0
        # Somebody else's turn, or the cutter would not look at this clock.
        cutting.asking.dirty(f"{user}@corp.example", "phone")
        cutting.clock.ahead += cutter_module.YOUNG_SECONDS / 2
        await until(partial(is_cut, cutting, user))
        await settled()
        # Only the first one's moment has come by now, and the first one is in order.
        assert cutting.means.cuts.count("anna") == (2 if user == "dora" else 3)


def is_cut(cutting: Cutting, user: str, times: int = 1) -> bool:
    return cutting.means.cuts.count(user) >= times


@pytest.mark.parametrize("user", ["12345", "-f", "an*na", "10.0.0.1"])
async def test_a_name_that_would_mean_others_is_never_passed(cutting: Cutting, user: str) -> None:
    assert await cutting.login(user) == 0
    with capture_logs() as logged:
        cutting.asking.dirty(f"{user}@corp.example", "phone")
        await until(lambda: cutting.counted("not_possible") == 1)
    assert cutting.means.batches == []
    assert "cut_not_possible" in [each["event"] for each in logged]


async def test_postfix_too(cutting: Cutting) -> None:
    assert await cutting.asking.action(policy_request("anna")) == "action=DUNNO"
    cutting.asking.dirty("anna@corp.example", "annaphone")
    await until(lambda: bool(cutting.means.batches))
    assert cutting.means.cuts == ["anna"]


@pytest.mark.parametrize("turning", ["annaphone", "annalaptop"])
async def test_each_device_of_a_user_is_followed_by_itself(cutting: Cutting, turning: str) -> None:
    """Whoever logs in later with a clean device must not be followed in the place of the one that turns."""
    cutting.asking.clean("anna@corp.example", "annalaptop")
    for device in ("annaphone", "annalaptop", "annaphone"):
        request = AccessRequest("anna@corp.example", device, Protocol.ACTIVESYNC)
        cutting.cut.note("nginx", request, Whereabouts(user="anna"))
    assert len(cutting.let_in) == 2
    cutting.asking.dirty("anna@corp.example", turning)
    await until(lambda: bool(cutting.means.batches))
    assert cutting.means.cuts == ["anna"]
    assert cutting.let_in.is_there("activesync anna")


# --- who is remembered


def request_of(login: str) -> AccessRequest:
    return AccessRequest(login, "", Protocol.IMAP, IdentityStrength.USER_WIDE)


async def test_remembered_within_bounds(cutting: Cutting) -> None:
    let_in, sessions = cutting.let_in, cutting.asking.decision.sessions
    for number in range(250):
        let_in.note(f"imap u{number}", f"u{number}", "dovecot", request_of(f"u{number}"))
    assert (len(let_in), sessions.count) == (100, 100)
    assert "imap u149" not in let_in
    assert "imap u150" in let_in


async def test_forgotten_after_the_longest_session(cutting: Cutting) -> None:
    let_in = cutting.let_in
    let_in.note("imap a", "a", "dovecot", request_of("a"))
    cutting.clock.ahead += 3000
    let_in.note("imap b", "b", "dovecot", request_of("b"))
    cutting.clock.ahead += 700
    let_in.sweep()
    assert ("imap a" in let_in, "imap b" in let_in) == (False, True)
    assert cutting.asking.decision.sessions.count == 1


async def test_forgotten_when_the_askers_own_list_names_it_no_more(cutting: Cutting) -> None:
    let_in = cutting.let_in
    let_in.note("imap gone", "gone", "dovecot", request_of("gone"))
    for place in ("imap there", "imap left"):
        for device in ("a", "b"):
            let_in.note(f"{place} {device}", place[5:], "dovecot", request_of("there"), place=place)
    cutting.clock.ahead += 60
    let_in.note("imap new", "new", "dovecot", request_of("new"))
    let_in.keep_only({"imap there"}, cutting.clock())
    assert list(let_in._sessions) == ["imap there a", "imap there b", "imap new"]
    assert [let_in.is_there(f"imap {name}") for name in ("there", "left", "new", "gone")] == [True, False, True, False]


async def test_time_alone_turns_a_verdict_within_a_minute(cutting: Cutting) -> None:
    """Nobody tells of a ban that begins to enforce."""
    asking = cutting.asking
    asking.dirty("anna@corp.example", "annaphone")
    await asking.decision.use(policy(replace(BAN, starts_at=asking.now() + 600), number=2))
    assert await cutting.login("anna@corp.example") == 0
    asking.now.ahead += 601
    cutting.clock.ahead += 61
    cutting.let_in.sweep()
    await until(lambda: bool(cutting.means.batches))
    assert cutting.means.cuts == ["anna@corp.example"]
