"""What the front does whatever is spoken: TLS, the client's address, back-pressure, limits, deadlines, drain."""

import asyncio
import socket
import struct
from contextlib import suppress
from dataclasses import replace

import pytest

from gateway.network.tls import ServerTls
from gateway.proxies.mail.imap import IMAP
from tests.network.authority import Authority
from tests.proxies.mail.conversations import (
    ANNA,
    LOGGED_IN,
    LOGGED_IN_AS_TOLD,
    LOGIN,
    PLAIN,
    asked,
    greeted,
    idling,
    logged_in,
)
from tests.support.fronted import until, until_still
from tests.support.mail_fronted import MailFronted, Peer, ScriptedServer, mail_fronted, scripted_server

RESTARTS = b"* BYE The mail gateway restarts. Mail comes back at once.\r\n"
NO_LOGIN = b"* OK [CAPABILITY IMAP4rev1 SASL-IR ID STARTTLS LOGINDISABLED] Mail gateway ready.\r\n"


def url(server: ScriptedServer, scheme: str = "imap") -> str:
    return f"{scheme}://127.0.0.1:{server.port}"


# --- TLS with the client


async def test_without_tls_nobody_logs_in(server: ScriptedServer, authority: Authority) -> None:
    tls = ServerTls(authority.issue().files(alpn=("imap",)))
    async with mail_fronted(IMAP, url(server), tls, cleartext_login=False) as imap:
        client = await imap.client()
        assert await client.line() == NO_LOGIN
        assert (await client.ask(LOGIN)).startswith(b"a NO [PRIVACYREQUIRED]")
        assert (await client.ask(b"a AUTHENTICATE PLAIN %b\r\n" % PLAIN)).startswith(b"a NO [PRIVACYREQUIRED]")
        assert server.unasked


async def test_starttls_begins_anew(server: ScriptedServer, authority: Authority) -> None:
    tls = ServerTls(authority.issue().files(alpn=("imap",)))
    async with mail_fronted(IMAP, url(server), tls, cleartext_login=False) as imap:
        imap.clean(ANNA)
        client = await imap.client()
        await client.line()
        assert await client.ask(b"s STARTTLS\r\n") == b"s OK Begin TLS.\r\n"
        await client.start_tls(authority.trust())
        # No second greeting (RFC 9051 §6.2.1).
        assert await client.ask(b"c CAPABILITY\r\n") == b"* CAPABILITY IMAP4rev1 SASL-IR ID AUTH=PLAIN AUTH=LOGIN\r\n"
        await client.line()
        assert (await client.ask(b"s STARTTLS\r\n")).startswith(b"s BAD ")
        client.send(LOGIN)
        peer = await asked(server)
        peer.send(LOGGED_IN)
        await client.expect(LOGGED_IN_AS_TOLD)
        imap.dirty(ANNA)
        assert (await client.rest()).startswith(b"* BYE [ALERT]")


async def test_an_octet_behind_starttls_ends_the_connection(server: ScriptedServer, authority: Authority) -> None:
    tls = ServerTls(authority.issue().files(alpn=("imap",)))
    async with mail_fronted(IMAP, url(server), tls, cleartext_login=False) as imap:
        client = await imap.client()
        await client.line()
        client.send(b"s STARTTLS\r\n" + LOGIN)
        assert await client.rest() in (b"", b"(reset)")
        assert imap.counted("gatepost_mail_ended_before_login_total", "imap", "octets_behind_starttls") == 1
        assert server.unasked


async def test_a_handshake_that_fails_leaves_nothing(server: ScriptedServer, authority: Authority) -> None:
    tls = ServerTls(authority.issue().files())
    async with mail_fronted(IMAP, url(server), tls, cleartext_login=False) as imap:
        client = await imap.client()
        await client.line()
        assert await client.ask(b"s STARTTLS\r\n") == b"s OK Begin TLS.\r\n"
        client.send(b"c CAPABILITY\r\n" * 3)
        await client.rest()
        assert sum(imap.metrics.families["gatepost_tls_failed_total"].values.values()) == 1
        await until(lambda: not imap.front.admission.connections)
        silent = await imap.client()
        await silent.line()
        assert await silent.ask(b"s STARTTLS\r\n") == b"s OK Begin TLS.\r\n"
        imap.clock.ahead += imap.front.settings.tls_handshake_seconds + 1
        imap.front.sweep()
        assert await silent.rest() in (b"", b"(reset)")
        await until(lambda: not imap.front.admission.connections)
        assert imap.front.admission.by_address == {}


