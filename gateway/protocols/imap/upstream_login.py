"""The dialogue with the mail server up to the login: greeting, STARTTLS, its capabilities, the client's credentials.

The commands are our own, written from what was understood; the login carries the client's tag, so that the server's
answer is the client's answer. What the server says is read whole, within bounds, and what would lead the client round
the gateway is taken out of it. A server that is already logged in, or refers elsewhere, is ``Unusable``.
"""

import re
from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple

from gateway.protocols import sasl
from gateway.protocols.imap.capabilities import edited, listed
from gateway.protocols.login import Accepted, Rejected, Send, ServerEvent
from gateway.protocols.server_dialogue import BEFORE_LOGIN_MOST, LINE_LONGEST, Facts, Phase, ServerDialogue

__all__ = ["BEFORE_LOGIN_MOST", "LINE_LONGEST", "LOGOUT", "UpstreamLogin"]

INITIAL_RESPONSE_LONGEST: Final = 8000
"""Octets of a line with an initial response; servers take lines of 8 KiB (RFC 7162 §4)."""
KEPT_LINES_MOST: Final = 8
REMEMBERED_MOST: Final = 256
"""Lines whose meaning is remembered, of all connections together."""
REMEMBERED_LONGEST: Final = 1024
"""Octets of one."""
LOGOUT: Final = b"g LOGOUT\r\n"
"""For a server that accepted the login of somebody who may not have mail."""

_OURS: Final = b"g"
_STATUS: Final = re.compile(rb"([^ ]++) (?i:(OK|NO|BAD|BYE|PREAUTH))(?: (.*+))?\Z", re.DOTALL)
_CODE: Final = re.compile(rb"\[([^\] ]++)[^\]]*+\] *+")
_LITERAL: Final = re.compile(rb"\{([0-9]{1,10}+)\}\Z")
_WRONG: Final = frozenset((b"", b"AUTHENTICATIONFAILED", b"AUTHORIZATIONFAILED", b"EXPIRED"))
"""Codes of a NO that speak about the credentials, not about the server (RFC 5530 §3)."""
_QUOTABLE: Final = re.compile(rb"[^\x20-\x7e]")


class Understood(NamedTuple):
    """A line of a server."""

    tag: bytes
    word: bytes
    """OK, NO, BAD, BYE or PREAUTH; empty: it is no status, and has no tag and no text here."""
    text: bytes
    """What stands behind the word."""
    capabilities: frozenset[bytes] | None
    """Those that are listed in it, in upper case."""
    edited: bytes
    """The line as a client is given it."""


def understood(line: bytes) -> Understood:
    """What a line says. Servers say the same lines at each login, so short ones are remembered."""
    return _remembered(line) if len(line) <= REMEMBERED_LONGEST else _understood(line)


def _understood(line: bytes) -> Understood:
    status, capabilities = _STATUS.match(line), listed(line)
    words = (status[1], status[2].upper(), status[3] or b"") if status is not None else (b"", b"", b"")
    return Understood(*words, capabilities, line if capabilities is None else edited(line))


_remembered = lru_cache(REMEMBERED_MOST)(_understood)


class _State(Enum):
    GREETING = 0
    STARTTLS = 1
    CAPABILITY = 2
    LOGIN = 3


