"""Which devices a change has cut in fact: marked when workers tell of a refusal, and counted for its stop rule.

A refusal is a change's doing when the device would have mail if the change were taken back, by what is known of it
now: who was refused before does not count, nor does whom another change cuts. The mark stands in the audit log with the
refusal, so the count is one for all control processes and outlives each of them.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from gateway.changes.audit_since import number_before
from gateway.domain.access import AccessRequest, IdentityStrength, Protocol
from gateway.domain.audit import AuditKind, Subject
from gateway.domain.audit.entry import decoded, moment_text
from gateway.domain.change import PolicyChange, State, taken_back
from gateway.domain.decide import decide
from gateway.domain.evidence import PersonRecord
from gateway.domain.policy import Policy, policy_of
from gateway.domain.verdict import Effect
from gateway.ports.store import Reading, Store

MARK = "newly_by"
"""Among what an effect says: the numbers of the changes that did it."""
HOUR_SECONDS = 3_600.0
MARGIN_SECONDS = 600.0
"""Between a refusal and its entry in the log, and between the clocks of two machines."""
PAGE = 1_000

LoadRecord = Callable[[Reading, str], Awaitable[PersonRecord]]


class CutMarks:
    """One per control process."""

    def __init__(self, store: Store, load_record: LoadRecord, now: Callable[[], float]) -> None:
        self._store = store
        self._load_record = load_record
        self._now = now
        self._without: dict[int, tuple[object, Policy]] = {}
        """The policy without each change that is watched, and what it was made from."""

    async def marked(self, effects: Sequence[Subject]) -> Sequence[Subject]:
        """The same effects; those that a change with such a stop rule has done say so. Raises ``StoreUnavailable``."""
        if not effects:
            return effects
        async with self._store.read() as reading:
            watched = [each for each in await reading.policy_changes_in({State.APPLYING}) if counts_cuts(each)]
            newest, brake = await reading.policy() if watched else None, await reading.brake()
        if newest is None:
            return effects
        fresh = {}
        for each in watched:
            key = newest.number, len(each.done)
            known = self._without.get(each.number)
            policy = known[1] if known and known[0] == key else policy_of(taken_back(each, newest).version)
            fresh[each.number] = (key, policy)
        self._without = dict(fresh)
        # Whom the fleet brake holds would have mail without the change.
        without = {number: replace(policy, ageing=brake.ageing) for number, (_, policy) in fresh.items()}
        since = {each.number: each.done[0].policy_version for each in watched}
        return await self._store.read_at_once(partial(self._judged, effects, without, since))

    async def _judged(
        self, effects: Sequence[Subject], without: Mapping[int, Policy], since: Mapping[int, int], reading: Reading
    ) -> Sequence[Subject]:
        found = []
        for each in effects:
            late = [number for number in without if int(str(each.details.get("policy_version", 0))) >= since[number]]
            record = await self._load_record(reading, each.login) if late else None
            by = [number for number in late if record and self._has_mail(each, record, without[number])]
            found.append(replace(each, details={**each.details, MARK: by}) if by else each)
        return found

    def _has_mail(self, effect: Subject, record: PersonRecord, policy: Policy) -> bool:
        strength = IdentityStrength.DEVICE_ID if effect.device else IdentityStrength.USER_WIDE
        asked = AccessRequest(effect.login, effect.device, _protocol_of(effect), strength)
        return decide(asked, record, policy, self._now()).effect is not Effect.DENY


def _protocol_of(effect: Subject) -> Protocol:
    # A worker of a later version may know one more.
    known = {each.value: each for each in Protocol}
    return known.get(str(effect.details.get("protocol")), Protocol.ACTIVESYNC)


def counts_cuts(change: PolicyChange) -> bool:
    """Whether the stage that is in force has a stop rule about cut devices."""
    return bool(change.done) and change.stages[change.done[-1].stage].stop.cut_per_hour is not None


class CutCount:
    """Reads the log on from where it was; one per schedule."""

    def __init__(self) -> None:
        self._after: int | None = None
        self._cut: dict[int, dict[tuple[str, str], str]] = {}
        """Of each change the devices, by pseudonyms, and when each was refused first within the hour."""
        self._not_noted: list[tuple[str, int]] = []

    async def within_hour(self, reading: Reading, number: int, now: float) -> int:
        """How many devices the change has newly cut within the hour before ``now``. Raises ``StoreUnavailable``.

        Refusals that came too fast to be noted count with them: whose they were nobody knows, and they are many.
        """
        since = moment_text(now - HOUR_SECONDS)
        await self._read_on(reading, now)
        self._cut = {
            change: {device: at for device, at in devices.items() if at >= since}
            for change, devices in self._cut.items()
        }
        self._not_noted = [each for each in self._not_noted if each[0] >= since]
        cut = len(self._cut.get(number, ()))
        return cut + sum(count for _, count in self._not_noted) if cut else 0

    async def _read_on(self, reading: Reading, now: float) -> None:
        size = (await reading.audit_head()).size
        if self._after is None or size < self._after:
            # At the start, and where a restore put an earlier log in place.
            self._cut, self._not_noted = {}, []
            self._after = await number_before(reading, moment_text(now - HOUR_SECONDS - MARGIN_SECONDS), size)
        while rows := await reading.audit_entries(self._after, PAGE):
            for row in rows:
                self._after = row.seq
                if f'"{AuditKind.EFFECTS.value}"'.encode() in row.entry:
                    self._take(decoded(row.entry) or {})

    def _take(self, entry: Mapping[str, object]) -> None:
        details, subjects = entry.get("details"), entry.get("subjects")
        if isinstance(details, dict) and (not_noted := details.get("not_noted")):
            self._not_noted.append((str(entry.get("at", "")), int(not_noted)))
        for each in subjects if isinstance(subjects, list) else ():
            for number in each.get(MARK, ()):
                device = str(each.get("person", "")), str(each.get("device", ""))
                self._cut.setdefault(int(number), {}).setdefault(device, str(each.get("happened_at", "")))
