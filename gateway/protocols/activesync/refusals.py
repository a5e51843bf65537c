"""What a phone is told in place of its mail, in the dialect of its own request.

From 14.0 on "not with this device" is Status 129 inside an HTTP 200, before that an HTTP 403 ([MS-ASCMD] 2.2.2);
Provision is refused like everything else, or Android would provision and repeat for ever. "Cannot know now" is 503
with Retry-After in both dialects ([MS-ASHTTP] 3.1.5.2.3): it costs the phone nothing, while a 500 or Status 110 makes
iOS load everything anew.

No wipe can be expressed here: a document is a command's root, at most one fixed element, and a ``_Status``. There is
no general encoder, no function takes a number, RemoteWipe and AccountOnlyRemoteWipe stand in no path, and 140 is no
``_Status`` ([MS-ASPROV] 3.1.5.1.2.2).
"""

from enum import Enum
from typing import Final

from gateway.protocols.activesync.code_pages import TAGS
from gateway.protocols.activesync.commands import PAGE_OF_ROOT, ROOTS, Command
from gateway.protocols.activesync.versions import Dialect, Version, dialect
from gateway.protocols.activesync.wbxml import END, HAS_CONTENT, STR_I, SWITCH_PAGE
from gateway.protocols.answer import Answer
from gateway.protocols.wording import DEFERRED_TEXT, blocked

WBXML_TYPE: Final = "application/vnd.ms-sync.wbxml"
TEXT_LONGEST: Final = 1000
"""Characters of a text that are sent."""
_HEADER: Final = b"\x03\x01\x6a\x00"
_PRIVATE: Final = ("Cache-Control", "private, no-store")


class _Status(Enum):
    """All that a document of ours can say ([MS-ASCMD] 2.2.2, 2.2.3.177.11, 2.2.3.177.17)."""

    PING_EXPIRED = b"1"
    PING_FOLDERS_CHANGED = b"7"
    SYNC_HIERARCHY_CHANGED = b"12"
    DEVICE_BLOCKED = b"129"


_BETWEEN: Final[dict[Command, str]] = {Command.MEETING_RESPONSE: "Result"}
"""The element between root and Status; every other root holds its Status itself ([MS-ASCMD] 2.2.3.177)."""


def _document(command: Command, status: _Status) -> Answer:
    page, root = ROOTS[command]
    name = PAGE_OF_ROOT[command]
    path = [root]
    if command in _BETWEEN:
        path.append(TAGS[name, _BETWEEN[command]][1])
    path.append(TAGS[name, "Status"][1])
    body = bytearray(_HEADER)
    if page != 0:
        body += bytes((SWITCH_PAGE, page))
    body += bytes(tag | HAS_CONTENT for tag in path)
    body += bytes((STR_I,)) + status.value + b"\0"
    body += bytes((END,)) * len(path)
    return Answer(200, "OK", (("Content-Type", WBXML_TYPE), _PRIVATE), bytes(body))


_BLOCKED: Final = {command: _document(command, _Status.DEVICE_BLOCKED) for command in ROOTS}
_PING_CUT: Final = _document(Command.PING, _Status.PING_FOLDERS_CHANGED)
_PING_EXPIRED: Final = _document(Command.PING, _Status.PING_EXPIRED)
_SYNC_CUT: Final = _document(Command.SYNC, _Status.SYNC_HIERARCHY_CHANGED)
_NO_CHANGES: Final = Answer(200, "OK", (_PRIVATE,))


def _text(status: int, reason: str, text: str, *headers: tuple[str, str]) -> Answer:
    body = text[:TEXT_LONGEST].encode("utf-8", "replace")
    return Answer(status, reason, (("Content-Type", "text/plain; charset=utf-8"), _PRIVATE, *headers), body)


def deny(command: Command, version: Version | None, app: str = "", note: str = "") -> Answer:
    """The refusal of ``command``, Provision included.

    In the HTTP dialect it says which app it is and, with ``note``, what the organization writes of it; WBXML has no
    room for words. GetAttachment has no XML answer and is refused by HTTP in every version. OPTIONS and Autodiscover
    are not for refusing: without them a phone falls back to 2.5 or gives up its account.
    """
    if dialect(version) is Dialect.STATUS and command in _BLOCKED:
        return _BLOCKED[command]
    return forbidden(app, note)


def forbidden(app: str = "", note: str = "") -> Answer:
    """403 with the reason in words, as far as it is told."""
    return _text(403, "Forbidden", blocked(app, note))


def defer(retry_after_seconds: int) -> Answer:
    """Whether the device may sync is not known now; it is to ask again after that many seconds (at least 1)."""
    return _text(
        *(503, "Service Unavailable", DEFERRED_TEXT),
        ("Retry-After", str(max(1, retry_after_seconds))),
    )


def cut(command: Command, version: Version | None) -> Answer:
    """The end of a request that was waiting at the server when its verdict turned.

    Ping: "folders changed, synchronise the hierarchy" — the phone comes back with FolderSync within a round trip and
    is refused then; Status 3, 4, 5 and 8 would make Android ping again at once. Sync (which waits from 12.1 on): "the
    hierarchy changed", to the same end. Any other command is denied.
    """
    if command is Command.PING:
        return _PING_CUT
    if command is Command.SYNC and _sync_waits(version):
        return _SYNC_CUT
    return deny(command, version)


def drained(command: Command, version: Version | None, retry_after_seconds: int = 1) -> Answer:
    """The end of a waiting request because the gateway stops: "no changes", so the phone asks again at once.

    Ping: Status 1. Sync from 12.1 on: an empty 200 ([MS-ASCMD] 2.2.1.21.2). Any other command: 503.
    """
    if command is Command.PING:
        return _PING_EXPIRED
    if command is Command.SYNC and _sync_waits(version):
        return _NO_CHANGES
    return defer(retry_after_seconds)


def _sync_waits(version: Version | None) -> bool:
    return version is not None and version >= Version.V12_1


def not_authenticated(realm: str, *, bearer: bool = False) -> Answer:
    """401: name and password are wanted (RFC 7617 §2), or a token too. Never an answer to a refused device."""
    quoted = "".join("\\" + letter if letter in '"\\' else letter for letter in realm if " " <= letter <= "~")
    challenges = [("WWW-Authenticate", f'Basic realm="{quoted}", charset="UTF-8"')]
    if bearer:
        challenges.append(("WWW-Authenticate", f'Bearer realm="{quoted}"'))
    return Answer(401, "Unauthorized", (_PRIVATE, *challenges))


def malformed(sentence: str = "The request is malformed.") -> Answer:
    """400; ``sentence`` is ours (an ``InvalidValue``'s), never a piece of the request."""
    return _text(400, "Bad Request", sentence)


def mismatch() -> Answer:
    """400: the body is of another command than the one in the URL, or has no business there."""
    return malformed("The body does not belong to the command in the URL.")


def no_such_path() -> Answer:
    """404: nothing is served there."""
    return _text(404, "Not Found", "Nothing is served at this address.")


def content_too_large() -> Answer:
    """413: the body exceeds what this command may carry."""
    return _text(413, "Content Too Large", "The request's body is too large.")


def coded_content() -> Answer:
    """415: a request with ``Content-Encoding``, whose body nobody could look into (RFC 9110 §15.5.16)."""
    return _text(
        *(415, "Unsupported Media Type", "Send the body without Content-Encoding."), ("Accept-Encoding", "identity")
    )


def unknown_command() -> Answer:
    """501: neither this command nor this method exists ([MS-ASHTTP] 2.2.2.1.1)."""
    return _text(501, "Not Implemented", "This command is not supported.")
