"""Every wait for somebody else has its bound, and whatever goes wrong leaves neither session nor connection behind."""

import asyncio
import socket
from contextlib import suppress

import pytest

from gateway.domain.access import AccessRequest
from gateway.domain.verdict import Verdict
from gateway.proxies import proved as proved_module
from gateway.proxies.mail.imap import IMAP
from gateway.proxies.mail.session import MailSession
from tests.proxies.mail.conversations import (
    ANNA,
    GREETING,
    LOGGED_IN,
    LOGGED_IN_AS_TOLD,
    LOGIN,
    asked,
    greeted,
    logged_in,
)
from tests.support.fronted import until, until_still
from tests.support.mail_fronted import MailFronted, ScriptedServer, mail_fronted


async def test_who_waits_behind_others_with_the_same_credentials_is_put_off(
    imap: MailFronted, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mail server that says nothing would hold up one after the other, each for its time."""
    monkeypatch.setattr(proved_module, "TURN_SECONDS", 0.05)
    first, second = await greeted(imap), await greeted(imap)
    first.send(LOGIN)
    peer = await asked(server)
    assert (await second.ask(LOGIN)).startswith(b"a NO [UNAVAILABLE] ")
    assert server.unasked
    assert imap.logins("upstream_unavailable") == 1
    imap.clean(ANNA)
    peer.send(LOGGED_IN)
    assert (await first.line()).startswith(b"a OK ")


async def test_a_mail_server_that_goes_on_talking_gains_no_time_by_it(server: ScriptedServer) -> None:
    async with mail_fronted(IMAP, f"imap://127.0.0.1:{server.port}", upstream_login_seconds=0.2) as imap:
        client = await greeted(imap)
        client.send(LOGIN)
        peer = await server.accepted()
        peer.send(GREETING)
        answer = asyncio.create_task(client.line())
        while not answer.done():
            with suppress(ConnectionError):
                peer.send(b"* OK Still thinking\r\n")
                await peer.writer.drain()
            await asyncio.sleep(0.01)
        assert (await answer).startswith(b"a NO [UNAVAILABLE] ")


async def test_a_mistake_of_ours_leaves_nothing_behind(
    imap: MailFronted, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistaken(request: AccessRequest) -> Verdict | None:
        raise RuntimeError("a mistake")

    told = list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    client = await greeted(imap)
    monkeypatch.setattr(imap.decision, "judge", mistaken)
    client.send(LOGIN)
    peer = await asked(server)
    peer.send(LOGGED_IN)
    await client.rest()
    # The mail server hears of it as well.
    assert await peer.rest() == b"g LOGOUT\r\n"
    assert imap.decision.sessions.count == 0
    assert imap.front.sessions.count == 0
    assert len(told) == 1


async def test_who_sends_much_behind_the_login_waits_for_the_mail_server_like_everybody(
    imap: MailFronted, server: ScriptedServer
) -> None:
    """What it sends after that would all be held here, of a mail server that does not take it."""
    imap.clean(ANNA)
    imap.evidence.gate = asyncio.Event()
    client = await greeted(imap)
    client.send(LOGIN + b"b NOOP\r\n" * 40_000)
    peer = await asked(server)
    peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
    small(peer.writer, socket.SO_RCVBUF)
    peer.send(LOGGED_IN)
    await until(lambda: imap.decision.sessions.count == 1)
    (session,) = imap.decision.sessions
    assert isinstance(session, MailSession)
    small(session._upstream.transport, socket.SO_SNDBUF)
    imap.evidence.gate.set()
    assert await client.line() == LOGGED_IN_AS_TOLD
    transport = session._upstream.transport
    assert transport is not None
    client.send(b"b NOOP\r\n" * 1_000_000)
    await until_still(client.writer.transport.get_write_buffer_size)
    # The loop's mark, and one of its reads.
    assert 0 < transport.get_write_buffer_size() < 512 << 10


def small(end: asyncio.StreamWriter | asyncio.Transport | None, buffer: int) -> None:
    """What the kernel holds of this connection, as of a new one to a server far away."""
    assert end is not None
    end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, buffer, 4096)


async def test_what_a_mail_server_said_before_it_hung_up_ends_with_the_verdict(
    imap: MailFronted, server: ScriptedServer
) -> None:
    """A client that takes it slowly must not read on from what is held for it."""
    imap.clean(ANNA)
    client, peer = await logged_in(imap, server)
    (session,) = imap.decision.sessions
    assert isinstance(session, MailSession)
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    peer.send(b"* 1 FETCH (BODY[] {20000000}\r\n" + bytes(20_000_000))
    await until(lambda: session._client.untaken > 65_536)
    assert session._upstream.transport is not None
    session._upstream.transport.abort()
    await until(lambda: imap.sessions("server_closed") == 1)
    assert imap.decision.sessions.count == 1
    imap.dirty(ANNA)
    await until(lambda: imap.decision.sessions.count == 0)
    client.writer.transport.resume_reading()  # type: ignore[attr-defined]
    assert (await client.rest()).endswith(b"(reset)")
    assert imap.front.sessions.count == 0
    assert imap.sessions("server_closed") == 1


async def test_who_takes_all_that_a_mail_server_said_before_it_hung_up_has_it(
    imap: MailFronted, server: ScriptedServer
) -> None:
    imap.clean(ANNA)
    client, peer = await logged_in(imap, server)
    peer.send(b"* 1 FETCH (BODY[] {1000000}\r\n" + bytes(1_000_000) + b")\r\n* BYE\r\n")
    peer.close()
    assert len(await client.rest()) == 1_000_000 + len(b"* 1 FETCH (BODY[] {1000000}\r\n)\r\n* BYE\r\n")
    await until(lambda: imap.decision.sessions.count == 0)
    assert imap.front.sessions.count == 0
    assert imap.sessions("server_closed") == 1
