"""Previews computed device by device with ``decide``: what the impact index must equal, and enough for a few people."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from gateway.changes.guards import Measured
from gateway.changes.previews import Previewed, mark_of
from gateway.domain.access import AccessRequest, IdentityStrength, Protocol
from gateway.domain.change import PreviewSeen
from gateway.domain.dated import Pair
from gateway.domain.decide import decide
from gateway.domain.evidence import PersonRecord
from gateway.domain.policy import Policy, PolicyVersion, policy_of
from gateway.domain.verdict import Effect


@dataclass(slots=True)
class ByHand:
    """Previews over these records."""

    records: list[PersonRecord] = field(default_factory=list)
    now: float = 0.0
    asked: int = 0
    known: dict[object, tuple[tuple[PersonRecord, ...], set[tuple[str, str]]]] = field(default_factory=dict)
    """Of a policy and a moment: by which records, and what came out. Most are asked for several times."""

    def refused(self, version: PolicyVersion) -> set[tuple[str, str]]:
        asked, records = (repr(version), self.now), tuple(self.records)
        known, refused = self.known.get(asked, ((), set()))
        if len(known) != len(records) or any(one is not other for one, other in zip(known, records, strict=True)):
            refused = self._refused(policy_of(version))
            self.known[asked] = records, refused
        return refused

    def _refused(self, policy: Policy) -> set[tuple[str, str]]:
        return {
            (record.person_id, device_id)
            for record in self.records
            for device_id in record.devices
            if decide(_asking(record, device_id), record, policy, self.now).effect is Effect.DENY
        }

    async def of(
        self, before: PolicyVersion, after: PolicyVersion, *, dated: Sequence[Pair] = (), brief: bool = False
    ) -> Previewed:
        self.asked += 1
        now, cut, admitted = self.refused(before), set[tuple[str, str]](), set[tuple[str, str]]()
        for one, other in ((before, after), *dated):
            earlier, later = self.refused(one), self.refused(other)
            cut |= later - earlier - now
            admitted |= (earlier - later) & now
        devices = sum(len(record.devices) for record in self.records)
        digest = sha256(repr((before.number, sorted(cut), sorted(admitted))).encode()).hexdigest()
        seen = PreviewSeen(digest, before.number, 0, self.now, len(cut), len(admitted), devices)
        measured = Measured(len(cut), len(admitted), devices)
        return Previewed(seen, measured, marks(cut), {"newly_cut": len(cut)})


def marks(devices: Iterable[tuple[str, str]]) -> frozenset[int]:
    return frozenset(mark_of(*each) for each in devices)


def _asking(record: PersonRecord, device_id: str) -> AccessRequest:
    return AccessRequest(record.person_id, device_id, Protocol.ACTIVESYNC, IdentityStrength.DEVICE_ID)
