"""The dialogue with a POP3 server up to the login: greeting, STLS, its capabilities, the client's credentials.

Used like IMAP's. The commands are our own, one at a time. A server that is not as it must be is ``Unusable``: the
client hears that mail is unavailable, never that its password is wrong.
"""

import re
from collections.abc import Sequence
from enum import Enum
from typing import Final

from gateway.protocols import sasl
from gateway.protocols.lines import LineReader, Unframeable
from gateway.protocols.login import Accepted, Challenged, Opened, Rejected, Send, ServerEvent, StartTls, Unusable
from gateway.protocols.pop3.capabilities import WITHOUT_CAPA, understood

LINE_LONGEST: Final = 16 << 10
BEFORE_LOGIN_MOST: Final = 64 << 10
"""Octets that a server may say before the answer to the login."""
RECEIVED_MOST: Final = 1 << 20
COMMAND_LONGEST: Final = 255
"""Octets with the line's end; a longer initial response goes by itself (RFC 5034 §4)."""
QUIT: Final = b"QUIT\r\n"
"""For a server that accepted the login of somebody who may not have mail; nothing was marked as deleted."""

_STATUS: Final = re.compile(rb"(\+OK|-ERR)(?: (?:\[([^\]]*+)\])?(.*+))?\Z", re.DOTALL)
_WRONG: Final = frozenset((b"", b"AUTH"))
"""Codes of a refusal that speak about the credentials, not about the server (RFC 3206)."""
_UNSENDABLE: Final = re.compile(rb"[^!-~]")


class _State(Enum):
    GREETING = 0
    STLS = 1
    TLS = 2
    SECURED = 3
    CAPA = 4
    CAPA_LIST = 5
    OPENED = 6
    CLIENT_TOLD = 7
    """XCLIENT awaits its answer."""
    LOGIN = 8
    OVER = 9


