"""A change, people and the parts that bring notices, in one place for tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from gateway.domain.batches import Batches
from gateway.domain.change import PolicyChange, State
from gateway.domain.notice import Finding, Mailing, NoticeKind
from gateway.domain.policy import first_policy
from gateway.notices.compose import Composer, ComposeSettings
from gateway.notices.outbox import Outbox
from gateway.notices.outbox_settings import OutboxSettings
from gateway.notices.planning import Wanted, begin, planned_people
from gateway.notices.recipients import Recipients, Wave
from gateway.notices.smtp import SmtpDelivery
from gateway.notices.smtp_settings import SmtpSettings
from gateway.ports.notices import NoticeDelivery
from gateway.ports.store import Person, Reading, Store, Writing

KEY = b"k" * 32
NOON = 1_790_000_000.0 - 1_790_000_000.0 % 86_400 + 43_200
"""12:00 UTC."""
SETTINGS = ComposeSettings(
    sender="notices@corp.example",
    sender_name="IT Mail Access",
    reply_to="helpdesk@corp.example",
    ask="call the service desk, 2222",
    elsewhere="webmail on your computer",
    link="https://mail-access.corp.example",
)
QUICK = OutboxSettings(
    batches=Batches(first=3, factor=4, every_seconds=0.0),
    per_second=10_000.0,
    at_once=4,
    every_seconds=0.01,
)


class Clock:
    """Moves when told to."""

    def __init__(self, at: float = NOON) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


def composer(**changes: object) -> Composer:
    return Composer(replace(SETTINGS, **changes), KEY)  # type: ignore[arg-type]


def smtp(port: int, **changes: object) -> SmtpDelivery:
    settings = SmtpSettings("127.0.0.1", port, "none", connect_seconds=5.0, handover_seconds=5.0, answer_seconds=5.0)
    return SmtpDelivery(replace(settings, **changes))  # type: ignore[arg-type]


async def fill(store: Store, people: Sequence[Person], state: State = State.APPLIED) -> None:
    """A policy, change 1, and people."""

    async def work(writing: Writing) -> None:
        if await writing.policy() is None:
            await writing.put_policy(first_policy(NOON))
        await writing.put_policy_change(PolicyChange(1, "ann", "t1", NOON, "TikTok", 1, state=state), NOON)

    await store.write(work)
    for first in range(0, len(people), 100):
        # A unit of work has its time, and the machine may be slow.
        await store.write(partial(_put_people, people[first : first + 100]))


async def _put_people(people: Sequence[Person], writing: Writing) -> None:
    for person in people:
        await writing.put_person(person)


async def findings_of(reading: Reading, people: Sequence[str]) -> Mapping[str, Sequence[Finding]]:
    return {person: [Finding("TikTok", "Pixel 9", NOON - 3_600)] for person in people}


@dataclass
class Crowd:
    """Whom every wave is for."""

    people: Sequence[str]
    by_preview: str = ""

    async def wave(self, change: int, wave: int) -> Wave:
        return Wave(sorted(self.people), findings_of, self.by_preview)


def ids(people: Sequence[Person]) -> list[str]:
    return [person.person_id for person in people]


def wanted(kind: NoticeKind = NoticeKind.CUT, hold: float = 0.0) -> Wanted:
    return Wanted(kind, "ann", hold, apps=("TikTok",), text="The security office asks for it.")


async def ordered(store: Store, wanted: Wanted, now: float = NOON) -> Mailing:
    async def work(writing: Writing) -> Mailing:
        change = await writing.policy_change(1)
        assert change is not None
        return await begin(writing, change, wanted, now)

    begun, _ = await store.write(work)
    return begun


@dataclass(frozen=True)
class Planned:
    mailing: Mailing
    people: int
    without_address: int
    not_found: int


async def planned(
    store: Store,
    people: Sequence[Person],
    kind: NoticeKind = NoticeKind.CUT,
    now: float = NOON,
    hold: float = 0.0,
    **more: Any,
) -> Planned:
    """Ordered, and everybody written down."""
    await ordered(store, replace(wanted(kind, hold), **more), now)
    await Recipients(store, composer(), Crowd(ids(people)), lambda: now).look()
    async with store.read() as reading:
        mailing = await reading.mailing(1, kind)
        assert mailing is not None
        number = await planned_people(reading, mailing)
    return Planned(mailing, number, mailing.plan.without_address, mailing.plan.not_found)


def people(number: int) -> list[Person]:
    return [Person(f"user{each:04}@corp.example", language="de" if each % 3 == 0 else "") for each in range(number)]


def outbox(store: Store, delivery: NoticeDelivery, clock: Clock, settings: OutboxSettings = QUICK) -> Outbox:
    return Outbox(store, delivery, composer(), clock, settings)


async def until_idle(box: Outbox, clock: Clock | None = None, steps: int = 200) -> None:
    """Step until there is nothing to do; with a clock, later attempts are waited for by moving it."""
    quiet = 0
    for _ in range(steps):
        quiet = 0 if await box.step() else quiet + 1
        if quiet >= 3:
            return
