"""Random histories of everything that a record rests on, and what was known and decided at each moment of them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from gateway.domain.access import AccessRequest, IdentityStrength, Protocol
from gateway.domain.bans import Ban, Flag, FlagRule, Matcher, MatcherKind
from gateway.domain.decide import decide
from gateway.domain.errors import InvalidValue
from gateway.domain.evidence import PersonRecord
from gateway.domain.identity import identity_rules
from gateway.domain.inventory import App, DeviceKey, InventoryReport, Platform, ReportedApp, ReportKind, Scope
from gateway.domain.policy import (
    Exemption,
    Policy,
    PolicyVersion,
    Setting,
    Unknowns,
    UnknownSetting,
    first_policy,
    policy_of,
)
from gateway.domain.verdict import Verdict
from gateway.inventory.bindings import Bindings
from gateway.inventory.consequences import Evidence
from gateway.inventory.credentials import Credentials, Wanted
from gateway.inventory.ingest import Ingest
from gateway.inventory.mail_devices import MailDevices, Sighting
from gateway.inventory.people import People, PersonRow
from gateway.inventory.records import load_record
from gateway.ports.past import EvidenceReading
from gateway.ports.store import Change, Conflict, PinnedBinding, Source, Store

RULES = identity_rules("corp.example", {})
ANN, SMITH, BOB = "ann@corp.example", "a.smith@corp.example", "bob@corp.example"
LOGINS = (ANN, SMITH, BOB, "cy@corp.example")
PHONES = ("phone1", "phone2")
APPS = tuple(App(Platform.ANDROID, f"com.example.app{number}") for number in range(4))
BANNED = tuple(App(Platform.ANDROID, f"com.banned.app{number}") for number in range(3))
DEVICES = (("mdm", "m1"), ("mdm", "m2"), ("jamf", "j1"))
BEGIN = 1_000_000_000.0


@dataclass(slots=True)
class Seen:
    """One moment, as it was when it was now."""

    at: float
    policy: int
    records: dict[str, PersonRecord]
    verdicts: list[Verdict]


@dataclass
class History:
    """Acts upon a store at moments of its own clock."""

    seed: int
    at: float = BEGIN
    seen: list[Seen] = field(default_factory=list)
    acts: list[str] = field(default_factory=list)

    def now(self) -> float:
        """The store's clock, and everybody's."""
        return self.at

    async def begin(self, store: Store) -> None:
        """Two sources and a policy."""
        self.rng = random.Random(self.seed)
        self.store = store
        self.policy: Policy = policy_of(first_policy(self.at))
        self.sequences: dict[tuple[str, str], int] = {}
        self.credentials: list[str] = []
        evidence = Evidence(store, RULES, _nobody_listens, lambda: self.policy)
        self.ingest = Ingest(evidence, self.now)
        self.bindings, self.people = Bindings(evidence), People(evidence)
        self.devices, self.issued = MailDevices(evidence), Credentials(evidence)
        await store.write(lambda writing: writing.put_policy(self.policy.version))
        for name in ("mdm", "jamf"):
            await self._source(Source(name, "push", "*", Scope.DEVICE, 86_400.0))

    async def go(self, acts: int) -> None:
        """So many acts, each seen afterwards."""
        kinds = (self.report, self.report, self.report, self.report, self.pin, self.import_people, self.sight)
        others = (self.edit, self.source, self.check_out, self.forget, self.credential)
        for _ in range(acts):
            self.at += self.rng.choice((1.0, 60.0, 900.0, 40_000.0))
            act = self.rng.choice((*kinds, *kinds, *others))
            self.acts.append(act.__name__)
            try:
                await act()
            except (InvalidValue, Conflict):
                continue
            await self._see()

    async def _see(self) -> None:
        async with self.store.read() as reading:
            records = await records_of(reading)
        self.seen.append(Seen(self.at, self.policy.version.number, records, verdicts(records, self.policy, self.at)))

    # --- acts

    async def report(self) -> None:
        rng, key = self.rng, self.rng.choice(DEVICES)
        last = self.sequences.get(key, 0)
        self.sequences[key] = last + 1
        ids = [DeviceKey("serial", f"S-{key[1]}")]
        ids += [DeviceKey("user", login) for login in rng.sample(("Ann", BOB, "a.smith"), rng.choice((0, 1, 1, 1, 2)))]
        ids += [DeviceKey("eas_device_id", phone) for phone in rng.sample(PHONES, rng.choice((0, 1, 1)))]
        some = rng.sample(APPS, rng.randint(1, 4)) + rng.sample(BANNED, rng.choice((0, 0, 1, 2)))
        rng.shuffle(some)
        kind = rng.choice((ReportKind.FULL, ReportKind.FULL, ReportKind.DELTA))
        scope = rng.choice((Scope.DEVICE, Scope.DEVICE, Scope.WORK_PROFILE))
        report = InventoryReport(
            source_id=key[0],
            source_device=key[1],
            kind=kind,
            scope=scope,
            generated_at=self.at - rng.choice((0.0, 0.5, 700.0)),
            received_at=self.at,
            apps=tuple(map(ReportedApp, some)) if rng.random() > 0.05 else (),
            sequence=last + 1,
            base_sequence=last if kind is ReportKind.DELTA else None,
            device_keys=tuple(ids),
            compromised=rng.choice((None, None, None, True)),
            platform=Platform.ANDROID,
        )
        async with self.store.read() as reading:
            source = await reading.source(key[0])
        assert source is not None
        name = f"message-{len(self.acts)}"
        await self.ingest.receive(source, name, sha256(name.encode()).hexdigest(), report)

    async def pin(self) -> None:
        key, login, phone = self.rng.choice(DEVICES), self.rng.choice((ANN, BOB)), self.rng.choice(PHONES)
        pin = PinnedBinding(login, phone, *key, self.rng.random() < 0.7, "root", self.at)
        say = self.bindings.remove if self.rng.random() < 0.4 else self.bindings.put
        await self.store.write(lambda writing: say(writing, pin))

    async def import_people(self) -> None:
        groups = tuple(self.rng.sample(("sales", "board"), self.rng.randint(0, 2)))
        aliases = self.rng.choice((None, (), (SMITH,)))
        await self.people.take([PersonRow(self.rng.choice((ANN, BOB)), groups, aliases)])

    async def sight(self) -> None:
        login, phone = self.rng.choice((ANN, SMITH, BOB)), self.rng.choice((*PHONES, "phone3"))
        await self.devices.take([Sighting(login, phone, self.at, device_type=self.rng.choice(("iPhone", "Outlook")))])

    async def edit(self) -> None:
        rng = self.rng
        rules = (FlagRule(Flag.ENFORCE, None, "sales"),) if rng.random() < 0.3 else ()
        bans = tuple(
            Ban(app.id, (Matcher(MatcherKind.ID, app.id, Platform.ANDROID),), flag=rng.choice(tuple(Flag)), rules=rules)
            for app in rng.sample(BANNED, rng.randint(1, 3))
        )
        unknowns = replace(
            Unknowns(),
            **{name: UnknownSetting(rng.choice(tuple(Setting))) for name in ("stale", "missing", "unmatched")},
        )
        exemptions: tuple[Exemption, ...] = ()
        if rng.random() < 0.3:
            exemptions = (Exemption("x1", "root", "a reason", self.at, self.at + 5_000.0, ANN, "", ""),)
        version = replace(
            self.policy.version,
            number=self.policy.version.number + 1,
            created_at=self.at,
            bans=bans,
            unknowns=unknowns,
            exemptions=exemptions,
        )
        await self.store.write(lambda writing: writing.put_policy(version))
        self.policy = policy_of(version)

    async def source(self) -> None:
        async with self.store.read() as reading:
            source = await reading.source(self.rng.choice(("mdm", "jamf")))
        assert source is not None
        removed = self.rng.random() < 0.2
        changed = replace(
            source,
            max_age=self.rng.choice((600.0, 86_400.0)),
            devices="" if removed else "*",
            removed_at=self.at if removed else None,
        )
        await self._source(changed)

    async def _source(self, source: Source) -> None:
        await self.store.write(lambda writing: writing.put_source(source))

    async def check_out(self) -> None:
        await self.ingest.check_out(*self.rng.choice(DEVICES))

    async def forget(self) -> None:
        person, phone = self.rng.choice((ANN, BOB)), self.rng.choice((*PHONES, ""))
        await self.store.write(lambda writing: self.ingest.forget_within(writing, person, phone, "root"))

    async def credential(self) -> None:
        if self.credentials and self.rng.random() < 0.5:
            await self.issued.revoke(self.rng.choice(self.credentials), self.at)
            return
        wanted = Wanted(self.rng.choice((ANN, BOB)), self.rng.choice(PHONES))
        self.credentials.append((await self.issued.issue(wanted, "root", self.at)).credential.id)


async def records_of(reading: EvidenceReading) -> dict[str, PersonRecord]:
    """Everybody's record, without the sequence that it was read at."""
    return {login: replace(await load_record(reading, login, RULES), sequence=0) for login in LOGINS}


def verdicts(records: dict[str, PersonRecord], policy: Policy, now: float) -> list[Verdict]:
    """What is decided of everybody, by two ways in."""
    return [
        decide(AccessRequest(login, phone, protocol, _strength(phone)), record, policy, now)
        for login, record in records.items()
        for phone in (*PHONES, "")
        for protocol in (Protocol.ACTIVESYNC, Protocol.IMAP)
    ]


def _strength(phone: str) -> IdentityStrength:
    return IdentityStrength.DEVICE_ID if phone else IdentityStrength.USER_WIDE


def version_numbers(seen: Sequence[Seen]) -> set[int]:
    """The policy versions that were in force."""
    return {each.policy for each in seen}


def same_policy(version: PolicyVersion | None) -> Policy:
    """The policy of a version that must be there."""
    assert version is not None
    return policy_of(version)


async def _nobody_listens(changes: Sequence[Change]) -> None:
    """There are no workers."""
