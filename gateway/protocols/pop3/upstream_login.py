"""The dialogue with a POP3 server up to the login: greeting, STLS, its capabilities, the client's credentials.

Used like IMAP's. The commands are our own, one at a time.
"""

import re
from enum import Enum
from typing import Final

from gateway.protocols import sasl
from gateway.protocols.login import Accepted, Rejected, Send, ServerEvent
from gateway.protocols.pop3.capabilities import WITHOUT_CAPA, understood
from gateway.protocols.pop3.refusals import wrong_credentials
from gateway.protocols.server_dialogue import BEFORE_LOGIN_MOST, LINE_LONGEST, Facts, Phase, ServerDialogue

__all__ = ["BEFORE_LOGIN_MOST", "LINE_LONGEST", "QUIT", "UpstreamLogin"]

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
    CAPA = 2
    CAPA_LIST = 3
    CLIENT_TOLD = 4
    """XCLIENT awaits its answer."""
    LOGIN = 5


class UpstreamLogin(ServerDialogue):
    """One connection to a mail server, up to the answer to one login."""

    __slots__ = ("_capabilities", "_state", "_told")

    def __init__(self, *, starttls: bool = False, known: frozenset[bytes] | None = None) -> None:
        """As every ``ServerDialogue``."""
        super().__init__(starttls=starttls, known=known)
        self._state = _State.GREETING
        self._capabilities: set[bytes] = set()
        self._told = False
        """Whether the server wants to hear of the client (Dovecot's XCLIENT)."""

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
            return self._start_tls(agreed=agreed)
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

    def _listed(self, line: bytes) -> ServerEvent | None:
        if line == b".":
            return self._know(frozenset(self._capabilities))
        self._capabilities.update(understood(line))
        return None

    def _ask_for_capabilities(self) -> Send:
        self._state = _State.CAPA
        return Send(b"CAPA\r\n")

    def _know(self, capabilities: frozenset[bytes] | None) -> ServerEvent:
        self._capabilities = set(capabilities or ())
        return super()._know(capabilities)

    # --- the login

    def login(self, tag: bytes, credentials: sasl.Credentials, client: Facts = ()) -> ServerEvent:
        """Log in; ``tag`` is IMAP's. ``client``: what a server that wants it is told of the client, as ``ADDR`` …

        Once, after ``Opened``.
        """
        assert self._phase is Phase.OPENED
        by_name = b"AUTH=PLAIN" not in self._capabilities and not credentials.mechanism.by_token
        # As Unicode has it: a server may take U+00A0 or U+3000 for a blank as well.
        if by_name and any(each.isspace() for each in credentials.user.decode("utf-8", "replace")):
            # USER has one word (RFC 1939 §3): of two the server may take the first, and let in another than is judged.
            self._phase = Phase.OVER
            return Rejected(wrong_credentials(), wrong=False)
        steps = _login_steps(credentials, self._capabilities)
        if not steps:
            return self._unusable("no_mechanism")
        self._mechanism = sasl.replayed_by(credentials)
        self._phase, self._state, self._to_send = Phase.TALKING, _State.LOGIN, steps
        if client and self._told:
            self._state = _State.CLIENT_TOLD
            words = [b"%b=%b" % (_UNSENDABLE.sub(b"?", key), _UNSENDABLE.sub(b"?", value)) for key, value in client]
            return Send(b"XCLIENT %b\r\n" % b" ".join(words))
        return Send(self._to_send.pop(0))

    def _answered(self, line: bytes, code: bytes, *, agreed: bool) -> ServerEvent:
        if agreed and self._to_send:
            return Send(self._to_send.pop(0))
        self._phase = Phase.OVER
        if agreed:
            return Accepted(line + b"\r\n", self._lines.rest())
        return Rejected(line + b"\r\n", code in _WRONG)


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