async def test_tls_first(server: ScriptedServer, authority: Authority) -> None:
    tls = ServerTls(authority.issue().files(alpn=("imap",)))
    async with mail_fronted(IMAP, url(server), tls, secure=True, cleartext_login=False) as imap:
        imap.clean(ANNA)
        client = await imap.client(trusted=authority.trust())
        assert b" STARTTLS" not in await client.line()
        client.send(LOGIN)
        (await asked(server)).send(LOGGED_IN)
        await client.expect(LOGGED_IN_AS_TOLD)
        imap.dirty(ANNA)
        assert (await client.rest()).startswith(b"* BYE [ALERT]")


# --- TLS with the mail server


async def test_a_mail_server_with_tls_first(authority: Authority) -> None:
    async with scripted_server(authority.issue().server()) as server:
        ca = str(authority.certificate)
        async with mail_fronted(IMAP, url(server, "imaps"), upstream_ca=ca) as imap:
            imap.clean(ANNA)
            await logged_in(imap, server)


async def test_a_mail_server_with_starttls(server: ScriptedServer, authority: Authority) -> None:
    """What it lists in the clear is not believed, and it is asked again within TLS."""
    ca = str(authority.certificate)
    async with mail_fronted(IMAP, url(server, "imap+starttls"), upstream_ca=ca) as imap:
        imap.clean(ANNA)
        client = await greeted(imap)
        client.send(LOGIN)
        peer = await server.accepted()
        peer.send(b"* OK [CAPABILITY IMAP4rev1 LOGINDISABLED] ready\r\n")
        await peer.expect(b"g STARTTLS\r\n")
        peer.send(b"g OK begin\r\n")
        await peer.writer.start_tls(authority.issue().server())
        await peer.expect(b"g CAPABILITY\r\n")
        peer.send(b"* CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN\r\ng OK done\r\n")
        await peer.expect(b"a AUTHENTICATE PLAIN %b\r\n" % PLAIN)
        peer.send(LOGGED_IN)
        await client.expect(LOGGED_IN_AS_TOLD)


@pytest.mark.parametrize("scheme", ["imaps", "imap+starttls"])
async def test_a_mail_server_whose_certificate_is_not_trusted(authority: Authority, scheme: str) -> None:
    """No password goes to it."""
    context = authority.issue().server()
    first = scheme == "imaps"
    async with (
        scripted_server(context if first else None) as server,
        mail_fronted(IMAP, url(server, scheme)) as imap,
    ):
        client = await greeted(imap)
        client.send(LOGIN)
        if not first:
            peer = await server.accepted()
            peer.send(b"* OK ready\r\n")
            await peer.line()
            peer.send(b"g OK begin\r\n")
            with suppress(OSError):
                await peer.writer.start_tls(context)
            assert await peer.rest() in (b"", b"(reset)")
        assert (await client.line()).startswith(b"a NO [UNAVAILABLE] ")
        assert not imap.front.server.reached


# --- whose connection it is


async def test_the_clients_address_goes_to_the_mail_server_and_what_it_claims_does_not(
    imap: MailFronted, server: ScriptedServer
) -> None:
    client = await greeted(imap, "127.0.0.9")
    port = client.writer.get_extra_info("sockname")[1]
    client.send(b'i ID ("name" "x" "x-originating-ip" "192.0.2.66")\r\n')
    await client.expect(b'* ID ("name" "Gatepost")\r\ni OK ID completed.\r\n')
    client.send(LOGIN)
    peer = await server.accepted()
    peer.send(b"* OK [CAPABILITY IMAP4rev1 SASL-IR ID AUTH=PLAIN] ready\r\n")
    told = b'a.g ID ("x-originating-ip" "127.0.0.9" "x-originating-port" "%d")\r\n' % port
    await peer.expect(told + b"a AUTHENTICATE PLAIN %b\r\n" % PLAIN)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
