"""The dialogue with a mail server up to its login, as far as IMAP and POP3 have it alike.

Lines within bounds, STARTTLS and what must be forgotten with it, steps that are sent one after the other, the one
challenge that explains a refused token, and the end. A server that is not as it must be is ``Unusable``: the client
hears that mail is unavailable, never that its password is wrong.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import Enum
from typing import Final

from gateway.protocols import sasl
from gateway.protocols.lines import LineReader, Unframeable
from gateway.protocols.login import Challenged, Opened, Send, ServerEvent, StartTls, Unusable

LINE_LONGEST: Final = 16 << 10
BEFORE_LOGIN_MOST: Final = 64 << 10
"""Octets that a server may say before the answer to the login."""
RECEIVED_MOST: Final = 1 << 20
"""Octets that may wait: the answer to the login, and whatever came with it in one read."""

Facts = Sequence[tuple[bytes, bytes]]
"""What a server is told of the client, by names of its own."""


class Phase(Enum):
    """What may happen next."""

    TALKING = 0
    TLS = 1
    """TLS is awaited (``secured``)."""
    SECURED = 2
    OPENED = 3
    """The login is awaited (``login``)."""
    OVER = 4


class ServerDialogue(ABC):
    """One connection to a mail server, up to the answer to one login."""

    __slots__ = ("_challenged", "_known", "_lines", "_mechanism", "_phase", "_said", "_starttls", "_to_send")

    def __init__(self, *, starttls: bool = False, known: frozenset[bytes] | None = None) -> None:
        """``known``: the capabilities it had lately, in the same state of TLS; without them it is asked."""
        self._starttls = starttls
        self._known = known
        self._lines = LineReader(LINE_LONGEST, RECEIVED_MOST)
        self._phase = Phase.TALKING
        self._said = 0
        self._mechanism: sasl.Mechanism | None = None
        """Of the login under way."""
        self._to_send: list[bytes] = []
        """What follows when the server asks for more."""
        self._challenged = False

    # --- for the proxy

    def receive(self, octets: bytes) -> None:
        """Octets of the server; then take events until there is none."""
        if self._phase is Phase.OVER:
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

    def secured(self) -> None:
        """TLS stands; what was said in the clear is forgotten."""
        self._lines = LineReader(LINE_LONGEST, RECEIVED_MOST)
        self._phase = Phase.SECURED

    @abstractmethod
    def login(self, tag: bytes, credentials: sasl.Credentials, client: Facts = ()) -> ServerEvent:
        """Log in; once, after ``Opened``."""

    # --- for the protocols

    @abstractmethod
    def _take(self, line: bytes) -> ServerEvent | None:
        """Understand a line; None: nothing is to be done about it."""

    @abstractmethod
    def _ask_for_capabilities(self) -> Send:
        """The question that it is asked where they are not known."""

    def _line(self) -> bytes | None:
        """The next line; None: more octets are needed. Raises ``Unframeable``."""
        return self._lines.line()

    def _step(self) -> ServerEvent | None:
        while True:
            if self._phase in (Phase.OPENED, Phase.OVER):
                return None
            if self._said > BEFORE_LOGIN_MOST:
                return self._unusable("too_much_said")
            if self._phase is Phase.SECURED:
                self._phase = Phase.TALKING
                return self._know(self._known)
            if self._phase is Phase.TLS:
                return None if self._lines.empty else self._unusable("octets_behind_starttls")
            line = self._line()
            if line is None:
                return None
            self._said += len(line) + 2
            event = self._take(line)
            if event is not None:
                return event

    def _know(self, capabilities: frozenset[bytes] | None) -> ServerEvent:
        """Go on with these; None: ask for them."""
        if capabilities is None:
            return self._ask_for_capabilities()
        self._phase = Phase.OPENED
        return Opened(capabilities)

    def _start_tls(self, *, agreed: bool) -> ServerEvent:
        """The server has answered the wish for TLS."""
        if not agreed:
            return self._unusable("starttls_refused")
        if not self._lines.empty:
            return self._unusable("octets_behind_starttls")
        self._phase = Phase.TLS
        return StartTls()

    def _continued(self, line: bytes) -> ServerEvent:
        """The server asks for more: the next step, or an answer to why it refuses a token."""
        if self._to_send:
            return Send(self._to_send.pop(0))
        if self._mechanism is None or not self._mechanism.by_token or self._challenged:
            return self._unusable("unexpected_challenge")
        self._challenged = True
        return Challenged(line[1:].strip(b" "), sasl.after_failure(self._mechanism) + b"\r\n")

    def _unusable(self, reason: str) -> Unusable:
        self._phase = Phase.OVER
        return Unusable(reason)
