"""Whether the index says of real people what ``decide`` says: a random sample, every device and every protocol.

``decide`` is the reference; a difference is a defect of the index (or an update that it missed), and is to be reported
with what stands here. ``gatepost impact verify`` shows it.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.changes.impact.algebra import Evaluation
from gateway.changes.impact.building import LoadRecord
from gateway.changes.impact.evidence_rows import Mark
from gateway.changes.impact.fleet import GONE, Fleet
from gateway.changes.impact.hits import Hits
from gateway.changes.impact.moment import Moment
from gateway.domain.access import AccessRequest, IdentityStrength, Protocol
from gateway.domain.decide import decide
from gateway.domain.evidence import PersonRecord
from gateway.domain.policy import Policy
from gateway.domain.verdict import Effect
from gateway.ports.store import ChangeKind, Reading, Store

PAGE = 200
DIFFERENCES_AT_MOST = 100


@dataclass(frozen=True, slots=True)
class Difference:
    """Where index and ``decide`` disagree."""

    person_id: str
    device_id: str
    """Empty: all devices of the person answer."""
    protocol: Protocol
    index_refuses: bool
    decide_refuses: bool
    """The same as ``index_refuses``: the fleet does not have that device, or has one too many."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What became of a sample."""

    people: int
    decisions: int
    changed: int
    """People left out because they changed since the index was last brought up to date."""
    differences: tuple[Difference, ...]
    """The first ones."""
    different: int
    """All of them."""


def sample_of(fleet: Fleet, size: int, generator: random.Random) -> list[str]:
    """So many people at random, or all there are."""
    people = [number for number in range(fleet.people_count) if fleet.people.standing[number] != GONE]
    return [fleet.person_ids[number] for number in sorted(generator.sample(people, min(size, len(people))))]


async def verify(
    fleet: Fleet, store: Store, load_record: LoadRecord, policy: Policy, now: float, people: Sequence[str]
) -> Verified:
    """Hold ``fleet`` against what the store has of ``people``. Raises ``StoreUnavailable``."""
    said = Said(Evaluation(Moment.under(fleet, now, policy.ageing), policy, Hits(fleet)))
    looked_at, decisions, changed = 0, 0, 0
    found: list[Difference] = []
    for start in range(0, len(people), PAGE):
        page = _Page(load_record, people[start : start + PAGE], fleet.sequence)
        records = await store.read_at_once(page.read)
        looked_at += len(records)
        changed += len(page.people) - len(records)
        for record in records:
            decisions += len(Protocol) * (1 + len(record.devices))
            found += said.differences(record)
    return Verified(looked_at, decisions, changed, tuple(found[:DIFFERENCES_AT_MOST]), len(found))


@dataclass(frozen=True, slots=True)
class _Page:
    """Some people to be read from the store."""

    load_record: LoadRecord
    people: Sequence[str]
    sequence: int

    async def read(self, reading: Reading) -> list[PersonRecord]:
        """The records of those who are as they were at ``sequence``."""
        changes = await reading.changes_after(self.sequence)
        if changes is None or any(change.kind is ChangeKind.EVERYBODY for change in changes):
            return []
        moved = {name for change in changes for name in change.names}
        records = [await self.load_record(reading, login) for login in self.people]
        return [each for each in records if moved.isdisjoint((each.person_id, *each.logins))]


class Said:
    """What the index says, protocol by protocol."""

    def __init__(self, evaluation: Evaluation) -> None:
        self._fleet = evaluation.fleet
        self._policy = evaluation.policy
        self._now = evaluation.moment.now
        self._devices = {protocol: evaluation.refused(protocol) for protocol in Protocol}
        self._people = {protocol: evaluation.refused_people(protocol) for protocol in Protocol}
        self._mail = self._fleet.marked(Mark.MAIL)
        self._outlook = self._fleet.marked(Mark.OUTLOOK)

    def differences(self, record: PersonRecord) -> Iterator[Difference]:
        """Where ``decide`` says something else of a person."""
        fleet = self._fleet
        person = fleet.person_of_login(record.person_id)
        if person is None:
            yield Difference(record.person_id, "", Protocol.ACTIVESYNC, False, False)
            return
        numbers = {fleet.device_ids[each]: each for each in fleet.each_device_of(person) if each in self._mail}
        for device_id in numbers.keys() ^ record.devices.keys():
            yield Difference(record.person_id, device_id, Protocol.ACTIVESYNC, False, False)
        for protocol in Protocol:
            wide = AccessRequest(record.person_id, "", protocol, IdentityStrength.USER_WIDE)
            yield from self._held(wide, record, bool(self._people[protocol][person]))
            for device_id in numbers.keys() & record.devices.keys():
                number = numbers[device_id]
                says_outlook = protocol is Protocol.ACTIVESYNC and number in self._outlook
                type_said = "Outlook" if says_outlook else ""
                request = AccessRequest(record.person_id, device_id, protocol, device_type=type_said)
                yield from self._held(request, record, number in self._devices[protocol])

    def _held(self, request: AccessRequest, record: PersonRecord, refused: bool) -> Iterator[Difference]:
        right = decide(request, record, self._policy, self._now).effect is Effect.DENY
        if refused is not right:
            yield Difference(record.person_id, request.device_id, request.protocol, refused, right)
