"""The mail server behind a mail front: where it is, what it can do, and one connection to it for each session.

A connection is made for one login and serves it alone. It is ``UpstreamUnavailable`` whenever no login can be proved
there: the client hears that mail is unavailable, never that its password is wrong. Each wait has its bound.
"""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple, cast
from urllib.parse import urlsplit

from gateway.network.paused_reading import PausedReading
from gateway.network.resetting import reset
from gateway.network.tls import client_context
from gateway.network.upstream import UpstreamUnavailable, reason_of
from gateway.protocols.login import Accepted, Challenged, Opened, Rejected, Send, ServerEvent, StartTls, Unusable
from gateway.protocols.proxy_protocol import version_1, version_2
from gateway.protocols.sasl import Credentials, Mechanism
from gateway.protocols.server_dialogue import ServerDialogue
from gateway.proxies.mail.front_settings import MailFrontSettings
from gateway.proxies.mail.spoken import Spoken

if TYPE_CHECKING:
    from gateway.proxies.mail.session import MailSession

KNOWN_SECONDS = 300.0
"""How long a mail server's capabilities are remembered."""
FLUSH_SECONDS = 10.0
"""For what was written to a mail server before its connection is closed."""


class Ends(NamedTuple):
    """The client's connection as it stands: addresses without zones, and ports."""

    client: tuple[str, int]
    ours: tuple[str, int]


