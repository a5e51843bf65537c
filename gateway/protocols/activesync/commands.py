"""The commands: their codes, what body each has, which may wait and which must be let finish.

The command stands twice in a request: in the URL and as the root element of the body. Some back ends go by the one,
some by the other, so ``root.body_agrees`` holds them against each other before anything is forwarded.
"""

from enum import Enum, StrEnum

from gateway.domain.errors import InvalidValue
from gateway.protocols.activesync.code_pages import TAGS
from gateway.protocols.activesync.versions import Version


class UnknownCommand(InvalidValue):
    """The request names a command that does not exist (HTTP 501, [MS-ASHTTP] 2.2.2.1.1)."""


class Command(StrEnum):
    """A command by its name in the URL ([MS-ASHTTP] 2.2.1.1.1.2.1)."""

    __hash__ = str.__hash__  # Enum's own is a Python function: several times as slow on every look-up

    SYNC = "Sync"
    SEND_MAIL = "SendMail"
    SMART_FORWARD = "SmartForward"
    SMART_REPLY = "SmartReply"
    GET_ATTACHMENT = "GetAttachment"
    FOLDER_SYNC = "FolderSync"
    FOLDER_CREATE = "FolderCreate"
    FOLDER_DELETE = "FolderDelete"
    FOLDER_UPDATE = "FolderUpdate"
    MOVE_ITEMS = "MoveItems"
    GET_ITEM_ESTIMATE = "GetItemEstimate"
    MEETING_RESPONSE = "MeetingResponse"
    SEARCH = "Search"
    SETTINGS = "Settings"
    PING = "Ping"
    ITEM_OPERATIONS = "ItemOperations"
    PROVISION = "Provision"
    RESOLVE_RECIPIENTS = "ResolveRecipients"
    VALIDATE_CERT = "ValidateCert"
    FIND = "Find"
    OPTIONS = "Options"
    """The HTTP method OPTIONS; Outlook mobile also writes it as ``Cmd``. It has no code."""


CODES: dict[int, Command] = {
    0: Command.SYNC,
    1: Command.SEND_MAIL,
    2: Command.SMART_FORWARD,
    3: Command.SMART_REPLY,
    4: Command.GET_ATTACHMENT,
    9: Command.FOLDER_SYNC,
    10: Command.FOLDER_CREATE,
    11: Command.FOLDER_DELETE,
    12: Command.FOLDER_UPDATE,
    13: Command.MOVE_ITEMS,
    14: Command.GET_ITEM_ESTIMATE,
    15: Command.MEETING_RESPONSE,
    16: Command.SEARCH,
    17: Command.SETTINGS,
    18: Command.PING,
    19: Command.ITEM_OPERATIONS,
    20: Command.PROVISION,
    21: Command.RESOLVE_RECIPIENTS,
    22: Command.VALIDATE_CERT,
    23: Command.FIND,
}
"""Codes of the base64 query ([MS-ASHTTP] 2.2.1.1.1.1.2). 5 to 8 were retired with the commands of version 1."""

CODE_OF: dict[Command, int] = {command: code for code, command in CODES.items()}
_BY_NAME: dict[str, Command] = {command.value: command for command in Command}
_BY_FOLDED_NAME: dict[str, Command] = {command.value.lower(): command for command in Command}


def command_named(name: str) -> Command:
    """The command of that name; servers do not mind its case. Raises ``UnknownCommand``."""
    command = _BY_NAME.get(name) or _BY_FOLDED_NAME.get(name.lower())
    if command is None:
        raise UnknownCommand("Cmd names no ActiveSync command")
    return command


def command_of_code(code: int) -> Command:
    """The command of that code. Raises ``UnknownCommand``."""
    command = CODES.get(code)
    if command is None:
        raise UnknownCommand("the base64 query names no ActiveSync command")
    return command


PAGE_OF_ROOT: dict[Command, str] = {
    Command.SYNC: "AirSync",
    Command.SEND_MAIL: "ComposeMail",
    Command.SMART_FORWARD: "ComposeMail",
    Command.SMART_REPLY: "ComposeMail",
    Command.FOLDER_SYNC: "FolderHierarchy",
    Command.FOLDER_CREATE: "FolderHierarchy",
    Command.FOLDER_DELETE: "FolderHierarchy",
    Command.FOLDER_UPDATE: "FolderHierarchy",
    Command.MOVE_ITEMS: "Move",
    Command.GET_ITEM_ESTIMATE: "GetItemEstimate",
    Command.MEETING_RESPONSE: "MeetingResponse",
    Command.SEARCH: "Search",
    Command.SETTINGS: "Settings",
    Command.PING: "Ping",
    Command.ITEM_OPERATIONS: "ItemOperations",
    Command.PROVISION: "Provision",
    Command.RESOLVE_RECIPIENTS: "ResolveRecipients",
    Command.VALIDATE_CERT: "ValidateCert",
    Command.FIND: "Find",
}
ROOTS: dict[Command, tuple[int, int]] = {command: TAGS[page, command.value] for command, page in PAGE_OF_ROOT.items()}
"""(page, tag) of the root element of a command's body; each has the command's own name."""

PARKING = frozenset((Command.PING, Command.SYNC))
"""May wait at the server for up to an hour ([MS-ASCMD] 2.2.3.88)."""

WITH_EFFECT = frozenset(
    (
        Command.SEND_MAIL,
        Command.SMART_FORWARD,
        Command.SMART_REPLY,
        Command.MOVE_ITEMS,
        Command.MEETING_RESPONSE,
        Command.FOLDER_CREATE,
        Command.FOLDER_DELETE,
        Command.FOLDER_UPDATE,
    )
)
"""Change something and answer only with how it went: once the body is upstream they must be let finish, or the phone
does it again. Sync and ItemOperations are not among them: their answers carry mail, and a SyncKey guards repetition."""

_MAILING = frozenset((Command.SEND_MAIL, Command.SMART_FORWARD, Command.SMART_REPLY))


class BodyKind(Enum):
    """What a request's body must be."""

    WBXML = "wbxml"
    MIME = "mime"
    WBXML_OR_MIME = "wbxml or mime"
    """A mailing command without a version."""
    NONE = "none"


def body_kind(command: Command, version: Version | None) -> BodyKind:
    """The kind of body; SendMail and Smart* became WBXML with 14.0 ([MS-ASCMD] 2.2.1.17)."""
    if command in _MAILING:
        if version is None:
            return BodyKind.WBXML_OR_MIME
        return BodyKind.WBXML if version >= Version.V14_0 else BodyKind.MIME
    if command in (Command.GET_ATTACHMENT, Command.OPTIONS):
        return BodyKind.NONE
    return BodyKind.WBXML


def may_be_empty(command: Command, version: Version | None) -> bool:
    """Whether the command is complete without a body: cached parameters of Ping, and of Sync from 12.1 on."""
    if command is Command.SYNC:
        return version is None or version >= Version.V12_1
    return command in (Command.PING, Command.GET_ATTACHMENT, Command.OPTIONS)
