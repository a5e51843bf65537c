"""A change, people and the parts that bring notices, in one place for tests."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from gateway.domain.batches import Batches
from gateway.domain.change import PolicyChange, State
from gateway.domain.notice import Finding, NoticeKind
from gateway.domain.policy import first_policy
from gateway.notices.compose import Composer, ComposeSettings
from gateway.notices.outbox import Outbox, OutboxSettings
from gateway.notices.planning import Planned, Wanted, plan
from gateway.notices.smtp import SmtpDelivery, SmtpSettings
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
    settings = SmtpSettings("127.0.0.1", port, "none", connect_seconds=5.0, command_seconds=5.0, answer_seconds=5.0)
    return SmtpDelivery(replace(settings, **changes))  # type: ignore[arg-type]


async def fill(store: Store, people: Sequence[Person], state: State = State.APPLIED) -> None:
    """A policy, change 1, and people."""

    async def work(writing: Writing) -> None:
        if await writing.policy() is None:
            await writing.put_policy(first_policy(NOON))
        await writing.put_policy_change(PolicyChange(1, "ann", "t1", NOON, "TikTok", 1, state=state), NOON)
        for person in people:
            await writing.put_person(person)

    await store.write(work)


async def findings_of(reading: Reading, person_id: str) -> Sequence[Finding]:
    return [Finding("TikTok", "Pixel 9", NOON - 3_600)]


async def each_of(people: Sequence[Person]) -> AsyncIterator[str]:
    for person in people:
        yield person.person_id


async def planned(
    store: Store, people: Sequence[Person], kind: NoticeKind = NoticeKind.CUT, now: float = NOON, hold: float = 0.0
) -> Planned:
    wanted = Wanted(kind, "ann", hold, apps=("TikTok",), text="The security office asks for it.")
    return await plan(store, composer(), 1, wanted, each_of(people), findings_of, now)


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
