"""The count of devices that pass unjudged: right, in pages, within its budget."""

from dataclasses import replace

from gateway.admin.unjudged import PAGE, FleetCount, FleetCounter, count_fleet, enforced_bans
from gateway.changes import edits
from gateway.domain.bans import Ban, Flag, FlagRule, MatcherKind
from gateway.domain.evidence import BindingState, DeviceEvidence, PersonRecord, SourceEvidence
from gateway.domain.inventory import App, Naming, Platform, Scope
from gateway.domain.matching import matcher_from_text
from gateway.domain.policy import Exemption, PolicyVersion, Setting, first_policy, policy_of
from gateway.ports.store import MailDevice, Reading, Writing
from gateway.storage.memory import MemoryStore

NOW = 1_000_000.0
BAD = App(Platform.ANDROID, "com.bad.app", "Bad")
BAN = Ban("Bad", (matcher_from_text(MatcherKind.ID, "android:com.bad.app"),), flag=Flag.ENFORCE)


def policy(*bans: Ban) -> PolicyVersion:
    return replace(first_policy(0.0), bans=bans)


def device(device_id: str, *apps: App, age: float = 10.0, bound: bool = True) -> DeviceEvidence:
    at = NOW - age
    source = SourceEvidence("mdm", device_id, Scope.DEVICE, Naming.IDENTIFIER, at, 86_400.0, apps, full_at=at)
    if not bound:
        return DeviceEvidence(device_id, BindingState.UNMATCHED)
    return DeviceEvidence(device_id, BindingState.BOUND, (source,), platform=Platform.ANDROID)


def person(login: str, *devices: DeviceEvidence) -> PersonRecord:
    return PersonRecord(login, True, (login,), devices={each.device_id: each for each in devices})


class Fleet:
    """People with devices in a store."""

    def __init__(self, *people: PersonRecord) -> None:
        self.store = MemoryStore()
        self.people = {each.person_id: each for each in people}
        self.loads = 0

    async def fill(self) -> "Fleet":
        async def work(writing: Writing) -> None:
            for each in self.people.values():
                for device_id in each.devices:
                    await writing.put_mail_device(MailDevice(each.person_id, device_id, 1.0, 2.0))

        await self.store.write(work)
        return self

    async def load(self, reading: Reading, login: str) -> PersonRecord:
        self.loads += 1
        return self.people[login]


async def test_each_device_is_counted_once_by_its_answer() -> None:
    fleet = await Fleet(
        person("a", device("a1"), device("a2", BAD)),
        person("b", device("b1", bound=False), device("b2", age=90_000)),
        person("c", device("c1", BAD)),
    ).fill()
    exemption = Exemption("e", "root", "why", NOW - 1, NOW + 1, login="c")
    version = replace(policy(BAN), exemptions=(exemption,))
    count = await count_fleet(fleet.store, fleet.load, policy_of(version), NOW)
    assert count == FleetCount(
        devices=5, clean=1, refused=1, exempt=1, unjudged=2, unjudged_by_cause={"unmatched": 1, "stale": 1}
    )


async def test_denied_unknowns_do_not_pass_and_reported_bans_are_dirty() -> None:
    fleet = await Fleet(person("a", device("a1", bound=False), device("a2", BAD))).fill()
    version = edits.set_unknown(policy(replace(BAN, flag=Flag.REPORT_ONLY)), "unmatched", Setting.DENY)
    count = await count_fleet(fleet.store, fleet.load, policy_of(version), NOW)
    assert (count.refused, count.dirty, count.unjudged) == (1, 1, 0)


async def test_a_person_whose_devices_span_two_pages_is_counted_whole() -> None:
    devices = [device(f"d{number:04}") for number in range(PAGE + 7)]
    fleet = await Fleet(person("a", *devices)).fill()
    count = await count_fleet(fleet.store, fleet.load, policy_of(policy()), NOW)
    assert (count.devices, count.clean, count.complete) == (PAGE + 7, PAGE + 7, True)


async def test_a_full_last_page_is_not_taken_for_the_end() -> None:
    fleet = await Fleet(*(person(f"p{number:04}", device("d")) for number in range(PAGE))).fill()
    count = await count_fleet(fleet.store, fleet.load, policy_of(policy()), NOW)
    assert (count.devices, count.complete) == (PAGE, True)


async def test_the_budget_ends_the_walk_and_says_so() -> None:
    fleet = await Fleet(*(person(f"p{number:04}", device("d")) for number in range(PAGE + 1))).fill()
    by_devices = await count_fleet(fleet.store, fleet.load, policy_of(policy()), NOW, devices_at_most=PAGE)
    assert (by_devices.devices, by_devices.complete) == (PAGE, False)
    by_time = await count_fleet(fleet.store, fleet.load, policy_of(policy()), NOW, within_seconds=0.0)
    assert by_time.complete is False
    assert by_time.devices < PAGE


async def test_an_empty_fleet_is_complete() -> None:
    assert await count_fleet(MemoryStore(), Fleet().load, policy_of(policy()), NOW) == FleetCount()


async def test_the_count_is_remembered_for_some_seconds_and_one_version() -> None:
    fleet = await Fleet(person("a", device("a1"))).fill()
    clock = [0.0]
    counter = FleetCounter(fleet.store, fleet.load, lambda: clock[0])
    await counter.count(policy(), NOW)
    await counter.count(policy(), NOW)
    assert fleet.loads == 1
    await counter.count(replace(policy(), number=2), NOW)
    assert fleet.loads == 2
    clock[0] = 6.0
    await counter.count(replace(policy(), number=2), NOW)
    assert fleet.loads == 3


def test_which_bans_are_enforced_for_anybody() -> None:
    partly = replace(BAN, name="partly", flag=Flag.OFF, rules=(FlagRule(Flag.ENFORCE, percent=1),))
    version = policy(BAN, partly, replace(BAN, name="off", flag=Flag.OFF))
    assert enforced_bans(version) == ("Bad", "partly")
    assert enforced_bans(replace(version, enforcement_on=False)) == ()
