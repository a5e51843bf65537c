"""WBXML as the test phone writes and reads it ([MS-ASWBXML]); it shares nothing with the gateway's own codec.

A document is a tree of ``Tag``; names are ``Page:Name``. Only the pages that mail needs are known, and a tag that is
unknown is named by its numbers: nothing that a server says is lost. Characters and opaque octets are both octets here.
"""

from collections.abc import Iterator
from dataclasses import dataclass

HEADER = b"\x03\x01\x6a\x00"
_SWITCH, _END, _STRING, _OPAQUE = 0x00, 0x01, 0x03, 0xC3
_HAS_CONTENT = 0x40

# Each page: the number of a first tag, and the names from there on; other runs follow.
_PAGES = {
    0: "AirSync 05 Sync Responses Add Change Delete Fetch SyncKey ClientId ServerId Status Collection Class Version "
    "CollectionId GetChanges MoreAvailable WindowSize Commands Options FilterType Truncation RTFTruncation Conflict "
    "Collections ApplicationData DeletesAsMoves NotifyGUID 20 Supported SoftDelete MIMESupport MIMETruncation Wait "
    "Limit Partial ConversationMode MaxItems HeartbeatInterval",
    2: "Email 05 Attachment Attachments AttName AttSize AttOId AttMethod AttRemoved Body BodySize BodyTruncated "
    "DateReceived DisplayName DisplayTo Importance MessageClass Subject Read To Cc From ReplyTo AllDayEvent Categories "
    "Category DtStamp EndTime InstanceType BusyStatus Location MeetingRequest Organizer RecurrenceId Reminder "
    "ResponseRequested Recurrences Recurrence Type Until Occurrences Interval DayOfWeek DayOfMonth WeekOfMonth "
    "MonthOfYear StartTime Sensitivity TimeZone GlobalObjId ThreadTopic MIMEData MIMETruncated MIMESize InternetCPID "
    "Flag Status ContentClass FlagType CompleteTime DisallowNewTimeProposal",
    7: "FolderHierarchy 05 Folders Folder DisplayName ServerId ParentId Type Response Status ContentClass Changes Add "
    "Delete Update SyncKey FolderCreate FolderDelete FolderUpdate FolderSync Count Version",
    13: "Ping 05 Ping AutdState Status HeartbeatInterval Folders Folder Id Class MaxFolders",
    14: "Provision 05 Provision Policies Policy PolicyType PolicyKey Data Status RemoteWipe EASProvisionDoc "
    "DevicePasswordEnabled",
    17: "AirSyncBase 05 BodyPreference Type TruncationSize AllOrNone 0A Body Data EstimatedDataSize Truncated "
    "Attachments Attachment DisplayName FileReference Method ContentId ContentLocation IsInline NativeBodyType "
    "ContentType Preview",
    18: "Settings 05 Settings Status Get Set Oof OofState 16 DeviceInformation Model IMEI FriendlyName OS OSLanguage "
    "PhoneNumber UserInformation EmailAddresses SMTPAddress UserAgent EnableOutboundSMS MobileOperator "
    "PrimarySmtpAddress",
    20: "ItemOperations 05 ItemOperations Fetch Store Options Range Total Properties Data Status Response Version "
    "Schema Part",
    21: "ComposeMail 05 SendMail SmartForward SmartReply SaveInSentItems ReplaceMime 0B Source FolderId ItemId LongId "
    "InstanceId Mime ClientId Status AccountId",
    22: "Email2 05 UmCallerID UmUserNotes UmAttDuration UmAttOrder ConversationId ConversationIndex LastVerbExecuted "
    "LastVerbExecutionTime ReceivedAsBcc Sender CalendarType IsLeapMonth AccountId FirstDayOfWeek MeetingMessageType "
    "15 IsDraft Bcc Send",
    25: "Find 05 Find SearchId ExecuteSearch MailBoxSearchCriterion Query Status FreeText Options Range DeepTraversal "
    "11 Response Result Properties Preview HasAttachments Total",
}


def _numbered() -> Iterator[tuple[tuple[int, int], str]]:
    for number, listed in _PAGES.items():
        page, *words = listed.split()
        token = 0
        for word in words:
            if len(word) == 2 and word[0].isdigit():
                token = int(word, 16)
            else:
                yield (number, token), f"{page}:{word}"
                token += 1


NAMES = dict(_numbered())
TOKENS = {name: number for number, name in NAMES.items()}


