"""The brake's life: what it writes, logs and audits, what operators do, and what happens while nobody can look."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.changes import fleet_brake
from gateway.changes.fleet_brake import ALARM_SECONDS, BrakeSettings, FleetBrake
from gateway.changes.impact.fleet import Fleet
from gateway.domain.audit.entry import decoded
from gateway.domain.brake import NO_BRAKE, WINDOW_SECONDS, Brake, Hold, Release, Trouble
from gateway.domain.errors import InvalidValue
from gateway.domain.evidence import PersonRecord
from gateway.domain.policy import PolicyVersion, first_policy
from gateway.ports.store import StoreUnavailable, Writing
from gateway.storage.memory import MemoryStore
from tests.changes.aged_fleets import FRESH, SOON, STRICT, fleet_of, phones
from tests.support.evidence_strategies import HOUR, NOW

GOES_STALE = [*phones("agents", 100, SOON), *phones("jamf", 900, FRESH)]
HOLD = Hold("agents", Trouble.STALE, NOW, 100)
NAME = HOLD.name
AS_THEY_COME = BrakeSettings()


class Site:
    """A brake in a store in memory."""

    def __init__(self, people: Sequence[PersonRecord] = GOES_STALE, settings: BrakeSettings = AS_THEY_COME) -> None:
        self.store = MemoryStore()
        self.now = NOW
        self.fleet: Fleet | None = fleet_of(*people)
        self.brake = FleetBrake(self.store, self._fleet, lambda: self.now, settings)

    async def _fleet(self) -> Fleet | None:
        return self.fleet

    async def begin(self, version: PolicyVersion = STRICT.version, brake: Brake = NO_BRAKE) -> "Site":
        """With a policy, and what was there before."""

        async def work(writing: Writing) -> None:
            await writing.put_policy(version)
            await writing.put_brake(brake)

        await self.store.write(work)
        return self

    async def present(self) -> Brake:
        """What workers read."""
        async with self.store.read() as reading:
            return await reading.brake()

    async def audited(self) -> list[dict[str, Any]]:
        """What the audit log was told."""
        async with self.store.read() as reading:
            entries = await reading.audit_entries(0, 100)
        found: list[dict[str, Any]] = [(decoded(each.entry) or {})["details"] for each in entries]  # type: ignore[misc]
        return found


async def test_it_writes_how_far_lists_may_age_and_what_is_held() -> None:
    site = await Site().begin()
    with capture_logs() as log:
        await site.brake.look()
    assert await site.present() == Brake(NOW + WINDOW_SECONDS, (HOLD,))
    assert [(each["event"], each["source"], each["devices"], each["fleet"]) for each in log] == [
        ("brake_held", "agents", 100, 1000)
    ]
    with capture_logs() as log:
        await site.brake.look()
    assert log == []


async def test_it_lets_go_by_itself() -> None:
    site = await Site(phones("agents", 1000, FRESH)).begin(brake=Brake(NOW, (HOLD,)))
    with capture_logs() as log:
        await site.brake.look()
    assert (await site.present()).holds == ()
    assert [each["event"] for each in log] == ["brake_ended"]


async def test_while_the_fleet_is_not_known_nothing_ages_further() -> None:
    site = await Site().begin(brake=Brake(NOW - HOUR, (HOLD,)))
    site.fleet = None
    await site.brake.look()
    assert await site.present() == Brake(NOW - HOUR, (HOLD,))


async def test_where_age_refuses_nobody_the_fleet_need_not_be_known() -> None:
    site = await Site().begin(first_policy(0.0), Brake(NOW - HOUR, (HOLD,)))
    site.fleet = None
    await site.brake.look()
    assert await site.present() == Brake(NOW + WINDOW_SECONDS)


async def test_switched_off_lists_age_freely() -> None:
    site = await Site(settings=BrakeSettings(stop_ageing=False)).begin(brake=Brake(NOW - HOUR, (HOLD,)))
    await site.brake.look()
    assert await site.present() == Brake(None)


async def test_an_operator_lets_go() -> None:
    site = await Site().begin()
    await site.brake.look()
    assert await site.brake.release(NAME, "ann") == HOLD
    released = Release("agents", Trouble.STALE, "ann", NOW + 86_400)
    assert await site.present() == Brake(NOW + WINDOW_SECONDS, (), (released,))
    site.now += 10
    await site.brake.look()
    assert (await site.present()).holds == ()
    site.now = NOW + 86_400
    await site.brake.look()
    assert (await site.present()).releases == ()


async def test_an_operator_confirms() -> None:
    site = await Site().begin()
    await site.brake.look()
    confirmed = replace(HOLD, confirmed_by="ann", confirmed_until=NOW + 8 * HOUR)
    assert await site.brake.confirm(NAME, "ann", 8) == confirmed
    site.now += 10
    await site.brake.look()
    assert (await site.present()).holds == (confirmed,)


async def test_what_is_not_held_is_neither_let_go_nor_confirmed() -> None:
    site = await Site().begin()
    with pytest.raises(InvalidValue, match="nothing is held of source agents for stale: gatepost brake status"):
        await site.brake.release(NAME, "ann")
    await site.brake.look()
    with pytest.raises(InvalidValue, match="at most 168 hours"):
        await site.brake.confirm(NAME, "ann", 169)


async def test_an_operator_who_is_quicker_is_not_overwritten() -> None:
    site = await Site().begin()
    await site.brake.look()
    seen = await site.present()
    site.now += 10

    async def slow_fleet() -> Fleet | None:
        await site.brake.release(NAME, "ann")
        return site.fleet

    quick = FleetBrake(site.store, slow_fleet, lambda: site.now)
    await quick.look()
    assert (await site.present()).holds == ()
    assert (await site.present()).looked_until == seen.looked_until


async def test_an_alarm_is_told_for_a_day() -> None:
    alarm = Hold("intune", Trouble.HITS, NOW, 40, "TikTok", holding=False)
    waits = replace(alarm, source_id="jamf", holding=True)
    site = await Site(phones("agents", 100, FRESH)).begin(brake=Brake(NOW, (alarm, waits)))
    site.now = NOW + ALARM_SECONDS - 1
    await site.brake.look()
    assert alarm in (await site.present()).holds
    site.now += 1
    await site.brake.look()
    assert [each.source_id for each in (await site.present()).holds if each.trouble is Trouble.HITS] == ["jamf"]


async def test_everything_is_audited() -> None:
    site = await Site().begin()
    await site.brake.look()
    await site.brake.confirm(NAME, "ann", 1)
    await site.brake.release(NAME, "bob")
    acts = [each["act"] for each in await site.audited()]
    assert acts == ["held", "confirmed", "released"]


async def test_a_defect_ends_nothing_and_nothing_ages_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_brake, "LOOK_EVERY_SECONDS", 0.001)
    site = await Site().begin(brake=Brake(NOW - HOUR))
    looks = 0

    async def broken() -> Fleet | None:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise RuntimeError("a defect")
        if looks == 2:
            raise StoreUnavailable("away")
        return site.fleet

    brake = FleetBrake(site.store, broken, lambda: site.now)
    with capture_logs() as log:
        task = asyncio.create_task(brake.run(held=True))
        async with asyncio.timeout(5):
            while await site.present() == Brake(NOW - HOUR):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        task.cancel()
    assert [each["event"] for each in log][:2] == ["brake_failed", "brake_waits"]
