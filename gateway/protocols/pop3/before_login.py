"""The dialogue with a POP3 client up to its login: what is answered here, and what the proxy has to do.

Used like IMAP's: octets to ``receive``, events from ``next`` until None, each event's octets written first. Commands
are answered one after the other; what stands behind a login waits for its answer. After STLS there is a new dialogue,
and an octet behind that command ends the connection (RFC 2595 §4, CVE-2011-0411 and its kin).
"""

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from gateway.protocols import sasl
from gateway.protocols.lines import LineReader, Unframeable
from gateway.protocols.login import ChallengeAnswered, ClientEvent, Ended, LoginAsked, Offer, Said, TlsAsked
from gateway.protocols.pop3 import refusals
from gateway.protocols.pop3.capabilities import before_login, mechanism_list

LINE_LONGEST: Final = 16 << 10
"""Octets; a command has 255 (RFC 2449 §4), a response of SASL what a token needs."""
PIPELINED_MOST: Final = 64 << 10
BAD_COMMANDS_MOST: Final = 5
"""Clients feel their way (APOP, UTF8, LANG …) before they log in."""
FAILED_LOGINS_MOST: Final = 3
COMMANDS_MOST: Final = 100
GREETING: Final = b"+OK Mail gateway ready.\r\n"
"""Without ``<``: what looks like a time stamp would offer APOP (RFC 1939 §7)."""

_COMMAND = re.compile(rb"([A-Za-z]{3,16}+)(?: ([^\0]*+))?\Z")
_AUTH = re.compile(rb"([A-Za-z0-9_-]{1,20}+)(?: ++([A-Za-z0-9+/=]++))? *+\Z")


class _State(Enum):
    COMMANDS = 0
    SASL = 1
    ASKED = 2
    CHALLENGED = 3
    TLS = 4
    OVER = 5


