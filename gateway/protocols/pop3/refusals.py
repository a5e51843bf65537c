"""What a POP3 client is told in place of its mail (RFC 2449 §8, RFC 3206).

SYS/PERM: somebody has to do something about it; SYS/TEMP: try again later; AUTH: the credentials are wrong, which is
the mail server's to say. After login there is no way to speak unasked: a session is cut by closing it, which deletes
nothing (RFC 1939 §6).
"""

from gateway.protocols.wording import DEFERRED_TEXT, blocked, one_line

TOO_MANY_CONNECTIONS = b"-ERR [SYS/TEMP] There are too many connections. Try again later.\r\n"
"""In place of a greeting (RFC 1939 §4)."""

TEXT_LONGEST = 480
"""Octets of a text; a line has 512 at most (RFC 2449 §4)."""


def denied(app: str = "", note: str = "") -> bytes:
    """The answer to a login that the mail server would have accepted: which app, and what the organization writes."""
    return b"-ERR [SYS/PERM] %b\r\n" % one_line(blocked(app, note), TEXT_LONGEST)


def deferred() -> bytes:
    """The answer to a login of which nobody can say now whether it may have mail, or whose server does not answer."""
    return b"-ERR [SYS/TEMP] %b\r\n" % DEFERRED_TEXT.encode()


def wrong_credentials() -> bytes:
    """The answer to credentials that are not even shown to the mail server; the words are those of a wrong password."""
    return b"-ERR [AUTH] Authentication failed.\r\n"


def privacy_required() -> bytes:
    """No login in the clear."""
    return b"-ERR [SYS/PERM] Logging in needs TLS.\r\n"
