"""One client connection: the dialogue until the login, then the session's octets.

What is said in the clear before STARTTLS is forgotten with it: there is a new dialogue then, and an octet behind that
command ends the connection (CVE-2011-0411 and its kin). While a login is asked about, nothing behind it is looked at.
"""

import asyncio
from typing import TYPE_CHECKING, cast

import structlog

from gateway.domain.certificate import CertificateShown
from gateway.domain.verdict import Verdict
from gateway.network.accepting import reason_of
from gateway.network.addresses import written
from gateway.network.paused_reading import PausedReading
from gateway.network.resetting import reset
from gateway.network.tls_connection import TlsConnection
from gateway.protocols.login import Accepted, ChallengeAnswered, ClientEvent, Ended, Identified, LoginAsked, TlsAsked
from gateway.protocols.proxy_protocol import Header
from gateway.proxies.mail.login import Login
from gateway.proxies.mail.notice_session import NoticeSession
from gateway.proxies.mail.session import MailSession
from gateway.proxies.mail.spoken import ClientDialogue
from gateway.proxies.mail.upstream import Ends

if TYPE_CHECKING:
    from gateway.proxies.mail.front import MailFront

log = structlog.get_logger()

CLOSING_SECONDS = 5.0
"""For a client to take what was said to it last."""
NEVER = float("inf")
_SAID_OF_CLIENTS = (b"name", b"version", b"os", b"vendor")
"""Fields of ID (RFC 2971 §3.3) that are worth a line; a client may say anything."""
_SAID_LONGEST = 64


