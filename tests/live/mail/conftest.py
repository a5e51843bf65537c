"""Gateways before a real Dovecot: three ways of TLS on both sides, each a whole gateway that enforces a ban."""

import asyncio
import os
import shutil
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from tests.live.mail.dovecot import Dovecot, start_dovecot
from tests.support.mail_fronted import Peer
from tests.support.phone_certificates import make_certificates
from tests.support.reporting import Agent
from tests.support.running import Running, running
from tests.system.arranging import agent_of, enforce_tiktok

DOMAIN = "corp.example"
WAYS = ("clear", "starttls", "tls")
CERTIFIED = "certified"
USERS = (
    *(
        f"{name}{way}"
        for name in (
            *("reader", "syncing", "refused", "idle", "fetch", "pop", "curl"),
            *("mbsync", "fetchmail", "imapclient", "aioimaplib", "script", "huge", "notice", "told"),
            *("token", "forged", "ended", "foreign", "nonsense"),
        )
        for way in WAYS
    ),
    CERTIFIED,
)
TEXT = "Remove it, then open the agent."


@dataclass(frozen=True, slots=True)
class Way:
    """A gateway, and how it is come to."""

    name: str
    gateway: Running
    agent: Agent
    trust: ssl.SSLContext
    dovecot: Dovecot
    peers: list[Peer] = field(default_factory=list)
    """The raw connections of the present test."""

    def port(self, protocol: str) -> int:
        """Of ``imap`` or ``pop3``."""
        port = urlsplit(self.gateway.listening[protocol][0]).port
        assert port is not None
        return port

    async def imap(self, source: str = "127.0.0.1") -> Peer:
        """A raw connection, greeted, within TLS if this is a way with TLS."""
        tls, name = (self.trust, "127.0.0.1") if self.name == "tls" else (None, None)
        opened = await asyncio.open_connection(
            "127.0.0.1", self.port("imap"), local_addr=(source, 0), limit=1 << 20, ssl=tls, server_hostname=name
        )
        peer = Peer(*opened)
        self.peers.append(peer)
        assert (await peer.line()).startswith(b"* OK [CAPABILITY IMAP4rev1 ")
        if self.name == "starttls":
            assert await peer.ask(b"s STARTTLS\r\n") == b"s OK Begin TLS.\r\n"
            await peer.start_tls(self.trust)
        return peer


@pytest.fixture(scope="session")
def dovecot() -> Iterator[Dovecot]:
    """The mail server."""
    if os.geteuid() != 0 or shutil.which("dovecot") is None or not Path("/usr/lib/dovecot/pop3-login").exists():
        pytest.skip("needs root, dovecot-imapd and dovecot-pop3d (make servers)")
    directory = Path(tempfile.mkdtemp(prefix="gatepost-live-"))
    directory.chmod(0o755)
    server = start_dovecot(directory / "dovecot", USERS, make_certificates(directory))
    try:
        yield server
    finally:
        server.child.stop()
        shutil.rmtree(directory, ignore_errors=True)


class Ways:
    """Every way by its name; each begins when it is first asked for."""

    def __init__(self, dovecot: Dovecot, make_directory: Callable[[str], Path], stack: AsyncExitStack) -> None:
        self._dovecot = dovecot
        self._make_directory = make_directory
        self._stack = stack
        self._made: dict[str, Way] = {}

    async def by(self, name: str) -> Way:
        """The gateway that is come to so."""
        if name not in self._made:
            gateway = await self._stack.enter_async_context(
                running(self._make_directory(name), "http://127.0.0.1:9", more=tables(name, self._dovecot))
            )
            agent = await self._stack.enter_async_context(agent_of(gateway))
            await enforce_tiktok(gateway, TEXT)
            self._made[name] = Way(name, gateway, agent, self._dovecot.certificates.trust(), self._dovecot)
        return self._made[name]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def ways(dovecot: Dovecot, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ways]:
    """Those that the tests need."""
    async with AsyncExitStack() as stack:
        yield Ways(dovecot, tmp_path_factory.mktemp, stack)


@pytest_asyncio.fixture(loop_scope="session", params=WAYS)
async def way(ways: Ways, request: pytest.FixtureRequest) -> AsyncIterator[Way]:
    """One after the other."""
    chosen = await ways.by(request.param)
    yield chosen
    await _hang_up(chosen)


@pytest_asyncio.fixture(loop_scope="session")
async def secured(ways: Ways) -> AsyncIterator[Way]:
    """The one with TLS first, where one way is enough."""
    chosen = await ways.by("tls")
    yield chosen
    await _hang_up(chosen)


async def _hang_up(way: Way) -> None:
    """Nothing stays open behind a test."""
    while way.peers:
        peer = way.peers.pop()
        peer.close()
        with suppress(OSError):
            await peer.writer.wait_closed()


def tables(name: str, dovecot: Dovecot) -> str:
    """The settings of a way: in the clear there is no certificate at all."""
    found = [f'[identity]\ndefault_domain = "{DOMAIN}"']
    if name != "clear":
        made = dovecot.certificates
        found.append(f'[tls]\ncertificate = "{made.certificate}"\nkey = "{made.key}"')
    for protocol in ("imap", "pop3"):
        scheme = f"{protocol}s" if name == "tls" else protocol
        upstream = dovecot.url({"clear": protocol, "starttls": f"{protocol}+starttls", "tls": f"{protocol}s"}[name])
        found.append(
            f'[{protocol}]\nlisten = "{scheme}://127.0.0.1:0"\nupstream = "{upstream}"\n'
            f'upstream_ca = "{dovecot.certificates.authority}"\ncleartext_login = {str(name == "clear").lower()}'
        )
    return "\n".join(found)
