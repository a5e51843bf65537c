"""A mail front on loopback, before a mail server that does what the test says, octet by octet."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.decision.decision_point import DecisionPoint
from gateway.decision.device_cache import DeviceCache
from gateway.domain.bans import Ban
from gateway.domain.identity import IdentityRules
from gateway.domain.shown import Demands
from gateway.network.tls import ServerTls
from gateway.observability.metrics import Metrics
from gateway.proxies.mail.front import MailFront
from gateway.proxies.mail.front_settings import MailFrontSettings
from gateway.proxies.mail.spoken import Spoken
from tests.support.fronted import BAN, TIKTOK, Certificates, Clock, Evidence, policy, settled

PATIENCE_SECONDS = 20.0


class Peer:
    """One end of a connection, in the hands of a test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, octets: bytes) -> None:
        """Write without waiting."""
        self.writer.write(octets)

    async def line(self) -> bytes:
        """The next line with its end; what is left of it where the other side has closed."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.reader.readline()

    async def exactly(self, size: int) -> bytes:
        """So many octets."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.reader.readexactly(size)

    async def expect(self, octets: bytes) -> None:
        """These octets come next."""
        assert await self.exactly(len(octets)) == octets

    async def ask(self, octets: bytes) -> bytes:
        """Send, and take one line."""
        self.send(octets)
        return await self.line()

    async def rest(self) -> bytes:
        """All until the other side has closed or reset."""
        found = b""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while octets := await self.reader.read(65536):
                    found += octets
        except ConnectionError:
            return found + b"(reset)"
        return found

    async def start_tls(self, trusted: ssl.SSLContext) -> None:
        """Go on within TLS, as a client."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.writer.start_tls(trusted, server_hostname="127.0.0.1")

    def close(self) -> None:
        """Hang up."""
        self.writer.close()


class ScriptedServer:
    """A mail server whose connections a test takes one by one."""

    def __init__(self) -> None:
        self._arrived: asyncio.Queue[Peer] = asyncio.Queue()
        self.peers: list[Peer] = []
        self.port = 0

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        self.peers.append(peer)
        self._arrived.put_nowait(peer)

    async def start(self, tls: ssl.SSLContext | None = None) -> asyncio.Server:
        """Listen on a free port."""
        server = await asyncio.start_server(self._take, "127.0.0.1", 0, ssl=tls, limit=1 << 20)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def accepted(self) -> Peer:
        """The next connection."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self._arrived.get()

    @property
    def unasked(self) -> bool:
        """Whether no connection waits."""
        return self._arrived.empty()


class MailFronted:
    """The front with everything behind it."""

    def __init__(
        self,
        spoken: Spoken,
        settings: MailFrontSettings,
        certificates: Certificates | None = None,
        demands: Demands | None = None,
    ) -> None:
        self.now, self.clock = Clock(time.time), Clock(time.monotonic)
        self.evidence = Evidence()
        self.decision = DecisionPoint(DeviceCache(self.evidence.read), policy(BAN), self.now, demands)
        self.certificates = certificates and certificates(self.now)
        self.metrics = Metrics()
        self.front = MailFront(
            *(spoken, settings, self.decision, IdentityRules(), self.metrics),
            certificates=self.certificates,
            now=self.now,
        )
        self.front.clock = self.clock
        self.address = ("", 0)
        self._clients: list[Peer] = []

    async def listen(self, tls: ServerTls | None, *, secure: bool) -> tuple[str, int]:
        """Serve on a free port."""
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        address: tuple[str, int] = sock.getsockname()
        await self.front.listen(sock, tls, secure=secure)
        return address

    async def client(self, source: str = "127.0.0.1", trusted: ssl.SSLContext | None = None) -> Peer:
        """A mail program's connection."""
        name = "127.0.0.1" if trusted else None
        opened = await asyncio.open_connection(
            *self.address, local_addr=(source, 0), limit=1 << 16, ssl=trusted, server_hostname=name
        )
        self._clients.append(Peer(*opened))
        return self._clients[-1]

    def clean(self, login: str) -> None:
        """The user's device has no banned app; heard of at once."""
        self.decision.changed(login, self.evidence.put(login, "d1"))

    def dirty(self, login: str) -> None:
        """It has one."""
        self.decision.changed(login, self.evidence.put(login, "d1", TIKTOK))

    async def ban(self, *bans: Ban) -> None:
        """Put a policy version with these bans in force."""
        await self.decision.use(policy(*bans, number=self.decision.policy.version.number + 1))

    def counted(self, name: str, *labels: str) -> float:
        """A metric's value."""
        return self.metrics.families[name].get(*labels)

    def logins(self, outcome: str) -> float:
        """How many logins ended so."""
        return self.counted("gatepost_mail_logins_total", self.front.spoken.protocol.value, outcome)

    def sessions(self, how: str) -> float:
        """How many sessions ended so."""
        return self.counted("gatepost_mail_sessions_total", self.front.spoken.protocol.value, how)

    async def close(self) -> None:
        """End everything."""
        for client in self._clients:
            client.close()
        await self.front.close()
        await self.decision.close()
        await settled()


@asynccontextmanager
async def mail_fronted(
    spoken: Spoken,
    upstream: str,
    tls: ServerTls | None = None,
    *,
    secure: bool = False,
    certificates: Certificates | None = None,
    demands: Demands | None = None,
    **settings: object,
) -> AsyncIterator[MailFronted]:
    """A front that serves; logins without TLS are taken unless told otherwise."""
    told = {"cleartext_login": True, **settings}
    made = MailFrontSettings(upstream=upstream, **told)  # type: ignore[arg-type]
    fronted = MailFronted(spoken, made, certificates, demands)
    fronted.address = await fronted.listen(tls, secure=secure)
    try:
        yield fronted
    finally:
        await fronted.close()


@asynccontextmanager
async def scripted_server(tls: ssl.SSLContext | None = None) -> AsyncIterator[ScriptedServer]:
    """A mail server in the test's hands."""
    server = ScriptedServer()
    listening = await server.start(tls)
    try:
        yield server
    finally:
        for peer in server.peers:
            peer.close()
        listening.close()
        await settled()
