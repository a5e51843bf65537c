"""What an attempt over EWS was: from the trace of the wire, and only then from exchangelib's exception.

Not sent is what the server itself says it has not taken; sent is one answer of success; everything else behind the
first octet is uncertain, the unknown included. Codes: [MS-OXWSCDATA] 2.2.5.24. Errors are known by their names, so that
nothing of exchangelib is loaded for it. The server's words may name the reader: beyond the notice goes its code alone.
"""

import re
import ssl
from collections.abc import Iterator
from typing import Protocol

from gateway.notices.exchange_settings import ExchangeSettings
from gateway.ports.notices import Attempt, Outcome, of_the_way

BACK_OFF_SECONDS = 60.0
BACK_OFF_LONGEST = 3600.0
WORDS_LONGEST = 300

LATER = frozenset(
    {
        *(
            "ErrorServerBusy",
            "ErrorExceededConnectionCount",
            "ErrorTooManyObjectsOpened",
            "ErrorMailboxStoreUnavailable",
        ),
        *("ErrorMailboxMoveInProgress", "ErrorADUnavailable", "ErrorADOperation", "ErrorInsufficientResources"),
    }
)
"""The server has not taken it, and may in a while."""
NEVER = frozenset(
    {
        *("ErrorMailRecipientNotFound", "ErrorInvalidRecipients", "ErrorInvalidSmtpAddress"),
        *("ErrorMessageSizeExceeded", "ErrorInvalidMailbox"),
    }
)
"""Because of this recipient or this message."""
BROKEN = frozenset(
    {
        *("ErrorAccessDenied", "ErrorImpersonateUserDenied", "ErrorImpersonationDenied", "ErrorImpersonationFailed"),
        *("ErrorSendAsDenied", "ErrorSchemaValidation", "ErrorInvalidRequest", "ErrorInvalidServerVersion"),
        *("ErrorInvalidSchemaVersionForMailboxVersion", "ErrorIncorrectSchemaVersion", "ErrorInvalidPropertySet"),
        *("ErrorNonExistentMailbox", "ErrorNonPrimarySmtpAddress", "ErrorMissingEmailAddress", "ErrorAccountDisabled"),
        *("ErrorFolderNotFound", "ErrorItemNotFound", "ErrorQuotaExceeded", "ErrorMailboxConfiguration"),
    }
)
"""Because of the account, its rights or how we ask: the next notice would fare the same."""
IMPERSONATION = frozenset({"ErrorImpersonateUserDenied", "ErrorImpersonationDenied", "ErrorImpersonationFailed"})
NOT_OPENED = frozenset(
    {
        "ErrorAccessDenied",
        "ErrorFolderNotFound",
        "ErrorItemNotFound",
        "ErrorNonExistentMailbox",
        "ErrorNonPrimarySmtpAddress",
    }
)
UNKNOWN_CODE = "Unknown ResponseCode in ResponseMessage: "
"""How exchangelib begins where a code is younger than itself: the server did say no."""
_CODE = re.compile(r"Error[A-Za-z]{1,60}(?![^\s(])")
_NOT_READ = frozenset({"SOAPError", "MalformedResponseError", "ParseError"})
"""Their text holds whatever was sent to us."""


class Seen(Protocol):
    """What is asked of ``exchange_wire.Trace``."""

    begun: bool
    status: int | None
    retry_after: float | None
    token_status: int | None
    endpoint_status: int | None


def attempt_of(seen: Seen, error: BaseException | None) -> Attempt:
    """How an attempt ended; ``error`` None: one answer of success was read."""
    if not seen.begun:
        return _not_begun(seen, error)
    if seen.status is None:
        return _failed(Outcome.UNCERTAIN, error, "the answer was lost: ")
    if seen.status == 200 and error is None:
        return of_the_way(Outcome.ACCEPTED, "taken by Exchange, with a copy in Sent Items")
    if seen.status in (200, 500):
        return _told(error)
    return _refused_by_status(seen.status, seen.retry_after)


def _not_begun(seen: Seen, error: BaseException | None) -> Attempt:
    if seen.token_status in (400, 401, 403):
        return of_the_way(Outcome.CHANNEL_BROKEN, f"no token for the client: HTTP {seen.token_status}")
    for each in chain(error):
        if isinstance(each, ssl.SSLCertVerificationError):
            words = f"the server's certificate is not accepted: {each.verify_message}"
            return Attempt(Outcome.CHANNEL_BROKEN, f"{words} ({words_of(error)})", nameless=words)
    if seen.token_status is None and isinstance(error, ValueError | TypeError) and not isinstance(error, OSError):
        return _failed(Outcome.REFUSED, error, "cannot be made into a message: ")
    return _failed(Outcome.DEFERRED, error, "no connection: ")


