"""What speaks against people who are told of a change: the banned apps on their devices, as the evidence has them.

An app, the device by the name that its owner would call it by, and when that was reported; read for a page of people at
a time, of those who are told only.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence

from gateway.changes.newly_cut import bans_about
from gateway.domain.change import PolicyChange, at_stage
from gateway.domain.evidence import PersonRecord
from gateway.domain.matching import BanIndex
from gateway.domain.notice import Finding
from gateway.domain.policy import PolicyVersion, policy_of
from gateway.domain.posture import Hit, open_hits
from gateway.ports.store import MailDevice, Reading

LoadRecord = Callable[[Reading, str], Awaitable[PersonRecord]]
FindingsOf = Callable[[Reading, Sequence[str]], Awaitable[Mapping[str, Sequence[Finding]]]]
"""By the people's ids; those of whom nothing is found are left out."""


def findings_by(change: PolicyChange, policy: PolicyVersion, load_record: LoadRecord) -> FindingsOf:
    """What is found of the change's bans, newest first for each app and device. ``policy``: the newest version.

    Raises ``InvalidValue`` where somebody touched the same since.
    """
    after = policy if change.done else at_stage(change, policy, len(change.stages) - 1)
    index = policy_of(after).index
    bans = frozenset(ban.name for ban in bans_about(change, policy))

    async def findings_of(reading: Reading, people: Sequence[str]) -> Mapping[str, Sequence[Finding]]:
        await reading.read_ahead(people)
        found = {}
        for person in people:
            hits = _hits(await load_record(reading, person), index, bans)
            if hits:
                found[person] = _findings(hits, await reading.mail_devices(person))
        return found

    return findings_of


def _hits(record: PersonRecord, index: BanIndex, bans: frozenset[str]) -> Mapping[tuple[str, str], Hit]:
    """The newest one for each app and device."""
    newest: dict[tuple[str, str], Hit] = {}
    for device in (*record.devices.values(), *record.unbound):
        for hit in open_hits(device, index):
            key = hit.app.id, device.device_id
            if hit.ban.name in bans and (key not in newest or newest[key].at < hit.at):
                newest[key] = hit
    return newest


def _findings(hits: Mapping[tuple[str, str], Hit], seen: Sequence[MailDevice]) -> Sequence[Finding]:
    called = {device.device_id: _name_of(device) for device in seen}
    return [Finding(hit.app.name or hit.app.id, called.get(device, ""), hit.at) for (_, device), hit in hits.items()]


def _name_of(device: MailDevice) -> str:
    """What its owner would call it: what it says of itself, else its kind."""
    try:
        told = json.loads(device.device_information or "{}")
    except ValueError:
        told = {}
    names = (told.get(key) for key in ("FriendlyName", "Model")) if isinstance(told, dict) else ()
    return next((name for name in names if isinstance(name, str) and name), device.device_type)
