"""Whether the changes in a store are whole: each is in force as far as it says, and nothing is that no change says.

Everything is worked out anew by the core: what each policy version must be by the change that made it, how many devices
each stage turned, and what audit log, change log and notices must say of it.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from gateway.domain.access import AccessRequest, IdentityStrength, Protocol
from gateway.domain.change import PolicyChange, State, at_stage, taken_back
from gateway.domain.decide import decide
from gateway.domain.evidence import PersonRecord
from gateway.domain.notice import MailingState, NoticeKind
from gateway.domain.policy import PolicyVersion, policy_of
from gateway.domain.policy_parts import parts_of
from gateway.domain.verdict import Effect
from gateway.ports.store import ChangeKind, Reading

ALL = 100_000

Make = Callable[[PolicyVersion], PolicyVersion]


def refused(records: Iterable[PersonRecord], version: PolicyVersion, now: float) -> frozenset[tuple[str, str]]:
    """The devices that ActiveSync refuses by a version."""
    policy = policy_of(version)
    return frozenset(
        (record.person_id, device_id)
        for record in records
        for device_id in record.devices
        if decide(_asking(record, device_id), record, policy, now).effect is Effect.DENY
    )


def _asking(record: PersonRecord, device_id: str) -> AccessRequest:
    return AccessRequest(record.person_id, device_id, Protocol.ACTIVESYNC, IdentityStrength.DEVICE_ID)


async def what_is_wrong(reading: Reading, records: Sequence[PersonRecord], now: float) -> list[str]:
    """One sentence for each thing that is half done, or done by nobody."""
    versions = {each.number: each for each in await reading.policies(ALL)}
    changes = sorted(await reading.policy_changes(ALL), key=lambda each: each.number)
    entries = [json.loads(each.entry) for each in await reading.audit_entries(0, ALL)]
    told = [each.version for each in await reading.changes_after(0) or () if each.kind is ChangeKind.POLICY]
    found = [
        *(sentence for each in changes for sentence in _of_state(each)),
        *_of_versions(versions, changes),
        *_of_audit(entries, versions, changes),
        *_of_numbers(versions, changes, records, now),
    ]
    if sorted(told) != sorted(versions):
        found.append(f"the change log tells of versions {sorted(told)}, there are {sorted(versions)}")
    for each in changes:
        found += await _of_notices(reading, each)
    return found


def _of_state(change: PolicyChange) -> Iterator[str]:
    done, of = len(change.done), len(change.stages)
    fits = {
        State.APPLIED: done == of,
        State.APPLYING: 0 < done < of,
        State.HALTED: 0 < done < of,
        State.WITHDRAWN: done > 0 and change.withdrawn_by_version is not None,
    }
    if not fits.get(change.state, done == 0):
        yield f"change {change.number} is {change.state} with {done} of {of} stages"


def _of_versions(versions: Mapping[int, PolicyVersion], changes: Sequence[PolicyChange]) -> Iterator[str]:
    """Each version after the first is exactly what one step of one change makes of the version before."""
    made: Counter[int] = Counter()
    for change in changes:
        for number, step, again in _steps(change):
            version = versions.get(number)
            if version is None or not _same(again(version), version):
                yield f"change {change.number} says it is in force in version {number}, and is not"
            elif _made_by(change, version):
                made[number] += 1
                if not _same(step(versions[number - 1]), version):
                    yield f"version {number} is not what change {change.number} makes of the version before"
    for number in sorted(versions):
        if number > 1 and made[number] != 1:
            yield f"version {number} was made by {made[number]} changes"


def _steps(change: PolicyChange) -> Iterator[tuple[int, Make, Make]]:
    """The versions that a change names, what it did to the one before each of them, and what the same does again."""
    for place, stage in enumerate(change.done):
        before, after = replace(change, done=change.done[:place]), replace(change, done=change.done[: place + 1])
        there = stage.policy_version
        yield there, partial(at_stage, before, stage=stage.stage), partial(at_stage, after, stage=stage.stage)
    if change.withdrawn_by_version is not None:
        yield change.withdrawn_by_version, partial(_without, change), partial(_without, change)


def _without(change: PolicyChange, version: PolicyVersion) -> PolicyVersion:
    return taken_back(change, version).version


def _same(one: PolicyVersion, other: PolicyVersion) -> bool:
    return parts_of(one) == parts_of(other)


def _made_by(change: PolicyChange, version: PolicyVersion) -> bool:
    """Whether it was made for the change; a step that changes nothing names a version that is there already."""
    return version.summary.startswith((change.title, f"change {change.number} withdrawn"))


def _of_audit(
    entries: Sequence[Mapping[str, object]], versions: Mapping[int, PolicyVersion], changes: Sequence[PolicyChange]
) -> Iterator[str]:
    details = [(str(each["kind"]), _mapping(each.get("details"))) for each in entries]
    edited = sorted(int(str(each["version"])) for kind, each in details if kind == "policy_edited")
    if edited != sorted(versions):
        yield f"the audit log tells of versions {edited}, there are {sorted(versions)}"
    steps = Counter((kind, each.get("change"), each.get("stage")) for kind, each in details if "change" in each)
    for change in changes:
        for place in range(len(change.stages)):
            told = steps["change_stage", change.number, place + 1] + steps["change_applied", change.number, place + 1]
            if told != (place < len(change.done)):
                yield f"the audit log tells {told} times of stage {place + 1} of change {change.number}"
        if steps["change_proposed", change.number, None] != 1:
            yield f"the audit log does not tell once of the proposal of change {change.number}"
        agreed = sum(step.state is State.APPROVED for step in change.history)
        if steps["change_approved", change.number, None] != agreed:
            yield f"the audit log does not tell {agreed} times of an approval of change {change.number}"
        if steps["change_withdrawn", change.number, None] != (change.state is State.WITHDRAWN):
            yield f"the audit log and change {change.number} differ about its withdrawal"


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _of_numbers(
    versions: Mapping[int, PolicyVersion],
    changes: Sequence[PolicyChange],
    records: Sequence[PersonRecord],
    now: float,
) -> Iterator[str]:
    """What the guards sum up of each person's day is what each stage turned."""
    cut = {number: refused(records, version, now) for number, version in versions.items()}
    for change in changes:
        for each in change.done:
            version = versions.get(each.policy_version)
            made = version is not None and version.number > 1 and _made_by(change, version)
            before, after = cut.get(each.policy_version - 1, frozenset()), cut.get(each.policy_version, frozenset())
            counted = (len(after - before), len(before - after)) if made else (0, 0)
            if (each.newly_cut, each.newly_admitted) != counted:
                yield (
                    f"stage {each.stage + 1} of change {change.number} says that {each.newly_cut} were cut and "
                    f"{each.newly_admitted} admitted; it was {counted}"
                )


async def _of_notices(reading: Reading, change: PolicyChange) -> list[str]:
    """Taken back and cancelled together, or not at all; who was told hears of it."""
    mailings = {each.kind: each for each in await reading.mailings(change.number)}
    claims = [each for kind, each in mailings.items() if kind is not NoticeKind.CORRECTION]
    over = change.state in (State.WITHDRAWN, State.REJECTED)
    wrong = [
        f"the {each.kind} notices of change {change.number} are {each.state}, it is {change.state}"
        for each in claims
        if (each.state is MailingState.CANCELLED) is not over
    ]
    if bool(claims) is not any(each.newly_cut for each in change.done):
        wrong.append(f"change {change.number} has {len(claims)} mailings, and cut {[d.newly_cut for d in change.done]}")
    if claims and (NoticeKind.CORRECTION in mailings) is not over:
        wrong.append(f"change {change.number} is {change.state}, and its correction does not say so")
    return wrong
