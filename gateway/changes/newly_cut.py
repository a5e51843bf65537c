"""Who is newly cut by a change, person by person, as its newest preview found it; and what speaks against a person.

The people come one after another from pages of the store, so that a change that cuts everybody is no more in memory
than one that cuts a few.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from gateway.changes.impact.writing import device_key, named_devices
from gateway.changes.previews import decode_preview
from gateway.domain.bans import Ban
from gateway.domain.change import PolicyChange, at_stage
from gateway.domain.errors import InvalidValue
from gateway.domain.evidence import PersonRecord
from gateway.domain.inventory import App
from gateway.domain.policy import PolicyVersion, policy_of
from gateway.domain.posture import Hit, open_hits
from gateway.ports.store import Reading, Store

PAGE = 200

LoadRecord = Callable[[Reading, str], Awaitable[PersonRecord]]


async def newly_cut_people(store: Store, number: int, load_record: LoadRecord) -> AsyncIterator[str]:
    """The ids of everybody who loses a device by a change. Raises ``InvalidValue`` where no preview is kept."""
    async with store.read() as reading:
        change = await reading.policy_change(number)
        content = None
        if change is not None and change.preview is not None:
            content = await reading.change_preview(number, change.preview.digest)
    if content is None:
        raise InvalidValue(f"nobody knows whom change {number} cuts: it has no preview")
    marks = decode_preview(content).newly_cut
    after = ""
    while True:
        people, cut = await store.read_at_once(partial(_page, marks, load_record, after))
        for person in cut:
            yield person
        if len(people) < PAGE:
            return
        after = people[-1]


async def _page(
    marks: frozenset[int], load_record: LoadRecord, after: str, reading: Reading
) -> tuple[list[str], list[str]]:
    """The next people, and those of them who lose a device."""
    people = [each.person_id for each in await reading.people(after, PAGE)]
    cut = []
    for person in people:
        record = await load_record(reading, person)
        if any(device_key(person, name) in marks for name in ("", *named_devices(record))):
            cut.append(person)
    return people, cut


@dataclass(frozen=True, slots=True)
class Against:
    """A banned app on a device of a person."""

    app: App
    device_id: str
    seen_at: float


class Evidence:
    """What of a change's bans is found on a person's devices."""

    def __init__(self, change: PolicyChange, policy: PolicyVersion, load_record: LoadRecord) -> None:
        """``policy``: the newest version."""
        after = policy if change.done else at_stage(change, policy, len(change.stages) - 1)
        touched = {touch.part.partition(":")[2] for touch in change.touches}
        self.bans: tuple[Ban, ...] = tuple(ban for ban in after.bans if ban.name.casefold() in touched)
        """Those that the change is about."""
        self._names = frozenset(ban.name for ban in self.bans)
        self._index = policy_of(after).index
        self._load_record = load_record

    async def of(self, reading: Reading, person_id: str) -> Sequence[Against]:
        """For one person, newest first for each app and device."""
        record = await self._load_record(reading, person_id)
        devices = (*record.devices.values(), *record.unbound)
        found: dict[tuple[str, str], Against] = {}
        for device in devices:
            for hit in open_hits(device, self._index):
                if self._counts(hit):
                    key = (hit.app.id, device.device_id)
                    if key not in found or found[key].seen_at < hit.at:
                        found[key] = Against(hit.app, device.device_id, hit.at)
        return list(found.values())

    def _counts(self, hit: Hit) -> bool:
        return hit.ban.name in self._names
