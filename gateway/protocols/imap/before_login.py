"""The dialogue with a client up to its login: what is answered here, and what the proxy has to do.

The proxy gives octets to ``receive`` and takes events from ``next`` until it gets None, writing each event's octets
first. Commands are answered one after the other, however many a client sends at once. While a login is being asked
about, what stands behind it waits, and becomes either the first octets of the session or the next commands.

One dialogue is good for one connection in one state: after STARTTLS there is a new one, which knows nothing of what
was said in the clear; an octet behind that command ends the connection (CVE-2011-0411 and its kin).
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from gateway.protocols import sasl
from gateway.protocols.imap import refusals
from gateway.protocols.imap.capabilities import before_login
from gateway.protocols.imap.commands import (
    BadCommand,
    Head,
    head_of,
    read_authenticate,
    read_id,
    read_login,
    tag_of,
    without_arguments,
)
from gateway.protocols.imap.framing import Announced, CommandFramer, Framed
from gateway.protocols.lines import Unframeable
from gateway.protocols.login import (
    ChallengeAnswered,
    ClientEvent,
    Ended,
    Identified,
    LoginAsked,
    Offer,
    Said,
    TlsAsked,
)

BAD_COMMANDS_MOST: Final = 3
FAILED_LOGINS_MOST: Final = 3
COMMANDS_MOST: Final = 100
"""Commands before login; who logs in at all needs fewer than ten."""
_WITH_LITERALS: Final = (b"LOGIN", b"ID")
_SELF: Final = b'* ID ("name" "Gatepost")\r\n'


class _State(Enum):
    COMMANDS = 0
    SASL = 1
    """The next line is the response to a challenge of ours."""
    ASKED = 2
    """A login is being asked about."""
    CHALLENGED = 3
    """The same, and the next line answers a challenge of the mail server's."""
    TLS = 4
    OVER = 5