async def test_on_a_listener_for_both_families(imap: MailFronted, server: ScriptedServer) -> None:
    """As systemd's ListenStream=993 makes one: IPv4 stays IPv4."""
    sock = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    imap.address = ("127.0.0.1", sock.getsockname()[1])
    await imap.front.listen(sock, None, secure=False)
    client = await greeted(imap, "127.0.0.9")
    client.send(LOGIN)
    peer = await server.accepted()
    peer.send(b"* OK [CAPABILITY IMAP4rev1 SASL-IR ID AUTH=PLAIN] ready\r\n")
    assert (await peer.line()).startswith(b'a.g ID ("x-originating-ip" "127.0.0.9" ')


@pytest.mark.parametrize("version", ["proxy-v1", "proxy-v2"])
async def test_by_the_proxy_protocol(server: ScriptedServer, version: str) -> None:
    async with mail_fronted(IMAP, url(server), client_address=version) as imap:
        client = await greeted(imap, "127.0.0.9")
        port = client.writer.get_extra_info("sockname")[1]
        client.send(LOGIN)
        peer = await server.accepted()
        if version == "proxy-v1":
            await peer.expect(b"PROXY TCP4 127.0.0.9 127.0.0.1 %d %d\r\n" % (port, imap.address[1]))
        else:
            await peer.expect(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x09\x7f\0\0\x01")
            assert struct.unpack("!HH", await peer.exactly(4)) == (port, imap.address[1])
        peer.send(b"* OK [CAPABILITY IMAP4rev1 SASL-IR ID AUTH=PLAIN] ready\r\n")
        # Nothing more of it by the other means.
        await peer.expect(b"a AUTHENTICATE PLAIN %b\r\n" % PLAIN)


# --- flow


async def test_a_client_that_takes_nothing_stops_the_mail_server(imap: MailFronted, server: ScriptedServer) -> None:
    imap.clean(ANNA)
    client, peer = await logged_in(imap, server)
    size = 40 << 20
    peer.send(b"* 1 FETCH (BODY[] {%d}\r\n" % size)
    sending = asyncio.create_task(pour(peer, size))
    (connection,) = imap.front.admission.connections
    await until_still(lambda: float(connection.untaken))
    assert not sending.done()
    assert connection.untaken < 1 << 20
    await client.line()
    assert (await client.exactly(size)).count(b"x") == size
    await sending


async def test_a_mail_server_that_takes_nothing_stops_the_client(imap: MailFronted, server: ScriptedServer) -> None:
    imap.clean(ANNA)
    client, peer = await logged_in(imap, server)
    size = 40 << 20
    client.send(b"b APPEND INBOX {%d}\r\n" % size)
    sending = asyncio.create_task(pour(client, size))
    await until_still(lambda: float(client.writer.transport.get_write_buffer_size()))
    assert not sending.done()
    await peer.line()
    assert (await peer.exactly(size)).count(b"x") == size
    await sending


async def pour(peer: Peer, size: int) -> None:
    piece = b"x" * (1 << 16)
    for _ in range(size // len(piece)):
        peer.send(piece)
        await peer.writer.drain()


# --- limits


async def test_one_connection_too_many_is_told(server: ScriptedServer) -> None:
    async with mail_fronted(IMAP, url(server), max_connections_per_address=1) as imap:
        await greeted(imap)
        client = await imap.client()
        assert (await client.rest()).startswith(b"* BYE [UNAVAILABLE] ")
        assert imap.counted("gatepost_connections_refused_total", "address") == 1
        await greeted(imap, "127.0.0.2")


async def test_who_does_not_log_in_in_time(imap: MailFronted) -> None:
    client = await greeted(imap)
    imap.clock.ahead += imap.front.settings.login_seconds - 1
    imap.front.sweep()
    client.send(b"a NOOP\r\n")
    assert await client.line() == b"a OK NOOP completed.\r\n"
    imap.clock.ahead += 2
    imap.front.sweep()
    assert await client.rest() == b"* BYE Logging in took too long.\r\n"


async def test_who_says_nothing_for_too_long_but_never_under_half_an_hour(
    imap: MailFronted, server: ScriptedServer
) -> None:
    imap.clean(ANNA)
    client, peer = await idling(imap, server)
    imap.clock.ahead += 1_800
    imap.front.sweep()
    peer.send(b"* OK Still here\r\n")
    assert await client.line() == b"* OK Still here\r\n"
    imap.clock.ahead += imap.front.settings.idle_seconds + 1
    imap.front.sweep()
    assert await client.rest() == b"* BYE Nothing was said for too long.\r\n"
    assert imap.sessions("timed_out") == 1


async def test_a_mail_server_that_does_not_answer(imap: MailFronted, server: ScriptedServer) -> None:
    imap.front.server.settings = replace(imap.front.settings, upstream_login_seconds=0.05)
    client = await greeted(imap)
    client.send(LOGIN)
    await server.accepted()
    assert (await client.line()).startswith(b"a NO [UNAVAILABLE] ")


async def test_who_hangs_up_while_the_login_is_asked_about(imap: MailFronted, server: ScriptedServer) -> None:
    client = await greeted(imap)
    client.send(LOGIN)
    peer = await asked(server)
    client.close()
    assert await peer.rest() in (b"", b"(reset)")
    await until(lambda: not imap.front.admission.connections)
    assert imap.decision.sessions.count == 0
    assert imap.logins("client_gone") == 1


async def test_who_hangs_up_takes_the_other_side_along(imap: MailFronted, server: ScriptedServer) -> None:
    imap.clean(ANNA)
    client, peer = await logged_in(imap, server)
    client.send(b"b NOOP\r\n")
    client.close()
    assert await peer.rest() == b"b NOOP\r\n"
    await until(lambda: imap.decision.sessions.count == 0)
    assert imap.sessions("client_gone") == 1


# --- the end


async def test_draining_ends_those_at_rest_and_waits_for_the_others(imap: MailFronted, server: ScriptedServer) -> None:
    imap.clean(ANNA)
    fresh = await greeted(imap)
    waiting, _ = await idling(imap, server)
    busy, its_server = await logged_in(imap, server)
    its_server.send(b"* 1 FETCH (BODY[] {5}\r\nab")
    await busy.line()
    await busy.exactly(2)
    imap.clock.ahead += 2
    draining = asyncio.create_task(imap.front.drain(20))
    assert (
        await fresh.rest() == await waiting.rest() == b"* BYE The mail gateway restarts. Mail comes back at once.\r\n"
    )
    assert not draining.done()
    its_server.send(b"cde)\r\n")
    await busy.expect(b"cde)\r\n")
    imap.clock.ahead += 2
    assert await busy.rest() == RESTARTS
    await draining
    assert imap.sessions("drained") == 2


async def test_who_has_just_come_may_log_in_where_others_serve_already(
    imap: MailFronted, server: ScriptedServer
) -> None:
    """A successor accepts on the same socket: a connection that this one has accepted must not be turned away."""
    imap.clean(ANNA)
    client = await greeted(imap)
    draining = asyncio.create_task(imap.front.drain(20, handed_over=True))
    await until(lambda: imap.front.draining)
    client.send(LOGIN)
    (await asked(server)).send(LOGGED_IN)
    await client.expect(LOGGED_IN_AS_TOLD)
    imap.clock.ahead += 3
    assert await client.rest() == RESTARTS
    await draining


async def test_draining_comes_to_an_end(imap: MailFronted, server: ScriptedServer) -> None:
    imap.clean(ANNA)
    client, peer = await logged_in(imap, server)
    peer.send(b"* 1 FETCH (BODY[] {5}\r\nab")
    await client.line()
    await client.exactly(2)
    await imap.front.drain(0.05)
    assert await client.rest() == b"(reset)"
