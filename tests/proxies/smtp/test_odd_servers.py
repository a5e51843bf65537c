"""A mail server that is lost, late, early or out of its mind: the client is never told that a message was taken."""

import asyncio
import socket
from contextlib import ExitStack, suppress

import pytest

from gateway.proxies.smtp.upstream import connected
from tests.support.fronted import until
from tests.support.kept import kept
from tests.support.submission_server import SubmissionServer
from tests.support.submitted import Submitted, submitted


@pytest.mark.parametrize("reply", [b"", b"421 4.3.2 Shutting down", b"354 go on", b"100 hm", b"nonsense", b"99999 x"])
@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "NOOP", "RSET", "DATA"])
async def test_a_command_without_a_usable_answer_ends_both_connections(
    reply: bytes, verb: str, front: Submitted, server: SubmissionServer
) -> None:
    if verb == "DATA" and reply[:3] == b"354":
        pytest.skip("is its answer")
    client = await front.client()
    await client.logged_in()
    server.replies[verb] = [reply]
    lines = {"MAIL": b"MAIL FROM:<a@b.example>", "RCPT": b"RCPT TO:<a@b.example>"}
    said = b""
    for each in ("NOOP", "MAIL", "RCPT", "RSET") if verb in ("NOOP", "RSET") else ("MAIL", "RCPT", "DATA"):
        said = await client.ask(lines.get(each, each.encode()))
        if each == verb:
            break
    assert said[:3] == b"421"
    assert await client.closed()
    assert front.ended("upstream_lost") == 1
    assert server.messages == []


@pytest.mark.parametrize("reply", [b"", b"nonsense", b"354 more", b"100 hm"])
async def test_a_message_without_an_answer_is_of_unknown_outcome(
    reply: bytes, front: Submitted, server: SubmissionServer
) -> None:
    client = await front.client()
    await client.logged_in()
    server.replies["."] = [reply]
    await client.at_data()
    assert (await client.ask(b"whole\r\n."))[:9] == b"451 4.4.2"
    assert front.messages("unknown") == 1
    assert front.messages("accepted") == 0


async def test_a_message_whose_answer_takes_too_long(server: SubmissionServer) -> None:
    server.held = asyncio.Event()
    async with submitted(server.url, upstream_reply_seconds=0.05) as front:
        client = await front.client()
        await client.logged_in()
        await client.at_data()
        assert (await client.ask(b"whole\r\n."))[:9] == b"451 4.4.2"
        assert (await client.reply())[:9] == b"421 4.4.2"
        assert await client.closed()
        assert front.messages("unknown") == 1


async def test_a_421_in_place_of_the_answer(front: Submitted, server: SubmissionServer) -> None:
    client = await front.client()
    await client.logged_in()
    server.replies["."] = [b"421 4.3.2 Shutting down"]
    await client.at_data()
    assert (await client.ask(b"whole\r\n."))[:9] == b"451 4.4.2"
    assert front.messages("upstream_lost") == 1


async def test_a_no_before_the_message_is_whole(front: Submitted, server: SubmissionServer) -> None:
    client = await front.client()
    await client.logged_in()
    await client.at_data()
    server.replies["early"] = [b"552 5.3.4 Too big for me"]
    (seat,) = front.front.admission.connections
    leg = seat.connection.leg  # type: ignore[attr-defined]
    client.write(b"first\r\n")
    await until(lambda: leg.early_reply is not None)
    assert (await client.ask(b"second\r\n."))[:9] == b"552 5.3.4"
    assert server.messages == []
    assert front.messages("rejected") == 1


async def test_a_yes_before_the_message_is_whole_is_no_yes(front: Submitted, server: SubmissionServer) -> None:
    client = await front.client()
    await client.logged_in()
    await client.at_data()
    server.replies["early"] = [b"250 2.0.0 Thanks already"]
    (seat,) = front.front.admission.connections
    leg = seat.connection.leg  # type: ignore[attr-defined]
    client.write(b"first\r\n")
    await until(lambda: leg.early_reply is not None)
    assert (await client.ask(b"second\r\n."))[:9] == b"451 4.4.2"
    assert front.messages("accepted") == 0


async def test_a_mail_server_that_goes_within_a_message(front: Submitted, server: SubmissionServer) -> None:
    client = await front.client()
    await client.logged_in()
    await client.at_data()
    server.replies["early"] = [b""]
    (seat,) = front.front.admission.connections
    leg = seat.connection.leg  # type: ignore[attr-defined]
    client.write(b"first\r\n")
    await until(lambda: leg.early_reply is not None)
    assert (await client.ask(b"second\r\n."))[:9] == b"451 4.4.2"
    assert front.messages("upstream_lost") == 1
    assert await client.reply() == b"421 4.4.2 The mail server does not answer: try again later\r\n"


async def test_a_mail_server_that_hangs_up_between_two_commands(front: Submitted, server: SubmissionServer) -> None:
    client = await front.client()
    await client.logged_in()
    server.replies["NOOP"] = [b""]
    assert (await client.ask(b"NOOP"))[:3] == b"421"


