"""How many devices have mail although nobody could judge them.

Enforcing a ban while unknowns are let through leaves devices that pass unjudged; ``status`` says how many, each time.
The store is walked in pages with one short snapshot each, within a budget of time and devices, so that a large fleet
costs no more than a small one: then the answer is for the part that was looked at, and says so.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from itertools import groupby

from gateway.domain.access import AccessRequest
from gateway.domain.bans import Flag
from gateway.domain.decide import decide
from gateway.domain.evidence import PersonRecord
from gateway.domain.policy import Policy, PolicyVersion, policy_of
from gateway.domain.verdict import Effect, Posture, Reason, Verdict
from gateway.ports.store import MailDevice, Reading, Store

PAGE = 500
DEVICES_AT_MOST = 20_000
WITHIN_SECONDS = 2.0
REMEMBERED_SECONDS = 5.0

LoadRecord = Callable[[Reading, str], Awaitable[PersonRecord]]


@dataclass(frozen=True, slots=True)
class FleetCount:
    """Mail devices by what ActiveSync would answer them now."""

    devices: int = 0
    """Looked at."""
    complete: bool = True
    """False: the budget ended before the fleet did."""
    clean: int = 0
    dirty: int = 0
    refused: int = 0
    exempt: int = 0
    """Let through by an exemption or the global switch though they would be refused."""
    unjudged: int = 0
    """UNKNOWN, and let through: the evidence does not suffice, and a setting or a grace allows it."""
    unjudged_by_cause: dict[str, int] = field(default_factory=dict)


def enforced_bans(version: PolicyVersion) -> tuple[str, ...]:
    """The bans that are enforced for anybody at all."""
    if not version.enforcement_on:
        return ()
    return tuple(
        ban.name
        for ban in version.bans
        if ban.flag is Flag.ENFORCE or any(rule.flag is Flag.ENFORCE for rule in ban.rules)
    )


async def count_fleet(
    store: Store,
    load_record: LoadRecord,
    policy: Policy,
    now: float,
    *,
    within_seconds: float = WITHIN_SECONDS,
    devices_at_most: int = DEVICES_AT_MOST,
) -> FleetCount:
    """Judge the known mail devices within the budget. Raises ``StoreUnavailable``."""
    deadline = time.monotonic() + within_seconds
    counted: Counter[str] = Counter()
    causes: Counter[str] = Counter()
    after, complete, devices = ("", ""), False, 0
    while devices < devices_at_most and time.monotonic() < deadline:
        async with store.read() as reading:
            page = await reading.all_mail_devices(after, PAGE)
            for person_id, group in groupby(page, key=lambda device: device.person_id):
                record = await load_record(reading, person_id)
                for device in group:
                    verdict = decide(_request(device), record, policy, now)
                    counted[_kind(verdict)] += 1
                    causes.update(verdict.causes if _kind(verdict) == "unjudged" else ())
                    devices += 1
                    after = (device.person_id, device.device_id)
                if time.monotonic() >= deadline:
                    break
        complete = len(page) < PAGE and (not page or after == (page[-1].person_id, page[-1].device_id))
        if complete:
            break
    return FleetCount(devices, complete, **counted, unjudged_by_cause=dict(causes))


def _request(device: MailDevice) -> AccessRequest:
    return AccessRequest(device.person_id, device.device_id, device_type=device.device_type)


def _kind(verdict: Verdict) -> str:
    if verdict.effect is not Effect.ALLOW:
        return "refused"
    if verdict.reason in (Reason.EXEMPT, Reason.ENFORCEMENT_OFF):
        return "exempt"
    return {Posture.CLEAN: "clean", Posture.DIRTY: "dirty", Posture.UNKNOWN: "unjudged"}[verdict.posture]


class FleetCounter:
    """``count_fleet``, one at a time, and remembered for some seconds."""

    def __init__(self, store: Store, load_record: LoadRecord, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._load_record = load_record
        self._monotonic = monotonic
        self._turn = asyncio.Lock()
        self._last: tuple[int, float, FleetCount] | None = None

    async def count(self, version: PolicyVersion, now: float) -> FleetCount:
        """The count under that version, at most ``REMEMBERED_SECONDS`` old. Raises ``StoreUnavailable``."""
        async with self._turn:
            if self._last is not None:
                number, at, count = self._last
                if number == version.number and self._monotonic() - at < REMEMBERED_SECONDS:
                    return count
            async with self._store.read() as reading:
                policy = replace(policy_of(version), ageing=(await reading.brake()).ageing)
            count = await count_fleet(self._store, self._load_record, policy, now)
            self._last = version.number, self._monotonic(), count
            return count