class ClientConnection(PausedReading):
    """A mail program."""

    __slots__ = (
        *("_answered", "_closing", "_dialogue", "_front", "_header", "_task", "_within_tls"),
        *("address", "certificate", "deadline", "ends", "secure", "session"),
    )

    def __init__(self, front: "MailFront", *, secure: bool, header: Header | None = None) -> None:
        """``header``: what a balancer has said of it."""
        super().__init__()
        self._front = front
        self._header = header
        self.secure = secure
        self._within_tls = secure
        self.address = ""
        self.certificate: CertificateShown | None = None
        """What the client has shown within TLS; read once."""
        self.ends = Ends(("", 0), ("", 0))
        self.deadline = NEVER
        """When it has taken too long, by the front's clock; a session has its own measure."""
        self.session: MailSession | NoticeSession | None = None
        self._dialogue: ClientDialogue | None = None
        self._task: asyncio.Task[None] | None = None
        """The login that is asked about."""
        self._answered: asyncio.Future[None] | None = None
        """Until the client has noted a challenge."""
        self._closing = False

    # --- the transport's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come, or its TLS stands."""
        begins = self.transport is None
        # uvloop's transports are none of asyncio's by inheritance.
        self.transport = cast("asyncio.Transport", transport)
        if not begins:
            self._within_tls = True
            self.certificate = self._front.certificate_of(transport)
            self._dialogue = self._front.dialogue(within_tls=True)
            return
        self.ends = _ends(transport, self._header)
        self.address = self.ends.client[0]
        self._wait_at_most(self._front.settings.login_seconds)
        if not self._front.admission.admit(self):
            self._closing = True
            self.transport = None
            return
        if self._within_tls:
            self.certificate = self._front.certificate_of(transport)
        self._dialogue = self._front.dialogue(within_tls=self._within_tls)
        self.write(self._dialogue.greeting())

    def data_received(self, data: bytes) -> None:
        """Octets before the login, or of the session."""
        if self._closing:
            return
        if self.session is not None:
            self.session.from_client(data)
        elif self._dialogue is not None:
            self._dialogue.receive(data)
            self._advance()

    def eof_received(self) -> bool:
        """A client that sends no more is gone: mail programs do not half-close."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._closing = True
        self.transport = None
        self._front.leave(self)
        session, self.session = self.session, None
        # A task keeps the exception that it ends with, and so the frames that refer to this: not the other way as well.
        task, self._task = self._task, None
        if session is not None:
            session.client_gone()
        elif task is not None:
            self._front.sessions.count_login("client_gone")
            task.cancel()

    def pause_writing(self) -> None:
        """It takes no more for now."""
        if self.session is not None:
            self.session.client_writable(writable=False)
        else:
            # Who does not read the answers is asked nothing more.
            self.pause()

    def resume_writing(self) -> None:
        """It takes more again."""
        if self.session is not None:
            self.session.client_writable(writable=True)
        else:
            self._advance()

    # --- before the login

    def _advance(self) -> None:
        """Answer what can be answered."""
        while self._dialogue is not None and not self._closing and (event := self._dialogue.next()) is not None:
            self.write(event.octets)
            self._take(event)
        if self._dialogue is None or self._closing:
            return
        if self._dialogue.crowded:
            self.pause()
        else:
            self.resume()

    def _take(self, event: ClientEvent) -> None:
        if isinstance(event, LoginAsked):
            # It has bounds of its own.
            self.deadline = NEVER
            self._task = asyncio.get_running_loop().create_task(self._log_in(event))
        elif isinstance(event, TlsAsked):
            self._start_tls()
        elif isinstance(event, ChallengeAnswered):
            if self._answered is not None and not self._answered.done():
                self._answered.set_result(None)
        elif isinstance(event, Identified):
            said = {key: value[:_SAID_LONGEST] for key, value in event.fields if key in _SAID_OF_CLIENTS}
            words = {key.decode(): value.decode("utf-8", "replace") for key, value in said.items()}
            log.debug("client_identified", client=self.address, said=words)
        elif isinstance(event, Ended):
            self._front.sessions.count_early_end(event.reason)
            self.close()

    def _start_tls(self) -> None:
        """What comes from now on is TLS; its handshake counts against the time for the login."""
        raw, tls = self.transport, self._front.tls
        assert raw is not None
        assert tls is not None
        self._dialogue = None
        self._wait_at_most(self._front.settings.tls_handshake_seconds)
        connection = TlsConnection(tls.context, lambda: self, self._shaken)
        raw.set_protocol(connection)
        connection.connection_made(raw)

    def _shaken(self, error: BaseException | None) -> None:
        if error is None:
            self._wait_at_most(self._front.settings.login_seconds)
            return
        self._front.admission.tls_failed(reason_of(error))
        # Nobody else says so: what lies between was never ours.
        self.connection_lost(None)

    # --- the login

    async def _log_in(self, asked: LoginAsked) -> None:
        try:
            await Login(self._front, self, asked).run()
        except Exception as error:  # a mistake of ours costs one connection and not the others
            self.abort()
            context = {"message": "a login could not be concluded", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)

    async def challenge(self, response: bytes) -> None:
        """Pass on what explains the refusal of a token; returns when the client has noted it."""
        if self._dialogue is None or self._closing:
            return
        self._answered = asyncio.get_running_loop().create_future()
        self.write(self._dialogue.challenge(response).octets)
        # It may be here already.
        self._advance()
        await asyncio.wait([self._answered], timeout=self._front.settings.login_seconds)

    def logged_in(self, session: MailSession, accepted: Accepted, verdict: Verdict) -> None:
        """The login stands, and the verdict is ALLOW."""
        dialogue, self._dialogue, self._task = self._dialogue, None, None
        if dialogue is None or self._closing:
            session.give_up()
            return
        self.resume()
        session.begin(accepted, dialogue.logged_in(), verdict)

    def noticed(self, session: NoticeSession, tag: bytes) -> None:
        """The login is refused, and a notice takes the place of the mailbox."""
        dialogue, self._dialogue, self._task = self._dialogue, None, None
        if dialogue is None or self._closing:
            return
        self._front.sessions.count_login("noticed")
        self.resume()
        session.begin(tag, dialogue.logged_in())

    def refuse(self, answer: bytes, outcome: str) -> None:
        """The login is refused with this answer; the client may try again."""
        self._front.sessions.count_login(outcome)
        if self._dialogue is not None:
            self._go_on(self._dialogue.refuse(answer))

    def defer(self, tag: bytes) -> None:
        """Nobody can say now whether it stands."""
        if self._dialogue is not None:
            self._go_on(self._dialogue.defer(tag))

    def _go_on(self, event: ClientEvent) -> None:
        self._task = None
        if self._closing:
            return
        self._wait_at_most(self._front.settings.login_seconds)
        self.write(event.octets)
        self._take(event)
        if self._front.draining:
            self.drain(self._front.clock(), at_once=True)
        self._advance()

    # --- writing and ending

    @property
    def untaken(self) -> int:
        """Octets that the client has yet to take."""
        return 0 if self.transport is None else self.transport.get_write_buffer_size()

    def write(self, octets: bytes) -> None:
        """Send; nothing where it is about to be closed, by whichever side."""
        if octets and self.transport is not None and not self.transport.is_closing():
            self.transport.write(octets)

    def _wait_at_most(self, seconds: float) -> None:
        self.deadline = self._front.clock() + seconds

    def sweep(self, now: float) -> None:
        """End it if it has taken too long; called about once a second."""
        if self._closing or self.session is None:
            if self.deadline <= now:
                self._out_of_time()
        else:
            self.session.out_of_time(now)

    def _out_of_time(self) -> None:
        if self._closing or self._dialogue is None:
            self.abort()
            return
        self._front.sessions.count_early_end("too_slow")
        self.write(self._front.spoken.last_words.too_slow)
        self.close()

    def drain(self, now: float, *, at_once: bool) -> None:
        """The gateway stops: end what is not in the midst of something."""
        if self.session is not None:
            self.session.drain(now, at_once=at_once)
        elif at_once or (self._task is None and self._dialogue is not None):
            self.write(self._front.spoken.last_words.drained)
            self.close()

    @property
    def closing(self) -> bool:
        """Whether it is at its end."""
        return self._closing

    def close(self, within_seconds: float = CLOSING_SECONDS) -> None:
        """Send what is written, then close; a client that does not take it in time loses the rest."""
        if not self._closing:
            self._wait_at_most(within_seconds)
        self._closing = True
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Close at once; what was not taken is lost."""
        self._closing = True
        if self.transport is not None:
            reset(self.transport)


def _ends(transport: asyncio.BaseTransport, header: Header | None) -> Ends:
    """As a balancer says, else as the socket has it."""
    if header is not None and header.source is not None and header.destination is not None:
        return Ends(header.source, header.destination)
    return Ends(_end(transport, "peername"), _end(transport, "sockname"))


def _end(transport: asyncio.BaseTransport, name: str) -> tuple[str, int]:
    """One end of the connection, without a zone; IPv4 on a listener for both families is IPv4."""
    end = transport.get_extra_info(name)
    if not isinstance(end, tuple):
        return "", 0
    return written(str(end[0])), int(end[1])
