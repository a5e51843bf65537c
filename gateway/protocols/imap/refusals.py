"""What an IMAP client is told in place of its mail, in words and codes that clients show (RFC 5530, RFC 9051 §7.1).

Refused by a verdict: CONTACTADMIN, and an alert, which clients must show. Not known now: UNAVAILABLE, and nobody is
alarmed. Wrong credentials are the mail server's to say. Texts are one line of ASCII, as a client that has not enabled
UTF-8 expects them (RFC 6855 §3).
"""

from typing import Final

from gateway.protocols.wording import DEFERRED_TEXT, blocked, one_line

TEXT_LONGEST: Final = 480
"""Octets of a text."""

TOO_MANY_FAILURES: Final = b"* BYE Too many failed logins.\r\n"
TOO_SLOW: Final = b"* BYE Logging in took too long.\r\n"
TIMED_OUT: Final = b"* BYE Nothing was said for too long.\r\n"
"""The autologout of RFC 9051 §5.4."""
TOO_MANY_CONNECTIONS: Final = b"* BYE [UNAVAILABLE] There are too many connections. Try again later.\r\n"
"""In place of a greeting (RFC 9051 §7.1.5)."""


def denied(tag: bytes, app: str = "", note: str = "", *, utf8: bool = False) -> bytes:
    """The answer to a login that the mail server would have accepted: which app, and what the organization writes."""
    text = one_line(blocked(app, note), TEXT_LONGEST, utf8=utf8)
    return b"* NO [ALERT] %b\r\n%b NO [CONTACTADMIN] %b\r\n" % (text, tag, text)


def deferred(tag: bytes) -> bytes:
    """The answer to a login of which nobody can say now whether it may have mail, or whose server does not answer."""
    return b"%b NO [UNAVAILABLE] %b\r\n" % (tag, DEFERRED_TEXT.encode())


def wrong_credentials(tag: bytes) -> bytes:
    """The answer to credentials that are not even shown to the mail server; the words are those of a wrong password."""
    return b"%b NO [AUTHENTICATIONFAILED] Authentication failed.\r\n" % tag


def privacy_required(tag: bytes) -> bytes:
    """No login in the clear."""
    return b"%b NO [PRIVACYREQUIRED] Logging in needs TLS.\r\n" % tag


def cut(app: str = "", note: str = "", *, utf8: bool = False) -> bytes:
    """The last line of a session whose verdict has turned; only where the stream stands at a boundary."""
    return b"* BYE [ALERT] %b\r\n" % one_line(blocked(app, note), TEXT_LONGEST, utf8=utf8)


def cut_for_now() -> bytes:
    """The last line of a session of which nobody can say any longer whether it may have mail; at a boundary."""
    return b"* BYE [UNAVAILABLE] %b\r\n" % DEFERRED_TEXT.encode()


def drained() -> bytes:
    """The last line of a session that ends because the gateway stops; at a boundary. The client comes back."""
    return b"* BYE The mail gateway restarts. Mail comes back at once.\r\n"
