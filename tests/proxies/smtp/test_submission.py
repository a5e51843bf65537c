"""A message passes as it came, its answers are the mail server's, and nothing is said to be done that is not."""

import asyncio
import os
import re

import pytest

from gateway.proxies.smtp.inbox import Inbox
from tests.support.fronted import until
from tests.support.submission_server import SubmissionServer
from tests.support.submitted import ANNA, Submitted, submitted

MESSAGE = b"Subject: minutes\r\n\r\nOne line.\r\n..stuffed\r\n\r\n"


async def test_a_message_reaches_the_mail_server_octet_by_octet(front: Submitted, server: SubmissionServer) -> None:
    client = await front.client()
    assert (await client.logged_in())[:3] == b"235"
    assert (await client.at_data()) == b"354 End the message with a dot on a line of its own\r\n"
    assert await client.ask(MESSAGE + b".") == b"250 2.0.0 Ok: queued as 4711\r\n"
    assert (await client.ask(b"QUIT"))[:4] == b"221 "
    assert await client.closed()
    (message,) = server.messages
    assert message.octets == MESSAGE + b".\r\n"
    assert message.user == ANNA
    assert message.commands == [b"MAIL FROM:<anna@corp.example>", b"RCPT TO:<bert@corp.example>"]
    assert front.messages("accepted") == 1
    assert front.logins("accepted") == 1
    assert front.ended("quit") == 1
    await until(lambda: server.open == 0)
    assert server.verbs()[-1] == "QUIT"


async def test_nothing_of_the_connection_before_the_login_reaches_the_mail_server(
    front: Submitted, server: SubmissionServer
) -> None:
    client = await front.client()
    await client.greeted()
    asked = server.connections
    for line in (b"MAIL FROM:<a@b.example>", b"RCPT TO:<a@b.example>", b"DATA", b"VRFY anna"):
        assert (await client.ask(line))[:9] == b"530 5.7.0"
    assert (await client.ask(b"NOOP"))[:3] == b"250"
    assert (await client.ask(b"RSET"))[:3] == b"250"
    assert server.connections == asked
    assert "MAIL" not in server.verbs()


async def test_what_is_offered_is_what_the_mail_server_has(front: Submitted, server: SubmissionServer) -> None:
    server.extensions = ["SIZE 1000", "8BITMIME", "XCLIENT ADDR", "CHUNKING"]
    said = await (await front.client()).greeted()
    assert said == b"250-gate.example\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME\r\n"


async def test_each_recipient_has_the_mail_servers_own_answer(front: Submitted, server: SubmissionServer) -> None:
    client = await front.client()
    await client.logged_in()
    server.replies["RCPT"] = [b"550-5.1.1 <a@b.example>: unknown\r\n550 5.1.1 User unknown", b"451 4.2.1 Try later"]
    await client.ask(b"MAIL FROM:<anna@corp.example>")
    assert await client.ask(b"RCPT TO:<a@b.example>") == (
        b"550-5.1.1 <a@b.example>: unknown\r\n550 5.1.1 User unknown\r\n"
    )
    assert await client.ask(b"RCPT TO:<c@b.example>") == b"451 4.2.1 Try later\r\n"
    assert (await client.ask(b"DATA"))[:9] == b"503 5.5.1"
    assert (await client.ask(b"RCPT TO:<d@b.example>"))[:3] == b"250"
    assert (await client.ask(b"DATA"))[:3] == b"354"
    assert (await client.ask(b"."))[:3] == b"250"


async def test_the_mail_servers_no_to_a_message_is_ours(front: Submitted, server: SubmissionServer) -> None:
    client = await front.client()
    await client.logged_in()
    server.replies["."] = [b"554 5.7.1 Spam"]
    await client.at_data()
    assert await client.ask(MESSAGE + b".") == b"554 5.7.1 Spam\r\n"
    assert front.messages("rejected") == 1
    # And the session goes on.
    assert (await client.at_data())[:3] == b"354"
    assert (await client.ask(b"."))[:3] == b"250"


async def test_the_mail_servers_no_to_data_is_ours(front: Submitted, server: SubmissionServer) -> None:
    client = await front.client()
    await client.logged_in()
    server.replies["DATA"] = [b"451 4.3.0 Not now"]
    assert await client.at_data() == b"451 4.3.0 Not now\r\n"
    assert (await client.ask(b"RSET"))[:3] == b"250"
    assert "RSET" in server.verbs()


async def test_parameters_pass_with_their_case(front: Submitted, server: SubmissionServer) -> None:
    client = await front.client()
    await client.logged_in()
    mail = "MAIL FROM:<grüße@corp.example> SIZE=100 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QqZz+2B1"
    rcpt = b"RCPT TO:<bert@corp.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bert+40Corp.example"
    assert (await client.ask(mail.encode()))[:3] == b"250"
    assert (await client.ask(rcpt))[:3] == b"250"
    assert server.commands[-2:] == [mail.encode(), rcpt]


