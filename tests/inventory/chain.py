"""The receiver with all that follows it, up to the cache and the feed."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from gateway.domain.evidence import DeviceEvidence, PersonRecord
from gateway.domain.posture import open_hits
from gateway.inventory.bindings import Bindings
from gateway.inventory.consequences import Evidence
from gateway.inventory.ingest import Forgotten
from gateway.inventory.mail_devices import MailDevices
from gateway.inventory.people import People
from gateway.inventory.publication import Publication
from gateway.inventory.records import load_record
from gateway.ports.store import Change, PinnedBinding, Reading
from tests.inventory.receiving import RULES, Receiving
from tests.inventory.spread import Spread


async def loaded(reading: Reading, login: str) -> PersonRecord:
    """The record of a login, by the rules of these tests."""
    return await load_record(reading, login, RULES)


@dataclass(slots=True)
class Chain(Receiving):
    """A receiver whose changes go all the way."""

    spread: Spread = field(default_factory=Spread)
    publication: Publication = field(init=False)
    bindings: Bindings = field(init=False)
    mail_devices: MailDevices = field(init=False)
    people: People = field(init=False)

    def __post_init__(self) -> None:
        self.publication = Publication(self.store, self.spread, self.spread, loaded)
        Receiving.__post_init__(self)
        self.bindings = Bindings(Evidence(self.store, RULES, self.publish, lambda: self.policy))
        self.people = People(Evidence(self.store, RULES, self.publish, lambda: self.policy))
        self.mail_devices = MailDevices(Evidence(self.store, RULES, self.publish, lambda: self.policy))

    async def pin(self, pin: PinnedBinding) -> None:
        """Say that two are bound, or never."""
        _, changes = await self.store.write(lambda writing: self.bindings.put(writing, pin))
        await self.publish(changes)

    async def unpin(self, pin: PinnedBinding) -> None:
        """Take that word back."""
        _, changes = await self.store.write(lambda writing: self.bindings.remove(writing, pin))
        await self.publish(changes)

    async def forget(self, person_id: str, device_id: str) -> Forgotten:
        """Forget a device."""
        done, changes = await self.store.write(
            lambda writing: self.ingest.forget_within(writing, person_id, device_id, "root")
        )
        await self.publish(changes)
        return done

    async def publish(self, changes: Sequence[Change]) -> None:
        """On to the cache and the feed."""
        await self.publication.publish(changes)

    async def told(self) -> set[str]:
        """Who was announced since the last time; all of it is in the cache, as the store has it now."""
        names = {name for change in self.spread.changes for name in change.names}
        assert set(self.spread.put_names) == names
        for name in names:
            there = self.spread.records[name]
            # Changes that did not concern the person may have come since.
            assert there == replace(await self.record(name), sequence=there.sequence)
        assert self.spread.changes == [] or self.spread.changes[-1].sequence == await self.sequence()
        self.spread.forget()
        return names

    async def device(self, login: str, device_id: str) -> DeviceEvidence:
        """What is known of a mail device."""
        return (await self.record(login)).devices[device_id]

    async def is_hit(self, login: str, device_id: str) -> bool:
        """Whether a banned app is open there."""
        return bool(open_hits(await self.device(login, device_id), self.policy.index))


def names(*users: str, eas: Sequence[str] = (), **more: str) -> list[dict[str, str]]:
    """The ids of a device that names users and claims DeviceIds; of nobody without any."""
    found = [*(("user", user) for user in users), *(("eas_device_id", each) for each in eas), *more.items()]
    return [{"type": key, "value": value} for key, value in found] or [{"type": "mdm_id", "value": "nobody"}]
