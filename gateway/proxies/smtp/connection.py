"""A client's connection under aiosmtpd: lines, TLS, timers, and how it ends. What is said on it is in ``session``.

aiosmtpd's protocol falls short here: it takes a bare LF for the end of a line and reads ahead without giving back, its
STARTTLS goes on with octets that came in the clear and knows only the loop's own TLS, its timer counts through a
message that is still coming, it ends a handler whenever the client stops sending, and it tells the client the text of
exceptions. Its private names that are used here are checked by a test.
"""

import asyncio
import functools
import logging
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, AnyStr, NoReturn, cast

import structlog
from aiosmtpd.smtp import SMTP

from gateway.domain.certificate import CertificateShown
from gateway.network.accepting import reason_of, tell
from gateway.network.addresses import written
from gateway.network.resetting import reset
from gateway.network.tls import ServerTls
from gateway.network.tls_connection import TlsConnection
from gateway.protocols.lines import Unframeable
from gateway.protocols.proxy_protocol import End, Header
from gateway.protocols.smtp import refusals
from gateway.proxies.smtp.inbox import LINE_LONGEST, Inbox

if TYPE_CHECKING:
    from gateway.proxies.smtp.front import SmtpFront

log = structlog.get_logger()
# It writes down what clients send.
logging.getLogger("mail.log").setLevel(logging.CRITICAL)

COMMAND_LONGEST = 512
LONGER = {"AUTH": LINE_LONGEST, "MAIL": 2_048, "RCPT": 2_048}
"""With the parameters of the extensions (RFC 1870 §3, RFC 3461 §4, RFC 4954 §4)."""
CALLS = {"*": 200, "MAIL": 5_000, "RCPT": 100_000, "DATA": 5_000, "RSET": 5_000, "NOOP": 5_000}
"""Of one command on one connection."""
BEFORE_LOGIN_MOST = 100
"""Commands; who logs in at all needs fewer than ten."""
EXECUTION_SECONDS = 600.0
"""For one command at most; everything that takes long in it has a shorter time of its own."""
LINGER_SECONDS = 5.0
"""For a last word to be taken."""
_HANDLER = object()
"""aiosmtpd would call its ``handle_…``; ours are methods of the protocol itself."""


class Seat:
    """A connection as it is counted (``proxies.admission``)."""

    __slots__ = ("address", "connection", "secure", "transport")

    def __init__(self, connection: "Connection", address: str, transport: asyncio.Transport, *, secure: bool) -> None:
        self.connection = connection
        self.address = address
        self.secure = secure
        """It began with TLS, and was counted before."""
        self.transport: asyncio.Transport | None = transport

    def abort(self) -> None:
        """Close at once."""
        if self.transport is not None:
            reset(self.transport)


class _Commands:
    """Stands where aiosmtpd has its stream reader."""

    __slots__ = ("_connection",)

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection

    async def readuntil(self, separator: bytes = b"\n") -> bytes:
        """The next command."""
        return await self._connection.next_command()


