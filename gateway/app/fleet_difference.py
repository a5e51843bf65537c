"""Which phones would be answered differently: the same devices judged from two stores under their policies.

A phone must not be cut or freed by surprise: every device that either store knows is judged, none is sampled.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from gateway.domain.access import AccessRequest
from gateway.domain.decide import decide
from gateway.domain.evidence import PersonRecord
from gateway.domain.policy import Policy
from gateway.domain.verdict import Effect
from gateway.ports.store import MailDevice, Reading, Store

PAGE = 200
NAMED_AT_MOST = 20

LoadRecord = Callable[[Reading, str], Awaitable[PersonRecord]]


@dataclass(frozen=True, slots=True)
class Side:
    """A store, and a policy to judge by."""

    store: Store
    policy: Policy


@dataclass(slots=True)
class Moved:
    """Devices whose answer turns: how many, and some of them by login and DeviceId."""

    count: int = 0
    named: list[tuple[str, str]] = field(default_factory=list)

    def add(self, device: MailDevice) -> None:
        """One more."""
        self.count += 1
        if len(self.named) < NAMED_AT_MOST:
            self.named.append((device.person_id, device.device_id))


@dataclass(slots=True)
class FleetDifference:
    """What a change of stores does to the known mail devices."""

    devices: int = 0
    refused_now: int = 0
    let_through: Moved = field(default_factory=Moved)
    """Refused now, and have mail when the other store takes over."""
    cut: Moved = field(default_factory=Moved)
    """Have mail now, and are refused then."""
    let_through_when_on: Moved = field(default_factory=Moved)
    """The same two, once enforcement is on."""
    cut_when_on: Moved = field(default_factory=Moved)

    def add(self, device: MailDevice, now: Effect, then: Effect, when_on: Effect) -> None:
        """One device by its three answers."""
        self.devices += 1
        refused = now is not Effect.ALLOW
        self.refused_now += refused
        for effect, admitted, lost in (
            (then, self.let_through, self.cut),
            (when_on, self.let_through_when_on, self.cut_when_on),
        ):
            if refused and effect is Effect.ALLOW:
                admitted.add(device)
            elif not refused and effect is not Effect.ALLOW:
                lost.add(device)


async def compare(
    present: Side, other: Side, load_record: LoadRecord, now: float, tick: Callable[[int], None] = lambda done: None
) -> FleetDifference:
    """Judge every mail device of either store. Raises ``StoreUnavailable``."""
    found = FleetDifference()
    switched_on = Policy(replace(other.policy.version, enforcement_on=True), other.policy.index)

    async def look(devices: Sequence[MailDevice]) -> None:
        was = await _judged(present.store, (present.policy,), devices, load_record, now)
        then = await _judged(other.store, (other.policy, switched_on), devices, load_record, now)
        for device, before, after in zip(devices, was, then, strict=True):
            found.add(device, *before, *after)
        tick(found.devices)

    after = ("", "")
    while page := await _page(present.store, after):
        after = page[-1].person_id, page[-1].device_id
        await look(page)
    after = ("", "")
    while page := await _page(other.store, after):
        after = page[-1].person_id, page[-1].device_id
        if fresh := await _unknown_to(present.store, page):
            await look(fresh)
    return found


async def _page(store: Store, after: tuple[str, str]) -> Sequence[MailDevice]:
    return await store.read_at_once(lambda reading: _devices(reading, after))


async def _devices(reading: Reading, after: tuple[str, str]) -> Sequence[MailDevice]:
    return await reading.all_mail_devices(after, PAGE)


async def _unknown_to(store: Store, devices: Sequence[MailDevice]) -> list[MailDevice]:
    async def look(reading: Reading) -> list[MailDevice]:
        fresh = []
        for person_id, group in groupby(devices, key=lambda device: device.person_id):
            known = {device.device_id for device in await reading.mail_devices(person_id)}
            fresh += [device for device in group if device.device_id not in known]
        return fresh

    return await store.read_at_once(look)


async def _judged(
    store: Store, policies: Sequence[Policy], devices: Sequence[MailDevice], load_record: LoadRecord, now: float
) -> list[list[Effect]]:
    """For each device its answer by each policy."""

    async def judge(reading: Reading) -> list[list[Effect]]:
        effects = []
        for person_id, group in groupby(devices, key=lambda device: device.person_id):
            record = await load_record(reading, person_id)
            for device in group:
                request = AccessRequest(person_id, device.device_id, device_type=device.device_type)
                effects.append([decide(request, record, policy, now).effect for policy in policies])
        return effects

    return await store.read_at_once(judge)
