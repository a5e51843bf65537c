"""The bounded cache of person records in one process (L1), without the stale-read race.

A change that arrives while its record is being loaded poisons that load: it is read again. A record that is older
than the newest change heard of for its login is never accepted, wherever it came from. Loads of one login are one.
Invalidated entries stay in place without a record, so that the next question loads.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias, cast

import structlog

from gateway.domain.evidence import PersonRecord
from gateway.domain.verdict import Verdict
from gateway.ports.state_cache import CacheUnavailable, RecordCache
from gateway.ports.store import StoreUnavailable

log = structlog.get_logger()

LOADS_AT_ONCE = 64
LOADS_MOST = 30_000
"""Loads that wait for their turn, those included; more than one worker has connections. One more has failed at once."""
ATTEMPTS = 8
"""How often a load that changes overtake is begun again before it counts as failed."""
VERDICTS_PER_PERSON = 32
REMEMBERED_CHANGES = 65_536
"""Logins whose newest change is remembered one by one; for all others the highest forgotten one counts."""

VerdictKey: TypeAlias = str | tuple[str, ...]
ReadRecord: TypeAlias = Callable[[str], Awaitable[PersonRecord]]


Verdicts: TypeAlias = tuple[VerdictKey | Verdict, ...]
"""Keys and verdicts in turn: most people have one device, and a dictionary for it would take more than all the rest."""


@dataclass(slots=True)
class Entry:
    """A record in memory with the verdicts computed from it."""

    record: PersonRecord | None
    verdicts: Verdicts = ()
    """Another tuple after any change: whoever finds the one that held a verdict still in place knows that it stands."""
    policy_version: int = 0
    used: bool = True
    """Second chance: asked for since the clock hand passed."""
    past: Verdicts = ()
    """The verdicts before the last change, to tell that one turned."""
    overtaken: PersonRecord | None = None
    """The record before the last change, as long as the present one could not be read."""

    def verdict(self, key: VerdictKey) -> Verdict | None:
        """The verdict remembered for a device."""
        return _verdict_in(self.verdicts, key)

    @property
    def known_verdicts(self) -> tuple[Verdict, ...]:
        """Those that are remembered, of whatever device."""
        return cast("tuple[Verdict, ...]", self.verdicts[1::2])

    def keep_verdict(self, key: VerdictKey, verdict: Verdict) -> Verdict | None:
        """Remember a verdict; the one that it takes the place of. Bounded: anybody can invent DeviceIds."""
        kept = self.verdicts if len(self.verdicts) < 2 * VERDICTS_PER_PERSON else ()
        for place in range(0, len(kept), 2):
            if kept[place] == key:
                kept = (*kept[:place], *kept[place + 2 :])
                break
        previous = self.verdict(key) or _verdict_in(self.past, key)
        self.verdicts = (*kept, key, verdict)
        return previous

    def forget_record(self) -> None:
        """The record changed."""
        if self.record is not None:
            self.overtaken, self.record = self.record, None
        self.forget_verdicts()

    def forget_verdicts(self) -> None:
        """Something they follow from has changed."""
        if self.verdicts:
            self.past, self.verdicts = self.verdicts, ()


def _verdict_in(verdicts: Verdicts, key: VerdictKey) -> Verdict | None:
    for place in range(0, len(verdicts), 2):
        if verdicts[place] == key:
            found = verdicts[place + 1]
            assert isinstance(found, Verdict)
            return found
    return None


class DeviceCache:
    """Person records by canonical login, at most ``capacity`` of them."""

    def __init__(
        self,
        read_record: ReadRecord,
        shared: RecordCache | None = None,
        capacity: int = 200_000,
        load_timeout_seconds: float = 5.0,
    ) -> None:
        self.entries: dict[str, Entry] = {}
        self._ring: deque[str] = deque()
        self._capacity = capacity
        self._read_record = read_record
        self._shared = shared
        self._load_timeout_seconds = load_timeout_seconds
        self._loads: dict[str, asyncio.Task[PersonRecord | None]] = {}
        self._poisoned: set[str] = set()
        self._changed: dict[str, int] = {}
        self._floor = 0
        self._room = asyncio.Semaphore(LOADS_AT_ONCE)
        self.loads = 0
        self.failed_loads = 0

    def start_at(self, sequence: int) -> None:
        """Accept no record older than ``sequence``: nothing is known about the changes before."""
        self._floor = max(self._floor, sequence)

    def forget(self, login: str) -> None:
        """The record of ``login``, or one that is being loaded, may be old: the next question loads it anew."""
        entry = self.entries.get(login)
        if entry is not None:
            entry.forget_record()
        if login in self._loads:
            self._poisoned.add(login)

    def forget_all(self) -> None:
        """The same of everybody's."""
        for entry in self.entries.values():
            entry.forget_record()
        self._poisoned.update(self._loads)

    def invalidate(self, login: str, sequence: int) -> None:
        """A change of ``login`` was heard of: its record is worth nothing any more, nor is a load under way."""
        self.forget(login)
        if len(self._changed) >= REMEMBERED_CHANGES:
            oldest = next(iter(self._changed))
            self._floor = max(self._floor, self._changed.pop(oldest))
        # Re-inserted at the end, so that the order of the dictionary is the order of the changes.
        previous = self._changed.pop(login, 0)
        self._changed[login] = max(sequence, previous)

    def invalidate_all(self, sequence: int) -> None:
        """Everything may have changed up to ``sequence``."""
        self.forget_all()
        self._changed.clear()
        self._floor = max(self._floor, sequence)

    def begin_anew(self, incarnation: str, sequence: int) -> None:
        """Another life of the store, standing at ``sequence``: its numbers mean something else than those before.

        ``incarnation`` empty: it cannot be told apart from the one before, so nothing shared is believed any more.
        """
        if self._shared is not None:
            self._shared.follow(incarnation)
        self._floor = 0
        self.invalidate_all(sequence)

    async def load(self, login: str) -> PersonRecord | None:
        """The present record, read if necessary; None when neither cache nor store can tell in time."""
        entry = self.entries.get(login)
        if entry is not None and entry.record is not None:
            return entry.record
        task = self._loads.get(login)
        if task is None:
            if len(self._loads) >= LOADS_MOST:
                self.failed_loads += 1
                return None
            task = asyncio.get_running_loop().create_task(self._load(login))
            self._loads[login] = task
        # Shielded: whoever asked first may go away, the others still wait for the same load.
        return await asyncio.shield(task)

    async def _load(self, login: str) -> PersonRecord | None:
        self.loads += 1
        try:
            async with self._room, asyncio.timeout(self._load_timeout_seconds):
                return await self._read_until_current(login)
        except (StoreUnavailable, TimeoutError) as error:
            log.warning("record_load_failed", login=login, error=str(error) or type(error).__name__)
        except Exception:  # whatever else is wrong with one record must not reach those who wait
            log.exception("record_load_failed", login=login)
        finally:
            self._loads.pop(login, None)
            self._poisoned.discard(login)
        self.failed_loads += 1
        return None

    async def _read_until_current(self, login: str) -> PersonRecord:
        for attempt in range(ATTEMPTS):
            self._poisoned.discard(login)
            # The shared cache is asked once; whatever overtook it is in the store already.
            record = await self._fetch(login, use_shared=attempt == 0)
            if login not in self._poisoned and self.is_current(login, record):
                self._keep(login, record)
                return record
        raise StoreUnavailable(f"the record changed {ATTEMPTS} times while it was being read")

    async def _fetch(self, login: str, *, use_shared: bool) -> PersonRecord:
        if self._shared is not None and use_shared:
            try:
                found = (await self._shared.get([login])).get(login)
            except CacheUnavailable:
                found = None
            if found is not None and self.is_current(login, found):
                return found
        record = await self._read_record(login)
        # A poisoned record may be of another life of the store than the one that is followed by now.
        if self._shared is not None and login not in self._poisoned:
            with suppress(CacheUnavailable):
                await self._shared.put({login: record})
        return record

    def is_current(self, login: str, record: PersonRecord) -> bool:
        """Whether no change of ``login`` was heard of that ``record`` does not include."""
        return record.sequence >= self.newest_change(login)

    def newest_change(self, login: str) -> int:
        """The newest change heard of that may concern ``login``."""
        return max(self._changed.get(login, 0), self._floor)

    def _keep(self, login: str, record: PersonRecord) -> None:
        entry = self.entries.get(login)
        if entry is not None:
            entry.record, entry.overtaken = record, None
            entry.forget_verdicts()
            return
        while len(self.entries) >= self._capacity:
            self._evict_one()
        # The same name is in the record: one of the two is enough.
        login = record.person_id if record.person_id == login else login
        self.entries[login] = Entry(record)
        self._ring.append(login)

    def _evict_one(self) -> None:
        while True:
            login = self._ring.popleft()
            entry = self.entries[login]
            if not entry.used:
                del self.entries[login]
                # Whoever still holds it hears of no change any more.
                entry.forget_record()
                return
            entry.used = False
            self._ring.append(login)
