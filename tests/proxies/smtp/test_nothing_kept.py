"""Nothing is kept of a client that is gone, however it went; no garbage collector has to look for it."""

import asyncio
import weakref
from typing import cast

import pytest
from aiosmtplib.protocol import SMTPProtocol

from gateway.network.tls import ServerTls
from gateway.proxies.smtp.session import Session
from tests.network.authority import Authority
from tests.support.fronted import until
from tests.support.kept import kept
from tests.support.submission_server import SubmissionServer
from tests.support.submitted import ANNA, Submitted, plain, submitted


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("at", ["greeting", "command", "many commands", "message", "quit", "too slow", "ban"])
async def test_nothing_is_kept_of_a_client_that_is_gone(at: str, front: Submitted, server: SubmissionServer) -> None:
    """Of what is in a circle, and of what a timer holds, all would be, TLS too, long after it counts for nobody."""
    client = await front.client()
    if at in ("greeting", "too slow"):
        await client.reply()
    else:
        await client.logged_in()
    (seat,) = front.front.admission.connections
    session = weakref.ref(seat.connection)
    match at:
        case "message":
            await client.at_data()
        case "quit":
            await client.ask(b"QUIT")
        case "too slow":
            seat.connection._timeout_cb()
        case "many commands":
            client.write(b"NOOP\r\nRSET\r\nMAIL FROM:<a@b.example>\r\nNOOP\r\nRSET\r\n")
            await client.reply()
        case "ban":
            front.dirty()
            await client.reply()
    del seat
    client.abort()
    await until(lambda: not front.front.admission.connections and server.open == 0)
    await until(lambda: session() is None)


@pytest.mark.parametrize("reply", [b"220", b"250", b"235"])
async def test_nothing_is_kept_of_one_that_goes_with_the_reply_to_its_login(
    reply: bytes, front: Submitted, server: SubmissionServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncio.wait_for, within the client library, keeps an end to itself that comes with what it waits for."""
    received = SMTPProtocol.data_received
    left: list[bytes] = []

    def receive(protocol: SMTPProtocol, octets: bytes) -> None:
        received(protocol, octets)
        if octets.startswith(reply) and not left:
            (seat,) = front.front.admission.connections
            left.append(octets)
            # uvloop's transports are none of asyncio's by inheritance.
            transport = cast("asyncio.Transport", seat.connection.transport)
            seat.connection.connection_lost(None)
            transport.abort()

    client = await front.client()
    await client.greeted()
    monkeypatch.setattr(SMTPProtocol, "data_received", receive)
    client.write(b"AUTH PLAIN " + plain(ANNA) + b"\r\n")
    await until(lambda: bool(left) and server.open == 0 and not front.front.admission.connections)
    assert not list(front.decision.sessions)
    assert front.front.sessions.count == 0


@pytest.mark.usefixtures("no_collector")
async def test_nothing_is_kept_of_one_whose_message_stopped(server: SubmissionServer) -> None:
    async with submitted(server.url, data_seconds=0.05) as front:
        client = await front.client()
        await client.logged_in()
        (seat,) = front.front.admission.connections
        session = weakref.ref(seat.connection)
        del seat
        await client.at_data()
        client.write(b"half a line")
        assert (await client.reply())[:9] == b"421 4.4.2"
        assert await client.closed()
        client.close()
        await until(lambda: not front.front.admission.connections and server.open == 0)
        await until(lambda: session() is None)


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("how", ["whole", "not TLS at all", "nothing at all", "reset within TLS"])
async def test_nothing_is_kept_of_one_that_began_tls(
    how: str, server: SubmissionServer, shown: ServerTls, authority: Authority
) -> None:
    seconds = 0.1 if how == "nothing at all" else 20.0
    async with submitted(server.url, tls_handshake_seconds=seconds) as front:
        client = await front.client(await front.listen(shown))
        await client.greeted()
        (seat,) = front.front.admission.connections
        session = weakref.ref(seat.connection)
        del seat
        assert (await client.ask(b"STARTTLS"))[:3] == b"220"
        if how == "not TLS at all":
            client.write(b"EHLO phone.example\r\n")
        elif how != "nothing at all":
            await client.start_tls(authority.trust())
            await client.ask(b"EHLO phone.example")
            if how == "whole":
                await client.ask(b"QUIT")
            client.abort()
        await until(lambda: not front.front.admission.connections)
        await until(lambda: session() is None)
        assert front.counted("gatepost_tls_failed_total", "timeout") == (how == "nothing at all")


@pytest.mark.usefixtures("no_collector")
async def test_nothing_is_kept_of_one_too_many(server: SubmissionServer) -> None:
    async with submitted(server.url, max_connections=1) as front:
        await (await front.client()).greeted()
        for _ in range(3):
            assert (await (await front.client()).reply())[:3] == b"421"
        await until(lambda: len(kept(Session)) == 1)
