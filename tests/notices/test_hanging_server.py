"""A mail server that lets notices hang: each has a bound over all its steps, the others go on, and somebody is told."""

import asyncio
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from gateway.domain.batches import Batches
from gateway.domain.notice import NoticeState
from gateway.notices import smtp as smtp_way
from gateway.notices.outbox import Outbox
from gateway.notices.smtp import LIFE_SECONDS, SmtpDelivery
from gateway.notices.way_watch import AGAIN_SECONDS
from gateway.ports.notices import Attempt, MayGo, Outcome, OutgoingNotice
from gateway.ports.store import Store
from gateway.storage.memory import MemoryStore
from tests.notices.letters import letter, yes
from tests.notices.scripted import GOOD, First, Late, Scripted, Silence, scripted_server
from tests.notices.stage import QUICK, Clock, fill, outbox, people, planned, smtp, until_idle
from tests.notices.test_outbox import counts, withdraw

LONG = 30.0
TOGETHER = replace(QUICK, batches=Batches(first=12), at_once=2, end_seconds=0.05)


async def refused_to_go() -> bool:
    """``may_go`` that must not be asked."""
    raise AssertionError("nothing is to go here")


def patient(server: Scripted, **changes: float) -> SmtpDelivery:
    """With much patience but where the test says so."""
    return smtp(server.port, **{"connect_seconds": LONG, "handover_seconds": LONG, "answer_seconds": LONG, **changes})


# --- one notice


async def test_steps_of_which_each_is_just_in_time_do_not_add_up() -> None:
    async with scripted_server() as server:
        for stage in ("MAIL", "RCPT"):
            server.says[stage] = Late(0.15, GOOD[stage])
        delivery = patient(server, handover_seconds=0.2)
        attempt = await delivery.deliver(letter(), refused_to_go)
        assert (attempt.outcome, attempt.words) == (Outcome.DEFERRED, "no answer in time")
        server.says = dict(GOOD)
        assert (await patient(server).deliver(letter(), yes)).outcome is Outcome.ACCEPTED


async def test_an_idle_connection_that_hangs_is_left_within_the_same_bound() -> None:
    async with scripted_server() as server:
        delivery = patient(server)
        assert (await delivery.deliver(letter(), yes)).outcome is Outcome.ACCEPTED
        server.says["RSET"] = Silence()
        hurried = replace(delivery._settings, handover_seconds=0.1)
        delivery._settings = hurried
        assert (await delivery.deliver(letter("bob@corp.example"), refused_to_go)).outcome is Outcome.DEFERRED
        delivery._settings = replace(hurried, handover_seconds=LONG)
        assert (await delivery.deliver(letter("bob@corp.example"), yes)).outcome is Outcome.ACCEPTED
        assert sum(line.startswith(b"EHLO") for line in server.lines) == 2
        await delivery.close()


async def test_a_connection_is_not_kept_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted_server() as server:
        delivery = patient(server)
        assert (await delivery.deliver(letter(), yes)).outcome is Outcome.ACCEPTED
        delivery._idle[0].opened_at -= LIFE_SECONDS
        assert (await delivery.deliver(letter("bob@corp.example"), yes)).outcome is Outcome.ACCEPTED
        assert sum(line.startswith(b"EHLO") for line in server.lines) == 2
        await delivery.close()


# --- the others


async def hanging_once(stage: str, number: int, server: Scripted, store: Store, clock: Clock) -> asyncio.Task[None]:
    """An outbox that runs: the first notice hangs at that stage, the others are sent."""
    crowd = people(number)
    await fill(store, crowd)
    await planned(store, crowd)
    server.says[stage] = First(Silence(), GOOD[stage])
    running = asyncio.create_task(outbox(store, patient(server, connections=2), clock, TOGETHER).run())
    while (await counts(store)).get("sent", 0) < min(number, 12) - 1:
        assert not running.done()
        await asyncio.sleep(0)
    return running


async def ended(running: asyncio.Task[None]) -> None:
    """In order."""
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


@pytest.mark.parametrize(("stage", "state"), [("MAIL", "claimed"), (".", "transmitting")])
async def test_one_that_hangs_holds_up_no_other(stage: str, state: str) -> None:
    store = MemoryStore()
    async with scripted_server() as server:
        running = await hanging_once(stage, 12, server, store, Clock())
        assert await counts(store) == {"sent": 11, state: 1}
        await ended(running)


async def test_a_withdrawal_does_not_wait_for_one_that_hangs() -> None:
    store, clock = MemoryStore(), Clock()
    async with scripted_server() as server:
        running = await hanging_once(".", 20, server, store, clock)
        await withdraw(store, clock)
        while (await counts(store)).get("cancelled", 0) < 8:
            assert not running.done()
            await asyncio.sleep(0)
        assert await counts(store) == {"sent": 11, "transmitting": 1, "cancelled": 8}
        await ended(running)


