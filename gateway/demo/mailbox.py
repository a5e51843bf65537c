"""One mailbox and what ActiveSync asks of it: FolderSync, Sync and the question of a Ping. Pure.

Mail is only ever added, so a SyncKey can say by itself how far a phone is: ``1`` knows nothing yet, ``n`` knows the
first n-1 mails. A phone that never got an answer asks with the old key and gets the same mail again.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from gateway.demo.documents import Tag, every, tag, text
from gateway.protocols.activesync.wbxml import Element

INBOX = "inbox"
_FOLDERS = ((INBOX, "Inbox", "2"), ("drafts", "Drafts", "3"), ("trash", "Deleted Items", "4"), ("sent", "Sent", "5"))
"""ServerId, name, and type ([MS-ASCMD] 2.2.3.186.3)."""


@dataclass(frozen=True, slots=True)
class Mail:
    """A message in the Inbox."""

    sender: str
    subject: str
    text: str
    received_at: float
    """Epoch seconds."""


@dataclass(slots=True)
class Mailbox:
    """The mailbox of one user."""

    user: str
    mails: list[Mail] = field(default_factory=list)

    def folder_sync(self, asked: Element) -> Tag:
        """The folders for a new phone, or that nothing changed."""
        key = text(asked, "FolderHierarchy:SyncKey")
        if key not in ("0", "1"):
            # 9: begin again with key 0 ([MS-ASCMD] 2.2.3.177.4).
            return tag("FolderHierarchy:FolderSync", tag("FolderHierarchy:Status", "9"))
        added = [_folder(*folder) for folder in _FOLDERS] if key == "0" else []
        count = tag("FolderHierarchy:Count", str(len(added)))
        return tag(
            "FolderHierarchy:FolderSync",
            tag("FolderHierarchy:Status", "1"),
            tag("FolderHierarchy:SyncKey", "1"),
            tag("FolderHierarchy:Changes", count, *added),
        )

    def sync(self, asked: Element) -> Tag:
        """What is new in each folder that the phone asks about."""
        collections = [self._collection(each) for each in every(asked, "AirSync:Collection")]
        return tag("AirSync:Sync", tag("AirSync:Collections", *collections))

    def _collection(self, asked: Element) -> Tag:
        key, folder = text(asked, "AirSync:SyncKey"), text(asked, "AirSync:CollectionId")
        mails = self.mails if folder == INBOX else []
        known = int(key) if key.isascii() and key.isdigit() and len(key) < 10 else -1
        if not 0 <= known <= len(mails) + 1:
            # 3: this key is none of ours; begin again ([MS-ASCMD] 2.2.3.177.17).
            return _synced("0", folder, "3")
        if known == 0:
            return _synced("1", folder, "1")
        fresh = [_added(number, mail) for number, mail in enumerate(mails[known - 1 :], known)]
        commands = [tag("AirSync:Commands", *fresh)] if fresh else []
        return _synced(str(len(mails) + 1), folder, "1", *commands)


def _folder(server_id: str, name: str, kind: str) -> Tag:
    return tag(
        "FolderHierarchy:Add",
        tag("FolderHierarchy:ServerId", server_id),
        tag("FolderHierarchy:ParentId", "0"),
        tag("FolderHierarchy:DisplayName", name),
        tag("FolderHierarchy:Type", kind),
    )


def _synced(key: str, folder: str, status: str, *commands: Tag) -> Tag:
    head = (tag("AirSync:SyncKey", key), tag("AirSync:CollectionId", folder), tag("AirSync:Status", status))
    return tag("AirSync:Collection", *head, *commands)


def _added(number: int, mail: Mail) -> Tag:
    received = datetime.fromtimestamp(mail.received_at, UTC).isoformat(timespec="milliseconds")
    body = (tag("AirSyncBase:Type", "1"), tag("AirSyncBase:Data", mail.text))
    return tag(
        "AirSync:Add",
        tag("AirSync:ServerId", f"{INBOX}:{number}"),
        tag(
            "AirSync:ApplicationData",
            tag("Email:From", mail.sender),
            tag("Email:Subject", mail.subject),
            tag("Email:DateReceived", received.replace("+00:00", "Z")),
            tag("Email:Read", "0"),
            tag("AirSyncBase:Body", *body),
        ),
    )


def ping_answer(*, changed: bool) -> Tag:
    """The end of a Ping: mail came, or the time is up ([MS-ASCMD] 2.2.3.177.11)."""
    if not changed:
        return tag("Ping:Ping", tag("Ping:Status", "1"))
    return tag("Ping:Ping", tag("Ping:Status", "2"), tag("Ping:Folders", tag("Ping:Folder", INBOX)))


def heartbeat_of(asked: Element) -> float:
    """Seconds for which a Ping is to wait; 8 minutes where it does not say."""
    given = text(asked, "Ping:HeartbeatInterval")
    return min(3540.0, float(given)) if given.isascii() and given.isdigit() else 480.0
