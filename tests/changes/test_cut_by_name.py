"""Who is cut, or let in, where a login alone asks counts for the guards: there no device turns."""

from dataclasses import replace

import httpx
import pytest

from gateway.changes.applying import Rules
from gateway.changes.guards import GuardLimits
from gateway.changes.impact.impact import told_apart
from gateway.domain.access import Protocol
from gateway.domain.bans import Flag, FlagRule
from gateway.domain.policy import Setting, SettingRule, Unknowns, UnknownSetting, first_policy
from tests.notices.test_change_to_mailbox import CUT, fill
from tests.support.control import Control
from tests.support.evidence_strategies import NOW, TIKTOK_BAN

GUARDED = Rules(GuardLimits(devices=1, widest_percent=100.0))
BAN = {"name": "TikTok", "matchers": [{"value": "android:com.zhiliaoapp.musically"}]}
BY_IMAP = {"flag": "enforce", "protocol": "imap"}


@pytest.fixture
async def control() -> Control:
    """Four people, two of them with the app; ann may turn one device, and the ban is there."""
    made = Control(now=NOW, rules=GUARDED)
    await fill(made)
    made.records = {login: replace(record, logins=(login,)) for login, record in made.records.items()}
    return made


async def test_one_person_cuts_nobody_by_a_protocol_that_names_no_device(control: Control) -> None:
    async with await control.client("ann") as ann:
        assert (await ann.post("/bans", json=BAN)).is_success
        refused = await ann.put("/flags/bans/TikTok", json=BY_IMAP)
        assert refused.status_code == 409
        words = (
            "0 devices, and 2 people by protocols that name none, newly cut; one person alone may turn 1 within a day"
        )
        assert words in refused.json()["detail"]
        shown = (await ann.get(f"/changes/{refused.json()['change']}")).json()["preview"]
        assert (shown["newly_cut"], shown["cut_by_name"], len(CUT)) == (0, 2, 2)


async def test_nor_is_anybody_let_in_so_and_what_was_turned_adds_up(control: Control) -> None:
    async with await control.client("ann") as ann:
        assert (await ann.post("/bans", json=BAN)).is_success
        control.rules = Rules(second_person=False)
        assert (await ann.put("/flags/bans/TikTok", json=BY_IMAP)).is_success
        control.rules = GUARDED
        refused: httpx.Response = await ann.delete("/bans/TikTok")
        assert refused.status_code == 409
        words = "2 people by protocols that name none, newly admitted, 2 more by ann's changes of the last 24 hours"
        assert words in refused.json()["detail"]
        # What merely turns the flag down is one person's, as ever.
        assert (await ann.put("/flags/bans/TikTok", json={"flag": "off"})).is_success


def test_which_ways_a_policy_tells_apart() -> None:
    policy = first_policy(NOW)
    assert told_apart(policy) == frozenset()
    by_smtp = UnknownSetting(rules=(SettingRule(Setting.DENY, Protocol.SMTP),))
    assert told_apart(replace(policy, unknowns=Unknowns(stale=by_smtp))) == {Protocol.SMTP}
    but_phones = replace(TIKTOK_BAN, rules=(FlagRule(Flag.OFF, Protocol.ACTIVESYNC),))
    assert told_apart(replace(policy, bans=(but_phones,))) == frozenset(Protocol)
