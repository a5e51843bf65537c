"""A source that lists one banned app on every phone is noticed; where that is held, its reports wait.

Nobody known to have the app is let in by that.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest

from gateway.domain.bans import Flag
from gateway.domain.brake import NO_BRAKE, WINDOW_SECONDS, Brake, Hold, Limits, Release, Trouble
from gateway.domain.evidence import BindingState
from gateway.domain.policy import Policy, Setting, UnknownSetting, policy_of
from gateway.inventory.consequences import Evidence
from gateway.inventory.report_brake import ReportBrake, ReportBrakeSettings
from gateway.ports.store import MailDevice
from gateway.storage.memory import MemoryStore
from tests.inventory.events import GMAIL, NOW, TIKTOK, delta, full, ids
from tests.inventory.receiving import BANNED, RULES, Receiving, source

(BAN,) = BANNED.version.bans
ENFORCED = policy_of(replace(BANNED.version, bans=(replace(BAN, flag=Flag.ENFORCE),)))
APPS = [f"com.example.app{number}" for number in range(20)]


def denying(policy: Policy, *causes: str) -> Policy:
    unknowns = replace(policy.version.unknowns, **dict.fromkeys(causes, UnknownSetting(Setting.DENY)))
    return policy_of(replace(policy.version, unknowns=unknowns))


@dataclass(slots=True)
class Braked(Receiving):
    """A receiver with a brake at 3 devices and 1 % of a hundred."""

    brake: Brake = NO_BRAKE
    begun: list[Hold] = field(default_factory=list)
    devices: int | None = 100

    def __post_init__(self) -> None:
        Receiving.__post_init__(self)
        self.policy = ENFORCED
        self.use(hold_hits=False)

    def use(self, *, hold_hits: bool) -> None:
        """Begin with these settings."""
        settings = ReportBrakeSettings(Limits(1.0, 3), hold_hits)
        brake = ReportBrake(lambda: self.brake, lambda: self.devices, self._begin, lambda: self.now, settings)
        evidence = Evidence(self.store, RULES, self.publish, lambda: self.policy)
        self.ingest._brake, self.ingest._evidence = brake, evidence

    async def _begin(self, hold: Hold) -> None:
        self.begun.append(hold)
        self.brake = self.brake.with_holds([hold])

    async def phone(self, number: int, *apps: str, sequence: int = 1, scope: str = "device") -> int:
        """A report of one of many phones; the answer's status."""
        device = ids(f"user{number}@example.com", f"id{number}")
        event = full(sequence, apps or (GMAIL,), subject=f"android/{number}", device=device, scope=scope)
        return (await self.post(event)).status_code


@pytest.fixture
async def receiver() -> AsyncIterator[Braked]:
    receiving = Braked(MemoryStore())
    await receiving.write(source())
    yield receiving
    await receiving.client.aclose()


async def test_many_new_hits_of_one_ban_are_told_once_and_go_on(receiver: Braked) -> None:
    assert [await receiver.phone(number, TIKTOK) for number in range(6)] == [202] * 6
    assert receiver.begun == [Hold("agents", Trouble.HITS, NOW, 3, "TikTok", holding=False)]
    assert await receiver.apps("android/5") == [TIKTOK]


async def test_the_same_phone_again_is_no_other_one(receiver: Braked) -> None:
    for sequence in range(1, 9, 2):
        await receiver.phone(1, TIKTOK, sequence=sequence)
        await receiver.phone(1, GMAIL, sequence=sequence + 1)
    assert receiver.begun == []


async def test_hits_that_were_there_before_are_not_new(receiver: Braked) -> None:
    for number in range(2):
        await receiver.phone(number, TIKTOK)
    receiver.now += WINDOW_SECONDS + 1
    for number in range(2):
        await receiver.phone(number, TIKTOK, GMAIL, sequence=2)
    await receiver.phone(3, TIKTOK)
    assert receiver.begun == []


