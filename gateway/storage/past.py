"""The evidence of an earlier moment, from that of now and what is kept of the past; the same for every store.

Of each thing the value of then is what stood there until the first change behind that moment; where there was no such
change, what stands there now. What looks things up by a name they had (logins, device keys) gathers everybody who has
the name now or ever lost it, and asks each what it was called then.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from gateway.domain.evidence import Tombstone
from gateway.domain.inventory import Inventory
from gateway.domain.past import Step, state_before
from gateway.ports.past import EvidenceReading
from gateway.ports.store import (
    IssuedCredential,
    MailDevice,
    Person,
    PinnedBinding,
    Source,
    StoreUnavailable,
    UnderLogin,
)
from gateway.storage.inventories import decode_tombstones
from gateway.storage.past_rows import (
    PastKind,
    PastRow,
    decode_device,
    decode_person,
    decode_pin,
    decode_source,
    pair_key,
    parts_of,
    stated_owner,
)
from gateway.storage.rows import Unreadable

T = TypeVar("T")


class PresentAndPast(EvidenceReading, Protocol):
    """What a store has to give."""

    async def past_rows(self, kind: PastKind, owner: str, after: float) -> Sequence[PastRow]:
        """What was replaced behind that moment, in the order in which it was."""
        ...

    async def inventory_steps(self, source_id: str, source_device: str, after: float) -> Sequence[Step]:
        """The steps from now to that moment, the newest first."""
        ...


class AsOf:
    """``ports.past.EvidenceReading`` of a moment."""

    def __init__(self, store: PresentAndPast, at: float) -> None:
        self._store = store
        self._at = at

    async def sequence(self) -> int:
        return await self._store.sequence()

    async def source(self, name: str) -> Source | None:
        past = await self._past(PastKind.SOURCE, name)
        return _one(past, decode_source) if past else await self._store.source(name)

    async def inventory(self, source_id: str, source_device: str) -> Inventory | None:
        present = await self._store.inventory(source_id, source_device)
        steps = await self._store.inventory_steps(source_id, source_device, self._at)
        try:
            return state_before(present, steps, source_id, source_device)
        except ValueError as error:
            raise StoreUnavailable(f"the past of {source_id}/{source_device} does not fit its present") from error

    async def inventories_by_key(self, key_type: str, value: str) -> Sequence[Inventory]:
        present = await self._store.inventories_by_key(key_type, value)
        asked = {(each.source_id, each.source_device) for each in present}
        for key in await self._past(PastKind.STATED, stated_owner(key_type, value)):
            source_id, source_device = parts_of(key)
            asked.add((source_id, source_device))
        found = [await self.inventory(*each) for each in sorted(asked)]
        return [each for each in found if each is not None and _states(each, key_type, value)]

    async def person_by_login(self, login: str) -> Person | None:
        present = await self._store.person_by_login(login)
        asked = dict.fromkeys([login, *await self._past(PastKind.LOGIN, login)])
        if present is not None:
            asked[present.person_id] = None
        for person_id in asked:
            person = await self._person(person_id)
            if person is not None and login in (person.person_id, *person.aliases):
                return person
        return None

    async def _person(self, person_id: str) -> Person | None:
        past = await self._past(PastKind.PERSON, person_id)
        if past:
            return _one(past, decode_person)
        present = await self._store.person_by_login(person_id)
        return present if present is not None and present.person_id == person_id else None

    async def mail_devices(self, person_id: str) -> Sequence[MailDevice]:
        """A device is there from its first request on, which is told to the store some seconds later."""
        present = {each.device_id: each for each in await self._store.mail_devices(person_id)}
        past = await self._past(PastKind.DEVICE, person_id)
        found = _overlaid(present, past, decode_device)
        return [each for _, each in sorted(found.items()) if each.first_seen_at <= self._at]

    async def under_login(self, login: str) -> UnderLogin:
        return UnderLogin(
            await self.mail_devices(login),
            await self.pins_of_person(login),
            await self.tombstoned_devices(login),
            await self.credentials_of_person(login),
        )

    async def pins_of_person(self, person_id: str) -> Sequence[PinnedBinding]:
        present = {_pin_key(pin): pin for pin in await self._store.pins_of_person(person_id)}
        found = _overlaid(present, await self._past(PastKind.PIN, person_id), decode_pin)
        return sorted(found.values(), key=lambda pin: (pin.device_id, pin.source_id, pin.source_device))

    async def tombstones(self, person_id: str, device_id: str) -> Sequence[Tombstone]:
        past = await self._past(PastKind.TOMBSTONES, person_id)
        if device_id not in past:
            return await self._store.tombstones(person_id, device_id)
        content = past[device_id]
        return () if content is None else _readable(decode_tombstones, content)

    async def tombstoned_devices(self, person_id: str) -> Sequence[str]:
        present = dict.fromkeys(await self._store.tombstoned_devices(person_id), b"")
        past = await self._past(PastKind.TOMBSTONES, person_id)
        return sorted(key for key, content in {**present, **past}.items() if content is not None)

    async def credentials_of_person(self, person_id: str) -> Sequence[IssuedCredential]:
        issued = [each for each in await self._store.credentials_of_person(person_id) if each.issued_at <= self._at]
        return [
            each if each.revoked_at is None or each.revoked_at <= self._at else replace(each, revoked_at=None)
            for each in issued
        ]

    async def _past(self, kind: PastKind, owner: str) -> Mapping[str, bytes | None]:
        """What stood at the moment, of all that was replaced since, by key."""
        found: dict[str, bytes | None] = {}
        for row in await self._store.past_rows(kind, owner, self._at):
            found.setdefault(row.key, row.content)
        return found


def _overlaid(
    present: Mapping[str, T], past: Mapping[str, bytes | None], decode: Callable[[bytes], T]
) -> Mapping[str, T]:
    found = dict(present)
    for key, content in past.items():
        if content is None:
            found.pop(key, None)
        else:
            found[key] = _readable(decode, content)
    return found


def _one(past: Mapping[str, bytes | None], decode: Callable[[bytes], T]) -> T | None:
    (content,) = past.values()
    return None if content is None else _readable(decode, content)


def _pin_key(pin: PinnedBinding) -> str:
    return pair_key(pin.device_id, pin.source_id, pin.source_device)


def _states(inventory: Inventory, key_type: str, value: str) -> bool:
    folded = value.casefold()
    return any(key.type == key_type and key.value.casefold() == folded for key in inventory.device_keys)


def _readable(decode: Callable[[bytes], T], content: bytes) -> T:
    try:
        return decode(content)
    except Unreadable as error:
        raise StoreUnavailable(f"the store holds {error}") from error