@dataclass(slots=True)
class Dialogue:
    """One client in one state of its connection."""

    offer: Offer
    _lines: LineReader = field(default_factory=lambda: LineReader(LINE_LONGEST, PIPELINED_MOST))
    _state: _State = _State.COMMANDS
    _user: bytes | None = field(default=None, repr=False)
    """From USER, until PASS."""
    _exchange: sasl.Exchange | None = None
    _commands: int = 0
    _bad: int = 0
    _failed: int = 0
    _overrun: bool = False

    def greeting(self) -> bytes:
        """The first line of a connection; within TLS that was started there is none."""
        return GREETING

    def receive(self, octets: bytes) -> None:
        """Octets of the client; then take events until there is none."""
        if self._state is _State.OVER:
            return
        try:
            self._lines.receive(octets)
        except Unframeable:
            self._overrun = True

    @property
    def crowded(self) -> bool:
        """Whether the proxy must stop reading until something was taken."""
        return self._lines.crowded

    def next(self) -> ClientEvent | None:
        """What is to be done next; None: nothing until more octets, or the proxy's own word, have come."""
        if self._state is _State.OVER:
            return None
        if self._overrun:
            return self._end(b"-ERR Too much was sent at once.\r\n", "too_much_waiting")
        try:
            return self._step()
        except Unframeable as error:
            return self._end(b"-ERR The command is too long or malformed.\r\n", error.reason)

    def _step(self) -> ClientEvent | None:
        if self._state is _State.ASKED:
            return None
        if self._state is _State.TLS:
            return None if self._lines.empty else self._end(b"", "octets_behind_starttls")
        line = self._lines.line()
        if line is None:
            return None
        if self._state is _State.SASL:
            return self._respond(line)
        if self._state is _State.CHALLENGED:
            self._state = _State.ASKED
            return ChallengeAnswered()
        return self._take(line)

    # --- commands

    def _take(self, line: bytes) -> ClientEvent:
        self._commands += 1
        if self._commands > COMMANDS_MOST:
            return self._end(b"-ERR Too many commands before login.\r\n", "too_many_commands")
        found = _COMMAND.match(line)
        if found is None:
            return self._bad_command("There is no such command.")
        verb, argument = found[1].upper(), found[2]
        user, self._user = self._user, None
        if verb == b"PASS":
            return self._pass(user, argument)
        if verb == b"USER":
            return self._take_user(argument)
        if verb == b"AUTH":
            return self._authenticate(argument)
        if argument is not None and argument.strip(b" "):
            return self._bad_command("This command is not known before login.")
        if verb == b"CAPA":
            return Said(before_login(self.offer))
        if verb == b"QUIT":
            return self._end(b"+OK Logging out.\r\n", "logout")
        if verb == b"STLS" and self.offer.starttls:
            return self._starttls()
        return self._bad_command("This command is not known before login.")

    def _starttls(self) -> ClientEvent:
        if not self._lines.empty:
            return self._end(b"", "octets_behind_starttls")
        self._state = _State.TLS
        return TlsAsked(b"+OK Begin TLS.\r\n")

    # --- login

    def _take_user(self, name: bytes | None) -> ClientEvent:
        if not self.offer.password:
            return Said(refusals.privacy_required())
        if not name:
            return self._bad_command("A name is wanted.")
        self._user = name
        return Said(b"+OK\r\n")

    def _pass(self, user: bytes | None, secret: bytes | None) -> ClientEvent:
        """The rest of the line is the password, blanks included (RFC 1939 §7)."""
        if not self.offer.password:
            return Said(refusals.privacy_required())
        if user is None:
            return self._bad_command("USER comes first.")
        try:
            return self._asked(sasl.checked(sasl.Credentials(sasl.Mechanism.PLAIN, user, secret or b"")))
        except sasl.BadResponse:
            return self.refuse(refusals.wrong_credentials())

    def _authenticate(self, argument: bytes | None) -> ClientEvent:
        if not self.offer.mechanisms:
            return Said(refusals.privacy_required())
        if not argument:
            return Said(mechanism_list(self.offer))
        found = _AUTH.match(argument)
        if found is None:
            return self._bad_command("A mechanism and at most one response in base64 are wanted.")
        mechanism = sasl.mechanism(found[1])
        if mechanism is None or mechanism not in self.offer.mechanisms:
            return Said(b"-ERR This authentication mechanism is not supported.\r\n")
        self._exchange = sasl.Exchange(mechanism)
        return self._respond(found[2])

    def _respond(self, response: bytes | None) -> ClientEvent:
        assert self._exchange is not None
        try:
            outcome = self._exchange.respond(response)
        except sasl.BadResponse as error:
            self._state, self._exchange = _State.COMMANDS, None
            if error.fault is sasl.Fault.CANCELLED:
                return self._bad_command("Authentication was cancelled.")
            if error.fault is sasl.Fault.ENCODING:
                return self._bad_command("The response is not base64.")
            return self.refuse(refusals.wrong_credentials())
        if isinstance(outcome, bytes):
            self._state = _State.SASL
            return Said(b"+ %b\r\n" % outcome)
        return self._asked(outcome)

    def _asked(self, credentials: sasl.Credentials) -> LoginAsked:
        self._state, self._exchange = _State.ASKED, None
        return LoginAsked(b"", credentials)

    # --- the proxy's word

    def logged_in(self) -> bytes:
        """The login stands: the octets that the client has sent behind it, the first ones of its session."""
        self._state = _State.OVER
        return self._lines.rest()

    def refuse(self, answer: bytes) -> Said | Ended:
        """The login is refused with this answer; the client may try again, a few times."""
        self._state, self._exchange = _State.COMMANDS, None
        self._failed += 1
        if self._failed >= FAILED_LOGINS_MOST:
            return self._end(answer, "too_many_failed_logins")
        return Said(answer)

    def defer(self, tag: bytes = b"") -> Said | Ended:
        """Nobody can say now whether the login stands; ``tag`` is IMAP's."""
        return self.refuse(refusals.deferred())

    def challenge(self, response: bytes) -> Said:
        """Pass on the mail server's challenge (in base64) that explains a refused token (RFC 7628 §3.2.2)."""
        self._state = _State.CHALLENGED
        return Said(b"+ %b\r\n" % response)

    # --- answers

    def _bad_command(self, sentence: str) -> Said | Ended:
        self._bad += 1
        answer = b"-ERR %b\r\n" % sentence.encode()
        return self._end(answer, "too_many_bad_commands") if self._bad >= BAD_COMMANDS_MOST else Said(answer)

    def _end(self, octets: bytes, reason: str) -> Ended:
        self._state, self._user = _State.OVER, None
        self._lines.rest()
        return Ended(octets, reason)
