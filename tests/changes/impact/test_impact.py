"""What a preview says, counted by hand on a fleet of five people."""

import gc
from dataclasses import replace

import pytest

from gateway.changes.impact.algebra import Denials, Evaluation
from gateway.changes.impact.exempt import Exempt
from gateway.changes.impact.figures import NamedSet, page_of
from gateway.changes.impact.hits import Hits
from gateway.changes.impact.impact import Asked, impact_of
from gateway.changes.impact.moment import Moment
from gateway.changes.impact.reach import Reach
from gateway.changes.impact.terms import Terms
from gateway.domain.access import Protocol
from gateway.domain.ageing import Ageing
from gateway.domain.bans import Flag, FlagRule
from gateway.domain.policy import Exemption, Setting, Unknowns, UnknownSetting
from gateway.domain.verdict import Cause, Reason
from tests.support.counted_names import CountedName
from tests.support.evidence_strategies import DAY, NOW, TENCENT_BAN, denying
from tests.support.impact_values import PEOPLE, credential, fleet, login, policy, tiktok

NOTHING, REPORTING, ENFORCING = policy(), policy(tiktok(Flag.REPORT_ONLY)), policy(tiktok(), number=2)


def test_a_ban_turned_to_enforce() -> None:
    impact = impact_of(fleet(), REPORTING, ENFORCING, NOW)
    assert (impact.incarnation, impact.sequence, impact.at) == ("life", 7, NOW)
    assert (impact.devices, impact.people) == (5, 5)
    assert (impact.cut, impact.admitted, impact.unchanged) == (2, 0, 3)
    assert (impact.refused_before, impact.refused_after, impact.exempt) == (0, 2, 0)
    assert impact.dirty == 2
    assert impact.share_cut == 0.4
    assert (impact.people_cut, impact.people_cut_off, impact.people_admitted) == (2, 1, 0)
    assert impact.by_reason == {Reason.BANNED_APP: 2}
    assert impact.by_ban == {"TikTok": 2}
    assert [(each.name, each.devices, each.cut) for each in impact.groups] == [("sales", 3, 2), ("vip", 1, 1)]
    assert impact.largest_groups == impact.groups
    assert {each.name: (each.devices, each.cut) for each in impact.platforms} == {"android": (4, 2), "": (1, 0)}
    assert {each.name: (each.devices, each.cut) for each in impact.ownerships} == {"company": (4, 2), "unknown": (1, 0)}
    assert {each.name: (each.devices, each.cut) for each in impact.sources} == {"mdm": (4, 2)}


def test_and_back() -> None:
    impact = impact_of(fleet(), ENFORCING, REPORTING, NOW)
    assert (impact.cut, impact.admitted, impact.unchanged) == (0, 2, 3)
    assert (impact.people_cut, impact.people_cut_off, impact.people_admitted) == (0, 0, 2)
    assert (impact.by_reason, impact.by_ban) == ({}, {})


def test_what_changes_nothing_turns_nobody() -> None:
    impact = impact_of(fleet(), ENFORCING, ENFORCING, NOW)
    assert (impact.cut, impact.admitted, impact.unchanged, impact.groups) == (0, 0, 5, ())


def test_an_empty_fleet() -> None:
    empty = fleet(PEOPLE[0])
    empty = replace(empty, entries={}, marks={}, platforms={}, ownerships={}, sources={}, groups={}, members={})
    impact = impact_of(empty, NOTHING, ENFORCING, NOW)
    assert (impact.devices, impact.cut, impact.share_cut) == (0, 0, 0.0)


def test_people_by_all_of_their_devices() -> None:
    """IMAP cannot tell Bob's phones apart; Eve, of whom nothing is reported, is not refused by a ban."""
    impact = impact_of(fleet(), REPORTING, ENFORCING, NOW)
    assert impact.by_protocol[Protocol.ACTIVESYNC].cut == 2
    assert impact.by_protocol[Protocol.ACTIVESYNC].people_cut == 0
    for protocol in (Protocol.IMAP, Protocol.POP3, Protocol.SMTP, Protocol.WEBMAIL):
        assert (impact.by_protocol[protocol].cut, impact.by_protocol[protocol].people_cut) == (0, 2)
    missing = policy(unknowns=denying("missing"))
    impact = impact_of(fleet(), NOTHING, missing, NOW)
    # Dan's phone is known to no source, and Eve has none.
    assert impact.by_protocol[Protocol.IMAP].people_cut == 2
    assert impact_of(fleet(), missing, NOTHING, NOW).by_protocol[Protocol.IMAP].people_admitted == 2


def test_a_ban_by_one_protocol_cuts_the_devices_that_this_protocol_can_name() -> None:
    imap = policy(tiktok(Flag.OFF, FlagRule(Flag.ENFORCE, Protocol.IMAP)))
    assert impact_of(fleet(), NOTHING, imap, NOW).cut == 0
    with_credential = fleet(credential(PEOPLE[0], "a1"), *PEOPLE[1:])
    impact = impact_of(with_credential, NOTHING, imap, NOW)
    assert (impact.cut, impact.by_protocol[Protocol.IMAP].cut, impact.by_protocol[Protocol.ACTIVESYNC].cut) == (1, 1, 0)
    assert impact.by_reason == {Reason.BANNED_APP: 1}
    # She still has mail by ActiveSync.
    assert (impact.people_cut, impact.people_cut_off) == (1, 0)


