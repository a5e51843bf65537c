"""An administrator's word on bindings: this mail device is, or is never, that inventory device.

Everything else about bindings is worked out from reports (``domain.binding``). A hit that a pin takes away from a
device stays as a tombstone until evidence that is bound to the device answers it; so a word on a device with an open
hit may free a banned phone, and is told from the others (``why_bold``): it takes two people.
"""

from collections.abc import Awaitable, Callable

from gateway.domain.audit import AuditEntry, AuditKind, Subject
from gateway.domain.audit.entry import Value
from gateway.domain.binding import claimed_logins
from gateway.domain.errors import InvalidValue
from gateway.domain.evidence import DeviceEvidence, PersonRecord
from gateway.domain.posture import open_hits
from gateway.inventory.consequences import Evidence
from gateway.inventory.records import load_record
from gateway.ports.store import PinnedBinding, Reading, Writing


class Bindings:
    """Sets and removes pins; one for the whole control process."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence

    async def put(self, writing: Writing, pin: PinnedBinding, *, alone: bool = False) -> None:
        """Add or replace a pin, inside a unit of work; ``alone``: it is bold, and nobody else could approve.

        Raises ``InvalidValue`` where the inventory device is unknown.
        """

        async def put() -> None:
            await writing.put_pin(pin)

        await self._change(writing, pin, put, AuditKind.DEVICE_PINNED, alone)

    async def remove(self, writing: Writing, pin: PinnedBinding, *, alone: bool = False) -> None:
        """Remove a pin: the ids decide again. ``pin.author`` is who says so. Raises as ``put``."""

        async def delete() -> None:
            await writing.delete_pin(pin.person_id, pin.device_id, pin.source_id, pin.source_device)

        await self._change(writing, pin, delete, AuditKind.DEVICE_UNPINNED, alone)

    async def _change(
        self, writing: Writing, pin: PinnedBinding, change: Callable[[], Awaitable[None]], kind: AuditKind, alone: bool
    ) -> None:
        inventory = await writing.inventory(pin.source_id, pin.source_device)
        if inventory is None:
            raise InvalidValue(
                f"source {pin.source_id} has reported no device {pin.source_device}: "
                "gatepost device list USER shows what was reported for a user"
            )
        concerned = await self._evidence.concerned(writing, inventory)
        everybody = dict.fromkeys((pin.person_id, *concerned))
        await self._evidence.announced(writing, everybody, change)
        await writing.log_audit(_told(kind, pin, alone))

    # --- what takes two people

    async def why_bold(self, reading: Reading, pin: PinnedBinding) -> str:
        """Why this word on a binding needs a second person; empty where it needs none."""
        record = await load_record(reading, pin.person_id, self._evidence.rules)
        if reason := await self._hit_words(reading, record, pin.device_id):
            return reason
        inventory = await reading.inventory(pin.source_id, pin.source_device) if pin.bound else None
        named = claimed_logins(inventory, self._evidence.rules) if inventory is not None else ()
        if named and set(named).isdisjoint(record.logins):
            return f"{pin.source_device} is reported for {', '.join(named)}, not for {record.person_id}"
        return ""

    async def why_bold_to_forget(self, reading: Reading, person_id: str, device_id: str) -> str:
        """The same for forgetting a device; ``device_id`` empty: what has no mail device."""
        record = await load_record(reading, person_id, self._evidence.rules)
        return await self._hit_words(reading, record, device_id)

    async def _hit_words(self, reading: Reading, record: PersonRecord, device_id: str) -> str:
        await self._evidence.catch_up(reading)
        index = self._evidence.policy().index
        apps = dict.fromkeys(hit.app.id for each in _devices(record, device_id) for hit in open_hits(each, index))
        if not apps:
            return ""
        whose = f"device {device_id} of {record.person_id}" if device_id else f"a device of {record.person_id}"
        return f"{whose} has an open hit ({', '.join(list(apps)[:5])})"


def _devices(record: PersonRecord, device_id: str) -> tuple[DeviceEvidence, ...]:
    if not device_id:
        return record.unbound
    device = record.devices.get(device_id)
    return (device,) if device is not None else ()


def _told(kind: AuditKind, pin: PinnedBinding, alone: bool) -> AuditEntry:
    """What the audit log is told of a pin."""
    ends = (Subject(pin.person_id, pin.device_id), Subject(pin.person_id, pin.source_device, {"of": "source"}))
    details: dict[str, Value] = {"source": pin.source_id, "bound": pin.bound}
    return AuditEntry(kind, pin.author, ends, {**details, **({"alone": True} if alone else {})})