@dataclass(slots=True)
class Dialogue:
    """One client in one state of its connection."""

    offer: Offer
    _framer: CommandFramer = field(default_factory=CommandFramer)
    _state: _State = _State.COMMANDS
    _tag: bytes = b""
    """Of the login under way."""
    _exchange: sasl.Exchange | None = None
    _commands: int = 0
    _bad: int = 0
    _failed: int = 0
    _overrun: bool = False

    def greeting(self) -> bytes:
        """The first line of a connection; within TLS that was started there is none."""
        return b"* OK [CAPABILITY %b] Mail gateway ready.\r\n" % before_login(self.offer)

    def receive(self, octets: bytes) -> None:
        """Octets of the client; then take events until there is none."""
        if self._state is _State.OVER:
            return
        try:
            self._framer.receive(octets)
        except Unframeable:
            self._overrun = True

    @property
    def crowded(self) -> bool:
        """Whether the proxy must stop reading until something was taken."""
        return self._framer.crowded

    def next(self) -> ClientEvent | None:
        """What is to be done next; None: nothing until more octets, or the proxy's own word, have come."""
        if self._state is _State.OVER:
            return None
        if self._overrun:
            return self._end(b"* BYE Too much was sent at once.\r\n", "too_much_waiting")
        try:
            return self._step()
        except Unframeable as error:
            return self._end(b"* BYE The command is too long or malformed.\r\n", error.reason)

    def _step(self) -> ClientEvent | None:
        if self._state is _State.COMMANDS:
            command = self._framer.next()
            return None if command is None else self._take(command)
        if self._state is _State.SASL:
            line = self._framer.line()
            return None if line is None else self._respond(line)
        if self._state is _State.CHALLENGED:
            if self._framer.line() is None:
                return None
            self._state = _State.ASKED
            return ChallengeAnswered()
        if self._state is _State.TLS and not self._framer.empty:
            return self._end(b"", "octets_behind_starttls")
        return None

    # --- commands

    def _take(self, command: Framed | Announced) -> ClientEvent:
        self._commands += 1
        if self._commands > COMMANDS_MOST:
            return self._end(b"* BYE Too many commands before login.\r\n", "too_many_commands")
        line = command.line if isinstance(command, Announced) else command.lines[0]
        head = head_of(line)
        if isinstance(command, Announced):
            return self._announced(command, head)
        if head is None:
            return self._bad_command(tag_of(line), "There is no such command.")
        try:
            return self._answer(head, command)
        except BadCommand:
            return self._bad_command(head.tag, "The arguments are malformed.")

    def _announced(self, announced: Announced, head: Head | None) -> ClientEvent:
        """Whether a literal may come: only where it is of use, so that no password is asked for in the clear."""
        if head is None or head.verb not in _WITH_LITERALS:
            self._framer.drop()
            return self._bad_command(tag_of(announced.line), "No literal is expected here.")
        if head.verb == b"LOGIN" and not self.offer.password:
            self._framer.drop()
            return Said(refusals.privacy_required(head.tag))
        if not announced.allowed:
            self._framer.drop()
            return self._bad_command(head.tag, "The literal is too large.")
        self._framer.go_on()
        self._commands -= 1
        return Said(b"+ OK\r\n")

    def _answer(self, head: Head, command: Framed) -> ClientEvent:
        tag, verb = head
        if verb == b"LOGIN":
            return self._login(tag, command)
        if verb == b"AUTHENTICATE":
            return self._authenticate(tag, command)
        if verb == b"ID":
            fields = read_id(command)
            return Identified(_SELF + b"%b OK ID completed.\r\n" % tag, fields)
        if verb == b"ENABLE":
            # As Dovecot does it: nothing is enabled, and nobody is stopped by it.
            return Said(b"* ENABLED\r\n%b OK Nothing was enabled.\r\n" % tag)
        if verb not in (b"CAPABILITY", b"NOOP", b"LOGOUT", b"STARTTLS"):
            return self._bad_command(tag, "This command is not known before login.")
        without_arguments(command)
        if verb == b"CAPABILITY":
            capabilities = before_login(self.offer)
            return Said(b"* CAPABILITY %b\r\n%b OK CAPABILITY completed.\r\n" % (capabilities, tag))
        if verb == b"NOOP":
            return Said(b"%b OK NOOP completed.\r\n" % tag)
        if verb == b"LOGOUT":
            return self._end(b"* BYE Logging out.\r\n%b OK LOGOUT completed.\r\n" % tag, "logout")
        return self._starttls(tag)

    def _starttls(self, tag: bytes) -> ClientEvent:
        if not self.offer.starttls:
            return self._bad_command(tag, "TLS cannot be started here.")
        if not self._framer.empty:
            return self._end(b"", "octets_behind_starttls")
        self._state = _State.TLS
        return TlsAsked(b"%b OK Begin TLS.\r\n" % tag)

    # --- login

    def _login(self, tag: bytes, command: Framed) -> ClientEvent:
        if not self.offer.password:
            return Said(refusals.privacy_required(tag))
        credentials = read_login(command)
        try:
            return self._asked(tag, sasl.checked(credentials))
        except sasl.BadResponse:
            return self.refuse(refusals.wrong_credentials(tag))

    def _authenticate(self, tag: bytes, command: Framed) -> ClientEvent:
        if not self.offer.mechanisms:
            return Said(refusals.privacy_required(tag))
        name, initial = read_authenticate(command)
        mechanism = sasl.mechanism(name)
        if mechanism is None or mechanism not in self.offer.mechanisms:
            return Said(b"%b NO [CANNOT] This authentication mechanism is not supported.\r\n" % tag)
        self._tag = tag
        self._exchange = sasl.Exchange(mechanism)
        return self._respond(initial)

    def _respond(self, response: bytes | None) -> ClientEvent:
        assert self._exchange is not None
        try:
            outcome = self._exchange.respond(response)
        except sasl.BadResponse as error:
            return self._response_refused(error.fault)
        if isinstance(outcome, bytes):
            self._state = _State.SASL
            return Said(b"+ %b\r\n" % outcome)
        return self._asked(self._tag, outcome)

    def _response_refused(self, fault: sasl.Fault) -> ClientEvent:
        self._state, self._exchange = _State.COMMANDS, None
        if fault is sasl.Fault.CANCELLED:
            return self._bad_command(self._tag, "Authentication was cancelled.")
        if fault is sasl.Fault.ENCODING:
            return self._bad_command(self._tag, "The response is not base64.")
        return self.refuse(refusals.wrong_credentials(self._tag))

    def _asked(self, tag: bytes, credentials: sasl.Credentials) -> LoginAsked:
        self._state, self._exchange = _State.ASKED, None
        return LoginAsked(tag, credentials)

    # --- the proxy's word

    def logged_in(self) -> bytes:
        """The login stands: the octets that the client has sent behind it, the first ones of its session."""
        self._state = _State.OVER
        return self._framer.rest()

    def refuse(self, answer: bytes) -> Said | Ended:
        """The login is refused with this answer, its tagged line included; the client may try again, a few times."""
        self._state, self._exchange = _State.COMMANDS, None
        self._failed += 1
        if self._failed >= FAILED_LOGINS_MOST:
            return self._end(answer + refusals.TOO_MANY_FAILURES, "too_many_failed_logins")
        return Said(answer)

    def defer(self, tag: bytes) -> Said | Ended:
        """Nobody can say now whether the login stands."""
        return self.refuse(refusals.deferred(tag))

    def challenge(self, response: bytes) -> Said:
        """Pass on the mail server's challenge (in base64) that explains a refused token (RFC 7628 §3.2.2)."""
        self._state = _State.CHALLENGED
        return Said(b"+ %b\r\n" % response)

    # --- answers

    def _bad_command(self, tag: bytes, sentence: str) -> Said | Ended:
        self._bad += 1
        answer = b"%b BAD %b\r\n" % (tag, sentence.encode())
        if self._bad >= BAD_COMMANDS_MOST:
            return self._end(answer + b"* BYE Too many invalid commands.\r\n", "too_many_bad_commands")
        return Said(answer)

    def _end(self, octets: bytes, reason: str) -> Ended:
        self._state = _State.OVER
        self._framer.rest()
        return Ended(octets, reason)
