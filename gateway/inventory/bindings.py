"""An administrator's word on bindings: this mail device is, or is never, that inventory device.

Everything else about bindings is worked out from reports (``domain.binding``). A hit that a pin takes away from a
device stays as a tombstone, so a banned phone does not become clean by being bound to another inventory.
"""

from collections.abc import Awaitable, Callable

from gateway.domain.audit import AuditEntry, AuditKind, Subject
from gateway.domain.errors import InvalidValue
from gateway.inventory.consequences import Evidence
from gateway.ports.store import PinnedBinding, Writing


class Bindings:
    """Sets and removes pins; one for the whole control process."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence

    async def pin(self, pin: PinnedBinding) -> None:
        """Add or replace a pin.

        Raises ``InvalidValue`` where the inventory device is unknown, and ``StoreUnavailable``.
        """

        async def put(writing: Writing) -> None:
            await writing.put_pin(pin)

        await self._change(pin, put, AuditKind.DEVICE_PINNED)

    async def unpin(self, pin: PinnedBinding) -> None:
        """Remove a pin: from now on the ids decide again. ``pin.author`` is who says so. Raises as ``pin``."""

        async def delete(writing: Writing) -> None:
            await writing.delete_pin(pin.person_id, pin.device_id, pin.source_id, pin.source_device)

        await self._change(pin, delete, AuditKind.DEVICE_UNPINNED)

    async def _change(self, pin: PinnedBinding, write: Callable[[Writing], Awaitable[None]], kind: AuditKind) -> None:
        async def work(writing: Writing) -> None:
            inventory = await writing.inventory(pin.source_id, pin.source_device)
            if inventory is None:
                raise InvalidValue(
                    f"source {pin.source_id} has reported no device {pin.source_device}: "
                    "gatepost device list USER shows what was reported for a user"
                )
            concerned = await self._evidence.concerned(writing, inventory)

            async def change() -> None:
                await write(writing)

            everybody = dict.fromkeys((pin.person_id, *concerned))
            await self._evidence.announced(writing, everybody, change)
            await writing.log_audit(_told(kind, pin))

        await self._evidence.write(work)


def _told(kind: AuditKind, pin: PinnedBinding) -> AuditEntry:
    """What the audit log is told of a pin."""
    ends = (Subject(pin.person_id, pin.device_id), Subject(pin.person_id, pin.source_device, {"of": "source"}))
    return AuditEntry(kind, pin.author, ends, {"source": pin.source_id, "bound": pin.bound})
