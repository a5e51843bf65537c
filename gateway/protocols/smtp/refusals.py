"""What an SMTP client is told in place of what it asked for (RFC 5321 §4.2, RFC 3463, RFC 4954 §6).

5xx: somebody has to do something about it, and the message comes back to its sender's screen; 4xx: the client keeps
it and tries again. Refused by a verdict: ``550 5.7.1`` with the app and what to do; not known now: ``451 4.7.1``.
Each is one line of printable ASCII without its end; every one has a status code of its own (RFC 2034).
"""

from typing import Final

from gateway.protocols.sasl import Fault
from gateway.protocols.smtp import body
from gateway.protocols.wording import DEFERRED_TEXT, blocked, one_line

TEXT_LONGEST: Final = 480
"""Octets of a text; a line has 512 at most (RFC 5321 §4.5.3.1.5)."""

NO_LOGIN: Final = b"530 5.7.0 Log in first: only those who have logged in may send"
NO_TLS: Final = b"538 5.7.11 Logging in needs TLS: set the mail program to STARTTLS or SSL/TLS"
IN_TRANSACTION: Final = b"503 5.5.1 Logging in is not possible within a mail transaction"
LOGGED_IN: Final = b"503 5.5.1 You have logged in already"
NO_MECHANISM: Final = b"504 5.5.4 This mechanism is not offered"
WRONG_CREDENTIALS: Final = b"535 5.7.8 Authentication failed"
TOO_MANY_ATTEMPTS: Final = b"454 4.7.0 There were too many failed logins: wait a minute and try again"
TOO_MANY_FAILURES: Final = b"421 4.7.0 Too many failed logins"
TOO_MANY_COMMANDS: Final = b"421 4.7.0 Too many commands before login"
NOT_ASKED: Final = b"454 4.7.0 The mail server cannot be asked now: try again later"
UPSTREAM_LOST: Final = b"421 4.4.2 The mail server does not answer: try again later"
NOT_TAKEN: Final = b"451 4.4.2 The mail server was lost before it had the message: try again later"
OUTCOME_UNKNOWN: Final = (
    b"451 4.4.2 The mail server took the message and did not say what became of it: look before you send it again"
)
AGAIN: Final = b"421 4.7.0 Mail is possible again: log in anew"
DRAINED: Final = b"421 4.3.2 The mail gateway restarts: come back at once"
TIMED_OUT: Final = b"421 4.4.2 Nothing has come for too long"
TOO_MANY_CONNECTIONS: Final = b"421 4.7.0 There are too many connections: come back later"
TOO_MANY_RECIPIENTS: Final = b"452 4.5.3 Too many recipients: send the message once more for the rest of them"
NO_ROOM: Final = b"452 4.3.1 Too many messages are on their way: try again later"
TOO_LARGE: Final = b"552 5.3.4 The message is larger than the mail server takes"
INTERNAL: Final = b"451 4.3.0 Something went wrong here: try again later"
FROM_OUTSIDE: Final = b"550 5.7.0 This command is not taken from clients"
NO_CHUNKS: Final = b"502 5.5.1 CHUNKING is not offered"
PIPELINED: Final = b"503 5.5.0 Nothing may follow before the answer has come"
NO_SENDER: Final = b"503 5.5.1 MAIL comes first"
NO_RECIPIENT: Final = b"503 5.5.1 RCPT comes first"
NESTED: Final = b"503 5.5.1 A message is under way already"
TOO_MANY_SESSIONS_LOGIN: Final = b"454 4.7.0 Too many connections of this user: close some, or try again later"
TOO_MANY_SESSIONS: Final = b"421 4.7.0 Too many connections of this user"
NO_ARGUMENT: Final = b"501 5.5.4 This command takes no argument"
NO_NAME: Final = b"501 5.5.4 Say who you are: EHLO and a name"
TLS_STANDS: Final = b"503 5.5.1 TLS stands already"
TLS_NOT_OFFERED: Final = b"502 5.5.1 TLS is not offered here"
TLS_READY: Final = b"220 2.0.0 Ready to start TLS"
SEND: Final = b"354 End the message with a dot on a line of its own"
DONE: Final = b"250 2.0.0 Done"
BYE: Final = b"221 2.0.0 Bye"
NOT_VERIFIED: Final = b"252 2.0.0 Send the message, then it will be known"
HELP: Final = b"214 2.0.0 See RFC 5321"
GIVEN_UP: Final = b"421 4.3.0 Something went wrong here: come back later"

_FRAMING: Final = {
    "line_too_long": b"500 5.5.6 The line is too long",
    "bare_line_end": b"500 5.5.2 A line ends with CR and LF, and holds neither of them alone",
}
_RESPONSES: Final = {
    Fault.CANCELLED: b"501 5.7.0 Authentication cancelled",
    Fault.ENCODING: b"501 5.5.2 The response is not base64",
    Fault.FORM: b"501 5.5.2 The response is not what the mechanism sends",
    Fault.FOR_ANOTHER: WRONG_CREDENTIALS,
}
_BODIES: Final = {
    body.Fault.BARE_LINE_END: b"550 5.6.0 The message has a CR or LF that stands alone: every line ends with CR and LF",
    body.Fault.NUL: b"550 5.6.0 The message has a NUL in it: encode it in base64",
    body.Fault.TOO_LARGE: TOO_LARGE,
}


def denied(app: str = "", note: str = "") -> bytes:
    """The answer to MAIL of somebody who may not have mail: which app, and what the organization writes."""
    return b"550 5.7.1 " + one_line(blocked(app, note), TEXT_LONGEST)


def deferred() -> bytes:
    """The answer to MAIL of somebody of whom nobody can say now whether they may have mail."""
    return b"451 4.7.1 " + DEFERRED_TEXT.encode()


def cut(app: str = "", note: str = "") -> bytes:
    """The last line of a session whose verdict has turned."""
    return b"421 4.7.0 " + one_line(blocked(app, note), TEXT_LONGEST)


def cut_for_now() -> bytes:
    """The last line of a session of whose user nobody can say any more whether they may have mail."""
    return b"421 4.7.1 " + DEFERRED_TEXT.encode()


def unframeable(reason: str) -> bytes:
    """The last line to a client whose lines cannot be told apart; ``reason`` of ``protocols.lines``."""
    return _FRAMING.get(reason, INTERNAL)


def bad_response(fault: Fault) -> bytes:
    """The answer to a SASL response that is of no use."""
    return _RESPONSES[fault]


def bad_body(fault: body.Fault) -> bytes:
    """The answer to a message that was not passed on to its end."""
    return _BODIES[fault]
