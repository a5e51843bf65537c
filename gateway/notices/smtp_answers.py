"""What a failure of SMTP means for a notice: not now, never, nobody's word, or that the way itself is broken.

Codes: RFC 5321 4.2; what is no code of those is no word of the server's. Answers come from outside: their text is put
on one line and bounded. Once a recipient is named it may stand in each of them: then only codes leave the notice.
"""

import re
import ssl
from collections.abc import Iterator

from aiosmtplib import SMTPResponseException, SMTPSenderRefused, SMTPServerDisconnected

from gateway.ports.notices import Attempt, Outcome, of_the_way

WORDS_LONGEST = 300
LINE_LONGEST = 1000
NO_TLS_THERE = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE"})
"""OpenSSL's words for octets that are none of TLS."""
NOT_ASCII = "the server takes no addresses beyond ASCII"
_ENHANCED = re.compile(r"\s*([245]\.[0-9]{1,3}\.[0-9]{1,3})(?!\S)")
"""RFC 2034 3: the status stands at the beginning."""


class SessionUnusable(Exception):  # noqa: N818  (a state of affairs)
    """The server is there, and takes no notices the way we are told to bring them; the text says what to do."""

    def __init__(self, words: str, *, again_after_seconds: float | None = None, for_now: bool = False) -> None:
        """``again_after_seconds``: nobody tries before. ``for_now``: it may be otherwise by itself."""
        super().__init__(words)
        self.again_after_seconds = again_after_seconds
        self.for_now = for_now


def not_connected(error: Exception) -> Attempt:
    """There is no session: nothing has gone."""
    words = words_of(error)
    if isinstance(error, SessionUnusable):
        outcome = Outcome.DEFERRED if error.for_now else Outcome.CHANNEL_BROKEN
        return of_the_way(outcome, words, error.again_after_seconds)
    for each in chain(error):
        if isinstance(each, ssl.SSLCertVerificationError):
            words = f"the server's certificate is not accepted: {line_of(each.verify_message or str(each))}"
            return of_the_way(
                Outcome.CHANNEL_BROKEN, f"{words}: name its authority in [notices] server_ca, or its name in server"
            )
        if isinstance(each, ssl.SSLError) and each.reason in NO_TLS_THERE:
            words = "the server does not begin with TLS on this port: write smtp+starttls://, or the port of smtps://"
            return of_the_way(Outcome.CHANNEL_BROKEN, words)
    if isinstance(error, SMTPResponseException) and 500 <= error.code < 600:
        return of_the_way(Outcome.CHANNEL_BROKEN, f"the server does not speak with this machine: {words}")
    return of_the_way(Outcome.DEFERRED, words)


def refused_envelope(error: SMTPResponseException) -> Attempt:
    """Behind MAIL or RCPT."""
    if not 500 <= error.code < 600:
        return failed(Outcome.DEFERRED, error)
    if isinstance(error, SMTPSenderRefused):
        return failed(Outcome.CHANNEL_BROKEN, error, "the sender was refused: ")
    return failed(Outcome.REFUSED, error)


def refused_message(error: SMTPResponseException) -> Attempt:
    """Behind DATA, or behind the message: what the server itself says is believed, if it is a word of refusal."""
    if not is_refusal(error.code):
        return failed(Outcome.UNCERTAIN, error)
    return failed(Outcome.REFUSED if error.code >= 500 else Outcome.DEFERRED, error)


def failed(outcome: Outcome, error: Exception, before: str = "") -> Attempt:
    """The attempt of an error behind which the server may have named the reader; ``before``: our own words."""
    return Attempt(outcome, f"{before}{words_of(error)}", nameless=f"{before}{nameless(error)}")


def is_refusal(code: int) -> bool:
    """RFC 5321 4.2.1: 4yz and 5yz."""
    return 400 <= code < 600


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """The exception and what it came from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def words_of(error: BaseException) -> str:
    """One bounded line."""
    if isinstance(error, SMTPResponseException):
        return line_of(f"{error.code} {error.message}" if error.code >= 0 else str(error.message))
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer in time"
    return line_of(str(error)) or type(error).__name__


def nameless(error: BaseException) -> str:
    """What of an error names nobody, whatever the server says: the code and the enhanced status, or what happened."""
    if isinstance(error, SMTPResponseException):
        if error.code < 0:
            return "an answer without a code"
        if error.message == NOT_ASCII:
            return f"{error.code} {NOT_ASCII}"
        status = _ENHANCED.match(str(error.message))
        return f"{error.code} {status[1]}" if status else str(error.code)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return "the connection was lost" if isinstance(error, SMTPServerDisconnected) else type(error).__name__


def line_of(text: str) -> str:
    """What came from outside, on one bounded line."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text[:LINE_LONGEST])
    return " ".join(shown.split())[:WORDS_LONGEST]