async def test_what_had_no_turn_yet_is_given_back_at_the_end() -> None:
    """Else it waited for the end of its lease after a restart."""
    store, clock = MemoryStore(), Clock()
    crowd = people(6)
    await fill(store, crowd)
    await planned(store, crowd)
    async with scripted_server() as server:
        server.says["MAIL"] = Silence()
        box = outbox(store, patient(server, connections=1), clock, replace(TOGETHER, at_once=1, end_seconds=5.0))
        running = asyncio.create_task(box.run())
        while not any(line.startswith(b"MAIL") for line in server.lines):  # noqa: ASYNC110  (the server tells no more)
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.sleep(0)
        # The one that hangs is let go by the server; nobody begins another.
        server.end_all()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert sum(line.startswith(b"MAIL") for line in server.lines) == 1
    async with store.read() as reading:
        waiting = await reading.notices(1, [NoticeState.DUE])
    assert [each.attempts for each in waiting] == [0] * 5


async def test_a_server_that_says_no_goodbye_holds_up_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp_way, "GOODBYE_SECONDS", LONG)
    store, clock = MemoryStore(), Clock()
    crowd = people(12)
    await fill(store, crowd)
    await planned(store, crowd)
    async with scripted_server() as server:
        server.says["QUIT"] = Silence()
        delivery = patient(server, connections=4)
        box = outbox(store, delivery, clock, replace(TOGETHER, at_once=4, close_seconds=0.05))
        await until_idle(box)
        assert await counts(store) == {"sent": 12}
        idle = [each.smtp for each in delivery._idle]
        assert len(idle) > 1
        running = asyncio.create_task(box.run())
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait({running}, timeout=LONG / 2)
        assert running.cancelled()
        assert not any(each.is_connected for each in idle)


# --- and an alarm


class Hanging:
    """A way on which the first notice hangs until it is let go."""

    name = "smtp"
    remembers = False

    def __init__(self, end: Attempt) -> None:
        self.begun, self.go = asyncio.Event(), asyncio.Event()
        self.end = end

    async def deliver(self, notice: OutgoingNotice, may_go: MayGo) -> Attempt:
        self.begun.set()
        await self.go.wait()
        return self.end if self.end.outcome is not Outcome.ACCEPTED or await may_go() else Attempt(Outcome.NOT_SENT)

    async def look_up(self, keys: object) -> dict[str, str]:
        return {}

    async def check(self) -> str:
        return ""

    async def close(self) -> None:
        return None


async def tried(way: Hanging, clock: Clock) -> tuple[Outbox, Store]:
    """An outbox with one notice under way."""
    store, crowd = MemoryStore(), people(1)
    await fill(store, crowd)
    await planned(store, crowd)
    box = outbox(store, way, clock, replace(QUICK, lease_seconds=1e6, alarm_seconds=900.0))
    assert await box.begin() == 1
    await way.begun.wait()
    return box, store


async def looked(box: Outbox) -> list[tuple[str, str]]:
    """What the next look brings into the log, of this."""
    with capture_logs() as logs:
        await box.begin()
    return [(each["event"], each["log_level"]) for each in logs if each["event"].startswith("notices_")]


async def test_a_way_that_takes_nothing_for_long_is_an_alarm_and_its_end_is_told() -> None:
    clock, way = Clock(), Hanging(Attempt(Outcome.ACCEPTED, "250 taken"))
    box, _ = await tried(way, clock)
    clock.at += 899
    assert (await looked(box), box.trouble, box.way.in_vain_seconds) == ([], "", 899.0)
    clock.at += 1
    assert await looked(box) == [("notices_in_vain", "error")]
    assert box.trouble == (
        "the mail server has taken no notice for 15 minutes, though it is tried: it does not answer; gatepost check "
        "tries the way"
    )
    clock.at += AGAIN_SECONDS - 1
    assert await looked(box) == []
    clock.at += 1
    assert await looked(box) == [("notices_in_vain", "error")]
    way.go.set()
    with capture_logs() as logs:
        await box.step()
    assert [each["event"] for each in logs] == ["notices_go_on"]
    assert (box.trouble, box.way.in_vain_seconds) == ("", 0.0)


async def test_a_server_that_says_later_to_everything_is_one_too_and_its_code_is_told() -> None:
    clock, way = Clock(), Hanging(Attempt(Outcome.DEFERRED, "451 4.7.1 <ann@x> not now", nameless="451 4.7.1"))
    box, store = await tried(way, clock)
    way.go.set()
    for _ in range(4):
        await box.step()
        clock.at += 300
    assert "20 minutes, though it is tried: 451 4.7.1; " in box.trouble
    await withdraw(store, clock)
    for _ in range(2):
        await box.step()
    assert (box.trouble, box.way.in_vain) == ("", False)


async def test_recipients_who_are_refused_show_that_the_server_works() -> None:
    clock, way = Clock(), Hanging(Attempt(Outcome.REFUSED, "550 5.1.1 nobody"))
    box, _ = await tried(way, clock)
    way.go.set()
    await box.step()
    clock.at += 1_000
    await box.step()
    assert (box.trouble, box.way.in_vain) == ("", False)