class UpstreamLogin:
    """One connection to a mail server, up to the answer to one login."""

    __slots__ = (
        *("_capabilities", "_challenged", "_known", "_lines", "_mechanism", "_said", "_starttls", "_state"),
        *("_to_send", "_told"),
    )

    def __init__(self, *, starttls: bool = False, known: frozenset[bytes] | None = None) -> None:
        """``known``: the capabilities it had lately, in the same state of TLS; without them it is asked."""
        self._starttls = starttls
        self._known = known
        self._lines = LineReader(LINE_LONGEST, RECEIVED_MOST)
        self._state = _State.GREETING
        self._capabilities: set[bytes] = set()
        self._said = 0
        self._told = False
        """Whether the server wants to hear of the client (Dovecot's XCLIENT)."""
        self._mechanism: sasl.Mechanism | None = None
        self._to_send: list[bytes] = []
        """What follows when the server says yes, or asks for more."""
        self._challenged = False

    def receive(self, octets: bytes) -> None:
        """Octets of the server; then take events until there is none."""
        if self._state is _State.OVER:
            return
        try:
            self._lines.receive(octets)
        except Unframeable:
            self._said = BEFORE_LOGIN_MOST + 1

    def next(self) -> ServerEvent | None:
        """What is to be done next; None: nothing until more octets, or the proxy's own word, have come."""
        try:
            return self._step()
        except Unframeable as error:
            return self._unusable(error.reason)

    def _step(self) -> ServerEvent | None:
        while True:
            if self._state in (_State.OPENED, _State.OVER):
                return None
            if self._said > BEFORE_LOGIN_MOST:
                return self._unusable("too_much_said")
            if self._state is _State.SECURED:
                return self._know(self._known)
            if self._state is _State.TLS:
                return None if self._lines.empty else self._unusable("octets_behind_starttls")
            line = self._lines.line()
            if line is None:
                return None
            self._said += len(line) + 2
            event = self._take(line)
            if event is not None:
                return event

    def secured(self) -> None:
        """TLS stands; what was said in the clear is forgotten."""
        self._lines = LineReader(LINE_LONGEST, RECEIVED_MOST)
        self._state = _State.SECURED

    # --- until it is open

    def _take(self, line: bytes) -> ServerEvent | None:
        if self._state is _State.CAPA_LIST:
            return self._listed(line)
        if self._state is _State.LOGIN and line.startswith(b"+") and not line.startswith(b"+OK"):
            return self._continued(line)
        status = _STATUS.match(line)
        if status is None:
            return self._unusable("no_greeting" if self._state is _State.GREETING else "malformed_answer")
        agreed = status[1] == b"+OK"
        if self._state is _State.GREETING:
            return self._greeted(line, agreed=agreed)
        if self._state is _State.STLS:
            return self._tls(agreed=agreed)
        if self._state is _State.CAPA:
            if not agreed:
                return self._know(WITHOUT_CAPA)
            self._state = _State.CAPA_LIST
            return None
        if self._state is _State.CLIENT_TOLD:
            self._state = _State.LOGIN
            return Send(self._to_send.pop(0))
        return self._answered(line, (status[2] or b"").upper(), agreed=agreed)

    def _greeted(self, line: bytes, *, agreed: bool) -> ServerEvent:
        if not agreed:
            return self._unusable("bye")
        self._told = b"[XCLIENT]" in line
        if self._starttls:
            self._state = _State.STLS
            return Send(b"STLS\r\n")
        return self._know(self._known)

    def _tls(self, *, agreed: bool) -> ServerEvent:
        if not agreed:
            return self._unusable("starttls_refused")
        if not self._lines.empty:
            return self._unusable("octets_behind_starttls")
        self._state = _State.TLS
        return StartTls()

    def _listed(self, line: bytes) -> ServerEvent | None:
        if line == b".":
            return self._know(frozenset(self._capabilities))
        self._capabilities.update(understood(line))
        return None

    def _know(self, capabilities: frozenset[bytes] | None) -> ServerEvent:
        if capabilities is None:
            self._state = _State.CAPA
            return Send(b"CAPA\r\n")
        self._state, self._capabilities = _State.OPENED, set(capabilities)
        return Opened(capabilities)

    # --- the login

    def login(
        self, tag: bytes, credentials: sasl.Credentials, client: Sequence[tuple[bytes, bytes]] = ()
    ) -> ServerEvent:
        """Log in; ``tag`` is IMAP's. ``client``: what a server that wants it is told of the client, as ``ADDR`` …

        Once, after ``Opened``.
        """
        assert self._state is _State.OPENED
        steps = _login_steps(credentials, self._capabilities)
        if not steps:
            return self._unusable("no_mechanism")
        self._mechanism = sasl.replayed_by(credentials)
        self._state, self._to_send = _State.LOGIN, steps
        if client and self._told:
            self._state = _State.CLIENT_TOLD
            words = [b"%b=%b" % (_UNSENDABLE.sub(b"?", key), _UNSENDABLE.sub(b"?", value)) for key, value in client]
            return Send(b"XCLIENT %b\r\n" % b" ".join(words))
        return Send(self._to_send.pop(0))

    def _continued(self, line: bytes) -> ServerEvent:
        if self._to_send:
            return Send(self._to_send.pop(0))
        if self._mechanism is None or not self._mechanism.by_token or self._challenged:
            return self._unusable("unexpected_challenge")
        self._challenged = True
        return Challenged(line[1:].strip(b" "), sasl.after_failure(self._mechanism) + b"\r\n")

    def _answered(self, line: bytes, code: bytes, *, agreed: bool) -> ServerEvent:
        if agreed and self._to_send:
            return Send(self._to_send.pop(0))
        self._state = _State.OVER
        if agreed:
            return Accepted(line + b"\r\n", self._lines.rest())
        return Rejected(line + b"\r\n", code in _WRONG)

    def _unusable(self, reason: str) -> Unusable:
        self._state = _State.OVER
        return Unusable(reason)


def _login_steps(credentials: sasl.Credentials, capabilities: set[bytes]) -> list[bytes]:
    """What is sent, one after the other, each but the first when the server agrees; nothing: there is no way."""
    mechanism = sasl.replayed_by(credentials).value.encode()
    if b"AUTH=" + mechanism in capabilities:
        response = sasl.initial_response(credentials)
        command = b"AUTH %b %b\r\n" % (mechanism, response)
        return [command] if len(command) <= COMMAND_LONGEST else [b"AUTH %b\r\n" % mechanism, response + b"\r\n"]
    if credentials.mechanism.by_token or b"USER" not in capabilities:
        return []
    return [b"USER %b\r\n" % credentials.user, b"PASS %b\r\n" % credentials.secret]
