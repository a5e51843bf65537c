"""Gateways before a real Postfix: three ways of TLS on both sides, each a whole gateway that enforces a ban."""

import asyncio
import os
import shutil
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from tests.live.smtp.postfix import DOMAIN, Postfix, start_submission
from tests.support.phone_certificates import make_certificates
from tests.support.reporting import HARMLESS, TIKTOK, Agent
from tests.support.running import Running, running
from tests.support.submitted import SmtpClient
from tests.system.arranging import agent_of, enforce_tiktok

WAYS = ("clear", "starttls", "tls")
NAMES = ("sender", "refused", "turned", "large", "odd", "swaks", "msmtp", "late", "proxied")
USERS = tuple(f"{name}{way}" for name in NAMES for way in WAYS)
TEXT = "Remove it, then open the agent."


@dataclass(frozen=True, slots=True)
class Way:
    """A gateway, and how it is come to."""

    name: str
    gateway: Running
    agent: Agent
    trust: ssl.SSLContext
    postfix: Postfix
    opened: list[SmtpClient] = field(default_factory=list)
    """Raw connections of the test that runs."""

    @property
    def port(self) -> int:
        """Where mail programs come to."""
        port = urlsplit(self.gateway.listening["smtp"][0]).port
        assert port is not None
        return port

    def user(self, name: str) -> str:
        """One of this way's users."""
        return f"{name}{self.name}@{DOMAIN}"

    async def client(self, source: str = "127.0.0.1") -> SmtpClient:
        """A raw connection, greeted, within TLS if this is a way with TLS."""
        client = await SmtpClient.connected(self.port, self.trust if self.name == "tls" else None, source)
        self.opened.append(client)
        said = await client.greeted()
        if self.name == "starttls":
            assert b"STARTTLS" in said
            assert (await client.ask(b"STARTTLS"))[:3] == b"220"
            await client.start_tls(self.trust)
            await client.ask(b"EHLO phone.example")
        return client

    async def report(self, user: str, *apps: str) -> None:
        """What is on the user's one phone."""
        event = self.agent.event(user, "", (*HARMLESS, *apps), device=f"phone-of-{user.partition('@')[0]}")
        answer = await self.agent.send(event)
        assert answer.status_code == 202, answer.text

    async def clean(self, user: str) -> None:
        """Nothing that is banned."""
        await self.report(user)

    async def dirty(self, user: str) -> None:
        """A banned app."""
        await self.report(user, TIKTOK)


@pytest.fixture(scope="session")
def postfix() -> Iterator[Postfix]:
    """The mail server."""
    if os.geteuid() != 0 or shutil.which("dovecot") is None or shutil.which("postfix") is None:
        pytest.skip("needs root, postfix and dovecot-imapd (make servers)")
    directory = Path(tempfile.mkdtemp(prefix="gatepost-live-"))
    directory.chmod(0o755)
    server = start_submission(directory / "submission", USERS, make_certificates(directory))
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=WAYS)
async def started(
    postfix: Postfix, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> AsyncIterator[Way]:
    """One after the other."""
    name = str(request.param)
    more = tables(name, postfix)
    directory = tmp_path_factory.mktemp(name)
    async with running(directory, "http://127.0.0.1:9", more=more) as gateway, agent_of(gateway) as agent:
        await enforce_tiktok(gateway, TEXT)
        yield Way(name, gateway, agent, postfix.certificates.trust(), postfix)


@pytest_asyncio.fixture(loop_scope="session")
async def way(started: Way) -> AsyncIterator[Way]:
    """The same; nothing stays open behind a test."""
    yield started
    while started.opened:
        started.opened.pop().close()
    await asyncio.sleep(0)


def tables(name: str, postfix: Postfix, more: str = "", upstream: str = "") -> str:
    """The settings of a way: in the clear there is no certificate at all."""
    found = []
    if name != "clear":
        made = postfix.certificates
        found.append(f'[tls]\ncertificate = "{made.certificate}"\nkey = "{made.key}"')
    there = postfix.url({"clear": "smtp", "starttls": "smtp+starttls", "tls": "smtps"}[name])
    found.append(
        f'[smtp]\nlisten = "{"smtps" if name == "tls" else "smtp"}://127.0.0.1:0"\nupstream = "{upstream or there}"\n'
        f'upstream_ca = "{postfix.certificates.authority}"\ncleartext_login = {str(name == "clear").lower()}\n{more}'
    )
    return "\n".join(found)