async def test_a_restart_does_not_forget_the_hits_before_it(receiver: Braked) -> None:
    for number in range(2):
        await receiver.phone(number, GMAIL, TIKTOK)
    receiver.use(hold_hits=False)
    # Of the first ones a phone that is named again, too: it is no other one.
    async with receiver.store.read() as reading:
        brake = receiver.ingest._brake
        assert isinstance(brake, ReportBrake)
        brake.recalled(await reading.apps_added(NOW - WINDOW_SECONDS, 100), [BANNED, receiver.policy])
    await receiver.phone(1, TIKTOK, sequence=2)
    assert receiver.begun == []
    await receiver.phone(2, TIKTOK)
    assert [(each.trouble, each.devices) for each in receiver.begun] == [(Trouble.HITS, 3)]


async def test_what_refuses_nobody_is_not_recalled(receiver: Braked) -> None:
    for number in range(5):
        await receiver.phone(number, TIKTOK)
    receiver.begun.clear()
    receiver.brake = NO_BRAKE
    receiver.use(hold_hits=False)
    async with receiver.store.read() as reading:
        added = await reading.apps_added(NOW - WINDOW_SECONDS, 100)
    brake = receiver.ingest._brake
    assert isinstance(brake, ReportBrake)
    assert len(added) == 5
    # It is enforced since a moment ago, behind all of these reports.
    later = policy_of(replace(ENFORCED.version, created_at=added[0].at + 1))
    brake.recalled(added, [BANNED, later])
    await receiver.phone(6, TIKTOK)
    assert receiver.begun == []


async def test_few_within_ten_minutes_are_no_matter(receiver: Braked) -> None:
    for number in range(6):
        await receiver.phone(number, TIKTOK)
        receiver.now += WINDOW_SECONDS / 2 + 1
    assert receiver.begun == []


async def test_what_nothing_is_heard_of_any_more_is_let_go(receiver: Braked) -> None:
    """Also where no further report brings the same."""
    for number in range(3):
        await receiver.phone(number, TIKTOK)
    brake = receiver.ingest._brake
    assert brake is not None
    assert [len(devices) for devices in brake._counted.values()] == [3]
    receiver.now += WINDOW_SECONDS + 1
    await receiver.phone(9)
    assert brake._counted == {}


@pytest.mark.parametrize("devices", [None, 300])
async def test_a_larger_fleet_or_one_that_is_not_known_yet(receiver: Braked, devices: int | None) -> None:
    receiver.devices = devices
    for number in range(3):
        await receiver.phone(number, TIKTOK)
    assert receiver.begun == []
    receiver.devices = 299
    await receiver.phone(3, TIKTOK)
    assert [each.devices for each in receiver.begun] == [4]


async def test_bans_that_refuse_nobody_are_not_counted(receiver: Braked) -> None:
    receiver.policy = BANNED
    for number in range(6):
        await receiver.phone(number, TIKTOK)
    receiver.policy = policy_of(replace(ENFORCED.version, enforcement_on=False))
    for number in range(6, 12):
        await receiver.phone(number, TIKTOK)
    assert receiver.begun == []


async def test_held_further_ones_wait_with_what_was_known(receiver: Braked) -> None:
    receiver.use(hold_hits=True)
    await receiver.phone(50, GMAIL)
    assert [await receiver.phone(number, TIKTOK) for number in range(5)] == [202, 202, 202, 503, 503]
    assert [each.holding for each in receiver.begun] == [True]
    answer = await receiver.post(full(2, (TIKTOK,), subject="android/50", device=ids("user50@example.com", "id50")))
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "600"
    assert "gatepost brake release" in answer.json()["detail"]
    assert await receiver.apps("android/50") == [GMAIL]
    # Who has it already, and who has something else, is judged as ever.
    assert await receiver.phone(1, TIKTOK, GMAIL, sequence=2) == 202
    assert await receiver.phone(60, GMAIL) == 202


async def test_let_go_they_are_taken_when_they_come_again(receiver: Braked) -> None:
    receiver.use(hold_hits=True)
    for number in range(4):
        await receiver.phone(number, TIKTOK)
    receiver.brake = receiver.brake.released(Release("agents", Trouble.HITS, "ann", NOW + 60, "TikTok"), NOW)
    assert [await receiver.phone(number, TIKTOK) for number in range(3, 8)] == [202] * 5
    assert len(receiver.begun) == 1