class UpstreamConnection(PausedReading):
    """One connection to the mail server."""

    __slots__ = ("_dialogue", "_ends", "_held", "_lost", "_more", "_server", "_silent", "offered", "session")

    def __init__(self, server: "MailServer", dialogue: ServerDialogue, ends: Ends | None) -> None:
        super().__init__()
        self._server = server
        self._dialogue = dialogue
        self._ends = ends
        self._more: asyncio.Future[None] | None = None
        self._lost = False
        self._silent = False
        """It has not answered in time."""
        self._held = b""
        """What came before there was a session to take it."""
        self.offered: frozenset[bytes] = frozenset()
        """What it could do before the login; some say nothing more of it afterwards."""
        self.session: MailSession | None = None

    # --- the transport's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        # uvloop's transports are none of asyncio's by inheritance.
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Octets of the login's answers, or of the session."""
        if self.session is not None:
            self.session.from_server(data)
        elif self._paused:
            # The loop may have read before it heard of the pause.
            self._held += data
        else:
            self._dialogue.receive(data)
            self._wake()

    def eof_received(self) -> bool:
        """It sends no more, so the session is over."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The mail server is gone."""
        self._lost = True
        self.transport = None
        self._wake()
        session, self.session = self.session, None
        if session is not None:
            session.server_gone()

    def pause_writing(self) -> None:
        """It takes no more for now."""
        if self.session is not None:
            self.session.server_writable(writable=False)

    def resume_writing(self) -> None:
        """It takes more again."""
        if self.session is not None:
            self.session.server_writable(writable=True)

    # --- until the login

    async def log_in(
        self, tag: bytes, credentials: Credentials, challenge: Callable[[bytes], Awaitable[None]]
    ) -> Accepted | Rejected | Unusable:
        """Prove the credentials; nothing is read any more afterwards. Raises ``UpstreamUnavailable``.

        ``challenge`` passes on what explains the refusal of a token, and returns when the client has noted it.
        """
        event = await self._opened()
        if isinstance(event, Opened):
            self.offered = event.capabilities
            self._server.learn(event.capabilities)
            event = self._dialogue.login(tag, credentials, self._server.facts(self._ends))
        while not isinstance(event, Accepted | Rejected | Unusable):
            if isinstance(event, Send):
                self.write(event.octets)
            elif isinstance(event, Challenged):
                await challenge(event.response)
                self.write(event.octets)
            event = await self._next()
        self.pause()
        if isinstance(event, Unusable):
            self._server.forget()
        return event

    async def capabilities(self) -> frozenset[bytes]:
        """What it can do before a login. Raises ``UpstreamUnavailable``."""
        event = await self._opened()
        if not isinstance(event, Opened):
            raise UpstreamUnavailable(f"{self._server.url}: {_words_of(event)}")
        self._server.learn(event.capabilities)
        return event.capabilities

    async def _opened(self) -> ServerEvent:
        while True:
            event = await self._next()
            if isinstance(event, Send):
                self.write(event.octets)
            elif isinstance(event, StartTls):
                await self.start_tls()
                self._dialogue.secured()
            else:
                self._server.reached = isinstance(event, Opened)
                return event

    async def _next(self) -> ServerEvent:
        """The next event, as soon as there is one; what is none, however much of it comes, gains no time."""
        if (event := self._dialogue.next()) is not None:
            return event
        loop = asyncio.get_running_loop()
        # Not by ``asyncio.timeout``, which costs several times as much: there are three of these in each login.
        bound = loop.call_later(self._server.settings.upstream_login_seconds, self._give_up)
        try:
            while (event := self._dialogue.next()) is None:
                if self._lost or self._silent:
                    return Unusable("hung_up" if self._lost else "silent")
                more = self._more = loop.create_future()
                await more
        finally:
            bound.cancel()
        return event

    def _give_up(self) -> None:
        self._silent = True
        self._wake()

    def _wake(self) -> None:
        if self._more is not None and not self._more.done():
            self._more.set_result(None)

    async def start_tls(self) -> None:
        """From here on within TLS, with the certificate checked. Raises ``UpstreamUnavailable``."""
        server = self._server
        assert server.context is not None
        server.reached = False
        if self.transport is None:
            raise UpstreamUnavailable(f"{server.url}: it hung up")
        try:
            async with asyncio.timeout(server.settings.upstream_connect_seconds):
                transport = await asyncio.get_running_loop().start_tls(
                    self.transport, self, server.context, server_hostname=server.host
                )
        except (OSError, TimeoutError, ssl.SSLError) as error:
            raise UpstreamUnavailable(f"{server.url}: {reason_of(error, server.part)}") from None
        if transport is None:
            raise UpstreamUnavailable(f"{server.url}: it hung up")
        self.transport = transport
        server.reached = True

    # --- for the session

    def splice(self, session: "MailSession") -> None:
        """Everything from now on is the session's, which has it read on."""
        self.session = session
        held, self._held = self._held, b""
        if held:
            session.from_server(held)
        if self._lost:
            # It hung up while the verdict was asked for; nobody will say so again.
            self.session = None
            session.server_gone()

    def write(self, octets: bytes) -> None:
        """Send; nothing where it is about to be closed, by whichever side."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(octets)

    def close(self, farewell: bytes = b"") -> None:
        """Send what is written, and ``farewell``, then close; a server that does not take it has a bounded time."""
        self.session = None
        transport = self.transport
        if transport is None:
            return
        if farewell and not transport.is_closing():
            transport.write(farewell)
        transport.close()
        if transport.get_write_buffer_size():
            asyncio.get_running_loop().call_later(FLUSH_SECONDS, transport.abort)

    def abort(self) -> None:
        """Close at once."""
        self.session = None
        if self.transport is not None:
            reset(self.transport)


class MailServer:
    """Where connections go."""

    def __init__(self, spoken: Spoken, settings: MailFrontSettings) -> None:
        """Raises ``TlsUnusable``."""
        parts = urlsplit(settings.upstream)
        scheme, _, way = parts.scheme.partition("+")
        self.url = settings.upstream
        self.settings = settings
        self.part = spoken.protocol.value
        self.host = parts.hostname or ""
        self._spoken = spoken
        self._starttls = way == "starttls"
        self._secure = scheme.endswith("s")
        self.port = parts.port or (spoken.secure_port if self._secure else spoken.port)
        secured = self._secure or self._starttls
        self.context = client_context(settings.upstream_ca, self.part, alpn="") if secured else None
        self._known: frozenset[bytes] | None = None
        self._known_until = 0.0
        self.mechanisms: tuple[Mechanism, ...] = (Mechanism.PLAIN, Mechanism.LOGIN)
        """What clients can be offered; at first what every mail server has."""
        self.literals_unasked = False
        """Whether it takes literals that nobody has waited for (RFC 7888)."""
        self.reached = True
        """Whether the last attempt to reach it worked."""

    async def connect(self, ends: Ends | None = None) -> UpstreamConnection:
        """A new connection for one login; ``ends`` of the client, if it is for one. Raises ``UpstreamUnavailable``."""
        connection = UpstreamConnection(self, self._spoken.upstream_login(self._starttls, self._fresh()), ends)
        try:
            async with asyncio.timeout(self.settings.upstream_connect_seconds):
                await asyncio.get_running_loop().create_connection(lambda: connection, self.host, self.port)
            connection.write(self._header(ends))
            if self._secure:
                await connection.start_tls()
        except UpstreamUnavailable:
            connection.abort()
            raise
        except (OSError, TimeoutError) as error:
            self.reached = False
            raise UpstreamUnavailable(f"{self.url}: {reason_of(error, self.part)}") from None
        except asyncio.CancelledError:
            connection.abort()
            raise
        return connection

    async def probe(self) -> frozenset[bytes]:
        """What it can do. Raises ``UpstreamUnavailable``."""
        connection = await self.connect()
        try:
            return await connection.capabilities()
        finally:
            connection.close(self._spoken.farewell)

    def learn(self, capabilities: frozenset[bytes]) -> None:
        """It can be logged in to, and says that it can do this."""
        self.reached = True
        now = time.monotonic()
        if capabilities is not self._known or now >= self._known_until:
            self._known, self._known_until = capabilities, now + KNOWN_SECONDS
            self.mechanisms = self._spoken.mechanisms(capabilities) or self.mechanisms
            self.literals_unasked = b"LITERAL+" in capabilities

    def forget(self) -> None:
        """What it could do lately may be no longer so."""
        self._known = None

    def _fresh(self) -> frozenset[bytes] | None:
        return self._known if time.monotonic() < self._known_until else None

    def facts(self, ends: Ends | None) -> tuple[tuple[bytes, bytes], ...]:
        """What it is told of the client by the mail protocol's own means."""
        if ends is None or self.settings.client_address != "protocol":
            return ()
        return tuple(self._spoken.facts(*ends.client))

    def _header(self, ends: Ends | None) -> bytes:
        write = {"proxy-v1": version_1, "proxy-v2": version_2}.get(self.settings.client_address)
        return b"" if write is None else write(*(ends or _NOBODY))


_NOBODY = Ends(("", 0), ("", 0))
"""A connection of our own: UNKNOWN or LOCAL."""


def _words_of(event: ServerEvent) -> str:
    return event.reason if isinstance(event, Unusable) else type(event).__name__
