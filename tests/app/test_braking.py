"""What the operator is told of the fleet brake, in ``status`` and in figures."""

import asyncio
from dataclasses import replace

import pytest

from gateway.app.braking import Braking, brake_settings_of, sentence_of
from gateway.changes.fleet_brake import BrakeSettings
from gateway.changes.fleet_previews import FleetPreviews
from gateway.domain.bans import Ban, Flag, Matcher, MatcherKind
from gateway.domain.brake import Brake, Hold, Limits, Trouble
from gateway.domain.evidence import PersonRecord
from gateway.domain.inventory import App, Inventory, Naming, Platform, Scope
from gateway.domain.policy import first_policy
from gateway.observability.metrics import Metrics
from gateway.ports.store import Reading, Writing
from gateway.settings import Settings
from gateway.storage.memory import MemoryStore

NOW = 1_700_000_000.0
STALE = Hold("agents", Trouble.STALE, NOW - 7200, 9_120)
HITS = Hold("intune", Trouble.HITS, NOW - 120, 40, "TikTok")


async def nobody(reading: Reading, login: str) -> PersonRecord:
    return PersonRecord(login, known=False)


def braking(brake: Brake) -> Braking:
    store = MemoryStore()
    found = Braking(Settings(), store, FleetPreviews(store, nobody, None), lambda: NOW)
    found.present = brake
    return found


@pytest.mark.parametrize(
    ("hold", "said"),
    [
        (STALE, "9120 devices have mail although the lists of source agents grow too old; they have not aged for 2 h"),
        (HITS, "for 2 min reports of source intune that newly find ban TikTok wait; 40 came within ten minutes"),
        (replace(HITS, holding=False), "newly found ban TikTok on 40 devices within ten minutes, 2 min ago"),
        (replace(HITS, holding=False), "gatepost flag set TikTok report-only"),
        (Hold("jamf", Trouble.GAPS, NOW, 30), "leave devices that nobody can prove clean wait"),
        (STALE, "gatepost brake release agents stale"),
        (HITS, "gatepost brake release intune hits --ban TikTok"),
        (replace(STALE, confirmed_by="ann", confirmed_until=NOW + 3600), "confirmed by ann for another 1 h"),
    ],
)
def test_what_is_said(hold: Hold, said: str) -> None:
    assert said in sentence_of(hold, NOW)


def test_a_confirmation_that_has_ended_is_not_told() -> None:
    assert "confirmed" not in sentence_of(replace(STALE, confirmed_by="ann", confirmed_until=NOW), NOW)


def test_that_nobody_looks_ahead_is_said() -> None:
    assert braking(Brake(NOW)).sentences() == []
    assert braking(Brake(None)).sentences() == []
    (sentence,) = braking(Brake(NOW - 300)).sentences()
    assert "for 5 min nobody has looked ahead, so no list of apps ages any more" in sentence


def test_the_figures() -> None:
    metrics = Metrics()
    confirmed = replace(HITS, holding=False, confirmed_by="ann", confirmed_until=NOW + 1)
    braking(Brake(NOW, (STALE, confirmed))).gauge(metrics)
    values = metrics.families["gatepost_brake_devices"].values
    assert values == {("agents", "stale", "yes"): 9_120, ("intune", "hits", "no"): 40}
    assert metrics.families["gatepost_brake_unconfirmed"].get() == 1
    braking(Brake(NOW)).gauge(metrics)
    assert metrics.families["gatepost_brake_devices"].values == {}


def test_the_settings() -> None:
    assert brake_settings_of(Settings()) == BrakeSettings(Limits(1.0, 20), True, 86_400.0)


async def test_a_start_counts_the_hits_of_the_ten_minutes_before() -> None:
    """What reports have added stands in the store; the process that counted it is gone."""
    found = braking(Brake(None))
    ban = Ban("TikTok", (Matcher(MatcherKind.ID, "com.zhiliaoapp.musically", Platform.ANDROID),), flag=Flag.ENFORCE)
    version = replace(first_policy(NOW), bans=(ban,), enforcement_on=True)
    tiktok = App(Platform.ANDROID, "com.zhiliaoapp.musically")

    async def work(writing: Writing) -> None:
        await writing.put_policy(version)
        for number in range(19):
            stated = Inventory("mdm", f"d{number}", Scope.DEVICE, Naming.IDENTIFIER, 1.0, 1.0, 1, (tiktok,))
            await writing.put_inventory(stated, (tiktok,))

    await found._store.write(work)
    following = asyncio.ensure_future(found.run())
    name = ("mdm", Trouble.HITS, "TikTok")
    async with asyncio.timeout(10):
        while len(found.reports._within_the_window(name)) < 19:  # noqa: ASYNC110  (no event of it)
            await asyncio.sleep(0)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
