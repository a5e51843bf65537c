"""A person is erased between the reading of a page and its writing: no notice brings the name back."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import cast

from gateway.domain.notice import Finding, MailingState, NoticeKind
from gateway.notices.recipients import Recipients, Wave
from gateway.notices.taking_back import plan_corrections
from gateway.ports.store import Reading, Store, Writing
from gateway.storage.memory import MemoryStore
from tests.notices.stage import (
    NOON,
    Clock,
    Crowd,
    composer,
    fill,
    findings_of,
    ids,
    ordered,
    people,
    until_idle,
    wanted,
)
from tests.notices.test_outbox import counts, withdraw
from tests.notices.test_recipients import mailing_of
from tests.notices.test_sent_again import post

CUT, CORRECTION = NoticeKind.CUT, NoticeKind.CORRECTION
CROWD = people(3)
GONE = ids(CROWD)[1]
LEFT = [ids(CROWD)[0], ids(CROWD)[2]]


async def erase(store: Store) -> None:
    async def work(writing: Writing) -> None:
        await writing.delete_person(GONE)
        await writing.erase_rows([GONE])

    await store.write(work)


async def named(store: Store, kind: NoticeKind) -> list[str]:
    async with store.read() as reading:
        return [name for name in ids(CROWD) if await reading.notice(1, kind, name) is not None]


async def test_who_is_erased_while_recipients_are_read_is_not_written_down() -> None:
    store = MemoryStore()
    await fill(store, CROWD)
    await ordered(store, wanted())

    class Erasing(Crowd):
        async def wave(self, change: int, wave: int) -> Wave:
            async def erasing(reading: Reading, people: Sequence[str]) -> Mapping[str, Sequence[Finding]]:
                await erase(store)
                return await findings_of(reading, people)

            return replace(await super().wave(change, wave), findings_of=erasing)

    await Recipients(store, composer(), Erasing(ids(CROWD)), Clock()).look()
    assert await named(store, CUT) == LEFT
    plan = (await mailing_of(store)).plan
    assert (plan.waves, plan.not_found) == ((), 1)


class ErasingStore:
    """Erases before the first unit of work."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.read = store.read
        self.erased = False

    async def write(self, work: Callable[[Writing], Awaitable[object]]) -> object:
        if not self.erased:
            self.erased = True
            await erase(self._store)
        return await self._store.write(work)


async def test_who_is_erased_while_corrections_are_planned_gets_none_and_all_others_do() -> None:
    made = await post(3, CUT)
    await until_idle(made.box)
    await withdraw(made.store, made.clock)
    async with made.store.read() as reading:
        mailing = await reading.mailing(1, CORRECTION)
    assert mailing is not None
    erasing = cast("Store", ErasingStore(made.store))
    looks = [await plan_corrections(erasing, mailing, composer().key, composer().domain, NOON) for _ in range(2)]
    assert looks == [False, True]
    assert await named(made.store, CORRECTION) == LEFT
    assert await counts(made.store, CORRECTION) == {"due": 2}
    async with made.store.read() as reading:
        finished = await reading.mailing(1, CORRECTION)
    assert finished is not None
    assert finished.state is MailingState.FINISHED
