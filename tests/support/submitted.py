"""An SMTP front on loopback with a real decision point, over records that a test writes; and a client for it."""

import asyncio
import base64
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from gateway.decision.decision_point import DecisionPoint
from gateway.decision.device_cache import DeviceCache
from gateway.domain.bans import Ban
from gateway.domain.identity import identity_rules
from gateway.domain.shown import Demands
from gateway.network.tls import ServerTls
from gateway.observability.metrics import Metrics
from gateway.proxies.smtp.front import SmtpFront, SmtpFrontSettings
from tests.support.fronted import BAN, TIKTOK, Certificates, Clock, Evidence, policy, settled

ANNA = "anna@corp.example"
WITHIN_SECONDS = 20.0


class SmtpClient:
    """One connection, octet by octet."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connected(cls, port: int, tls: ssl.SSLContext | None = None, source: str = "") -> "SmtpClient":
        """Connected, the greeting not read."""
        name = "localhost" if tls else None
        local = (source, 0) if source else None
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name, local_addr=local))

    def write(self, octets: bytes) -> None:
        """Send octets as they are."""
        self._writer.write(octets)

    async def drain(self) -> None:
        """Until they are taken."""
        await self._writer.drain()

    async def reply(self) -> bytes:
        """One reply, of however many lines; empty when the connection is closed."""
        lines = b""
        async with asyncio.timeout(WITHIN_SECONDS):
            while True:
                try:
                    line = await self._reader.readuntil(b"\n")
                except (asyncio.IncompleteReadError, ConnectionError):
                    return b""
                lines += line
                if line[3:4] != b"-":
                    return lines

    async def ask(self, line: bytes) -> bytes:
        """A command and its reply."""
        self.write(line + b"\r\n")
        return await self.reply()

    async def greeted(self) -> bytes:
        """Past the greeting and EHLO, whose answer it is."""
        assert (await self.reply()).startswith(b"220 ")
        return await self.ask(b"EHLO phone.example")

    async def logged_in(self, user: str = ANNA, password: str = "secret") -> bytes:  # noqa: S107
        """Past EHLO and AUTH PLAIN, whose answer it is."""
        await self.greeted()
        return await self.ask(b"AUTH PLAIN " + plain(user, password))

    async def at_data(self, sender: bytes = b"<anna@corp.example>") -> bytes:
        """A transaction up to the answer to DATA."""
        assert (await self.ask(b"MAIL FROM:" + sender))[:3] == b"250"
        assert (await self.ask(b"RCPT TO:<bert@corp.example>"))[:3] == b"250"
        return await self.ask(b"DATA")

    async def start_tls(self, trusted: ssl.SSLContext) -> None:
        """TLS on this connection, after the server's 220."""
        await self._writer.start_tls(trusted, server_hostname="localhost")

    def end(self) -> None:
        """Send no more."""
        self._writer.write_eof()

    def abort(self) -> None:
        """Be gone, by a reset."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def closed(self) -> bool:
        """Whether the gateway closes, and says nothing more."""
        async with asyncio.timeout(WITHIN_SECONDS):
            try:
                return await self._reader.read(1) == b""
            except ConnectionError:
                return True

    def close(self) -> None:
        """Close."""
        self._writer.close()


def plain(user: str, password: str = "secret", authzid: str = "") -> bytes:  # noqa: S107
    """The initial response of PLAIN."""
    return base64.b64encode(f"{authzid}\0{user}\0{password}".encode())


class Submitted:
    """The front with everything behind it."""

    def __init__(
        self, settings: SmtpFrontSettings, certificates: Certificates | None = None, demands: Demands | None = None
    ) -> None:
        self.now = Clock(time.time)
        self.evidence = Evidence()
        self.cache = DeviceCache(self.evidence.read)
        self.decision = DecisionPoint(self.cache, policy(BAN), self.now, demands)
        self.certificates = certificates and certificates(self.now)
        self.metrics = Metrics()
        self.front = SmtpFront(
            *(settings, self.decision, identity_rules("corp.example", {}), self.metrics),
            certificates=self.certificates,
            now=self.now,
        )
        self.clock = Clock(time.monotonic)
        self.front.clock = self.clock
        self.port = 0
        self._clients: list[SmtpClient] = []

    async def listen(self, tls: ServerTls | None = None, *, secure: bool = False) -> int:
        """Serve on a free port."""
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        await self.front.listen(sock, tls, secure=secure)
        return int(sock.getsockname()[1])

    async def client(self, port: int = 0, tls: ssl.SSLContext | None = None, source: str = "") -> SmtpClient:
        """A mail program's connection."""
        client = await SmtpClient.connected(port or self.port, tls, source)
        self._clients.append(client)
        return client

    def clean(self, login: str = ANNA) -> None:
        """The user's device has no banned app; heard of at once."""
        self.decision.changed(login, self.evidence.put(login, "phone1"))

    def dirty(self, login: str = ANNA) -> None:
        """The user's device has a banned app; heard of at once."""
        self.decision.changed(login, self.evidence.put(login, "phone1", TIKTOK))

    async def ban(self, *bans: Ban) -> None:
        """Put a policy version with these bans in force."""
        await self.decision.use(policy(*bans, number=self.decision.policy.version.number + 1))

    async def ban_from(self, starts_at: float) -> None:
        """The ban enforces from a moment on."""
        await self.ban(replace(BAN, starts_at=starts_at))

    def counted(self, name: str, *labels: str) -> float:
        """A metric's value."""
        return self.metrics.families[name].get(*labels)

    def messages(self, outcome: str) -> float:
        """How many messages ended so."""
        return self.counted("gatepost_smtp_messages_total", outcome)

    def logins(self, outcome: str) -> float:
        """How many logins ended so."""
        return self.counted("gatepost_mail_logins_total", "smtp", outcome)

    def ended(self, how: str) -> float:
        """How many sessions, or connections before a login, ended so."""
        session = self.counted("gatepost_mail_sessions_total", "smtp", how)
        return session + self.counted("gatepost_mail_ended_before_login_total", "smtp", how)

    async def close(self) -> None:
        """End everything."""
        for client in self._clients:
            client.close()
        await self.front.close()
        await self.decision.close()
        await settled()


@asynccontextmanager
async def submitted(
    upstream: str,
    *,
    start: bool = False,
    certificates: Certificates | None = None,
    demands: Demands | None = None,
    **settings: Any,
) -> AsyncIterator[Submitted]:
    """A front without TLS that takes logins; ``start``: with its question to the mail server and its sweep."""
    made = SmtpFrontSettings(**{"upstream": upstream, "cleartext_login": True, "name": "gate.example", **settings})
    front = Submitted(made, certificates, demands)
    if start:
        await front.front.start()
    front.port = await front.listen()
    try:
        yield front
    finally:
        await front.close()
