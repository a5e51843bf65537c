"""Who may not send is told so in words after the login; a verdict that turns ends the session between two commands."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from structlog.testing import capture_logs

from gateway.domain.access import Protocol
from gateway.domain.policy import Unavailable
from tests.support.fronted import BAN, settled, until
from tests.support.submission_server import SubmissionServer
from tests.support.submitted import ANNA, SmtpClient, Submitted

MAIL = b"MAIL FROM:<anna@corp.example>"
BLOCKED = b"Mail on this device is blocked by your organization because of this app: TikTok (com.zhiliaoapp.musically)."


async def test_a_refused_user_logs_in_and_is_told_at_mail(front: Submitted, server: SubmissionServer) -> None:
    front.dirty()
    client = await front.client()
    assert (await client.logged_in())[:3] == b"235"
    await until(lambda: server.open == 0)
    for _ in range(2):
        assert await client.ask(MAIL) == b"550 5.7.1 " + BLOCKED + b" Ask your help desk.\r\n"
    assert (await client.ask(b"RCPT TO:<bert@corp.example>"))[:3] == b"503"
    assert (await client.ask(b"DATA"))[:3] == b"503"
    assert (await client.ask(b"QUIT"))[:3] == b"221"
    assert "MAIL" not in server.verbs()
    assert front.logins("refused") == 1


async def test_a_wrong_password_learns_nothing_of_a_ban(front: Submitted) -> None:
    front.dirty()
    client = await front.client()
    assert (await client.logged_in(password="wrong"))[:3] == b"535"
    assert (await client.ask(MAIL))[:3] == b"530"


async def test_a_clean_report_works_at_once(front: Submitted, server: SubmissionServer) -> None:
    front.dirty()
    client = await front.client()
    await client.logged_in()
    assert (await client.ask(MAIL))[:3] == b"550"
    front.clean()
    await settled()
    # This session has no mail server any more: it is told to come back.
    assert (await client.ask(MAIL))[:9] == b"421 4.7.0"
    assert await client.closed()
    client = await front.client()
    await client.logged_in()
    await client.at_data()
    assert (await client.ask(b"."))[:3] == b"250"


async def test_a_verdict_that_turns_while_nothing_is_under_way(front: Submitted, server: SubmissionServer) -> None:
    front.clean()
    client = await front.client()
    await client.logged_in()
    began = time.perf_counter()
    front.dirty()
    assert await client.reply() == b"421 4.7.0 " + BLOCKED + b" Ask your help desk.\r\n"
    assert time.perf_counter() - began < 1.0
    assert await client.closed()
    await until(lambda: server.open == 0)
    assert front.ended("cut") == 1
    assert front.decision.sessions.count == 0


async def test_a_verdict_that_turns_before_the_message(front: Submitted, server: SubmissionServer) -> None:
    front.clean()
    client = await front.client()
    await client.logged_in()
    await client.ask(MAIL)
    await client.ask(b"RCPT TO:<bert@corp.example>")
    front.dirty()
    assert (await client.reply())[:9] == b"421 4.7.0"
    assert await client.closed()
    assert "DATA" not in server.verbs()


async def test_a_verdict_that_turns_within_a_message(front: Submitted, server: SubmissionServer) -> None:
    """The client was told to send it: it passes, has its answer, and then the session ends."""
    front.clean()
    client = await front.client()
    await client.logged_in()
    await client.at_data()
    client.write(b"half a line")
    front.dirty()
    await until(lambda: bool(next(iter(front.front.admission.connections)).connection.last_word))
    assert await client.ask(b"\r\n.") == b"250 2.0.0 Ok: queued as 4711\r\n"
    assert (await client.reply())[:9] == b"421 4.7.0"
    assert await client.closed()
    assert server.messages[0].octets == b"half a line\r\n.\r\n"


async def test_a_verdict_that_turns_while_the_mail_server_answers_data(
    front: Submitted, server: SubmissionServer
) -> None:
    """Nothing was promised yet."""
    front.clean()
    client = await front.client()
    await client.logged_in()
    await client.ask(MAIL)
    await client.ask(b"RCPT TO:<bert@corp.example>")
    (seat,) = front.front.admission.connections
    leg = seat.connection.leg  # type: ignore[attr-defined]
    begin = leg.begin_message

    async def turned() -> object:
        reply = await begin()
        front.dirty()
        await until(lambda: bool(seat.connection.last_word))
        return reply

    leg.begin_message = turned
    assert (await client.ask(b"DATA"))[:9] == b"421 4.7.0"
    assert await client.closed()
    await until(lambda: server.open == 0)
    assert server.messages == []
    assert b"".join(server.unfinished) == b""


@asynccontextmanager
async def change_before_the_354(front: Submitted, change: Callable[[], None]) -> AsyncIterator[SmtpClient]:
    """A change that is heard of while the mail server is asked; its record is read when the 354 has come."""
    front.clean()
    client = await front.client()
    await client.logged_in()
    await client.ask(MAIL)
    await client.ask(b"RCPT TO:<bert@corp.example>")
    (seat,) = front.front.admission.connections
    leg = seat.connection.leg  # type: ignore[attr-defined]
    begin, gate, answered = leg.begin_message, asyncio.Event(), asyncio.Event()

    async def heard_of() -> object:
        front.evidence.gate = gate
        change()
        reply = await begin()
        answered.set()
        return reply

    leg.begin_message = heard_of
    client.write(b"DATA\r\n")
    async with asyncio.timeout(10.0):
        await answered.wait()
    await settled()
    yield client
    gate.set()


async def test_a_change_that_is_not_read_when_the_mail_server_takes_the_message(
    front: Submitted, server: SubmissionServer
) -> None:
    """The client is told to send when its record was read, and not before."""
    with capture_logs() as lines:
        async with change_before_the_354(front, front.dirty) as client:
            pass
        assert await client.reply() == b"421 4.7.0 " + BLOCKED + b" Ask your help desk.\r\n"
        assert await client.closed()
        await until(lambda: server.open == 0)
    assert server.messages == []
    assert b"".join(server.unfinished) == b""
    assert front.ended("cut") == 1
    assert [line["event"] for line in lines].count("cut") == 1


async def test_a_change_before_the_message_that_turns_nothing(front: Submitted, server: SubmissionServer) -> None:
    async with change_before_the_354(front, front.clean) as client:
        pass
    assert (await client.reply())[:3] == b"354"
    assert (await client.ask(b"as usual\r\n."))[:3] == b"250"
    assert server.messages[0].octets == b"as usual\r\n.\r\n"


async def test_a_change_before_the_message_of_which_nobody_can_know(front: Submitted, server: SubmissionServer) -> None:
    async with change_before_the_354(front, front.clean) as client:
        front.evidence.unavailable = True
    assert await client.reply() == b"421 4.7.1 The mail gateway cannot answer now. Mail will come back by itself.\r\n"
    assert await client.closed()
    await until(lambda: server.open == 0)
    assert server.messages == []
    assert front.ended("cut_for_now") == 1


async def test_what_follows_data_while_a_change_is_read_ends_the_session(
    front: Submitted, server: SubmissionServer
) -> None:
    async with change_before_the_354(front, front.clean) as client:
        client.write(b"too early\r\n.\r\n")
        await until(lambda: not next(iter(front.front.admission.connections)).connection.inbox.empty)
    assert (await client.reply())[:9] == b"503 5.5.0"
    assert await client.closed()
    await until(lambda: server.open == 0)
    assert server.messages == []


async def test_a_verdict_that_turns_while_a_command_is_at_the_mail_server(
    front: Submitted, server: SubmissionServer
) -> None:
    front.clean()
    client = await front.client()
    await client.logged_in()
    (seat,) = front.front.admission.connections
    leg = seat.connection.leg  # type: ignore[attr-defined]
    command = leg.command

    async def turned(octets: bytes) -> object:
        front.dirty()
        await until(lambda: bool(seat.connection.last_word))
        return await command(octets)

    leg.command = turned
    assert (await client.ask(MAIL))[:3] == b"250"
    assert (await client.reply())[:9] == b"421 4.7.0"
    assert await client.closed()


async def test_a_verdict_that_turns_while_it_is_loaded(front: Submitted, server: SubmissionServer) -> None:
    """Registered first, judged after: the change that comes in between counts."""
    front.clean()
    front.evidence.gate = asyncio.Event()
    client = await front.client()
    await client.greeted()
    client.write(b"AUTH PLAIN AGFubmEAc2VjcmV0\r\n")
    await until(lambda: front.decision.sessions.count == 1)
    front.dirty()
    front.evidence.gate.set()
    assert (await client.reply())[:3] == b"235"
    assert (await client.ask(MAIL))[:3] == b"550"
    assert "MAIL" not in server.verbs()


async def test_nobody_knows_now(front: Submitted, server: SubmissionServer) -> None:
    """The mail program keeps the message and tries again, on the same connection or another."""
    assert front.decision.policy.version.unavailable is Unavailable.DEFER
    front.evidence.unavailable = True
    client = await front.client()
    assert (await client.logged_in())[:3] == b"235"
    assert await client.ask(MAIL) == (
        b"451 4.7.1 The mail gateway cannot answer now. Mail will come back by itself.\r\n"
    )
    assert "MAIL" not in server.verbs()
    assert front.logins("deferred") == 1
    front.evidence.unavailable = False
    front.clean()
    assert (await client.ask(MAIL))[:3] == b"250"
    assert (await client.ask(b"RCPT TO:<bert@corp.example>"))[:3] == b"250"
    front.evidence.unavailable = True
    front.decision.cache.forget(ANNA)
    assert (await client.ask(b"DATA"))[:9] == b"451 4.7.1"
    assert "DATA" not in server.verbs()


async def test_a_verdict_that_turns_by_time_alone(front: Submitted, server: SubmissionServer) -> None:
    front.dirty()
    await front.ban_from(front.now() + 3600.0)
    client = await front.client()
    await client.logged_in()
    assert (await client.ask(b"NOOP"))[:3] == b"250"
    (seat,) = front.front.admission.connections
    watch = seat.connection._watch  # type: ignore[attr-defined]
    assert watch is not None
    front.now.ahead = 3700.0
    watch._ring()
    assert (await client.reply())[:9] == b"421 4.7.0"
    assert await client.closed()


async def test_what_is_asked_names_the_protocol_and_no_device(front: Submitted) -> None:
    front.clean()
    client = await front.client()
    await client.logged_in()
    (session,) = front.decision.sessions
    assert session.request.login == ANNA
    assert session.request.protocol is Protocol.SMTP
    assert session.request.device_id == ""
    assert session.request.client_address == "127.0.0.1"
    client.close()
    await until(lambda: front.decision.sessions.count == 0)


async def test_a_ban_that_is_only_reported_refuses_nobody(front: Submitted) -> None:
    front.dirty()
    await front.ban()
    client = await front.client()
    await client.logged_in()
    assert (await client.ask(MAIL))[:3] == b"250"
    await front.ban(BAN)
    assert (await client.reply())[:9] == b"421 4.7.0"
