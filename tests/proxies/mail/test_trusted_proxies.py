"""Balancers before IMAP and POP3: whose connection it is comes from their header, and from nobody else's."""

import structlog

from gateway.network.tls import ServerTls
from gateway.protocols.proxy_protocol import version_1, version_2
from gateway.proxies.mail.imap import IMAP
from gateway.proxies.mail.pop3 import POP3
from tests.network.authority import Authority
from tests.proxies.mail.conversations import ANNA, GREETING, LOGIN
from tests.support.fronted import until
from tests.support.mail_fronted import ScriptedServer, mail_fronted

CLIENT, OURS = ("192.0.2.7", 4711), ("198.51.100.1", 993)
BALANCER = ("127.0.0.1/32",)


def url(server: ScriptedServer) -> str:
    return f"imap://127.0.0.1:{server.port}"


async def test_the_clients_address_is_the_one_in_the_header(server: ScriptedServer) -> None:
    """For the mail server, for the verdict and the log; and the commands may stand right behind it."""
    async with mail_fronted(IMAP, url(server), trusted_proxies=BALANCER) as imap:
        imap.clean(ANNA)
        client = await imap.client()
        client.send(version_1(CLIENT, OURS) + LOGIN)
        assert (await client.line()).startswith(b"* OK [CAPABILITY ")
        peer = await server.accepted()
        peer.send(GREETING)
        assert b'"x-originating-ip" "192.0.2.7" "x-originating-port" "4711"' in await peer.line()
        await peer.line()
        peer.send(b"a OK in\r\n")
        assert await client.line() == b"a OK in\r\n"
        (session,) = imap.decision.sessions
        assert session.request.client_address == "192.0.2.7"
        assert dict(imap.front.admission.by_address) == {"192.0.2.7": 1}


async def test_it_goes_on_to_the_mail_server_by_the_same_protocol(server: ScriptedServer) -> None:
    async with mail_fronted(IMAP, url(server), trusted_proxies=BALANCER, client_address="proxy-v2") as imap:
        client = await imap.client()
        client.send(version_2(CLIENT, OURS) + LOGIN)
        await (await server.accepted()).expect(version_2(CLIENT, OURS))


async def test_within_tls_and_before_starttls(server: ScriptedServer, authority: Authority) -> None:
    tls = ServerTls(authority.issue().files(alpn=("imap",)))
    async with mail_fronted(IMAP, url(server), tls, secure=True, trusted_proxies=BALANCER) as imap:
        client = await imap.client()
        client.send(version_2(CLIENT, OURS))
        await client.start_tls(authority.trust())
        assert (await client.line()).startswith(b"* OK [CAPABILITY ")
        assert dict(imap.front.admission.by_address) == {"192.0.2.7": 1}
    async with mail_fronted(IMAP, url(server), tls, trusted_proxies=BALANCER, cleartext_login=False) as imap:
        client = await imap.client()
        client.send(version_1(CLIENT, OURS))
        assert b"STARTTLS" in await client.line()
        assert (await client.ask(b"s STARTTLS\r\n")).startswith(b"s OK")
        await client.start_tls(authority.trust())
        assert (await client.ask(b"n NOOP\r\n")).startswith(b"n OK")
        assert dict(imap.front.admission.by_address) == {"192.0.2.7": 1}


async def test_a_header_from_outside_is_a_bad_command(server: ScriptedServer) -> None:
    async with mail_fronted(IMAP, url(server), trusted_proxies=BALANCER) as imap:
        client = await imap.client("127.0.0.2")
        assert (await client.line()).startswith(b"* OK [CAPABILITY ")
        assert b" BAD " in await client.ask(version_1(CLIENT, OURS))
        assert dict(imap.front.admission.by_address) == {"127.0.0.2": 1}
        assert server.unasked


async def test_a_balancer_without_a_header_is_told_nothing(server: ScriptedServer) -> None:
    async with mail_fronted(IMAP, url(server), trusted_proxies=BALANCER) as imap:
        client = await imap.client()
        with structlog.testing.capture_logs() as lines:
            client.send(LOGIN)
            assert (await client.rest()).replace(b"(reset)", b"") == b""
            await until(lambda: bool(lines))
        (line,) = lines
        assert (line["event"], line["balancer"], line["reason"]) == ("proxy_header_refused", "127.0.0.1", "malformed")
        assert imap.counted("gatepost_proxy_headers_refused_total", "malformed") == 1
        assert imap.front.admission.handshakes == 0


async def test_limits_count_clients_and_not_their_balancer(server: ScriptedServer) -> None:
    async with mail_fronted(IMAP, url(server), trusted_proxies=BALANCER, max_connections_per_address=1) as imap:
        first, second, third = [await imap.client() for _ in range(3)]
        first.send(version_1(CLIENT, OURS))
        assert (await first.line()).startswith(b"* OK [CAPABILITY ")
        second.send(version_1(("192.0.2.8", 1), OURS))
        assert (await second.line()).startswith(b"* OK [CAPABILITY ")
        third.send(version_1(CLIENT, OURS))
        assert await third.line() == b"* BYE [UNAVAILABLE] There are too many connections. Try again later.\r\n"


async def test_the_end_of_the_gateway(server: ScriptedServer) -> None:
    async with mail_fronted(IMAP, url(server), trusted_proxies=BALANCER) as imap:
        client, silent = await imap.client(), await imap.client()
        client.send(version_1(CLIENT, OURS))
        await client.line()
        silent.send(b"PROXY")
        await until(lambda: imap.front.admission.handshakes == 1)
        await imap.front.drain(0.2)
        assert (await client.rest()).startswith(b"* BYE ")
        assert await silent.rest() in (b"", b"(reset)")


async def test_pop3(server: ScriptedServer) -> None:
    async with mail_fronted(POP3, f"pop3://127.0.0.1:{server.port}", trusted_proxies=BALANCER) as pop3:
        client = await pop3.client()
        client.send(version_1(CLIENT, OURS))
        assert (await client.line()).startswith(b"+OK ")
        assert dict(pop3.front.admission.by_address) == {"192.0.2.7": 1}