async def test_of_several_addresses_the_first_that_answers(server: SubmissionServer) -> None:
    """Where the PROXY header goes ahead the connection is our own."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = (socket.AF_INET, closed.getsockname())
        good = (socket.AF_INET, ("127.0.0.1", server.port))
        for before in (nobody, (socket.AF_APPLETALK, ("127.0.0.1", 1))):
            sock = await connected([before, good], 10.0)
            assert sock.getpeername() == ("127.0.0.1", server.port)
            sock.close()
        with pytest.raises(ConnectionRefusedError):
            await connected([nobody, nobody], 10.0)


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("last_answers", [True, False])
async def test_nothing_is_kept_of_addresses_that_did_not_answer(last_answers: bool) -> None:
    with socket.socket() as closed, socket.create_server(("127.0.0.1", 0)) as listening:
        closed.bind(("127.0.0.1", 0))
        nobody, good = ((socket.AF_INET, each.getsockname()) for each in (closed, listening))
        before = len(kept(socket.socket))
        with suppress(ConnectionRefusedError):
            (await connected([nobody, good if last_answers else nobody], 10.0)).close()
        await until(lambda: len(kept(socket.socket)) == before)


async def test_an_address_that_is_silent_uses_up_its_own_time_only(server: SubmissionServer) -> None:
    with ExitStack() as kept:
        silent = kept.enter_context(socket.socket())
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        # Linux answers no more of them while one waits to be accepted.
        for _ in range(3):
            filler = kept.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(silent.getsockname())
        sock = await connected(
            [(socket.AF_INET, silent.getsockname()), (socket.AF_INET, ("127.0.0.1", server.port))], 0.4
        )
        assert sock.getpeername() == ("127.0.0.1", server.port)
        sock.close()
        with pytest.raises(TimeoutError):
            await connected([(socket.AF_INET, silent.getsockname())], 0.1)


async def test_a_greeting_that_is_none(server: SubmissionServer) -> None:
    async with submitted(server.url) as front:
        client = await front.client()
        await client.greeted()
        for reply in (b"554 5.3.2 Go away", b"nonsense", b"", b"220" + b"-x" * 40_000):
            server.replies[""] = [reply]
            assert (await client.ask(b"AUTH PLAIN AGFubmEAc2VjcmV0"))[:9] == b"454 4.7.0"
        assert (await client.ask(b"AUTH PLAIN AGFubmEAc2VjcmV0"))[:3] == b"235"


async def test_endless_answers_are_not_kept(front: Submitted, server: SubmissionServer) -> None:
    client = await front.client()
    await client.logged_in()
    server.replies["NOOP"] = [b"250-" + b"x" * 100_000]
    assert (await client.ask(b"NOOP"))[:3] == b"421"


async def test_a_mail_server_that_is_silent(server: SubmissionServer) -> None:
    async with submitted(server.url, upstream_command_seconds=1.0) as front:
        client = await front.client()
        await client.logged_in()
        server.held = asyncio.Event()
        server.replies["NOOP"] = [b"250-and"]
        assert (await client.ask(b"NOOP"))[:9] == b"421 4.4.2"
        assert await client.closed()


async def test_the_mail_server_is_asked_at_the_start_and_again_when_it_is_back(server: SubmissionServer) -> None:
    server.replies["EHLO"] = [b"", b""]
    async with submitted(server.url, start=True) as front:
        assert front.front.status()["upstreams"] == [{"url": server.url, "healthy": False}]
        client = await front.client()
        await client.greeted()
        assert b"DSN" in await client.ask(b"EHLO again")
        assert front.front.status()["upstreams"] == [{"url": server.url, "healthy": True}]


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "AUTH"])
async def test_two_answers_to_one_command(verb: str, front: Submitted, server: SubmissionServer) -> None:
    """The second one would be taken for the answer to what comes next: a yes, whatever the server says then."""
    usual = {"DATA": b"354 go on", "AUTH": b"235 2.7.0 Welcome"}.get(verb, b"250 2.1.0 Ok")
    server.replies[verb] = [usual + b"\r\n250 2.0.0 Ok, and once more"]
    server.replies["."] = [b"554 5.6.0 Not this message"]
    client = await front.client()
    said = await client.logged_in()
    for each in (b"MAIL FROM:<a@b.example>", b"RCPT TO:<a@b.example>", b"DATA", b"."):
        if said[:1] == b"4":
            break
        said = await client.ask(each)
    assert said[:3] == (b"454" if verb == "AUTH" else b"421")
    assert server.messages == []
    assert front.messages("accepted") == 0


async def test_more_than_the_greeting(front: Submitted, server: SubmissionServer) -> None:
    server.replies[""] = [b"220 mail.example ESMTP\r\n250 AUTH PLAIN"] * 3
    client = await front.client()
    assert (await client.logged_in())[:3] == b"454"
    assert front.logins("upstream_unavailable") == 1
