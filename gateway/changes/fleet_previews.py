"""Previews over the whole fleet, by the impact index that this control process keeps.

The index is loaded or built beside everything else and then follows the change log. Until it is there nobody can know
what a change would do: whatever needs a preview is refused in words that say how far it is; turning down needs none.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from gateway.changes.connected import Connected
from gateway.changes.guards import Measured, WideBan
from gateway.changes.impact.bitmaps import numbers_of
from gateway.changes.impact.building import LoadRecord, MustRebuild, Progress
from gateway.changes.impact.figures import Impact, NamedSet, Tally, page_of
from gateway.changes.impact.fleet import NOBODY, Fleet
from gateway.changes.impact.impact import HORIZONS
from gateway.changes.impact.index import ImpactIndex
from gateway.changes.impact.live import SessionsEnded
from gateway.changes.impact.people import people_with
from gateway.changes.impact.reach import Reach
from gateway.changes.impact.saving import Unusable
from gateway.changes.impact.verifying import Verified
from gateway.changes.previews import NotReadyYet, Previewed
from gateway.domain.access import Protocol
from gateway.domain.change import PreviewSeen
from gateway.domain.dated import Pair
from gateway.domain.policy import Policy, PolicyVersion, policy_of
from gateway.domain.policy_parts import parts_of
from gateway.ports.store import Reading, Store, StoreUnavailable

log = structlog.get_logger()

FOLLOW_EVERY_SECONDS = 1.0
SAVE_EVERY_SECONDS = 600.0
COUNT_EVERY_SECONDS = 10.0
AGAIN_AFTER_SECONDS = 5.0
AFTER_A_DEFECT_SECONDS = 60.0
FIRST_NAMES = 50
READY_WITHIN_SECONDS = 5.0
"""So long a preview waits for the index of a gateway that has just started."""

NamedSets = Callable[[Reading], Awaitable[Collection[NamedSet]]]


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """What previews are asked to look at beside the numbers that they always have."""

    widest_percent: float = 20.0
    by_name: frozenset[Protocol] = frozenset()
    """Ways in that are open here and know no device: there people are cut as well."""


WhoIsConnected = Callable[[], Awaitable[Connected | None]]


async def _nobody(reading: Reading) -> Collection[NamedSet]:
    return ()


async def _nothing_told() -> Connected | None:
    return None


class FleetPreviews:
    """``changes.previews.Previews`` over everybody."""

    def __init__(
        self,
        store: Store,
        load_record: LoadRecord,
        path: Path | None,
        now: Callable[[], float] = time.time,
        *,
        settings: FleetSettings = FleetSettings(),
        named: NamedSets = _nobody,
        connected: WhoIsConnected = _nothing_told,
    ) -> None:
        """``path``: where the index is kept between two lives of the process; ``named``: whom to name among the cut."""
        self._connected = connected
        self._store = store
        self._load_record = load_record
        self._path = path
        self._now = now
        self._settings = settings
        self._named = named
        self._index: ImpactIndex | None = None
        self._progress = Progress(0, 0)
        self._devices = 0
        self._counted_at = float("-inf")
        self._ready = asyncio.Event()
        self._building_since = time.monotonic()
        self._saving = asyncio.Lock()
        self._behind = asyncio.Event()
        """The index is to be built anew, at once."""
        self._from_file = True
        """Whether the one that was kept is of use; not for one that could not be followed on."""

    def sentences(self) -> list[str]:
        """Warnings for ``status``."""
        if self._index is not None or time.monotonic() - self._building_since < READY_WITHIN_SECONDS:
            return []
        return [f"{self._how_far()}: until then only what lessens enforcement can be changed"]

    async def of(
        self, before: PolicyVersion, after: PolicyVersion, *, dated: Sequence[Pair] = (), brief: bool = False
    ) -> Previewed:
        """See ``Previews``. Raises ``NotReadyYet``, ``StoreUnavailable``."""
        connected = None if brief else await self._connected()
        impact = await self.impact(before, after, connected, () if brief else HORIZONS, dated)
        return previewed(impact, after, before, self._settings.widest_percent, connected)

    async def impact(
        self,
        before: PolicyVersion,
        after: PolicyVersion,
        connected: Connected | None = None,
        horizons: tuple[float, ...] = HORIZONS,
        dated: Sequence[Pair] = (),
    ) -> Impact:
        """Everything that a preview says; ``horizons``: how many seconds ahead time is looked.

        Raises ``NotReadyYet``, ``StoreUnavailable``.
        """
        index = await self._caught_up()
        async with self._store.read() as reading:
            named, brake = tuple(await self._named(reading)), await reading.brake()
        # Whom the fleet brake holds has mail now, and may lose it by this change.
        earlier = replace(policy_of(before), ageing=brake.ageing)
        sessions = connected.sessions if connected is not None else None
        later = policy_of(after, earlier)
        return await index.preview(
            earlier,
            later,
            self._now(),
            sessions=sessions,
            named=named,
            horizons=horizons,
            by_name=self._settings.by_name,
            dated=[
                (earlier if one is before else policy_of(one, earlier), policy_of(other, later)) for one, other in dated
            ],
        )

    async def people_with(self, marks: Collection[int]) -> Sequence[str]:
        """See ``newly_cut.Names``. Raises ``NotReadyYet``, ``StoreUnavailable``."""
        index = await self._caught_up()
        return await asyncio.to_thread(people_with, index.view(), marks)

    async def verify(self, policy: Policy, sample: int) -> Verified:
        """Hold the index against ``decide``, for so many people. Raises ``NotReadyYet``, ``StoreUnavailable``."""
        index = await self._caught_up()
        async with self._store.read() as reading:
            policy = replace(policy, ageing=(await reading.brake()).ageing)
        return await index.verify(policy, self._now(), sample)

    async def rewrite(self) -> bool:
        """Write the index of now over the one that was kept, so that who has gone is in no file.

        False: the index is not there yet; then the file is removed. Raises ``StoreUnavailable``, ``OSError``.
        """
        if self._path is None:
            return True
        try:
            index = await self._caught_up()
        except NotReadyYet:
            self._path.unlink(missing_ok=True)
            return False
        async with self._saving:
            await index.save(self._path)
        return True

    def devices(self) -> int | None:
        """How many devices can ask for mail; None while the index is not there."""
        return self._devices if self._index is not None else None

    async def fleet(self) -> Fleet | None:
        """Everybody as of now; None while the index is not there. Raises ``StoreUnavailable``."""
        index = self._index
        if index is None:
            return None
        try:
            await index.catch_up()
        except MustRebuild as error:
            self._begin_anew(index, str(error))
            return None
        return index.view()

    def _how_far(self) -> str:
        done, of = self._progress.people, self._progress.of
        share = f", {done * 100 // of} % of {of} people" if of else ""
        return f"the index of the fleet is being built{share}"

    async def _caught_up(self) -> ImpactIndex:
        """The index with all that is committed; what has to be built anew is waited for a little."""
        with suppress(TimeoutError):
            async with asyncio.timeout(READY_WITHIN_SECONDS):
                while True:
                    await self._ready.wait()
                    index = self._index
                    if index is None:
                        # Gone again before we had our turn.
                        continue
                    try:
                        await index.catch_up()
                        return index
                    except MustRebuild as error:
                        self._begin_anew(index, str(error))
        raise NotReadyYet(f"{self._how_far()}: what this change does to the fleet is not known before; try again")

    # --- its life

    async def run(self) -> None:
        """Load or build the index, follow the log, keep the index; until cancelled."""
        saved_at = time.monotonic()
        try:
            while True:
                try:
                    await self._step()
                except StoreUnavailable as error:
                    log.warning("impact_index_waits", error=str(error))
                    await asyncio.sleep(AGAIN_AFTER_SECONDS)
                    continue
                except Exception as error:
                    # Reports are taken and phones are cut by this process, too: that goes on without previews.
                    log.error("impact_index_failed", error=repr(error), exc_info=error)
                    self._gone()
                    await asyncio.sleep(AFTER_A_DEFECT_SECONDS)
                    continue
                if time.monotonic() - saved_at > SAVE_EVERY_SECONDS:
                    saved_at = time.monotonic()
                    await self._save()
                with suppress(TimeoutError):
                    async with asyncio.timeout(FOLLOW_EVERY_SECONDS):
                        await self._behind.wait()
                self._behind.clear()
        finally:
            await self._save()

    async def _step(self) -> None:
        if self._index is None:
            began = time.monotonic()
            self._index = await self._made()
            self._ready.set()
            fleet = self._index.view()
            self._count(self._index)
            seconds = round(time.monotonic() - began, 3)
            log.info("impact_index_ready", devices=fleet.device_count, people=fleet.people_count, seconds=seconds)
            return
        index = self._index
        try:
            await index.catch_up()
        except MustRebuild as error:
            self._begin_anew(index, str(error))
        else:
            self._count(index)
            await index.forget_apps()

    def _count(self, index: ImpactIndex) -> None:
        """Now and then: a view makes the next update copy what it touches."""
        if time.monotonic() - self._counted_at >= COUNT_EVERY_SECONDS:
            self._counted_at = time.monotonic()
            self._devices = len(Reach(index.view()).all)

    def _begin_anew(self, index: ImpactIndex, reason: str) -> None:
        if self._index is not index:
            # Another one is there already.
            return
        self._gone()
        self._from_file = False
        self._behind.set()
        log.info("impact_index_rebuilt", reason=reason)

    def _gone(self) -> None:
        self._index, self._building_since = None, time.monotonic()
        self._ready.clear()

    async def _made(self) -> ImpactIndex:
        if self._path is not None and self._from_file:
            try:
                return await ImpactIndex.loaded(self._path, self._store, self._load_record)
            except (Unusable, MustRebuild) as error:
                log.info("impact_index_built", reason=str(error))
        while True:
            try:
                return await ImpactIndex.built(self._store, self._load_record, self._tell)
            except MustRebuild:
                # Everybody's record changed again and again meanwhile.
                await asyncio.sleep(AGAIN_AFTER_SECONDS)

    def _tell(self, progress: Progress) -> None:
        self._progress = progress

    async def _save(self) -> None:
        if self._index is None or self._path is None:
            return
        try:
            async with self._saving:
                await self._index.save(self._path)
            self._from_file = True
        except OSError as error:
            log.warning("impact_index_not_kept", path=str(self._path), error=error.strerror)


# --- what of an impact is kept and shown


def previewed(
    impact: Impact,
    after: PolicyVersion,
    before: PolicyVersion,
    widest_percent: float,
    connected: Connected | None = None,
) -> Previewed:
    """An impact as decisions stand on it."""
    fleet = impact.sets.fleet
    seen = PreviewSeen(
        impact.digest, before.number, impact.sequence, impact.at, impact.cut, impact.admitted, impact.devices
    )
    named = dict.fromkeys(name for each in impact.named for name in each.cut)
    measured = Measured(
        impact.cut,
        impact.admitted,
        impact.devices,
        _wide(fleet, before, after, widest_percent),
        tuple(named),
        impact.cut_by_name,
        impact.admitted_by_name,
        impact.people,
    )
    marks = fleet.devices.key[numbers_of(impact.sets.cut)]
    return Previewed(seen, measured, frozenset(marks.tolist()), shown(impact, connected))


def _wide(fleet: Fleet, before: PolicyVersion, after: PolicyVersion, widest_percent: float) -> tuple[WideBan, ...]:
    """The bans that are new or recognise something else than before, and very many devices."""
    earlier, later = parts_of(before), parts_of(after)
    present = int((fleet.devices.person != NOBODY).sum())
    found = []
    for ban in after.bans:
        key = f"ban:{ban.name.casefold()}"
        if later[key] == earlier.get(key):
            continue
        apps = [
            (len(devices), entry) for entry in fleet.catalogue.entries_of(ban) if (devices := fleet.entries.get(entry))
        ]
        holders = len(fleet.holders((ban,), {}))
        if apps and holders * 100 > widest_percent * present:
            app = fleet.catalogue.app(max(apps)[1])
            found.append(WideBan(ban.name, app.name or app.id, holders, holders * 100 / present))
    return tuple(found)


def shown(impact: Impact, connected: Connected | None = None) -> dict[str, Any]:
    """All numbers of an impact and the first names, fit for JSON; ``connected``: the sessions it was computed with."""
    return {
        "devices": impact.devices,
        "people": impact.people,
        "newly_cut": impact.cut,
        "newly_admitted": impact.admitted,
        "unchanged": impact.unchanged,
        "refused_before": impact.refused_before,
        "refused_after": impact.refused_after,
        "exempt": impact.exempt,
        "dirty": impact.dirty,
        "unjudged": impact.unjudged,
        "unjudged_by_cause": {str(cause): number for cause, number in impact.unjudged_by_cause.items()},
        "people_cut": impact.people_cut,
        "people_cut_off": impact.people_cut_off,
        "people_admitted": impact.people_admitted,
        "cut_by_name": impact.cut_by_name,
        "admitted_by_name": impact.admitted_by_name,
        "by_protocol": {
            str(protocol): {
                "cut": each.cut,
                "admitted": each.admitted,
                "people_cut": each.people_cut,
                "people_admitted": each.people_admitted,
            }
            for protocol, each in impact.by_protocol.items()
        },
        "by_reason": {str(reason): number for reason, number in impact.by_reason.items()},
        "by_ban": dict(impact.by_ban),
        "groups": [_tally(each) for each in impact.largest_groups],
        "platforms": [_tally(each) for each in impact.platforms],
        "ownerships": [_tally(each) for each in impact.ownerships],
        "sources": [_tally(each) for each in impact.sources],
        "later": [
            {"within_seconds": each.within_seconds, "devices": len(each.devices), "exact": each.exact}
            for each in impact.later
        ],
        "sessions": _sessions(impact.sessions, connected) if connected is not None else None,
        "named": [
            {"name": each.name, "people": each.people, "cut": list(each.cut), "people_cut": each.people_cut}
            for each in impact.named
        ],
        "first_cut": [
            {"person": each.person_id, "device": each.device_id}
            for each in page_of(impact.sets.fleet, impact.sets.cut, limit=FIRST_NAMES)
        ],
    }


def _sessions(ended: SessionsEnded, connected: Connected) -> dict[str, object]:
    return {
        "ended": ended.total,
        "ended_by_protocol": {str(protocol): number for protocol, number in ended.by_protocol.items()},
        "connected": len(connected.sessions) + connected.more,
        "not_judged": ended.not_placed + connected.more,
        "told_by_workers": connected.workers,
        "told_seconds_ago": round(connected.oldest_seconds, 1),
    }


def _tally(each: Tally) -> dict[str, object]:
    return {
        "name": each.name,
        "devices": each.devices,
        "cut": each.cut,
        "admitted": each.admitted,
        "unjudged": each.unjudged,
    }