class UpstreamLogin(ServerDialogue):
    """One connection to a mail server, up to the answer to one login."""

    __slots__ = ("_capabilities", "_kept", "_listed_now", "_literal", "_state", "_tag", "_within_line")

    def __init__(self, *, starttls: bool = False, known: frozenset[bytes] | None = None) -> None:
        """As every ``ServerDialogue``."""
        super().__init__(starttls=starttls, known=known)
        self._state = _State.GREETING
        self._capabilities: frozenset[bytes] | None = None
        self._literal = 0
        """Octets of a literal that nobody needs and that come next."""
        self._within_line = False
        """What comes next goes on behind a literal."""
        self._kept: list[bytes] = []
        """Untagged lines that belong to the answer."""
        self._listed_now: frozenset[bytes] = frozenset()
        """The capabilities among them."""
        self._tag = b""

    def _line(self) -> bytes | None:
        if self._literal and self._lines.take(self._literal) is None:
            return None
        self._literal = 0
        return self._lines.line()

    # --- until it is open

    def _take(self, line: bytes) -> ServerEvent | None:
        if self._within_line:
            self._within_line = False
            self._pass_literal(line)
            return None
        if self._state is _State.GREETING:
            return self._greeted(line)
        said = understood(line)
        if said.word == b"BYE":
            return self._unusable("bye")
        if line.startswith(b"* "):
            return self._untagged(line, said)
        if self._state is _State.LOGIN:
            return self._answered(line, said)
        agreed = said.tag == _OURS and said.word == b"OK"
        if self._state is _State.STARTTLS:
            return self._start_tls(agreed=agreed)
        # Some say it in the code of the answer only.
        found = (self._capabilities or said.capabilities) if agreed else None
        return self._unusable("no_capabilities") if found is None else self._know(found)

    def _greeted(self, line: bytes) -> ServerEvent:
        said = understood(line)
        if said.tag != b"*" or said.word != b"OK":
            word = said.word if said.tag == b"*" else b""
            return self._unusable({b"PREAUTH": "preauth", b"BYE": "bye"}.get(word, "no_greeting"))
        if self._starttls:
            # Not looked up before: a list in the clear proves nothing, and without TLS there is no going on.
            self._state = _State.STARTTLS
            return Send(b"%b STARTTLS\r\n" % _OURS)
        return self._know(said.capabilities or self._known)

    def _ask_for_capabilities(self) -> Send:
        self._state = _State.CAPABILITY
        return Send(b"%b CAPABILITY\r\n" % _OURS)

    def _know(self, capabilities: frozenset[bytes] | None) -> ServerEvent:
        self._capabilities = capabilities
        return super()._know(capabilities)

    # --- the login

    def login(self, tag: bytes, credentials: sasl.Credentials, client: Facts = ()) -> ServerEvent:
        """Log in with a tag of the client's. ``client``: what the server is told of the client by ID, if it knows ID.

        Once, after ``Opened``.
        """
        assert self._phase is Phase.OPENED
        capabilities = self._capabilities or frozenset()
        steps = _login_steps(tag, credentials, capabilities)
        if not steps:
            return self._unusable("no_mechanism")
        self._phase, self._state, self._tag = Phase.TALKING, _State.LOGIN, tag
        self._mechanism, self._to_send = sasl.replayed_by(credentials), steps[1:]
        told = b"%b ID (%b)\r\n" % (_beside(tag), _listed(client)) if client and b"ID" in capabilities else b""
        return Send(told + steps[0])

    def _untagged(self, line: bytes, said: "Understood") -> ServerEvent | None:
        capabilities, is_status = said.capabilities, bool(said.word)
        if capabilities is not None and self._state is _State.CAPABILITY:
            self._capabilities = capabilities
        if self._state is _State.LOGIN and (is_status or capabilities is not None) and not _refers(line):
            if len(self._kept) < KEPT_LINES_MOST:
                self._kept.append(said.edited + b"\r\n")
            self._listed_now = capabilities or self._listed_now
            return None
        if not is_status:
            self._pass_literal(line)
        return None

    def _pass_literal(self, line: bytes) -> None:
        """Data that is of no interest may hold literals (RFC 2971 §3.2), and a line goes on behind each."""
        announced = _LITERAL.search(line) if line.endswith(b"}") else None
        if announced is not None:
            self._literal, self._within_line = int(announced[1]), True
            self._said += self._literal

    def _answered(self, line: bytes, said: "Understood") -> ServerEvent | None:
        if line.startswith(b"+"):
            return self._continued(line)
        if said.word and said.tag == _beside(self._tag):
            return None
        if not said.word or said.tag != self._tag:
            return self._unusable("malformed_answer")
        text = said.text
        if _refers(text):
            return self._unusable("referral")
        if said.word == b"OK":
            self._phase = Phase.OVER
            wordless = not _CODE.sub(b"", text, count=1).strip(b" ")
            worded = edited(line.rstrip() + b" Logged in.") if wordless else said.edited
            answer = b"".join((*self._kept, worded, b"\r\n"))
            return Accepted(answer, self._lines.rest(), said.capabilities or self._listed_now)
        if said.word != b"NO":
            return self._unusable("server_said_bad")
        self._phase = Phase.OVER
        code = _CODE.match(text)
        name = code[1].upper() if code is not None else b""
        worded = line if text.strip() else line.rstrip() + b" Authentication failed."
        return Rejected(b"".join(self._kept) + worded + b"\r\n", name in _WRONG)


def _beside(tag: bytes) -> bytes:
    """A tag of ours that is not the client's."""
    return tag + b".g"


def _refers(text: bytes) -> bool:
    """Whether a server sends the client elsewhere (RFC 2221, RFC 2193)."""
    return b"[REFERRAL" in text.upper()


def _listed(client: Facts) -> bytes:
    return b" ".join([b"%b %b" % (_quoted(key[:30]), _quoted(value[:1024])) for key, value in client])


def _quoted(text: bytes) -> bytes:
    return b'"%b"' % _QUOTABLE.sub(b"?", text).replace(b"\\", b"\\\\").replace(b'"', b'\\"')


def _login_steps(tag: bytes, credentials: sasl.Credentials, capabilities: frozenset[bytes]) -> list[bytes]:
    """What is sent, one after the other, each but the first when the server asks for it; nothing: there is no way."""
    mechanism = sasl.replayed_by(credentials).value.encode()
    if b"AUTH=" + mechanism in capabilities:
        response = sasl.initial_response(credentials)
        command = b"%b AUTHENTICATE %b" % (tag, mechanism)
        if b"SASL-IR" in capabilities and len(command) + len(response) < INITIAL_RESPONSE_LONGEST:
            return [b"%b %b\r\n" % (command, response)]
        return [command + b"\r\n", response + b"\r\n"]
    if credentials.mechanism.by_token or b"LOGINDISABLED" in capabilities:
        return []
    return _login_command(tag, credentials.user, credentials.secret, unasked=b"LITERAL+" in capabilities)


def _login_command(tag: bytes, user: bytes, secret: bytes, *, unasked: bool) -> list[bytes]:
    """LOGIN with literals, which hold every octet that a name or a password may have (RFC 7888 if ``unasked``)."""
    plus = b"+" if unasked else b""
    steps = [
        b"%b LOGIN {%d%b}\r\n" % (tag, len(user), plus),
        b"%b {%d%b}\r\n" % (user, len(secret), plus),
        secret + b"\r\n",
    ]
    return [b"".join(steps)] if unasked else steps
