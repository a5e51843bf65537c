"""Which devices asked for mail: sightings from the workers, written down for binding, grace and the operator.

A sighting says only what the data plane knows after the mail server accepted the credentials. One of a new device may
change verdicts and is announced like other evidence; of a known one only the time and what it says of itself change,
and its person is announced where it becomes Outlook mobile or is that no more.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import structlog

from gateway.domain.grace import DEVICES_NOTED
from gateway.domain.question import is_outlook
from gateway.inventory.consequences import Evidence, person_id_of
from gateway.ports.store import MailDevice, Writing

log = structlog.get_logger()

DEVICES_PER_PERSON = DEVICES_NOTED
"""What comes above is dropped and logged."""

DEVICES_AT_ONCE = 50
"""In one unit of work. On PostgreSQL a new device takes some ten ways there and back, and reports wait meanwhile: a
thousand, as when a fleet comes for the first time, took longer than a unit may."""

TEXT_LONGEST = 400
LONGEST = {"device_information": 1 << 18}
LATEST = 1e11
"""Epoch seconds; no calendar ends before."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A device that asked with accepted credentials; ``login`` and ``device_id`` are canonical."""

    login: str
    device_id: str
    at: float
    device_type: str = ""
    user_agent: str = ""
    protocol_version: str = ""
    client_address: str = ""
    device_information: str = ""


def read_sightings(rows: Sequence[bytes]) -> list[Sighting]:
    """The sightings in what workers sent; rows of another version of the code are left out."""
    found = []
    for row in rows:
        try:
            found.append(_checked(Sighting(**json.loads(row))))
        except (ValueError, TypeError, RecursionError):
            log.warning("sighting_unreadable", octets=len(row))
    return found


def _checked(sighting: Sighting) -> Sighting:
    """What is written down must be writable in every store, and readable for ever after.

    Raises ``ValueError``, ``TypeError``.
    """
    texts = {name: value for name, value in asdict(sighting).items() if name != "at"}
    if not all(
        isinstance(value, str) and len(value) <= LONGEST.get(name, TEXT_LONGEST) for name, value in texts.items()
    ):
        raise ValueError
    if "\0" in "".join(texts.values()).encode().decode():
        raise ValueError
    if not (sighting.login and sighting.device_id and 0 <= sighting.at < LATEST):
        raise ValueError
    return sighting


class MailDevices:
    """Writes sightings down; one for the whole control process."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence

    async def take(self, sightings: Sequence[Sighting]) -> None:
        """Store a batch by pieces. Raises ``StoreUnavailable`` and ``Conflict``: from there on nothing is stored."""
        for begin in range(0, len(sightings), DEVICES_AT_ONCE):
            await self._take(sightings[begin : begin + DEVICES_AT_ONCE])

    async def _take(self, some: Sequence[Sighting]) -> None:
        async def work(writing: Writing) -> list[MailDevice]:
            return await self._write(writing, some)

        for device in await self._evidence.write(work):
            log.info("device_first_seen", login=device.person_id, device=device.device_id, type=device.device_type)

    async def _write(self, writing: Writing, sightings: Sequence[Sighting]) -> list[MailDevice]:
        stored: dict[str, dict[str, MailDevice]] = {}
        again: dict[tuple[str, str], MailDevice] = {}
        new: dict[tuple[str, str], MailDevice] = {}
        for sighting in sightings:
            person_id = await person_id_of(writing, sighting.login)
            if person_id not in stored:
                stored[person_id] = {each.device_id: each for each in await writing.mail_devices(person_id)}
            key = person_id, sighting.device_id
            known = again.get(key) or new.get(key) or stored[person_id].get(sighting.device_id)
            if known is None and _invents(person_id, stored[person_id], new):
                log.warning("too_many_devices", login=person_id, device=sighting.device_id)
                continue
            target = again if sighting.device_id in stored[person_id] else new
            target[key] = _merged(known, sighting, person_id)
        for device in again.values():
            await writing.put_mail_device(device)
        await _log_other_kinds(writing, again.values(), stored)

        async def change() -> None:
            for device in new.values():
                await writing.put_mail_device(device)

        if new:
            people = dict.fromkeys(person_id for person_id, _ in new)
            await self._evidence.announced(writing, people, change)
        return list(new.values())


async def _log_other_kinds(
    writing: Writing, devices: Iterable[MailDevice], stored: Mapping[str, Mapping[str, MailDevice]]
) -> None:
    """Whether a device is Outlook mobile is in nobody's record, and the index for previews keeps it."""
    for device in devices:
        before = stored[device.person_id][device.device_id].device_type
        if is_outlook(device.device_type) is not is_outlook(before):
            person = await writing.person_by_login(device.person_id)
            writing.log_people((device.person_id, *(person.aliases if person else ())))


def _invents(person_id: str, stored: Mapping[str, MailDevice], new: Iterable[tuple[str, str]]) -> bool:
    return len(stored) + sum(1 for owner, _ in new if owner == person_id) >= DEVICES_PER_PERSON


def _merged(known: MailDevice | None, sighting: Sighting, person_id: str) -> MailDevice:
    if known is None:
        known = MailDevice(person_id, sighting.device_id, sighting.at, sighting.at)
    if sighting.at < known.last_seen_at:
        # Told twice, or late: what was said last counts.
        return replace(known, first_seen_at=min(known.first_seen_at, sighting.at))
    return replace(
        known,
        last_seen_at=sighting.at,
        device_type=sighting.device_type or known.device_type,
        user_agent=sighting.user_agent or known.user_agent,
        protocol_version=sighting.protocol_version or known.protocol_version,
        client_address=sighting.client_address or known.client_address,
        device_information=sighting.device_information or known.device_information,
    )