async def test_pipelined_commands_are_answered_in_order(front: Submitted, server: SubmissionServer) -> None:
    client = await front.client()
    await client.logged_in()
    server.replies["RCPT"] = [b"250 2.1.5 one", b"550 5.1.1 two", b"250 2.1.5 three"]
    client.write(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<1@b.example>\r\nRCPT TO:<2@b.example>\r\n")
    client.write(b"RCPT TO:<3@b.example>\r\nDATA\r\n")
    said = [await client.reply() for _ in range(5)]
    assert [each.split()[0] for each in said] == [b"250", b"250", b"550", b"250", b"354"]
    client.write(MESSAGE + b".\r\nRSET\r\nNOOP\r\nQUIT\r\n")
    assert [(await client.reply())[:3] for _ in range(4)] == [b"250", b"250", b"250", b"221"]
    assert server.messages[0].octets == MESSAGE + b".\r\n"


@pytest.mark.parametrize("size", [1, 1000, 65536, 300_000])
async def test_a_message_in_pieces_of_any_size(size: int, front: Submitted, server: SubmissionServer) -> None:
    client = await front.client()
    await client.logged_in()
    await client.at_data()
    body = MESSAGE * (2 if size == 1 else 20_000)
    for at in range(0, len(body), size):
        client.write(body[at : at + size])
        await client.drain()
    assert (await client.ask(b"."))[:3] == b"250"
    assert server.messages[0].octets == body + b".\r\n"


async def test_a_large_message_is_never_held_whole(
    front: Submitted, server: SubmissionServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = 0
    receive = Inbox.receive

    def noted(inbox: Inbox, octets: bytes) -> None:
        nonlocal held
        receive(inbox, octets)
        held = max(held, len(inbox._lines._octets))

    monkeypatch.setattr(Inbox, "receive", noted)
    client = await front.client()
    await client.logged_in()
    await client.at_data()
    line = re.sub(rb"[\r\n.\0]", b"x", os.urandom(76)) + b"\r\n"
    for _ in range(200):
        client.write(line * 1600)
        await client.drain()
    assert (await client.ask(b"."))[:3] == b"250"
    assert server.messages[0].octets == line * 320_000 + b".\r\n"
    assert 1000 < held < 400_000


async def test_a_mail_server_that_takes_nothing_stops_the_client(front: Submitted, server: SubmissionServer) -> None:
    """Its octets stay in the kernel and at the client; what waits here is bounded."""
    client = await front.client()
    await client.logged_in()
    await client.at_data()
    server.held = asyncio.Event()
    leg = next(iter(front.front.admission.connections)).connection.leg  # type: ignore[attr-defined]
    never = asyncio.Event()
    taken = leg.until_taken

    async def not_now() -> None:
        await never.wait()
        await taken()

    leg.until_taken = not_now
    (seat,) = front.front.admission.connections
    sent = 0
    while not seat.connection.inbox._paused:
        client.write(b"x" * 998 + b"\r\n")
        sent += 1000
        await asyncio.sleep(0)
        assert sent < 100_000_000
    assert len(seat.connection.inbox._lines._octets) < 400_000
    never.set()
    server.held.set()
    assert (await client.ask(b"."))[:3] == b"250"
    assert len(server.messages[0].octets) == sent + 3


async def test_noop_and_rset_reach_the_mail_server(front: Submitted, server: SubmissionServer) -> None:
    client = await front.client()
    await client.logged_in()
    server.replies["NOOP"] = [b"250 2.0.0 I am here"]
    assert await client.ask(b"NOOP") == b"250 2.0.0 I am here\r\n"
    await client.ask(b"MAIL FROM:<a@b.example>")
    assert (await client.ask(b"RSET"))[:3] == b"250"
    assert server.verbs()[-2:] == ["MAIL", "RSET"]
    assert (await client.ask(b"RCPT TO:<a@b.example>"))[:3] == b"503"


async def test_another_ehlo_forgets_the_transaction(front: Submitted, server: SubmissionServer) -> None:
    client = await front.client()
    await client.logged_in()
    await client.ask(b"MAIL FROM:<a@b.example>")
    assert (await client.ask(b"EHLO again"))[:3] == b"250"
    assert server.verbs()[-1] == "RSET"
    assert (await client.ask(b"DATA"))[:3] == b"503"
    assert (await client.ask(b"MAIL FROM:<a@b.example>"))[:3] == b"250"


async def test_many_sessions_have_connections_of_their_own(front: Submitted, server: SubmissionServer) -> None:
    async def one(number: int) -> None:
        client = await front.client()
        await client.logged_in(f"user{number}")
        await client.at_data()
        assert (await client.ask(b"message %d\r\n." % number))[:3] == b"250"

    await asyncio.gather(*(one(number) for number in range(20)))
    assert sorted((each.user, each.octets) for each in server.messages) == sorted(
        (f"user{number}", b"message %d\r\n.\r\n" % number) for number in range(20)
    )


async def test_a_name_that_is_shown_upstream_is_the_one_that_was_given(server: SubmissionServer) -> None:
    async with submitted(server.url) as front:
        client = await front.client()
        await client.logged_in("Anna")
        await client.at_data()
        await client.ask(b".")
        assert server.messages[0].user == "Anna"
        assert [each.login for each in (session.request for session in front.decision.sessions)] == [ANNA]
