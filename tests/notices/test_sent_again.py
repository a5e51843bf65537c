"""Notices that are sent again on a person's word: they leave, and whoever may have read one hears of a withdrawal."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import InvalidValue
from gateway.domain.notice import MailingState, Notice, NoticeKind, NoticeState, moved
from gateway.notices.desk import NoticeDesk
from gateway.notices.outbox import Outbox
from gateway.notices.releasing import resend, resume, stop
from gateway.ports.notices import Attempt, MayGo, Outcome, OutgoingNotice
from gateway.ports.store import Store
from gateway.storage.memory import MemoryStore
from tests.notices.stage import NOON, Clock, composer, fill, outbox, people, planned, until_idle
from tests.notices.test_outbox import counts, state_of, withdraw

WARNING, CUT, CORRECTION = NoticeKind.WARNING, NoticeKind.CUT, NoticeKind.CORRECTION
DAY = 86_400.0
MAY_BE_READ = (Outcome.ACCEPTED, Outcome.UNCERTAIN)


@dataclass
class Way:
    """Does with each notice as the test says, and knows whom it may have reached."""

    does: Outcome | None = Outcome.ACCEPTED
    """None: the process dies while it waits for the answer."""
    first: list[Outcome | None] = field(default_factory=list)
    """With the next ones, one after the other."""
    reached: list[tuple[NoticeKind, str]] = field(default_factory=list)
    name: str = "way"
    remembers: bool = False

    async def deliver(self, notice: OutgoingNotice, may_go: MayGo) -> Attempt:
        if not await may_go():
            return Attempt(Outcome.NOT_SENT)
        does = self.first.pop() if self.first else self.does
        if does is None or does in MAY_BE_READ:
            self.reached.append((NoticeKind(notice.key.split("/")[1]), notice.recipient))
        if does is None:
            raise asyncio.CancelledError
        return Attempt(does, f"the server: {does}")

    def whom(self, *kinds: NoticeKind) -> list[str]:
        """Whom a notice of these kinds may have reached, each as often as that."""
        return sorted(person for kind, person in self.reached if kind in kinds)

    async def look_up(self, keys: Sequence[str]) -> Mapping[str, str]:
        return {}

    async def check(self) -> str:
        return ""

    async def close(self) -> None:
        """Nothing to close."""


@dataclass
class Post:
    """A change whose notices go by a ``Way``."""

    store: Store
    clock: Clock
    way: Way
    box: Outbox

    async def resend(self, person: str, kind: NoticeKind = CUT) -> Notice:
        return await resend(self.store, 1, kind, person, "bob", self.clock())

    async def notice(self, person: str, kind: NoticeKind = CUT) -> Notice:
        async with self.store.read() as reading:
            found = await reading.notice(1, kind, person)
        assert found is not None
        return found


async def post(number: int = 1, *kinds: NoticeKind) -> Post:
    store, clock, way = MemoryStore(), Clock(), Way()
    crowd = people(number)
    await fill(store, crowd)
    for kind in kinds or (CUT,):
        await planned(store, crowd, kind, **({"deadline": NOON + 2 * DAY} if kind is WARNING else {}))
    return Post(store, clock, way, outbox(store, way, clock))


ANN = people(1)[0].person_id


async def uncertain() -> Post:
    """One notice, of which nobody knows whether it was taken."""
    made = await post()
    made.way.does = Outcome.UNCERTAIN
    await until_idle(made.box)
    assert await counts(made.store) == {"uncertain": 1}
    return made


async def corrected(made: Post) -> list[str]:
    """Withdrawn: who gets a correction."""
    await withdraw(made.store, made.clock)
    made.way.does = Outcome.ACCEPTED
    await until_idle(made.box)
    assert await state_of(made.store, CORRECTION) is MailingState.FINISHED
    return made.way.whom(CORRECTION)


async def test_what_is_sent_again_the_next_day_leaves() -> None:
    """Its mailing's own time is over by then."""
    made = await uncertain()
    made.clock.at += 2 * DAY
    made.way.does = Outcome.ACCEPTED
    assert (await made.resend(ANN)).state is NoticeState.DUE
    await until_idle(made.box)
    assert (await counts(made.store), made.way.whom(CUT)) == ({"sent": 1}, [ANN, ANN])


