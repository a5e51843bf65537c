"""TLS from the start and by STARTTLS, on both sides; an octet behind STARTTLS ends the connection."""

import asyncio
import ssl

import pytest

from gateway.network.tls import ServerTls
from gateway.protocols.smtp import refusals
from tests.network.authority import Authority
from tests.support.fronted import until
from tests.support.submission_server import SubmissionServer, submission_server
from tests.support.submitted import ANNA, Submitted, plain, submitted


async def send_one(front: Submitted, port: int, tls: ssl.SSLContext | None) -> None:
    """Log in and send a message."""
    client = await front.client(port, tls)
    assert (await client.logged_in())[:3] == b"235"
    await client.at_data()
    assert (await client.ask(b"Hello\r\n."))[:3] == b"250"
    assert (await client.ask(b"QUIT"))[:3] == b"221"
    assert await client.closed()


async def test_tls_from_the_start(server: SubmissionServer, authority: Authority, shown: ServerTls) -> None:
    async with submitted(server.url, cleartext_login=False) as front:
        port = await front.listen(shown, secure=True)
        await send_one(front, port, authority.trust())
        assert server.messages[0].octets == b"Hello\r\n.\r\n"
        client = await front.client(port, authority.trust())
        said = await client.greeted()
        assert b"AUTH PLAIN LOGIN" in said
        assert b"STARTTLS" not in said
        assert (await client.ask(b"STARTTLS"))[:9] == b"503 5.5.1"


async def test_starttls(server: SubmissionServer, authority: Authority, shown: ServerTls) -> None:
    async with submitted(server.url, cleartext_login=False) as front:
        port = await front.listen(shown)
        client = await front.client(port)
        said = await client.greeted()
        assert b"STARTTLS" in said
        assert b"AUTH" not in said
        assert (await client.ask(b"STARTTLS")) == b"220 2.0.0 Ready to start TLS\r\n"
        await client.start_tls(authority.trust())
        # What was said in the clear is forgotten.
        assert (await client.ask(b"AUTH PLAIN " + plain(ANNA)))[:3] == b"503"
        said = await client.ask(b"EHLO again")
        assert b"STARTTLS" not in said
        assert b"AUTH PLAIN LOGIN" in said
        assert (await client.ask(b"AUTH PLAIN " + plain(ANNA)))[:3] == b"235"
        await client.at_data()
        client.write(b"x" * 500_000 + b"\r\n.\r\n")
        assert (await client.reply())[:3] == b"250"
        assert len(server.messages[0].octets) == 500_005
        assert (await client.ask(b"QUIT"))[:3] == b"221"
        assert await client.closed()
    assert front.front.admission.connections == set()


async def test_tls_comes_before_the_login_and_not_behind_it(
    server: SubmissionServer, authority: Authority, shown: ServerTls
) -> None:
    """A second login would take the place of the first, which nobody would end any more."""
    async with submitted(server.url) as front:
        client = await front.client(await front.listen(shown))
        assert (await client.logged_in())[:3] == b"235"
        assert (await client.ask(b"STARTTLS"))[:9] == b"503 5.5.1"
        assert b"STARTTLS" not in await client.ask(b"EHLO phone.example")
        await client.at_data()
        assert (await client.ask(b"."))[:3] == b"250"
        assert (await client.ask(b"QUIT"))[:3] == b"221"
        await until(lambda: front.decision.sessions.count == 0)
        assert front.front.sessions.count == 0


@pytest.mark.parametrize("behind", [b"\0", b"EHLO evil\r\n", b"AUTH PLAIN " + plain("evil") + b"\r\n", b"\x16\x03\x01"])
async def test_an_octet_behind_starttls_ends_the_connection(
    behind: bytes, server: SubmissionServer, shown: ServerTls
) -> None:
    async with submitted(server.url) as front:
        client = await front.client(await front.listen(shown))
        await client.greeted()
        client.write(b"STARTTLS\r\n" + behind)
        assert await client.reply() == b""
        assert await client.closed()
        assert front.ended("octets_behind_starttls") == 1
        assert "AUTH" not in server.verbs()