@dataclass(frozen=True, slots=True)
class Tag:
    """An element and what it contains."""

    name: str
    content: tuple["Tag | bytes", ...] = ()

    def all(self, name: str) -> list["Tag"]:
        """Every element of that name below this one, in order."""
        found = []
        for child in self.content:
            if isinstance(child, Tag):
                found += [child] if child.name == name else []
                found += child.all(name)
        return found

    def text(self, name: str) -> str:
        """The characters of the first element of that name; empty when there is none."""
        return next((tag.octets.decode() for tag in self.all(name)), "")

    @property
    def octets(self) -> bytes:
        """The octets directly inside."""
        return b"".join(child for child in self.content if isinstance(child, bytes))

    def __str__(self) -> str:
        inside = "".join(
            str(child) if isinstance(child, Tag) else child.decode(errors="replace") for child in self.content
        )
        return f"<{self.name}>{inside}</{self.name}>"


def tag(name: str, *content: Tag | str | bytes) -> Tag:
    """An element for a request; characters become inline strings, octets opaque."""
    return Tag(name, tuple(each if isinstance(each, Tag) else _Characters(each) for each in content))


class _Characters(bytes):
    """Content that remembers whether it is written as an inline string."""

    inline: bool

    def __new__(cls, value: str | bytes) -> "_Characters":
        made = super().__new__(cls, value.encode() if isinstance(value, str) else value)
        made.inline = isinstance(value, str)
        return made


def encoded(root: Tag) -> bytes:
    """The document as octets."""
    written = bytearray(HEADER)
    _write(root, 0, written)
    return bytes(written)


def _write(element: Tag, page: int, written: bytearray) -> int:
    wanted, token = TOKENS[element.name]
    if wanted != page:
        written += bytes((_SWITCH, wanted))
    written.append(token | (_HAS_CONTENT if element.content else 0))
    page = wanted
    for child in element.content:
        if isinstance(child, Tag):
            page = _write(child, page, written)
        elif getattr(child, "inline", False):
            written += bytes((_STRING,)) + child + b"\x00"
        else:
            written += bytes((_OPAQUE,)) + _length(len(child)) + child
    if element.content:
        written.append(_END)
    return page


def _length(value: int) -> bytes:
    octets = [value & 0x7F]
    while value := value >> 7:
        octets.insert(0, value & 0x7F | 0x80)
    return bytes(octets)


def decoded(document: bytes) -> Tag:
    """The tree in a document; anything that is not as [MS-ASWBXML] 2.1 has it is a ``ValueError``."""
    reader = _Reader(document)
    for _ in range(3):
        reader.number()
    reader.skip(reader.number())
    root = reader.element()
    if root is None or reader.left:
        raise ValueError(f"not one document: {document[:64]!r}")
    return root


class _Reader:
    """A position in a document, and the page in force there."""

    def __init__(self, document: bytes) -> None:
        self._document = document
        self._at = 0
        self._page = 0

    @property
    def left(self) -> int:
        return len(self._document) - self._at

    def octet(self) -> int:
        if not self.left:
            raise ValueError(f"cut short after {self._document[-64:]!r}")
        self._at += 1
        return self._document[self._at - 1]

    def number(self) -> int:
        value = 0
        while True:
            octet = self.octet()
            value = value << 7 | octet & 0x7F
            if octet < 0x80:
                return value

    def skip(self, count: int) -> bytes:
        if count > self.left:
            raise ValueError("a length reaches past the end")
        self._at += count
        return self._document[self._at - count : self._at]

    def element(self) -> Tag | None:
        """The next element; none at an end."""
        token = self.octet()
        while token == _SWITCH:
            self._page = self.octet()
            token = self.octet()
        if token == _END:
            return None
        number = token & 0x3F
        name = NAMES.get((self._page, number), f"{self._page}:{number:02X}")
        return Tag(name, tuple(self._content()) if token & _HAS_CONTENT else ())

    def _content(self) -> Iterator[Tag | bytes]:
        while True:
            token = self._document[self._at] if self.left else -1
            if token == _STRING:
                end = self._document.index(b"\x00", self._at)
                yield self._document[self._at + 1 : end]
                self._at = end + 1
            elif token == _OPAQUE:
                self.octet()
                yield self.skip(self.number())
            elif (child := self.element()) is None:
                return
            else:
                yield child
