"""Every store keeps changes of the policy to the letter, newest first, with their newest preview."""

from dataclasses import replace

import pytest

from gateway.domain.bans import Flag, FlagRule
from gateway.domain.change import Approval, GuardedAction, Moved, PolicyChange, PreviewSeen, StageDone, State
from gateway.domain.notice import Tell
from gateway.domain.policy import (
    Exemption,
    NewDeviceGrace,
    OutlookMobile,
    Setting,
    SettingRule,
    Unavailable,
    UnknownSetting,
    first_policy,
)
from gateway.domain.policy_parts import differences
from gateway.domain.stages import EVERYBODY, Stage, StopRule
from gateway.ports.store import Conflict, Store
from gateway.storage.policy_changes import encode_policy_change
from tests.support.evidence_strategies import BANS, NOW, TIKTOK_BAN

EMPTY = first_policy(NOW)
FULL = replace(
    EMPTY,
    enforcement_on=False,
    bans=(replace(TIKTOK_BAN, rules=(FlagRule(Flag.OFF, group="board", percent=2.5),), starts_at=NOW), *BANS[1:]),
    exemptions=(Exemption("e1", "ann", "travels", NOW, NOW + 60, login="bob@corp.example"),),
    unknowns=replace(EMPTY.unknowns, stale=UnknownSetting(Setting.DENY, (SettingRule(Setting.ALLOW),))),
    grace=NewDeviceGrace(60.0, 3),
    outlook_mobile=OutlookMobile.DENY,
    unavailable=Unavailable.ALLOW,
)
WHOLE = PolicyChange(
    1,
    "ann",
    "t1",
    NOW,
    "everything",
    1,
    differences(EMPTY, FULL),
    GuardedAction("bind", {"login": "bob"}),
    (Stage(percent=10.0, after_seconds=60.0, by_itself=True, stop=StopRule(cut_per_hour=5)), EVERYBODY),
    State.APPLYING,
    PreviewSeen("d1", 1, 7, NOW, 3, 2, 100),
    (Approval("bob", "t2", NOW, "d1", NOW + 60),),
    (StageDone(0, 2, NOW, "ann"),),
    NOW + 5,
    3,
    "a note",
    "# a comment\n",
    (Moved(State.PREVIEWED, NOW, "ann", "3 newly cut"),),
)


async def put(store: Store, change: PolicyChange, at: float = NOW) -> None:
    _, changes = await store.write(lambda writing: writing.put_policy_change(change, at))
    assert changes == ()


async def test_a_change_reads_back_to_the_letter(store: Store) -> None:
    await put(store, WHOLE)
    async with store.read() as reading:
        assert await reading.policy_change(1) == WHOLE
        assert await reading.policy_change(2) is None
    rejected = replace(WHOLE, state=State.HALTED, touches=())
    await put(store, rejected)
    async with store.read() as reading:
        assert await reading.policy_change(1) == rejected


async def test_changes_come_newest_first_and_from_a_moment_on(store: Store) -> None:
    for number in (1, 2, 3):
        await put(store, replace(WHOLE, number=number), NOW + number)
    async with store.read() as reading:
        assert [each.number for each in await reading.policy_changes()] == [3, 2, 1]
        assert [each.number for each in await reading.policy_changes(limit=2)] == [3, 2]
        assert [each.number for each in await reading.policy_changes(since=NOW + 2)] == [3, 2]


async def test_changes_in_a_state_are_found_however_old_they_are(store: Store) -> None:
    for number, state in enumerate((State.APPLYING, State.APPLIED, State.SCHEDULED), 1):
        await put(store, replace(WHOLE, number=number, state=state), NOW + number)
    async with store.read() as reading:
        found = await reading.policy_changes_in({State.APPLYING, State.SCHEDULED})
        assert [each.number for each in found] == [3, 1]
        assert await reading.policy_changes_in({State.HALTED}) == []


async def test_numbers_follow_one_another(store: Store) -> None:
    with pytest.raises(Conflict, match="change 2 does not follow the newest, 0"):
        await put(store, replace(WHOLE, number=2))


async def test_the_newest_preview_of_a_change_is_kept(store: Store) -> None:
    await put(store, WHOLE)
    for digest, content in (("d1", b"\x00one"), ("d2", b"two")):
        await store.write(lambda writing, d=digest, c=content: writing.put_change_preview(1, d, c))  # type: ignore[misc]
    async with store.read() as reading:
        assert await reading.change_preview(1, "d1") is None
        assert await reading.change_preview(1, "d2") == b"two"
        assert await reading.change_preview(2, "d2") is None


async def test_how_people_are_told_is_kept_and_where_nothing_was_said_nothing_is_written(store: Store) -> None:
    """The version before this one knows no such field, and refuses what it does not know."""
    await put(store, replace(WHOLE, tell=Tell.WITH_THE_CUT))
    async with store.read() as reading:
        found = await reading.policy_change(1)
    assert found is not None
    assert found.tell is Tell.WITH_THE_CUT
    assert "tell" not in encode_policy_change(WHOLE)
