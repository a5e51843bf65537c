"""Notices that come back: which reports count, for which notice, and that nothing else in the mailbox is touched."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from time import process_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gateway.domain.notice import MailingState, Notice, NoticeKind, NoticeState, moved, person_token
from gateway.notices.bounce_mailbox import MailboxUnusable, Unread
from gateway.notices.bounce_reports import RECIPIENTS_AT_MOST, bounces_in
from gateway.notices.bouncing import Bouncing
from gateway.notices.releasing import resend
from gateway.ports.store import Person, Store, Writing
from gateway.storage.memory import MemoryStore
from tests.notices.reports import report
from tests.notices.stage import KEY, NOON, Clock, fill, outbox, planned, until_idle
from tests.notices.test_outbox import counts

CUT = NoticeKind.CUT
KEY_OF_ANN = f"1/cut/{person_token(KEY, 1, CUT, 'ann@corp.example')}"
ID_OF_ANN = f"<gp.{KEY_OF_ANN.replace('/', '.')}@corp.example>"


class Mailbox:
    """A mailbox in memory."""

    def __init__(self, *messages: bytes) -> None:
        self.messages = [Unread(("7", str(number)), octets) for number, octets in enumerate(messages, 1)]
        self.read: list[str] = []
        self.broken = ""

    async def unread(self, known: Callable[[tuple[str, str]], bool]) -> Sequence[Unread]:
        if self.broken:
            raise MailboxUnusable(self.broken)
        return [each for each in self.messages if each.uid[1] not in self.read and not known(each.uid)]

    async def mark(self, read: Sequence[Unread]) -> None:
        self.read += [each.uid[1] for each in read]

    async def leave(self) -> None:
        """Nothing to leave."""


def bouncing(store: Store, mailbox: Mailbox, counted: list[str] | None = None) -> Bouncing:
    told: Any = mailbox
    return Bouncing(store, told, KEY, (counted if counted is not None else []).append)


async def sent(*people: Person, state: NoticeState = NoticeState.SENT, store: Store | None = None) -> Store:
    """A store in which these people's notices have got so far."""
    store = store or MemoryStore()
    await fill(store, people)
    await planned(store, people)

    async def work(writing: Writing) -> None:
        for each in await writing.planned_notices(1, CUT, 100):
            assert await writing.put_notice(replace(each, state=state, version=1, first_attempt_at=NOON))

    await store.write(work)
    return store


async def notice_of(store: Store, person: str = "ann@corp.example") -> Notice:
    async with store.read() as reading:
        found = await reading.notice(1, CUT, person)
    assert found is not None
    return found


ANN, BOB = Person("ann@corp.example"), Person("bob", address="Robert@Elsewhere.Example")


@pytest.mark.parametrize(
    "octets",
    [
        report(KEY_OF_ANN),
        report("", message_id=ID_OF_ANN),
        report(KEY_OF_ANN, kind="global-delivery-status", address_type="utf-8"),
        report(KEY_OF_ANN, "somebody@new.example"),
        report(KEY_OF_ANN).replace(b"report-type=", b"Report-Type=").replace(b"Action: failed", b"action: Failed"),
    ],
    ids=["envelope id", "message id", "RFC 6533", "forwarded", "small letters"],
)
async def test_a_notice_that_came_back_counts_as_undelivered(octets: bytes) -> None:
    store, mailbox, counted = await sent(ANN), Mailbox(octets), list[str]()
    with capture_logs() as logs:
        assert await bouncing(store, mailbox, counted).step() == 1
    notice = await notice_of(store)
    assert notice.state is NoticeState.BOUNCED
    assert [(each["event"], each.get("reason")) for each in logs] == [("notice_bounced", "5.1.1")]
    assert notice.answer.startswith("came back: 5.1.1 550 5.1.1 <")
    assert notice.answer.endswith(">: no such user here")
    assert (mailbox.read, counted) == (["1"], ["bounced"])
    assert await bouncing(store, Mailbox(octets)).step() == 1, "the same once more changes nothing"
    assert (await notice_of(store)).version == notice.version


async def test_a_person_whose_address_is_not_the_login() -> None:
    store = await sent(ANN, BOB)
    key = f"1/cut/{person_token(KEY, 1, CUT, 'bob')}"
    await bouncing(store, Mailbox(report(key, "robert@elsewhere.example"))).step()
    assert (await notice_of(store, "bob")).state is NoticeState.BOUNCED
    assert (await notice_of(store)).state is NoticeState.SENT


