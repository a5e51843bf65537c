"""HAProxy before the gateway, telling by the PROXY protocol whose connection it is: Dovecot's log has the client."""

import asyncio
import imaplib
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.live.children import free_ports, start
from tests.live.mail.conftest import Way, tables
from tests.live.mail.dovecot import Dovecot
from tests.live.mail_servers import PASSWORD
from tests.support.reporting import Agent
from tests.support.running import running

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="session")]

HAPROXY = """
global
    maxconn 100
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen one
    bind 127.0.0.1:{one}
    server gate 127.0.0.1:{gate} send-proxy
listen two
    bind 127.0.0.1:{two}
    server gate 127.0.0.1:{gate} send-proxy-v2 check inter 200ms check-send-proxy
"""


@dataclass(frozen=True, slots=True)
class Balanced:
    """A gateway with TLS first, and the ports of the balancer before it."""

    way: Way
    ports: dict[str, int]

    def log_in(self, port: int, user: str, source: str) -> None:
        """By a mail program that comes from that address."""
        session = Imap(port, source, self.way.trust)
        session.login(user, PASSWORD)
        session.logout()


class Imap(imaplib.IMAP4_SSL):
    """From an address of one's choice."""

    def __init__(self, port: int, source: str, trust: ssl.SSLContext) -> None:
        self._source = source
        self._trust = trust
        super().__init__("127.0.0.1", port, ssl_context=trust, timeout=20)

    def _create_socket(self, timeout: float | None) -> ssl.SSLSocket:
        plain = socket.create_connection((self.host, self.port), timeout, (self._source, 0))
        return self._trust.wrap_socket(plain, server_hostname=self.host)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def balanced(dovecot: Dovecot, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Balanced]:
    """HAProxy at 127.0.0.1, and nobody else, speaks for others."""
    if shutil.which("haproxy") is None:
        pytest.skip("needs haproxy (make servers)")
    directory: Path = tmp_path_factory.mktemp("balanced")
    more = tables("tls", dovecot).replace("[imap]\n", '[imap]\ntrusted_proxies = "127.0.0.1/32"\n')
    async with running(directory, "http://127.0.0.1:9", more=more) as gateway:
        way = Way("tls", gateway, Agent("", ""), dovecot.certificates.trust(), dovecot)
        one, two = free_ports(2)
        config = directory / "haproxy.cfg"
        config.write_text(HAPROXY.format(one=one, two=two, gate=way.port("imap")))
        haproxy = start("haproxy", ("haproxy", "-db", "-f", str(config)), directory)
        try:
            haproxy.until_port(one)
            haproxy.until_port(two)
            yield Balanced(way, {"version 1": one, "version 2": two})
        finally:
            haproxy.stop()


@pytest.mark.parametrize(("version", "source"), [("version 1", "127.0.0.71"), ("version 2", "127.0.0.72")])
async def test_the_mail_server_knows_the_client_behind_the_balancer(
    balanced: Balanced, version: str, source: str
) -> None:
    await asyncio.to_thread(balanced.log_in, balanced.ports[version], "readertls", source)
    async with asyncio.timeout(10):
        while f"user=<readertls>, method=PLAIN, rip={source}," not in balanced.way.dovecot.said():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_who_is_no_balancer_comes_as_ever(balanced: Balanced) -> None:
    await asyncio.to_thread(balanced.log_in, balanced.way.port("imap"), "readertls", "127.0.0.73")


async def test_from_the_balancers_address_nothing_comes_without_a_header(balanced: Balanced) -> None:
    with pytest.raises((OSError, imaplib.IMAP4.abort)):
        await asyncio.to_thread(balanced.log_in, balanced.way.port("imap"), "readertls", "127.0.0.1")
    refused: list[dict[str, object]] = []
    async with asyncio.timeout(10):
        while not refused:
            await asyncio.sleep(0.02)
            refused = [line for line in balanced.way.gateway.log if line["event"] == "proxy_header_refused"]
    assert [(line["balancer"], line["reason"]) for line in refused] == [("127.0.0.1", "malformed")]
