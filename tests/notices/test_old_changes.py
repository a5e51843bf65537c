"""A change that a thousand others came after is told of, withdrawn and corrected like any other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.admin.notice_warnings import about_notices
from gateway.domain.notice import Finding, Mailing, MailingState, NoticeKind
from gateway.notices.recipients import Recipients, Wave
from gateway.notices.releasing import stop
from gateway.notices.settling import LOOKS_AFTER, Settling
from gateway.ports.notices import Outcome
from gateway.ports.store import Reading, Store, Writing
from tests.notices.stage import NOON, Crowd, composer, fill, ids, ordered, people, until_idle, wanted
from tests.notices.test_outbox import CUT, counts, withdraw
from tests.notices.test_recipients import written
from tests.notices.test_sent_again import Way, corrected, post, uncertain

CORRECTION = NoticeKind.CORRECTION
NEWER = 1_001


async def others_come(store: Store) -> None:
    """Each has told its people."""

    async def work(writing: Writing) -> None:
        life = await writing.incarnation()
        for number in range(2, 2 + NEWER):
            await writing.put_mailing(Mailing(number, CUT, NOON, "ann", MailingState.FINISHED, life=life))

    await store.write(work)


async def test_whoever_was_told_of_it_gets_the_correction() -> None:
    made = await post(2)
    await until_idle(made.box)
    await others_come(made.store)
    assert len(await corrected(made)) == 2


async def test_what_waits_of_it_is_cancelled() -> None:
    made = await post(2)
    made.way.does = Outcome.DEFERRED
    await until_idle(made.box)
    await others_come(made.store)
    assert await corrected(made) == []
    assert await counts(made.store) == {"cancelled": 2}


async def test_its_people_are_written_down_and_told() -> None:
    made = await post(0)
    crowd = people(2)
    await fill(made.store, crowd)
    await ordered(made.store, wanted(NoticeKind.ADMITTED))
    await others_come(made.store)
    await Recipients(made.store, composer(), Nothing(ids(crowd)), made.clock).look()
    assert await written(made.store, NoticeKind.ADMITTED) == 2
    await until_idle(made.box)
    assert await counts(made.store, NoticeKind.ADMITTED) == {"sent": 2}


class Nothing(Crowd):
    """They have no app any more."""

    async def wave(self, change: int, wave: int) -> Wave:
        return Wave(sorted(self.people), nothing_found)


async def nothing_found(reading: Reading, people: Sequence[str]) -> Mapping[str, Sequence[Finding]]:
    return {}


@dataclass
class Remembering(Way):
    """Keeps a copy of all that it has taken."""

    remembers: bool = True
    asked: list[str] = field(default_factory=list)

    async def look_up(self, keys: Sequence[str]) -> Mapping[str, str]:
        self.asked += keys
        return dict.fromkeys(keys, "<copy@corp.example>")


async def test_an_uncertain_notice_about_it_is_looked_for() -> None:
    made = await uncertain()
    await others_come(made.store)
    made.clock.at += LOOKS_AFTER[0]
    assert await Settling(made.store, Remembering(), composer(), made.clock).step() == 1
    assert await counts(made.store) == {"sent": 1}


async def test_status_says_that_its_correction_stands_still() -> None:
    made = await post(1)
    await until_idle(made.box)
    await others_come(made.store)
    await withdraw(made.store, made.clock)
    async with made.store.read() as reading:
        correction = await reading.mailing(1, CORRECTION)
        assert await about_notices(reading, made.clock()) == []
    assert correction is not None
    await stop(made.store, correction, "wait", "bob")
    async with made.store.read() as reading:
        (said,) = await about_notices(reading, made.clock())
    assert said.startswith("the correction notices of change 1 are stopped (wait): gatepost notice resume 1 correction")