async def test_what_is_sent_again_has_the_time_that_the_settings_give() -> None:
    made = await uncertain()
    desk = NoticeDesk(made.store, composer(), None, made.clock, expires_seconds=3 * DAY)  # type: ignore[arg-type]
    await desk.resend(1, CUT, ANN, "bob")
    async with made.store.read() as reading:
        mailing = await reading.mailing(1, CUT)
    assert mailing is not None
    assert mailing.not_after == NOON + 3 * DAY


@pytest.mark.parametrize("then", ["waits", "refused", "expired", "sent", "came back", "nothing"])
async def test_whoever_may_have_read_it_gets_the_correction_whatever_became_of_it_since(then: str) -> None:
    made = await uncertain()
    if then != "nothing":
        await made.resend(ANN)
    if then == "expired":
        made.clock.at += 2 * DAY
    if then in ("refused", "expired", "sent", "came back"):
        made.way.does = Outcome.REFUSED if then == "refused" else Outcome.ACCEPTED
        await until_idle(made.box)
    if then == "came back":
        back = moved(await made.notice(ANN), NoticeState.BOUNCED)
        assert (await made.store.write(lambda writing: writing.put_notice(back)))[0]
    states = {"waits": "due", "refused": "failed", "came back": "bounced", "nothing": "uncertain"}
    assert await counts(made.store) == {states.get(then, then): 1}
    assert await corrected(made) == [ANN]


async def test_whoever_was_refused_and_never_reached_gets_none() -> None:
    made = await post(2)
    made.way.does = Outcome.REFUSED
    await until_idle(made.box)
    await made.resend(ANN)
    await until_idle(made.box)
    assert await counts(made.store) == {"failed": 2}
    assert await corrected(made) == []


async def test_nothing_of_a_change_that_is_over_is_sent_again_but_its_correction_is() -> None:
    made = await uncertain()
    await withdraw(made.store, made.clock)
    with pytest.raises(InvalidValue, match="change 1 is over: nothing about it leaves any more"):
        await made.resend(ANN)
    await until_idle(made.box)
    assert (await counts(made.store), await counts(made.store, CORRECTION)) == ({"uncertain": 1}, {"uncertain": 1})
    made.clock.at += 8 * DAY
    made.way.does = Outcome.ACCEPTED
    await made.resend(ANN, CORRECTION)
    await until_idle(made.box)
    assert await counts(made.store, CORRECTION) == {"sent": 1}


async def test_nothing_of_a_cancelled_mailing_is_sent_again() -> None:
    """A warning whose cut came before its deadline, though the change goes on."""
    made = await uncertain()
    await made.store.write(lambda writing: writing.cancel_mailings(1, [CUT], "the cut came before its deadline"))
    with pytest.raises(InvalidValue, match=r"are cancelled \(the cut came before its deadline\)"):
        await made.resend(ANN)
    assert (await made.notice(ANN)).state is NoticeState.UNCERTAIN


async def test_a_warning_is_not_sent_again_behind_its_deadline() -> None:
    made = await post(1, WARNING)
    made.way.does = Outcome.UNCERTAIN
    await until_idle(made.box)
    made.clock.at += DAY + 60
    await made.resend(ANN, WARNING)
    async with made.store.read() as reading:
        mailing = await reading.mailing(1, WARNING)
    assert mailing is not None
    assert mailing.not_after == mailing.deadline
    await until_idle(made.box)
    made.clock.at = NOON + 2 * DAY
    with pytest.raises(InvalidValue, match="the deadline is over already"):
        await made.resend(ANN, WARNING)


async def test_what_could_not_leave_in_time_leaves_on_a_persons_word() -> None:
    made = await post()
    made.clock.at += DAY
    await until_idle(made.box)
    assert await counts(made.store) == {"expired": 1}
    await made.resend(ANN)
    await until_idle(made.box)
    assert (await counts(made.store), made.way.whom(CUT)) == ({"sent": 1}, [ANN])


async def test_stopped_notices_that_go_on_days_later_leave() -> None:
    made = await post(2)
    async with made.store.read() as reading:
        mailing = await reading.mailing(1, CUT)
    assert mailing is not None
    await stop(made.store, mailing, "wait", "bob")
    made.clock.at += 3 * DAY
    await resume(made.store, 1, CUT, "bob", made.clock())
    await until_idle(made.box)
    assert await counts(made.store) == {"sent": 2}


