"""Balancers before submission: whose connection it is comes from their header, and from nobody else's."""

import ssl

from gateway.network.tls import ServerTls
from gateway.protocols.proxy_protocol import version_1, version_2
from tests.network.authority import Authority
from tests.support.submission_server import SubmissionServer
from tests.support.submitted import plain, submitted

CLIENT, OURS = ("192.0.2.7", 4711), ("198.51.100.1", 587)
BALANCER = ("127.0.0.1/32",)


async def test_the_clients_address_is_the_one_in_the_header(server: SubmissionServer) -> None:
    server.extensions.append("XCLIENT NAME ADDR PROTO HELO PORT LOGIN")
    async with submitted(server.url, trusted_proxies=BALANCER) as front:
        front.clean()
        client = await front.client()
        client.write(version_2(CLIENT, OURS))
        assert (await client.logged_in())[:3] == b"235"
        (said,) = [each for each in server.commands if each.startswith(b"XCLIENT")]
        assert b" ADDR=192.0.2.7 PORT=4711 " in said
        (session,) = front.decision.sessions
        assert session.request.client_address == "192.0.2.7"
        assert dict(front.front.admission.by_address) == {"192.0.2.7": 1}


async def test_it_goes_on_to_the_mail_server_by_the_same_protocol(server: SubmissionServer) -> None:
    server.preamble = "line"
    async with submitted(server.url, trusted_proxies=BALANCER, client_address="proxy-v1") as front:
        client = await front.client()
        client.write(version_1(CLIENT, OURS))
        assert (await client.logged_in())[:3] == b"235"
        assert server.preambles[-1] + b"\r\n" == version_1(CLIENT, OURS)


async def test_before_tls(server: SubmissionServer, authority: Authority) -> None:
    trusted: ssl.SSLContext = authority.trust()
    async with submitted(server.url, trusted_proxies=BALANCER) as front:
        port = await front.listen(ServerTls(authority.issue().files(alpn=("smtp",))), secure=True)
        client = await front.client(port)
        client.write(version_1(CLIENT, OURS))
        await client.start_tls(trusted)
        await client.greeted()
        assert (await client.ask(b"AUTH PLAIN " + plain("anna@corp.example")))[:3] == b"235"
        assert dict(front.front.admission.by_address) == {"192.0.2.7": 1}


async def test_a_header_from_outside_is_no_command(server: SubmissionServer) -> None:
    async with submitted(server.url, trusted_proxies=BALANCER) as front:
        client = await front.client(source="127.0.0.2")
        await client.reply()
        assert (await client.ask(version_1(CLIENT, OURS).strip()))[:3] == b"500"
        assert dict(front.front.admission.by_address) == {"127.0.0.2": 1}


async def test_a_balancer_without_a_header_is_told_nothing(server: SubmissionServer) -> None:
    async with submitted(server.url, trusted_proxies=BALANCER) as front:
        client = await front.client()
        client.write(b"EHLO phone.example\r\n")
        assert await client.reply() == b""
        assert front.counted("gatepost_proxy_headers_refused_total", "malformed") == 1
