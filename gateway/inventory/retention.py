"""What is not kept for ever: the past beyond its time, and devices of which nothing was heard for very long.

A device is silent when neither a source has reported it nor it has asked for mail, under any of its names: as long as
one of these goes on, all stays. What goes is as if it had left its management: open hits stay as tombstones, and so
does an administrator's word on it.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from gateway.domain.audit import AuditEntry, AuditKind, Subject
from gateway.domain.audit.entry import GATEPOST, Value
from gateway.domain.evidence import PersonRecord
from gateway.inventory.consequences import Evidence, person_id_of
from gateway.inventory.records import load_record
from gateway.ports.store import Writing

log = structlog.get_logger()

DAY_SECONDS = 86_400.0
ROWS_AT_ONCE = 2_000
PEOPLE_AT_ONCE = 1_000
PAUSE_SECONDS = 0.05
"""Between two pieces: others wait for the store."""
SHARE_AT_ONCE = 20
AT_LEAST = 20
"""One in so many devices, and not less than so many, go by one call: a clock that is wrong must not empty the store."""


@dataclass(frozen=True, slots=True)
class KeptFor:
    """How long, seconds; 0: for ever."""

    history: float
    silent: float


class Retention:
    """One for the whole control process; called by who holds the lease."""

    def __init__(self, evidence: Evidence, kept: KeptFor, now: Callable[[], float]) -> None:
        self._evidence = evidence
        self._kept = kept
        self._now = now

    async def forget_past(self) -> int:
        """Forget what was replaced before that time; how many rows. Raises ``StoreUnavailable``."""
        if not self._kept.history:
            return 0
        before, gone = self._now() - self._kept.history, 0

        async def work(writing: Writing) -> int:
            return await writing.forget_past(before, ROWS_AT_ONCE)

        while some := await self._evidence.write(work):
            gone += some
            await asyncio.sleep(PAUSE_SECONDS)
        return gone

    async def forget_silent(self) -> int:
        """Forget the devices that are silent for too long; how many. Raises ``StoreUnavailable``, ``Conflict``."""
        if not self._kept.silent:
            return 0
        before, after, gone = self._now() - self._kept.silent, "", 0
        async with self._evidence.store.read() as reading:
            counts = await reading.counts()
        most = max(AT_LEAST, max(counts["mail_devices"], counts["inventories"]) // SHARE_AT_ONCE)
        while True:
            async with self._evidence.store.read() as reading:
                page = await reading.people_with_silent(before, after, PEOPLE_AT_ONCE)
            for login in page:
                if gone >= most:
                    log.warning("silent_devices_left", forgotten=gone)
                    return gone
                gone += await self._evidence.write(partial(self._forget, login, before))
                await asyncio.sleep(PAUSE_SECONDS)
            if len(page) < PEOPLE_AT_ONCE:
                return gone
            after = page[-1]

    async def _forget(self, login: str, before: float, writing: Writing) -> int:
        person_id = await person_id_of(writing, login)
        record = await load_record(writing, person_id, self._evidence.rules)
        seen = {
            each.device_id: each.last_seen_at for name in record.logins for each in await writing.mail_devices(name)
        }
        silent = await _silent(writing, record, seen, before)
        if not silent.devices and not silent.inventories:
            return 0
        stored = [await writing.inventory(*key) for key in silent.inventories]
        concerned = dict.fromkeys((person_id, *await self._evidence.concerned(writing, *stored)))

        async def change() -> None:
            for key in silent.inventories:
                await writing.delete_inventory(*key)
            for device_id in silent.devices:
                for name in record.logins:
                    await writing.delete_mail_device(name, device_id)

        await self._evidence.announced(writing, concerned, change)
        named = tuple(Subject(person_id, name) for name in (*silent.devices, *(key[1] for key in silent.inventories)))
        told: dict[str, Value] = {
            "why": "silent",
            "devices": len(silent.devices),
            "inventories": len(silent.inventories),
        }
        await writing.log_audit(AuditEntry(AuditKind.DEVICE_FORGOTTEN, GATEPOST, named, told))
        return max(len(silent.devices), len(silent.inventories))


@dataclass(frozen=True, slots=True)
class _Silent:
    """What is to be forgotten of one person."""

    devices: Sequence[str]
    inventories: Sequence[tuple[str, str]]


async def _silent(writing: Writing, record: PersonRecord, seen: dict[str, float], before: float) -> _Silent:
    """The devices of which no name was heard since."""
    devices: list[str] = []
    inventories: dict[tuple[str, str], None] = {}
    spoken: set[tuple[str, str]] = set()
    for device in (*record.devices.values(), *record.unbound):
        keys = [(source.source_id, source.source_device) for source in device.sources]
        stored = [each for each in [await writing.inventory(*key) for key in keys] if each is not None]
        heard = [*(each.received_at for each in stored), seen.get(device.device_id, 0.0) if device.device_id else 0.0]
        if max(heard) >= before:
            spoken.update(keys)
        elif heard != [0.0]:
            inventories.update(dict.fromkeys(keys))
            if device.device_id in seen:
                devices.append(device.device_id)
    # One that another device of the person speaks for stays.
    return _Silent(devices, [key for key in inventories if key not in spoken])
