"""What reports newly bring that refuses people, counted: a source that is wrong about very many devices at once.

Each process counts what its reports bring within ten minutes: devices with a new hit of an enforced ban, and devices
that can no longer be proved clean (their list is missing or sees too little, they match no inventory device any more,
or several) where that refuses. It begins with the hits of the ten minutes before its start. Too many by one source are
told to the fleet brake, once. Where the brake holds that, further such reports wait (the sender is told to come again),
so that what was known before goes on to count. A report that also brings anything that is not held is taken whole;
whoever has the hit already stays refused.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import structlog

from gateway.domain.access import Protocol
from gateway.domain.bans import Ban, Flag
from gateway.domain.brake import LIMITS, WINDOW_SECONDS, Brake, Hold, Limits, Name, Trouble
from gateway.domain.evidence import DeviceEvidence
from gateway.domain.inventory import App, Applied
from gateway.domain.policy import Policy, PolicyVersion, Setting
from gateway.domain.posture import sufficiency
from gateway.domain.verdict import Cause
from gateway.inventory.consequences import Turned
from gateway.ports.past import AppsAdded
from gateway.ports.store import Conflict, StoreUnavailable

log = structlog.get_logger()

DEVICES_COUNTED = 100_000
"""Of one trouble; more need not be told apart."""

News: TypeAlias = tuple[Name, str]
"""A trouble, and the device that has it now."""


class ReportWaits(Exception):  # noqa: N818  (a state of affairs)
    """Raised in a unit of work: the fleet brake holds what the report brings, and nothing of it is stored."""

    def __init__(self, hold: Hold) -> None:
        super().__init__(hold.trouble)
        self.hold = hold


@dataclass(frozen=True, slots=True)
class ReportBrakeSettings:
    """What is too many, and what is done about hits."""

    limits: Limits = LIMITS
    hold_hits: bool = False


class ReportBrake:
    """One per control process.

    ``brake``: as it was read last; ``fleet``: how many devices there are, None while that is not known; ``begin``
    stores a hold or an alarm that is not there yet.
    """

    def __init__(
        self,
        brake: Callable[[], Brake],
        fleet: Callable[[], int | None],
        begin: Callable[[Hold], Awaitable[None]],
        now: Callable[[], float],
        settings: ReportBrakeSettings = ReportBrakeSettings(),
    ) -> None:
        self._brake = brake
        self._fleet = fleet
        self._begin = begin
        self._now = now
        self._settings = settings
        self._counted: dict[Name, dict[str, float]] = {}
        """When each device of a trouble was newly found so, oldest first."""
        self._looked_through_at = 0.0

    def recalled(self, added: Sequence[AppsAdded], policies: Sequence[Policy]) -> None:
        """Count the hits that reports of the last ten minutes brought before this process was there, or read them.

        ``added``: the newest first, as a store gives them. What made devices unjudged no store keeps.
        ``policies``: those of that time, the oldest first; a ban that was enforced only later refused nobody then.
        """
        since = self._now() - WINDOW_SECONDS
        found: dict[Name, dict[str, float]] = {}
        for each in reversed(added):
            policy = next((one for one in reversed(policies) if one.version.created_at <= each.at), None)
            for name in _hits(each.source_id, each.apps, policy) if policy and each.at > since else ():
                found.setdefault(name, {})[each.source_device] = each.at
        for name, devices in found.items():
            # What has been counted here meanwhile is newer.
            self._counted[name] = dict(list({**devices, **self._counted.get(name, {})}.items())[-DEVICES_COUNTED:])

    def see_that_it_may_come(self, news: Sequence[News]) -> None:
        """Raises ``ReportWaits`` where all that a report brings is held."""
        brake = self._brake()
        holds = [brake.hold(name) for name, _ in news]
        held = [hold for hold in holds if hold is not None and hold.holding]
        if held and len(held) == len(holds):
            raise ReportWaits(held[0])

    async def taken(self, news: Sequence[News]) -> None:
        """Count what a report that was stored has brought, and tell the brake of too many."""
        self._let_go()
        for name, device in news:
            devices = self._within_the_window(name)
            if len(devices) < DEVICES_COUNTED:
                devices.pop(device, None)
                devices[device] = self._now()
            await self._tell(name, len(devices))

    def _let_go(self) -> None:
        """Now and then, of what no report brings any more: a whole fleet may have been counted for every ban."""
        since = self._now() - WINDOW_SECONDS
        if self._looked_through_at <= since:
            self._looked_through_at = self._now()
            # The newest stands last.
            newest = {name: next(reversed(devices.values()), 0.0) for name, devices in self._counted.items()}
            self._counted = {name: devices for name, devices in self._counted.items() if newest[name] >= since}

    def _within_the_window(self, name: Name) -> dict[str, float]:
        devices = self._counted.setdefault(name, {})
        since = self._now() - WINDOW_SECONDS
        while devices and (oldest := next(iter(devices.items())))[1] < since:
            del devices[oldest[0]]
        return devices

    async def _tell(self, name: Name, devices: int) -> None:
        brake, fleet, now = self._brake(), self._fleet(), self._now()
        if fleet is None or not self._settings.limits.exceeded(devices, fleet):
            return
        if brake.hold(name) is not None or brake.is_released(name, now):
            return
        source, trouble, ban = name
        holding = trouble is not Trouble.HITS or self._settings.hold_hits
        try:
            await self._begin(Hold(source, trouble, now, devices, ban, holding))
        except (StoreUnavailable, Conflict) as error:
            # The next report of the kind tells again; this one is stored.
            log.warning("brake_waits", error=str(error))


def news_of(source_id: str, applied: Applied, turned: Turned, policy: Policy, now: float) -> Iterator[News]:
    """What a report newly brings that refuses people; ``turned`` are their records without it and with it."""
    if applied.inventory is None or not policy.version.enforcement_on:
        return
    for name in _hits(source_id, applied.added, policy):
        yield name, applied.inventory.source_device
    for before, after in turned:
        for device_id, device in after.devices.items():
            known = before.devices.get(device_id)
            gone = known is None or _gaps(known, policy.version, now)
            if not gone and _gaps(device, policy.version, now):
                yield (source_id, Trouble.GAPS, ""), f"{after.person_id}/{device_id}"


def _hits(source_id: str, apps: Sequence[App], policy: Policy) -> Iterator[Name]:
    if policy.version.enforcement_on:
        bans = {ban.name for app in apps for ban in policy.index.bans_of(app) if _is_enforced(ban)}
        yield from ((source_id, Trouble.HITS, name) for name in sorted(bans))


def _is_enforced(ban: Ban) -> bool:
    return ban.flag is Flag.ENFORCE or any(rule.flag is Flag.ENFORCE for rule in ban.rules)


def _gaps(device: DeviceEvidence, version: PolicyVersion, now: float) -> bool:
    """Whether a device is refused because it cannot be judged, its age aside."""
    causes = (cause for cause in sufficiency(device, now).causes if cause is not Cause.STALE)
    return any(version.unknowns.of(each).of(Protocol.ACTIVESYNC, device.platform) is Setting.DENY for each in causes)