async def test_the_correction_comes_behind_what_is_on_its_way_for_the_second_time() -> None:
    """Else the notice that was sent in error would be the last word."""
    made = await uncertain()
    again = await made.resend(ANN)
    for state in (NoticeState.CLAIMED, NoticeState.TRANSMITTING):
        again = moved(again, state, NOON + 1_200)
        assert (await made.store.write(lambda writing, step=again: writing.put_notice(step)))[0]  # type: ignore[misc]
    await withdraw(made.store, made.clock)
    await until_idle(made.box)
    assert await counts(made.store, CORRECTION) == {}
    made.clock.at += 1_200
    made.way.does = Outcome.ACCEPTED
    await until_idle(made.box)
    assert (made.way.whom(CORRECTION), await counts(made.store)) == ([ANN], {"uncertain": 1})


# --- whatever happens

CROWD = [person.person_id for person in people(3)]
KINDS = st.sampled_from([WARNING, CUT])
ENDS = st.sampled_from([*Outcome, None])
STEPS = st.one_of(
    st.tuples(st.just("work"), st.lists(ENDS, max_size=6)),
    st.tuples(st.just("wait"), st.sampled_from([60.0, 1_200.0, 8 * 3_600.0, DAY])),
    st.tuples(st.just("resend"), KINDS, st.sets(st.sampled_from(CROWD), min_size=1)),
    st.tuples(st.just("comes back"), KINDS, st.sets(st.sampled_from(CROWD), min_size=1)),
    st.tuples(st.sampled_from(["stop", "resume"]), KINDS),
)


async def do(made: Post, step: tuple[Any, ...]) -> None:
    what, *values = step
    if what == "work":
        (made.way.first,) = values
        for _ in range(3):
            await made.box.step()
        made.way.first = []
    elif what == "wait":
        made.clock.at += values[0]
    elif what == "stop":
        async with made.store.read() as reading:
            mailing = await reading.mailing(1, values[0])
        assert mailing is not None
        await stop(made.store, mailing, "wait", "bob")
    elif what == "resume":
        await resume(made.store, 1, values[0], "bob", made.clock())
    else:
        kind, whom = values
        for person in sorted(whom):
            # There may be nothing to send again, or it may be too late for it.
            with suppress(InvalidValue):
                await (made.resend(person, kind) if what == "resend" else comes_back(made, person, kind))


async def comes_back(made: Post, person: str, kind: NoticeKind) -> None:
    step = moved(await made.notice(person, kind), NoticeState.BOUNCED)
    await made.store.write(lambda writing: writing.put_notice(step))


@given(st.lists(ENDS, min_size=6, max_size=6), st.lists(STEPS, max_size=10), st.lists(STEPS, max_size=3))
def test_exactly_those_who_may_have_read_one_get_one_correction(
    first: list[Outcome | None], before: list[tuple[Any, ...]], after: list[tuple[Any, ...]]
) -> None:
    """``first``: what becomes of the first attempts; ``before`` and ``after``: the withdrawal."""
    asyncio.run(_play([("work", first), *before], after))


async def _play(before: list[tuple[Any, ...]], after: list[tuple[Any, ...]]) -> None:
    made = await post(len(CROWD), WARNING, CUT)
    for step in before:
        await _tried(made, step)
    await withdraw(made.store, made.clock)
    told = sorted(set(made.way.whom(WARNING, CUT)))
    for step in after:
        await _tried(made, ("work", []) if step[0] == "work" else step)
    for _ in range(12):
        # The leases of what was under way end meanwhile.
        made.clock.at += 300
        for _ in range(3):
            await made.box.step()
    assert await state_of(made.store, CORRECTION) is MailingState.FINISHED
    assert sorted(set(made.way.whom(WARNING, CUT))) == told, "nobody is told after the withdrawal"
    assert made.way.whom(CORRECTION) == told


async def _tried(made: Post, step: tuple[Any, ...]) -> None:
    # There may be nothing to stop or to resume.
    with suppress(InvalidValue):
        await do(made, step)


async def test_a_mark_outlives_every_step() -> None:
    made = await uncertain()
    present = await made.notice(ANN)
    assert present.may_be_read
    for state in (NoticeState.DUE, NoticeState.HELD, NoticeState.EXPIRED, NoticeState.DUE, NoticeState.CANCELLED):
        present = moved(present, state)
        assert present.may_be_read
    assert not replace(present, told=False).may_be_read
