"""The fleet brake's life in the control process: looks ahead, holds, lets go, and writes what all workers follow.

One control process looks at a time, under a lease, each ten seconds. As long as nobody looks (no index of the fleet
yet, no control process) lists age no further than ten minutes beyond the last look. What an operator does is written
at once; of two who write at the same time the second one looks again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import structlog

from gateway.changes.impact.fleet import Fleet
from gateway.changes.impact.looking_ahead import Ahead, look_ahead, refuses_the_stale
from gateway.domain.audit import AuditEntry, AuditKind
from gateway.domain.audit.entry import GATEPOST, Value
from gateway.domain.brake import LIMITS, WINDOW_SECONDS, Brake, Hold, Limits, Name, Release, Trouble
from gateway.domain.errors import InvalidValue
from gateway.domain.policy import PolicyVersion, policy_of
from gateway.ports.store import Conflict, Source, Store, StoreUnavailable, Writing

log = structlog.get_logger()

LOOK_EVERY_SECONDS = 10.0
ALARM_SECONDS = 86_400.0
"""An alarm that holds nothing is told for so long."""
HOURS_AT_MOST = 24 * 7


@dataclass(frozen=True, slots=True)
class BrakeSettings:
    """The [brake] section."""

    limits: Limits = LIMITS
    stop_ageing: bool = True
    """False: lists age freely."""
    release_seconds: float = 86_400.0
    """So long what an operator released is not held again."""


class FleetBrake:
    """One per control process. ``fleet``: everybody as of now; None while that is not known."""

    def __init__(
        self,
        store: Store,
        fleet: Callable[[], Awaitable[Fleet | None]],
        now: Callable[[], float],
        settings: BrakeSettings = BrakeSettings(),
    ) -> None:
        self._store = store
        self._fleet = fleet
        self._now = now
        self._settings = settings

    # --- by itself

    async def run(self, held: object) -> None:
        """Look regularly, while ``held`` is true."""
        while held:
            try:
                await self.look()
            except (StoreUnavailable, Conflict) as error:
                log.warning("brake_waits", error=str(error))
            except Exception as error:
                # Of the index, say: reports are taken and phones are cut by this process, too.
                log.error("brake_failed", error=repr(error), exc_info=error)
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def look(self) -> None:
        """Look once. Raises ``StoreUnavailable``."""
        async with self._store.read() as reading:
            brake, version, sources = await reading.brake(), await reading.policy(), await reading.sources()
        if version is None:
            return
        ahead = await self._ahead(brake, version, {each.name: each for each in sources})
        if ahead is None:
            return
        found = replace(ahead, brake=self._tidied(ahead.brake))
        if found.brake != brake:
            await self._keep(brake, found)

    async def _ahead(self, brake: Brake, version: PolicyVersion, sources: dict[str, Source]) -> Ahead | None:
        stale = tuple(each for each in brake.holds if each.trouble is Trouble.STALE)
        if not self._settings.stop_ageing:
            return Ahead(replace(brake.without(each.name for each in stale), looked_until=None), 0, (), stale)
        if not refuses_the_stale(version):
            until = self._now() + WINDOW_SECONDS
            return Ahead(replace(brake.without(each.name for each in stale), looked_until=until), 0, (), stale)
        fleet = await self._fleet()
        if fleet is None:
            return None
        lasting = {name: each.max_age for name, each in sources.items()}
        limits, now = self._settings.limits, self._now()
        return await asyncio.to_thread(look_ahead, fleet, policy_of(version), brake, now, limits, lasting)

    def _tidied(self, brake: Brake) -> Brake:
        """Without alarms that everybody has heard, and releases that have ended."""
        now = self._now()
        holds = tuple(each for each in brake.holds if each.holding or now - each.since < ALARM_SECONDS)
        return replace(brake, holds=holds, releases=tuple(each for each in brake.releases if now < each.until))

    async def _keep(self, seen: Brake, ahead: Ahead) -> None:
        async def work(writing: Writing) -> bool:
            if await writing.brake() != seen:
                # Somebody wrote meanwhile; the next look sees it.
                return False
            await writing.put_brake(ahead.brake)
            for hold in ahead.begun:
                await writing.log_audit(audit_entry("held", hold, GATEPOST))
            for hold in ahead.ended:
                await writing.log_audit(audit_entry("ended", hold, GATEPOST))
            return True

        kept, _ = await self._store.write(work)
        for hold in ahead.begun if kept else ():
            log.error("brake_held", fleet=ahead.fleet, **_words(hold))
        for hold in ahead.ended if kept else ():
            log.warning("brake_ended", **_words(hold))

    # --- by reports

    async def begin(self, hold: Hold) -> Brake:
        """Hold, or alarm of, what reports brought, unless it is held or let go already; the brake as it is then.

        Raises ``StoreUnavailable``, ``Conflict``.
        """

        async def work(writing: Writing) -> tuple[Brake, bool]:
            brake = await writing.brake()
            if brake.hold(hold.name) is not None or brake.is_released(hold.name, self._now()):
                return brake, False
            begun = brake.with_holds([hold])
            await writing.put_brake(begun)
            await writing.log_audit(audit_entry("held" if hold.holding else "alarmed", hold, GATEPOST))
            return begun, True

        (brake, new), _ = await self._store.write(work)
        if new:
            log.error("brake_held" if hold.holding else "brake_alarm", **_words(hold))
        return brake

    # --- by operators

    async def release(self, name: Name, by: str) -> Hold:
        """Let go: what is held comes into force, and the same is not held again for a day.

        Raises ``InvalidValue`` where nothing of that name is held, ``StoreUnavailable``.
        """
        now = self._now()

        async def work(writing: Writing) -> Hold:
            brake = await writing.brake()
            hold = _named(brake, name)
            release = Release(hold.source_id, hold.trouble, by, now + self._settings.release_seconds, hold.ban)
            await writing.put_brake(brake.released(release, now))
            await writing.log_audit(audit_entry("released", hold, by))
            return hold

        hold, _ = await self._store.write(work)
        log.warning("brake_released", by=by, **_words(hold))
        return hold

    async def confirm(self, name: Name, by: str, hours: float) -> Hold:
        """Say that it has been looked at and is to be held on; told as an alarm again when the hours are over.

        Raises ``InvalidValue``, ``StoreUnavailable``.
        """
        if not 0 < hours <= HOURS_AT_MOST:
            raise InvalidValue(f"a hold is confirmed for more than 0 and at most {HOURS_AT_MOST} hours")
        until = self._now() + hours * 3600

        async def work(writing: Writing) -> Hold:
            brake = await writing.brake()
            hold = replace(_named(brake, name), confirmed_by=by, confirmed_until=until)
            await writing.put_brake(brake.with_holds([hold]))
            await writing.log_audit(audit_entry("confirmed", hold, by))
            return hold

        hold, _ = await self._store.write(work)
        log.warning("brake_confirmed", by=by, hours=hours, **_words(hold))
        return hold


def _named(brake: Brake, name: Name) -> Hold:
    hold = brake.hold(name)
    if hold is None:
        source, trouble, ban = name
        of = f" of ban {ban}" if ban else ""
        raise InvalidValue(
            f"nothing is held of source {source} for {trouble.value}{of}: gatepost brake status shows what is"
        )
    return hold


def audit_entry(act: str, hold: Hold, by: str) -> AuditEntry:
    """What the audit log is told of a hold."""
    details: dict[str, Value] = {"act": act, "devices": hold.devices, "holding": hold.holding, "source": hold.source_id}
    details |= {"trouble": hold.trouble.value} | ({"ban": hold.ban} if hold.ban else {})
    return AuditEntry(AuditKind.BRAKE, by, details=details)


def _words(hold: Hold) -> dict[str, object]:
    return {"source": hold.source_id, "trouble": hold.trouble.value, "ban": hold.ban, "devices": hold.devices}
