"""The fleet brake in the control process: looked after under a lease, followed by all, told in status and metrics."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from gateway.changes.explain import age_words
from gateway.changes.fleet_brake import BrakeSettings, FleetBrake
from gateway.changes.fleet_previews import FleetPreviews
from gateway.domain.brake import NO_BRAKE, WINDOW_SECONDS, Brake, Hold, Limits, Trouble
from gateway.domain.policy import PolicyVersion, policy_of
from gateway.inventory.report_brake import ReportBrake, ReportBrakeSettings
from gateway.observability.metrics import Metrics
from gateway.ports.store import Reading, Store, StoreUnavailable
from gateway.settings import Settings

READ_EVERY_SECONDS = 2.0
READ_WITHIN_SECONDS = 5.0
RECALL_WITHIN_SECONDS = 20.0
RECALLED_AT_MOST = 20_000
"""Reports; the newest ones, where more came within ten minutes."""
VERSIONS_AT_MOST = 20


def brake_settings_of(settings: Settings) -> BrakeSettings:
    """The [brake] section as the brake takes it."""
    told = settings.brake
    return BrakeSettings(Limits(told.most_percent, told.at_least), told.stop_ageing, told.release_hours * 3600)


class Braking:
    """One per control process; ``run`` must run."""

    def __init__(self, settings: Settings, store: Store, previews: FleetPreviews, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now
        self.fleet_brake = FleetBrake(store, previews.fleet, now, brake_settings_of(settings))
        told = ReportBrakeSettings(brake_settings_of(settings).limits, settings.brake.hold_hits)
        self.reports = ReportBrake(lambda: self.present, previews.devices, self._begin, now, told)
        self.present = NO_BRAKE
        """As it was when it was last read."""

    async def run(self) -> None:
        """Follow what any control process has written, until cancelled."""
        recalled = False
        while True:
            with suppress(StoreUnavailable, TimeoutError):
                # The lookout says what is wrong with the store.
                self.present = await self._read()
            if not recalled:
                # Without it the count begins anew, as it did with the process.
                with suppress(StoreUnavailable, TimeoutError):
                    await self._recall()
                recalled = True
            await asyncio.sleep(READ_EVERY_SECONDS)

    async def _read(self) -> Brake:
        async with asyncio.timeout(READ_WITHIN_SECONDS), self._store.read() as reading:
            return await reading.brake()

    async def _recall(self) -> None:
        """What reports brought just before this start counts on."""
        async with asyncio.timeout(RECALL_WITHIN_SECONDS), self._store.read() as reading:
            since = self._now() - WINDOW_SECONDS
            added = await reading.apps_added(since, RECALLED_AT_MOST)
            policies = [policy_of(each) for each in await _versions(reading, since)]
        self.reports.recalled(added, policies)

    async def _begin(self, hold: Hold) -> None:
        """Another report of the kind finds it held at once."""
        self.present = await self.fleet_brake.begin(hold)

    def sentences(self) -> list[str]:
        """Warnings for ``status``."""
        now, until = self._now(), self.present.looked_until
        found = [sentence_of(each, now) for each in self.present.holds]
        if until is not None and until < now:
            found.append(
                f"fleet brake: for {age_words(now - until)} nobody has looked ahead, so no list of apps ages any more: "
                "see brake_waits and impact_index in the log"
            )
        return found

    def gauge(self, metrics: Metrics) -> None:
        """Set the figures."""
        devices = metrics.gauge(
            "gatepost_brake_devices",
            "Devices that the fleet brake holds or alarms of, by source; holding: yes or no",
            "source",
            "trouble",
            "holding",
        )
        devices.values = {}
        for each in self.present.holds:
            devices.inc(each.source_id, each.trouble.value, "yes" if each.holding else "no", by=each.devices)
        confirmed = [each for each in self.present.holds if self._now() < each.confirmed_until]
        metrics.gauge("gatepost_brake_unconfirmed", "Holds and alarms of the fleet brake nobody has confirmed").set(
            len(self.present.holds) - len(confirmed)
        )


async def _versions(reading: Reading, since: float) -> list[PolicyVersion]:
    """Policy versions that were in force since then, the oldest first; of very many the newest."""
    newest, begun = await reading.policy(), await reading.policy_at(since)
    if newest is None:
        return []
    first = max(begun.number if begun else 1, newest.number - VERSIONS_AT_MOST + 1)
    found = [await reading.policy(number) for number in range(first, newest.number + 1)]
    return [each for each in found if each is not None]


def sentence_of(hold: Hold, now: float) -> str:
    """What an operator is told of a hold or an alarm."""
    source, since = hold.source_id, age_words(now - hold.since)
    if now < hold.confirmed_until:
        seen = f"; confirmed by {hold.confirmed_by} for another {age_words(hold.confirmed_until - now)}"
    else:
        seen = ""
    ways = f"gatepost brake status; let go: gatepost brake release {source} {hold.trouble.value}"
    if hold.trouble is Trouble.STALE:
        return (
            f"fleet brake: {hold.devices} devices have mail although the lists of source {source} grow too old; they "
            f"have not aged for {since}: have it report again{seen} ({ways})"
        )
    if hold.trouble is Trouble.GAPS:
        return (
            f"fleet brake: for {since} reports of source {source} that leave devices that nobody can prove clean wait; "
            f"{hold.devices} came within ten minutes{seen} ({ways})"
        )
    if hold.holding:
        return (
            f"fleet brake: for {since} reports of source {source} that newly find ban {hold.ban} wait; {hold.devices} "
            f"came within ten minutes{seen} ({ways} --ban {hold.ban})"
        )
    return (
        f"fleet brake: source {source} newly found ban {hold.ban} on {hold.devices} devices within ten minutes, "
        f"{since} ago, and they are refused: if that cannot be, gatepost flag set {hold.ban} report-only{seen}"
    )