def _failed(outcome: Outcome, error: BaseException | None, before: str = "", again: float | None = None) -> Attempt:
    """An attempt by its error; ``before``: our own words."""
    words, public = f"{before}{words_of(error)}", f"{before}{nameless(error)}"
    return Attempt(outcome, words, retry_after_seconds=again, nameless=public)


def why_unusable(seen: Seen, error: BaseException, settings: ExchangeSettings) -> str:
    """Why a try without sending failed, and what to do about it."""
    name, user, mailbox = type(error).__name__, settings.username, settings.mailbox
    if seen.token_status not in (None, 200):
        remedy = "correct [notices] token_url, token_scope, username and password"
        return f"no token for the client {user}: HTTP {seen.token_status}: {remedy}"
    for each in chain(error):
        if isinstance(each, ssl.SSLCertVerificationError):
            words = f"the server's certificate is not accepted: {each.verify_message}"
            return f"{words}: name its authority in [notices] server_ca, or its name in server"
    if seen.endpoint_status == 401:
        return refused_login(settings)
    if name in IMPERSONATION:
        return f"{user} may not act for {mailbox} ({name}): give it the role ApplicationImpersonation"
    if name in NOT_OPENED:
        return (
            f"{user} cannot open the mailbox {mailbox} ({name}): [notices] sender is the mailbox that notices come from"
        )
    if seen.endpoint_status is None:
        return f"no answer: {_reason(error)}: is that its address, does it run, may this machine reach it?"
    if seen.endpoint_status not in (200, 500):
        return f"answers HTTP {seen.endpoint_status}, which is not EWS: its path is /EWS/Exchange.asmx as a rule"
    # Copies of notices may have been asked for: an answer that is not understood holds their readers.
    return nameless(error)


def refused_login(settings: ExchangeSettings) -> str:
    """HTTP 401."""
    words = f"the login as {settings.username} by {settings.login} is refused (HTTP 401)"
    return f"{words}: correct [notices] username, password and login"


def _reason(error: BaseException) -> str:
    """The operating system's word for it, where there is one."""
    words = [each.strerror for each in chain(error) if isinstance(each, OSError) and isinstance(each.strerror, str)]
    return words[-1] if words else words_of(error)


def _told(error: BaseException | None) -> Attempt:
    """By the server's own code."""
    name = type(error).__name__
    if name in LATER:
        return _failed(Outcome.DEFERRED, error, again=back_off(getattr(error, "back_off", None)))
    if name in BROKEN:
        return _failed(Outcome.CHANNEL_BROKEN, error)
    if name in NEVER or str(error).startswith(UNKNOWN_CODE):
        return _failed(Outcome.REFUSED, error)
    if name in _NOT_READ:
        return of_the_way(Outcome.UNCERTAIN, nameless(error))
    return _failed(Outcome.UNCERTAIN, error)


def _refused_by_status(status: int, asked: float | None) -> Attempt:
    words = f"HTTP {status}"
    if status in (429, 503):
        return of_the_way(Outcome.DEFERRED, words, back_off(asked))
    if status == 413:
        return of_the_way(Outcome.REFUSED, words)
    if 300 <= status < 500 and status != 408:
        return of_the_way(Outcome.CHANNEL_BROKEN, f"the login or the address is refused: {words}")
    # 502 and 504 are a front's: what stands behind it may have taken the message.
    return of_the_way(Outcome.UNCERTAIN, words)


def back_off(asked: float | None) -> float:
    """Seconds until the next attempt, between 1 and an hour."""
    return BACK_OFF_SECONDS if not asked or asked <= 0 else min(max(asked, 1.0), BACK_OFF_LONGEST)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """The exception and what it came from."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        each = waiting.pop()
        if not isinstance(each, BaseException) or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        # requests and urllib3 keep what happened in their arguments and in "reason".
        waiting += [each.__cause__, each.__context__, getattr(each, "reason", None), *each.args]


def nameless(error: BaseException | None) -> str:
    """What of an error names nobody, whatever the server says: its response code, or what happened."""
    if error is None:
        return "nothing was answered"
    if str(error).startswith(UNKNOWN_CODE):
        code = _CODE.match(str(error).removeprefix(UNKNOWN_CODE))
        return code[0] if code else "an unknown response code"
    name = type(error).__name__
    if name == "_Odd":
        # Our own words: ``exchange_requests``.
        return words_of(error)
    return "the answer cannot be understood" if name in _NOT_READ else name


def words_of(error: BaseException | None) -> str:
    """One line of bounded length for operators."""
    if error is None:
        return "nothing was answered"
    text = str(error)[: WORDS_LONGEST * 4]
    shown = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return f"{type(error).__name__}: {shown}"[:WORDS_LONGEST]