async def test_a_hit_that_is_not_held_is_taken_with_the_report(receiver: Braked) -> None:
    other = replace(BAN, name="WeChat", matchers=(replace(BAN.matchers[0], value="com.tencent.mm"),), flag=Flag.ENFORCE)
    receiver.policy = policy_of(replace(ENFORCED.version, bans=(*ENFORCED.version.bans, other)))
    receiver.use(hold_hits=True)
    receiver.brake = Brake(holds=(Hold("agents", Trouble.HITS, NOW, 3, "TikTok"),))
    assert await receiver.phone(1, TIKTOK) == 503
    assert await receiver.phone(1, TIKTOK, "com.tencent.mm") == 202


async def test_a_delta_waits_as_well_and_fits_afterwards(receiver: Braked) -> None:
    receiver.use(hold_hits=True)
    device = ids("user1@example.com", "id1")
    await receiver.post(full(1, (GMAIL,), subject="android/1", device=device))
    receiver.brake = Brake(holds=(Hold("agents", Trouble.HITS, NOW, 3, "TikTok"),))
    event = delta(2, 1, added=[TIKTOK], subject="android/1", device=device)
    assert (await receiver.post(event, message_id="msg_1")).status_code == 503
    receiver.brake = Brake()
    assert (await receiver.post(event, message_id="msg_1")).status_code == 202
    assert await receiver.apps("android/1") == [GMAIL, TIKTOK]


async def test_reports_that_take_away_what_proved_devices_clean_wait(receiver: Braked) -> None:
    receiver.policy = denying(ENFORCED, "missing")
    for number in range(6):
        await receiver.phone(number, *APPS)
    short = [await receiver.phone(number, APPS[0], sequence=2) for number in range(6)]
    assert short == [202, 202, 202, 503, 503, 503]
    assert receiver.begun == [Hold("agents", Trouble.GAPS, NOW, 3)]
    inventory = await receiver.inventory("android/5")
    assert inventory is not None
    assert not inventory.suspicious
    # A believable list of the same source is taken.
    assert await receiver.phone(5, *APPS, GMAIL, sequence=3) == 202


async def test_devices_that_several_claim_now(receiver: Braked) -> None:
    receiver.policy = denying(ENFORCED, "conflict")
    for number in range(6):
        await receiver.phone(number, GMAIL)
    answers = []
    for number in range(6):
        device = ids(f"user{number}@example.com", f"id{number}")
        answers.append((await receiver.post(full(1, subject=f"android/other{number}", device=device))).status_code)
    assert answers == [202, 202, 202, 503, 503, 503]
    assert receiver.begun == [Hold("agents", Trouble.GAPS, NOW, 3)]
    record = await receiver.record("user5@example.com")
    assert record.devices["id5"].binding is BindingState.BOUND


async def test_devices_that_nobody_knows_any_more(receiver: Braked) -> None:
    """As after an update by which users are called otherwise."""
    receiver.policy = denying(ENFORCED, "unmatched")
    for number in range(6):
        await receiver.write(MailDevice(f"user{number}@example.com", f"id{number}", NOW, NOW))
        await receiver.phone(number, GMAIL)
    answers = []
    for number in range(6):
        device = ids(f"renamed{number}@example.com", f"id{number}")
        answers.append((await receiver.post(full(2, subject=f"android/{number}", device=device))).status_code)
    assert answers == [202, 202, 202, 503, 503, 503]
    assert [each.trouble for each in receiver.begun] == [Trouble.GAPS]


async def test_a_phone_that_is_new_or_was_refused_is_not_counted(receiver: Braked) -> None:
    receiver.policy = denying(ENFORCED, "missing", "scope")
    for number in range(6):
        assert await receiver.phone(number, GMAIL, scope="managed_only") == 202
        assert await receiver.phone(number, GMAIL, TIKTOK, sequence=2, scope="managed_only") == 202
    assert [each.trouble for each in receiver.begun] == [Trouble.HITS]


async def test_where_gaps_refuse_nobody_they_are_not_counted(receiver: Braked) -> None:
    for number in range(6):
        await receiver.phone(number, *APPS)
        assert await receiver.phone(number, APPS[0], sequence=2) == 202
    assert receiver.begun == []