def test_who_passes_unjudged_is_told_each_time() -> None:
    impact = impact_of(fleet(), REPORTING, ENFORCING, NOW)
    assert (impact.unjudged, impact.unjudged_by_cause) == (1, {Cause.UNMATCHED: 1})
    refusing = policy(tiktok(), unknowns=denying("unmatched"))
    impact = impact_of(fleet(), ENFORCING, refusing, NOW)
    assert (impact.cut, impact.unjudged) == (1, 0)
    assert impact.by_reason == {Reason.DEVICE_UNMATCHED: 1}
    later = impact_of(fleet(), REPORTING, ENFORCING, NOW + DAY)
    assert later.unjudged_by_cause == {Cause.UNMATCHED: 1, Cause.STALE: 2}


def exemption(**fields: str) -> Exemption:
    return replace(Exemption("e1", "root", "a reason", NOW - DAY, NOW + DAY), **fields)  # type: ignore[arg-type]


def test_exemptions_and_the_global_switch_let_through() -> None:
    exempt = policy(tiktok(), exemptions=(exemption(group="vip"), exemption(login=login("bob"), device_id="b1")))
    impact = impact_of(fleet(), NOTHING, exempt, NOW)
    assert (impact.cut, impact.exempt, impact.refused_after) == (0, 2, 0)
    # Bob's phone is exempt, Bob is not.
    assert impact.by_protocol[Protocol.IMAP].people_cut == 1
    off = policy(tiktok(), enforcement_on=False)
    assert impact_of(fleet(), NOTHING, off, NOW).exempt == 2
    assert impact_of(fleet(), off, ENFORCING, NOW).cut == 2


def test_the_reason_told_is_the_first() -> None:
    unknowns = Unknowns(stale=UnknownSetting(Setting.DENY), unmatched=UnknownSetting(Setting.DENY))
    impact = impact_of(fleet(), NOTHING, policy(tiktok(), unknowns=unknowns), NOW + DAY)
    assert impact.cut == 5
    assert impact.by_reason == {Reason.BANNED_APP: 2, Reason.EVIDENCE_STALE: 2, Reason.DEVICE_UNMATCHED: 1}


def test_bans_that_cut_nobody_are_left_out() -> None:
    both = policy(tiktok(Flag.ENFORCE, FlagRule(Flag.OFF, group="vip")), replace(TENCENT_BAN, flag=Flag.ENFORCE))
    impact = impact_of(fleet(), NOTHING, both, NOW)
    assert (impact.cut, impact.by_ban) == (1, {"TikTok": 1})


def test_named_people_are_told_by_name() -> None:
    named = (
        NamedSet("VIPs", group="vip"),
        NamedSet("operators", (login("cid"), login("bob"), login("nobody"))),
        NamedSet("the author", (login("eve"),)),
    )
    impact = impact_of(fleet(), NOTHING, ENFORCING, NOW, Asked(named=named))
    assert [(each.name, each.people, each.cut, each.people_cut) for each in impact.named] == [
        ("VIPs", 1, (login("ann"),), 1),
        ("operators", 2, (login("bob"),), 1),
        ("the author", 1, (), 0),
    ]


def test_pages_of_names() -> None:
    found = fleet()
    impact = impact_of(found, NOTHING, ENFORCING, NOW)
    first = page_of(found, impact.sets.cut, limit=1)
    assert [(each.person_id, each.device_id) for each in first] == [(login("ann"), "a1")]
    then = page_of(found, impact.sets.cut, first[-1].number)
    assert [(each.person_id, each.device_id) for each in then] == [(login("bob"), "b1")]
    assert page_of(found, impact.sets.cut, then[-1].number) == ()


def test_whom_the_fleet_brake_holds_is_served_and_nobody_can_judge() -> None:
    stale = policy(tiktok(Flag.REPORT_ONLY), unknowns=denying("stale"))
    free = impact_of(fleet(), stale, stale, NOW + DAY)
    assert (free.refused_before, free.refused_after, free.unjudged_by_cause.get(Cause.STALE)) == (4, 4, None)
    ageing = Ageing(held={"mdm": NOW})
    held, enforcing = (
        replace(each, ageing=ageing) for each in (stale, policy(tiktok(), unknowns=denying("stale"), number=2))
    )
    impact = impact_of(fleet(), held, enforcing, NOW + DAY)
    assert (impact.refused_before, impact.cut, impact.by_reason) == (0, 2, {Reason.BANNED_APP: 2})
    assert impact.unjudged_by_cause[Cause.STALE] == 2


@pytest.mark.parametrize("twice", [False, True])
def test_nothing_of_a_preview_waits_for_the_garbage_collector(twice: bool) -> None:
    """Sets of a large fleet take many megabytes, and a process that has much to look at collects rarely."""
    devices = fleet()
    gc.collect()
    gc.disable()
    try:
        before = {id(each) for each in gc.get_objects()}
        for _ in range(2 if twice else 1):
            impact = impact_of(devices, REPORTING, ENFORCING, NOW)
        assert impact.cut == 2
        ours = (Evaluation, Denials, Terms, Moment, Hits, Exempt, Reach)
        left = [type(each).__name__ for each in gc.get_objects() if id(each) not in before and isinstance(each, ours)]
        assert left == []
    finally:
        gc.enable()


@pytest.mark.parametrize("seeds", [1, 30], ids=["equal terms", "terms of their own"])
def test_counting_by_ban_does_not_look_at_all_bans_for_each(seeds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    bans = [
        tiktok(
            Flag.REPORT_ONLY,
            FlagRule(Flag.ENFORCE, percent=100.0),
            name=CountedName(f"ban {number}"),
            seed=number % seeds,
        )
        for number in range(30)
    ]
    monkeypatch.setattr(CountedName, "compared", 0)
    assert impact_of(fleet(), NOTHING, policy(*bans), NOW).by_ban == {f"ban {number}": 2 for number in range(30)}
    assert CountedName.compared <= 300