@pytest.mark.parametrize(
    "octets",
    [
        report(KEY_OF_ANN, action="delayed", status="4.4.1"),
        report(KEY_OF_ANN, action="delivered", status="2.0.0"),
        report(KEY_OF_ANN[:-1] + "x"),
        report(KEY_OF_ANN.replace("1/cut", "2/cut")),
        report(KEY_OF_ANN.replace("cut", "warning")),
        report("1/cut/"),
        report(f"{KEY_OF_ANN}/more"),
        report("", message_id="<gp.1.cut.abc@corp.example>"),
        report(KEY_OF_ANN).replace(b"multipart/report", b"multipart/mixed"),
        report(KEY_OF_ANN).replace(b"message/delivery-status", b"text/plain"),
        b"From: ann@corp.example\r\nSubject: Re: Mail access\r\n\r\nI have no such app.\r\n",
        b"",
        b"\xff\xfe\x00",
    ],
)
async def test_what_is_no_bounce_of_ours_changes_nothing_and_stays_unread(octets: bytes) -> None:
    store, mailbox = await sent(ANN), Mailbox(octets)
    reader = bouncing(store, mailbox)
    await reader.step()
    assert (await notice_of(store)).state is NoticeState.SENT
    assert mailbox.read == []
    assert await reader.step() == 0, "it is not looked at again"


async def test_an_uncertain_one_may_come_back_and_one_under_way_waits_for_its_answer() -> None:
    store = await sent(ANN, state=NoticeState.TRANSMITTING)
    mailbox = Mailbox(report(KEY_OF_ANN))
    reader = bouncing(store, mailbox)
    assert await reader.step() == 0
    assert mailbox.read == []
    going = await notice_of(store)
    await store.write(lambda writing: writing.put_notice(moved(going, NoticeState.UNCERTAIN)))
    assert await reader.step() == 1
    assert (await notice_of(store)).state is NoticeState.BOUNCED
    await resend(store, 1, CUT, "ann@corp.example", "bob", NOON)
    assert (await notice_of(store)).state is NoticeState.DUE


async def test_many_that_come_back_stop_the_mailing() -> None:
    crowd = [Person(f"p{number}@corp.example") for number in range(30)]
    store, clock = MemoryStore(), Clock()
    await fill(store, crowd)
    await planned(store, crowd)

    async def work(writing: Writing) -> None:
        for each in await writing.planned_notices(1, CUT, 10):
            assert await writing.put_notice(replace(each, state=NoticeState.SENT, version=1))

    await store.write(work)
    async with store.read() as reading:
        gone = await reading.notices(1, (NoticeState.SENT,))
    keys = [f"1/cut/{person_token(KEY, 1, CUT, each.reader.person_id)}" for each in gone[:6]]
    await bouncing(store, Mailbox(*map(report, keys))).step()
    await until_idle(outbox(store, _Nowhere(), clock))
    async with store.read() as reading:
        mailing = await reading.mailing(1, CUT)
    assert mailing is not None
    assert mailing.state is MailingState.STOPPED
    assert "6 of 10 notices were refused, came back or are uncertain" in mailing.words
    assert (await counts(store))["planned"] == 20


class _Nowhere:
    """A way that nothing may go."""

    name = "nowhere"
    remembers = False

    async def deliver(self, notice: object, may_go: object) -> Any:
        raise AssertionError("nothing may leave")

    async def look_up(self, keys: Sequence[str]) -> dict[str, str]:
        return {}

    async def check(self) -> str:
        return ""

    async def close(self) -> None:
        """Nothing to close."""


async def test_a_mailbox_that_cannot_be_read_is_told_until_it_can() -> None:
    store, mailbox = await sent(ANN), Mailbox(report(KEY_OF_ANN))
    mailbox.broken = "mail.test:993: the login was refused"
    reader = bouncing(store, mailbox)
    assert await reader.step() == 0
    assert reader.trouble == "bounced notices cannot be read: mail.test:993: the login was refused"
    mailbox.broken = ""
    assert await reader.step() == 1
    assert reader.trouble == ""


# --- hostile reports


def test_a_report_of_thousands_of_recipients_is_read_in_bounds() -> None:
    block = b"Final-Recipient: rfc822; x%d@y.example\r\nAction: failed\r\nStatus: 5.0.0\r\n\r\n"
    many = b"".join(block % number for number in range(500))
    octets = report(KEY_OF_ANN).replace(b"Final-Recipient", many + b"Final-Recipient", 1)
    (bounce,) = bounces_in(octets)
    assert len(bounce.recipients) == RECIPIENTS_AT_MOST


def test_parts_within_parts_without_end() -> None:
    octets = b"Content-Type: multipart/report; report-type=delivery-status; boundary=b0\r\n\r\n"
    for depth in range(2_000):
        octets += b"--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n" % (depth, depth + 1)
    began = process_time()
    assert bounces_in(octets) == ()
    assert process_time() - began < 0.5


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_is_in_a_message_is_no_error(data: st.DataObject) -> None:
    octets = bytearray(report(KEY_OF_ANN))
    for _ in range(data.draw(st.integers(0, 6))):
        begin = data.draw(st.integers(0, len(octets)))
        octets[begin : begin + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=40))
    for bounce in bounces_in(bytes(octets)):
        assert bounce.words.isprintable()
        assert len(bounce.words) <= 200