async def test_starttls_where_there_is_no_certificate(front: Submitted) -> None:
    client = await front.client()
    assert b"STARTTLS" not in await client.greeted()
    assert (await client.ask(b"STARTTLS"))[:9] == b"502 5.5.1"


async def test_an_argument_of_starttls(server: SubmissionServer, shown: ServerTls) -> None:
    async with submitted(server.url) as front:
        client = await front.client(await front.listen(shown))
        await client.greeted()
        assert (await client.ask(b"STARTTLS now"))[:9] == b"501 5.5.4"


async def test_a_handshake_that_fails_leaves_nothing(server: SubmissionServer, shown: ServerTls) -> None:
    async with submitted(server.url) as front:
        client = await front.client(await front.listen(shown))
        await client.greeted()
        await client.ask(b"STARTTLS")
        client.write(b"EHLO in the clear\r\n")
        assert await client.closed()
        await until(lambda: not front.front.admission.connections)
        assert front.ended("tls_failed") == 1


async def test_a_handshake_that_takes_too_long(server: SubmissionServer, shown: ServerTls) -> None:
    async with submitted(server.url, tls_handshake_seconds=0.05) as front:
        client = await front.client(await front.listen(shown))
        await client.greeted()
        await client.ask(b"STARTTLS")
        assert await client.closed()
        await until(lambda: not front.front.admission.connections)
        assert front.counted("gatepost_tls_failed_total", "timeout") == 1


async def test_a_client_that_goes_away_within_its_handshake(server: SubmissionServer, shown: ServerTls) -> None:
    async with submitted(server.url) as front:
        client = await front.client(await front.listen(shown))
        await client.greeted()
        await client.ask(b"STARTTLS")
        client.abort()
        await until(lambda: not front.front.admission.connections)


async def test_a_cut_is_said_within_tls(server: SubmissionServer, authority: Authority, shown: ServerTls) -> None:
    async with submitted(server.url) as front:
        client = await front.client(await front.listen(shown, secure=True), authority.trust())
        front.clean()
        await client.logged_in()
        front.dirty()
        assert (await client.reply())[:9] == b"421 4.7.0"
        assert await client.closed()


@pytest.mark.parametrize("way", ["smtps", "smtp+starttls"])
async def test_the_mail_server_by_tls(way: str, authority: Authority) -> None:
    context = authority.issue("localhost").server()
    async with submission_server(context if way == "smtps" else None) as server:
        server.starttls = context if way == "smtp+starttls" else None
        url = f"{way}://localhost:{server.port}"
        async with submitted(url, upstream_ca=str(authority.certificate)) as front:
            await send_one(front, front.port, None)
            assert server.messages[0].user == ANNA
        other = Authority(authority.directory, "other")
        async with submitted(url, upstream_ca=str(other.certificate)) as front:
            assert (await (await front.client()).logged_in())[:9] == b"454 4.7.0"


async def test_starttls_that_was_taken_out_of_the_answer_is_not_done_without(authority: Authority) -> None:
    async with submission_server() as server:
        url = f"smtp+starttls://localhost:{server.port}"
        async with submitted(url, upstream_ca=str(authority.certificate)) as front:
            assert (await (await front.client()).logged_in())[:9] == b"454 4.7.0"
    assert set(server.verbs()) <= {"EHLO", "QUIT"}


async def test_too_many_connections(server: SubmissionServer, authority: Authority, shown: ServerTls) -> None:
    async with submitted(server.url, max_connections_per_address=2) as front:
        port = await front.listen(shown, secure=True)
        clients = [await front.client() for _ in range(2)]
        for client in clients:
            assert (await client.reply())[:3] == b"220"
        told = await front.client()
        assert await told.reply() == refusals.TOO_MANY_CONNECTIONS + b"\r\n"
        assert await told.closed()
        with pytest.raises(ConnectionError):
            await front.client(port, authority.trust())
        clients[0].close()
        await until(lambda: len(front.front.admission.connections) == 1)
        assert (await (await front.client()).reply())[:3] == b"220"
        await asyncio.sleep(0)
