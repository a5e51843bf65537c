"""A desk and an applier over one store in memory, and people who make, approve and take back changes there."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from gateway.changes import edits
from gateway.changes.apply import ensure_first_policy
from gateway.changes.applying import Applied, Applier, NotApplied, Rules
from gateway.changes.desk import Actor, ChangeDesk, Wanted
from gateway.domain.bans import Flag
from gateway.domain.change import Approval, GuardedAction, PolicyChange
from gateway.domain.evidence import PersonRecord
from gateway.domain.policy import PolicyVersion
from gateway.domain.stages import EVERYBODY, Stage
from gateway.ports.store import Change, Conflict, Writing
from gateway.storage.memory import MemoryStore
from tests.changes.by_hand import ByHand
from tests.support.control import Workers
from tests.support.evidence_strategies import MAIL, NOW, TIKTOK, TIKTOK_BAN, bound, of_person, seen

T = TypeVar("T")

ANN, BOB, EVE = Actor("ann", "t1"), Actor("bob", "t2"), Actor("eve", "t3", may_approve=False)
REPORTED = replace(TIKTOK_BAN, flag=Flag.REPORT_ONLY)


def phone(number: int, *, banned: bool, groups: frozenset[str] = frozenset()) -> PersonRecord:
    record = of_person(bound(seen(TIKTOK if banned else MAIL)), groups=groups)
    return replace(record, person_id=f"p{number}@corp.example")


def fleet(dirty: int, clean: int = 1000) -> list[PersonRecord]:
    return [phone(number, banned=number < dirty) for number in range(dirty + clean)]


class Dying(MemoryStore):
    """A store whose process dies at the n-th unit of work, before or after its commit."""

    def __init__(self) -> None:
        super().__init__()
        self.die_at = 0
        self.after_commit = False
        self.quicker = 0
        """So often somebody else commits first."""

    async def write(self, work: Callable[[Writing], Awaitable[T]]) -> tuple[T, tuple[Change, ...]]:
        if self.quicker:
            self.quicker -= 1
            raise Conflict("policy version 4 is there already")
        self.die_at -= 1
        if self.die_at == 0 and not self.after_commit:
            raise KeyboardInterrupt
        done = await super().write(work)
        if self.die_at == 0:
            raise KeyboardInterrupt
        return done


@dataclass
class Office:
    """A desk and an applier over one store."""

    records: list[PersonRecord] = field(default_factory=list)
    rules: Rules = field(default_factory=Rules)
    now: float = NOW
    store: Dying = field(default_factory=Dying)
    sent: list[Change] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    performed: list[GuardedAction] = field(default_factory=list)
    revoked: set[str] = field(default_factory=set)
    """Tokens."""
    taken: str = ""
    """Why the action cannot be done any more."""

    def __post_init__(self) -> None:
        self.previews = ByHand(self.records, NOW)
        self.workers = Workers(("w1", "w2"))
        self.desk = ChangeDesk(
            self.store, self.previews, lambda: self.now, operators=self.operators, rejected=self.cancelled
        )
        self.applier = Applier(
            self.store,
            self.previews,
            self.publish,
            self.workers,
            lambda: self.now,
            rules=lambda: self.rules,
            perform=self.perform,
            withdrawn=self.cancelled,
            stands=self.stands,
        )

    async def publish(self, changes: Sequence[Change]) -> None:
        self.sent += changes

    async def stands(self, reading: object, approval: Approval) -> bool:
        return approval.token_id not in self.revoked

    async def cancelled(self, writing: Writing, change: PolicyChange, words: str) -> None:
        self.told.append(f"notices of change {change.number} cancelled")

    async def perform(self, writing: Writing, action: GuardedAction, change: PolicyChange) -> None:
        if self.taken:
            raise Conflict(self.taken)
        self.performed.append(action)

    async def operators(self, reading: object) -> int:
        return 2

    async def begin(self, *bans: object) -> None:
        await ensure_first_policy(self.store, self.publish, NOW)
        for ban in bans:
            await self.turn(lambda version, ban=ban: edits.add_ban(version, ban))  # type: ignore[misc]

    async def turn(self, edit: Callable[[PolicyVersion], PolicyVersion], actor: Actor = ANN) -> Applied | NotApplied:
        number = await self.proposed(edit, actor)
        return await self.applier.apply(number, actor.name)

    async def proposed(self, edit: Callable[[PolicyVersion], PolicyVersion], actor: Actor = ANN, *stages: Stage) -> int:
        change = await self.desk.propose(actor, edit, Wanted(stages=stages or (EVERYBODY,)))
        assert change is not None
        await self.desk.preview(change.number, actor.name)
        return change.number

    async def change(self, number: int) -> PolicyChange:
        async with self.store.read() as reading:
            found = await reading.policy_change(number)
        assert found is not None
        return found

    async def policy(self) -> PolicyVersion:
        async with self.store.read() as reading:
            found = await reading.policy()
        assert found is not None
        return found

    async def approve(self, number: int, actor: Actor = BOB) -> PolicyChange:
        change = await self.change(number)
        assert change.preview is not None
        return await self.desk.approve(number, actor, change.preview.digest)


def enforce(version: PolicyVersion) -> PolicyVersion:
    return edits.set_flag(version, "TikTok", Flag.ENFORCE)


def off(version: PolicyVersion) -> PolicyVersion:
    return edits.set_flag(version, "TikTok", Flag.OFF)


async def office(dirty: int = 100, *, clean: int = 1000, rules: Rules | None = None) -> Office:
    """With the ban in place, reported only."""
    made = Office(fleet(dirty, clean), rules or Rules())
    await made.begin(REPORTED)
    return made