class Connection(SMTP):
    """One client, from its greeting to its end."""

    def __init__(
        self, front: "SmtpFront", tls: ServerTls | None, *, secure: bool, header: Header | None = None
    ) -> None:
        """``tls``: what STARTTLS offers; ``secure``: TLS stands already; ``header``: what a balancer has said of it."""
        self.front = front
        self.secure = secure
        self.source: End = ("", 0)
        self.destination: End = ("", 0)
        """Where the client comes from, and where it has come to."""
        self._header = header
        self.gone = False
        self._lingers = False
        """Its last word is said, and has so long to be taken."""
        self.how = "client_gone"
        """How it ended; a label of a metric."""
        self.waiting = False
        """For a line of the client, and so between two commands."""
        self.waiting_since = front.clock()
        self.receiving = False
        """The client sends a message that it was told to send."""
        self.last_word = b""
        """What is said in place of an answer to the next command; then the connection ends."""
        self.seat: Seat | None = None
        """None: it was not admitted."""
        self.certificate: CertificateShown | None = None
        """What the client has shown within TLS; read once."""
        self._tls = tls
        self._before_login = 0
        """Commands, the one that is waited for too."""
        self.link: asyncio.Transport
        self.inbox: Inbox
        self._login_until = front.clock() + front.settings.login_seconds
        # aiosmtpd has one of these for all connections, and empties it for each.
        self.command_size_limits = {}
        super().__init__(
            _HANDLER,
            data_size_limit=None,
            enable_SMTPUTF8=True,
            hostname=front.settings.name,
            ident="ESMTP Gatepost",
            timeout=EXECUTION_SECONDS,
            auth_require_tls=False,
            command_call_limit=CALLS,
            loop=asyncio.get_running_loop(),
        )
        self.command_size_limits = defaultdict(lambda: COMMAND_LONGEST, LONGER)

    # --- what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accepted; or, after STARTTLS, TLS stands."""
        # uvloop's transports are none of asyncio's by inheritance.
        self.link = cast("asyncio.Transport", transport)
        self.inbox = Inbox(self.link)
        if self.seat is not None:
            self._secured()
            return
        header = self._header
        if header is not None and header.source is not None and header.destination is not None:
            self.source, self.destination = header.source, header.destination
        else:
            self.source, self.destination = _end(transport, "peername"), _end(transport, "sockname")
        seat = Seat(self, self.address, self.link, secure=self.secure)
        if not self.front.admission.admit(seat):
            # Somebody else is the transport's protocol now.
            self.gone = True
            self.fall_apart()
            return
        self.seat = seat
        if self.secure:
            self.certificate = self.front.certificate_of(self.link)
        super().connection_made(transport)
        assert self._handler_coroutine is not None
        self._handler_coroutine.add_done_callback(functools.partial(_ended, self))

    def _cb_client_connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = cast("asyncio.StreamReader", _Commands(self))
        self._writer = writer

    def _secured(self) -> None:
        """What was said in the clear is forgotten (RFC 3207 §4.2)."""
        self.secure = True
        self.certificate = self.front.certificate_of(self.link)
        self.transport = self.link
        self._writer._transport = self.link  # type: ignore[attr-defined]
        self.session = self._create_session()
        self.session.peer = self.link.get_extra_info("peername")
        self.envelope = self._create_envelope()

    def data_received(self, data: bytes) -> None:
        """Octets of the client."""
        try:
            self.inbox.receive(data)
        except Unframeable:
            self.abort()

    def eof_received(self) -> bool:
        """The client sends no more; what it has asked for is still done, and it may hear of it."""
        self.inbox.end()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """The end; whoever overrides this calls ``over_at_last`` behind it."""
        if self.seat is None or self.gone:
            return
        self.gone = True
        super().connection_lost(error)
        self.front.leave(self.seat)

    def over_at_last(self) -> None:
        """Fall apart, if it is gone and nothing of it runs any more."""
        if self.gone and (self._handler_coroutine is None or self._handler_coroutine.done()):
            self.fall_apart()

    def fall_apart(self) -> None:
        """Let go what it refers to and is referred to by: nothing of it is called any more.

        Else only the garbage collector would find it, which looks at what has been there for a while as good as never.
        """
        self._handler_coroutine = self._timeout_handle = None
        self._client_connected_cb = None
        self._smtp_methods = {}
        self._auth_methods = {}
        self.seat = None
        # One that was not admitted has none.
        self.__dict__.pop("_reader", None)
        self.__dict__.pop("_writer", None)

    @property
    def address(self) -> str:
        """The client's."""
        return self.source[0]

    # --- commands as they come

    async def next_command(self) -> bytes:
        """The next line with its end. Raises ``CancelledError`` when the connection is over."""
        # Many may be there already, and those that need no mail server are answered without waiting for anything.
        await asyncio.sleep(0)
        if self.last_word:
            self.over(self.last_word, self.how)
        left = self.front.settings.idle_seconds
        if not self.session or not self.session.authenticated:
            left = min(left, self.login_seconds_left)
            self._before_login += 1
            if self._before_login > BEFORE_LOGIN_MOST:
                self.over(refusals.TOO_MANY_COMMANDS, "too_many_commands")
        try:
            return await self.awaited_line(left) + b"\r\n"
        except Unframeable as error:
            self.over(refusals.unframeable(error.reason), error.reason)

    async def awaited_line(self, seconds: float) -> bytes:
        """A line without its end, within that time. Raises ``Unframeable``."""
        self._reset_timeout(seconds)
        self.waiting, self.waiting_since = True, self.front.clock()
        try:
            return await self.inbox.line()
        finally:
            self.waiting = False
            self._reset_timeout()

    @property
    def login_seconds_left(self) -> float:
        """Until a login must stand."""
        return max(0.001, self._login_until - self.front.clock())

    @contextmanager
    def receives(self, seconds: float) -> Iterator[None]:
        """The client sends a message that it was told to send, for which it has so long."""
        self.receiving = True
        self._reset_timeout(seconds)
        try:
            yield
        finally:
            self.receiving = False
            self._reset_timeout()

    def has_sent(self, seconds: float) -> None:
        """The message is whole; within so long its answer is there."""
        self.receiving = False
        self._reset_timeout(seconds)

    async def push(self, status: AnyStr) -> None:
        """Write a reply; its line's end is added."""
        octets = status.encode("utf-8", "surrogateescape") if isinstance(status, str) else status
        self.link.write(octets + b"\r\n")
        try:
            await self._writer.drain()
        except ConnectionError:
            # As aiosmtpd ends a session whose client is gone.
            raise asyncio.CancelledError from None

    async def handle_exception(self, error: Exception) -> str:
        """A mistake of ours: the client may try again, and what it sends next is not taken for commands."""
        log.error("smtp_session_failed", error=type(error).__name__, exc_info=error)
        self.end_next(refusals.GIVEN_UP, "failed")
        return refusals.INTERNAL.decode()

    # --- the end

    def over(self, last_word: bytes, how: str) -> NoReturn:
        """End the session that runs now. ``how``: a label of a metric."""
        self.say_last(last_word, how)
        raise asyncio.CancelledError

    def say_last(self, last_word: bytes, how: str) -> None:
        """Say why, and close."""
        self.how = how
        self.link.write(last_word + b"\r\n")
        self.link.close()
        self._reset_timeout(LINGER_SECONDS)
        self._lingers = True

    def end_next(self, last_word: bytes, how: str) -> None:
        """End the session in place of its next command; the first word that was due is the one that is said."""
        if not self.last_word:
            self.last_word, self.how = last_word, how

    def end_with(self, last_word: bytes, how: str) -> None:
        """End the session as soon as nothing is under way that the client was promised: now, if it waits."""
        self.end_next(last_word, how)
        if self.waiting and not self.link.is_closing():
            self.say_last(self.last_word, self.how)

    @property
    def closing(self) -> bool:
        """Whether its last word is said."""
        return self.gone or self.link.is_closing()

    def abort(self) -> None:
        """Close at once; what was not taken is lost."""
        reset(self.link)

    def _reset_timeout(self, duration: float | None = None) -> None:
        # A session that is cancelled sets it once more on its way out, and the timer would hold all of it for minutes.
        if not self.gone and not self._lingers:
            super()._reset_timeout(duration)

    def _timeout_cb(self) -> None:
        if (self.waiting or self.receiving) and not self.link.is_closing():
            logged_in = self.session is not None and self.session.authenticated
            self.say_last(refusals.TIMED_OUT, "timed_out" if logged_in else "too_slow")
        else:
            self.abort()

    # --- STARTTLS

    async def smtp_STARTTLS(self, arg: str) -> None:  # noqa: N802  (aiosmtpd's name)
        """Begin TLS. An octet behind the command was said in the clear and would be run within TLS (RFC 3207 §6)."""
        if self._tls is None or self.secure:
            await self.push(refusals.TLS_STANDS if self.secure else refusals.TLS_NOT_OFFERED)
            return
        if self.session is not None and self.session.authenticated:
            # All that was said before would have to be forgotten (RFC 3207 §4.2), and with it who is connected.
            await self.push(refusals.LOGGED_IN)
            return
        if arg:
            await self.push(refusals.NO_ARGUMENT)
            return
        self.link.pause_reading()
        if not self.inbox.empty:
            self.how = "octets_behind_starttls"
            self.abort()
            raise asyncio.CancelledError
        failed = await self._shake_hands(self._tls)
        if failed:
            self.how = "tls_failed"
            self.front.admission.tls_failed(failed)
            # Nobody else says so: what lies between was never ours.
            self.connection_lost(None)
            raise asyncio.CancelledError

    async def _shake_hands(self, tls: ServerTls) -> str:
        """Why it failed (``reason_of``), or nothing.

        Never the exception itself: it refers to this frame, which would refer to it, and all of the connection stay.
        """
        raw = self.link
        over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        layer = TlsConnection(tls.context, lambda: self, functools.partial(tell, over))
        raw.write(refusals.TLS_READY + b"\r\n")
        raw.set_protocol(layer)
        layer.connection_made(raw)
        raw.resume_reading()
        try:
            async with asyncio.timeout(self.front.settings.tls_handshake_seconds):
                return await over
        except TimeoutError as error:
            layer.abort()
            return reason_of(error)


def _end(transport: asyncio.BaseTransport, name: str) -> End:
    """One end of the connection, without a zone; IPv4 on a listener for both families is IPv4."""
    end = transport.get_extra_info(name)
    return (written(str(end[0])), int(end[1])) if isinstance(end, tuple) else ("", 0)


def _ended(connection: Connection, session: "asyncio.Task[None]") -> None:
    error = None if session.cancelled() else session.exception()
    if error is not None and not isinstance(error, ConnectionError):
        log.error("smtp_session_failed", error=type(error).__name__, exc_info=error)
    connection.over_at_last()
