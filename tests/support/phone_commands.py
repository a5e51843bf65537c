"""What a phone says in each version of ActiveSync to read, send and await mail ([MS-ASCMD] 2.2.1)."""

import struct
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from uuid import uuid4

from tests.support.phone import Phone, understood
from tests.support.phone_wbxml import Tag, tag
from tests.support.raw_http import HttpAnswer

INBOX = "2"
"""Folder type ([MS-ASCMD] 2.2.3.186.3)."""
WINDOW = "50"
POLICY_TYPE = "MS-EAS-Provisioning-WBXML"


async def hierarchy(phone: Phone, key: str = "0") -> HttpAnswer:
    """Ask for the folders from ``key`` on."""
    return await phone.command("FolderSync", tag("FolderHierarchy:FolderSync", tag("FolderHierarchy:SyncKey", key)))


def inbox_id(folders: Tag) -> str:
    """The Inbox as the server names it in its answer to FolderSync."""
    found = [each for each in folders.all("FolderHierarchy:Add") if each.text("FolderHierarchy:Type") == INBOX]
    if len(found) != 1:
        raise AssertionError(f"no Inbox in {folders}")
    return found[0].text("FolderHierarchy:ServerId")


def sync_body(phone: Phone, folder: str, key: str, minutes: int = 0) -> Tag:
    """Sync of one folder of mail, with bodies as plain text; with ``minutes`` it waits that long for something new."""
    version = float(phone.account.version)
    with_class = [tag("AirSync:Class", "Email")] if version < 14.0 else []
    first = [*with_class, tag("AirSync:SyncKey", key), tag("AirSync:CollectionId", folder)]
    wanted = [] if key == "0" else [tag("AirSync:GetChanges"), tag("AirSync:WindowSize", WINDOW), _options(version)]
    collections = tag("AirSync:Collections", tag("AirSync:Collection", *first, *wanted))
    return tag("AirSync:Sync", collections, *([_wait(version, minutes)] if minutes else []))


def _wait(version: float, minutes: int) -> Tag:
    """In minutes from 12.1 on, in seconds from 14.0 on ([MS-ASCMD] 2.2.3.97, 2.2.3.88.2)."""
    if version < 14.0:
        return tag("AirSync:Wait", str(minutes))
    return tag("AirSync:HeartbeatInterval", str(60 * minutes))


def _options(version: float) -> Tag:
    if version < 12.0:
        # 4: the first 4,096 characters ([MS-ASCMD] 2.2.3.178); bodies had no types before 12.0.
        return tag("AirSync:Options", tag("AirSync:FilterType", "0"), tag("AirSync:Truncation", "4"))
    plain = (tag("AirSyncBase:Type", "1"), tag("AirSyncBase:TruncationSize", "4096"))
    return tag("AirSync:Options", tag("AirSync:FilterType", "0"), tag("AirSyncBase:BodyPreference", *plain))


@dataclass(slots=True)
class Mailbox:
    """The Inbox as a phone has it: what it was told, and the keys that it was told last."""

    phone: Phone
    folder: str = ""
    hierarchy_key: str = "0"
    key: str = "0"
    mails: dict[str, Tag] = field(default_factory=dict)

    async def folders(self) -> HttpAnswer:
        """FolderSync from where the phone stands; the first one finds the Inbox."""
        answer = await hierarchy(self.phone, self.hierarchy_key)
        if answer.status == 200:
            told = understood(answer)
            if told.text("FolderHierarchy:Status") == "1":
                self.hierarchy_key = told.text("FolderHierarchy:SyncKey")
                self.folder = self.folder or inbox_id(told)
        return answer

    async def sync(self, minutes: int = 0) -> HttpAnswer:
        """One round; what came is remembered. An empty answer is "nothing new" ([MS-ASCMD] 2.2.1.21)."""
        answer = await self.phone.command("Sync", sync_body(self.phone, self.folder, self.key, minutes))
        if answer.status == 200 and answer.body:
            self._learn(understood(answer))
        return answer

    def _learn(self, told: Tag) -> None:
        if told.text("AirSync:Status") != "1":
            return
        self.key = told.text("AirSync:SyncKey")
        for added in told.all("AirSync:Add"):
            self.mails[added.text("AirSync:ServerId")] = added

    async def fill(self) -> None:
        """The folders, then rounds until a round brings nothing more."""
        await self.folders()
        known, rounds = -1, 0
        while len(self.mails) > known or rounds < 2:
            known, rounds = len(self.mails), rounds + 1
            await self.sync()

    def subjects(self) -> list[str]:
        """Of all mails."""
        return [mail.text("Email:Subject") for mail in self.mails.values()]

    def id_of(self, subject: str) -> str:
        """How the server names the mail with that subject."""
        return next(name for name, mail in self.mails.items() if mail.text("Email:Subject") == subject)

    def named(self, subject: str) -> Tag | None:
        """The mail with that subject."""
        return next((mail for mail in self.mails.values() if mail.text("Email:Subject") == subject), None)


def message(sender: str, to: str, subject: str, *, attachment: bytes = b"") -> bytes:
    """A message of RFC 822 as a phone writes it."""
    written = EmailMessage()
    written["From"], written["To"], written["Subject"] = sender, to, subject
    written["Date"], written["Message-ID"] = formatdate(), make_msgid(domain="phone.example")
    written.set_content("Sent from my phone.\n")
    if attachment:
        written.add_attachment(attachment, maintype="application", subtype="octet-stream", filename="large.bin")
    return written.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


async def send_mail(phone: Phone, mime: bytes) -> HttpAnswer:
    """SendMail: RFC 822 in the request up to 12.1, inside WBXML from 14.0 on; a copy is kept."""
    if not phone.speaks_wbxml_mail:
        return await phone.command("SendMail", mime, SaveInSent="T")
    body = tag(
        "ComposeMail:SendMail",
        tag("ComposeMail:ClientId", uuid4().hex),
        tag("ComposeMail:SaveInSentItems"),
        tag("ComposeMail:Mime", mime),
    )
    return await phone.command("SendMail", body)


async def send_with_original(phone: Phone, command: str, mime: bytes, folder: str, item: str) -> HttpAnswer:
    """SmartReply or SmartForward: the server adds the mail that is meant ([MS-ASCMD] 2.2.1.19, 2.2.1.20)."""
    if not phone.speaks_wbxml_mail:
        return await phone.command(command, mime, CollectionId=folder, ItemId=item, SaveInSent="T")
    source = tag("ComposeMail:Source", tag("ComposeMail:FolderId", folder), tag("ComposeMail:ItemId", item))
    body = tag(
        f"ComposeMail:{command}",
        tag("ComposeMail:ClientId", uuid4().hex),
        source,
        tag("ComposeMail:SaveInSentItems"),
        tag("ComposeMail:Mime", mime),
    )
    return await phone.command(command, body)


def ping_body(folder: str, seconds: int) -> Tag:
    """Wait until there is something in a folder of mail."""
    one = tag("Ping:Folder", tag("Ping:Id", folder), tag("Ping:Class", "Email"))
    return tag("Ping:Ping", tag("Ping:HeartbeatInterval", str(seconds)), tag("Ping:Folders", one))


async def ping(phone: Phone, folder: str, seconds: int = 600) -> HttpAnswer:
    """Wait for mail."""
    return await phone.command("Ping", ping_body(folder, seconds))


def file_reference(phone: Phone, mail: Tag) -> str:
    """How the server names the first attachment of a mail."""
    return mail.text("Email:AttName" if float(phone.account.version) < 12.0 else "AirSyncBase:FileReference")


async def fetch_attachment(phone: Phone, reference: str, *, multipart: bool = False) -> HttpAnswer:
    """GetAttachment on 2.5 and 12.0, ItemOperations from 12.1 on."""
    if float(phone.account.version) < 12.1:
        return await phone.command("GetAttachment", AttachmentName=reference)
    fetch = tag(
        "ItemOperations:Fetch", tag("ItemOperations:Store", "Mailbox"), tag("AirSyncBase:FileReference", reference)
    )
    return await phone.command("ItemOperations", tag("ItemOperations:ItemOperations", fetch), multipart=multipart)


def device_information(model: str = "Pixel 8") -> Tag:
    """What a phone says of itself ([MS-ASCMD] 2.2.3.45)."""
    said = (tag("Settings:Model", model), tag("Settings:OS", "Android 16"))
    return tag("Settings:DeviceInformation", tag("Settings:Set", *said))


async def tell_of_itself(phone: Phone) -> HttpAnswer:
    """DeviceInformation by Settings, as from 12.0 to 14.0."""
    return await phone.command("Settings", tag("Settings:Settings", device_information()))


async def ask_for_policy(phone: Phone) -> HttpAnswer:
    """The first request for a policy ([MS-ASPROV] 3.1.5.1.1), from 14.1 on with DeviceInformation (2.2.2.53)."""
    told = [device_information()] if float(phone.account.version) >= 14.1 else []
    policy = tag("Provision:Policy", tag("Provision:PolicyType", POLICY_TYPE))
    return await phone.command("Provision", tag("Provision:Provision", *told, tag("Provision:Policies", policy)))


async def accept_policy(phone: Phone) -> HttpAnswer:
    """The second request: the policy is applied; the key for all further requests is in the answer."""
    known = tag("Provision:PolicyType", POLICY_TYPE), tag("Provision:PolicyKey", str(phone.policy_key))
    policy = tag("Provision:Policy", *known, tag("Provision:Status", "1"))
    return await phone.command("Provision", tag("Provision:Provision", tag("Provision:Policies", policy)))


def parts_of(body: bytes) -> list[bytes]:
    """The parts of an answer in parts: the document, then what it speaks of ([MS-ASCMD] 2.2.1.10.1.1)."""
    (count,) = struct.unpack_from("<i", body)
    places = [struct.unpack_from("<ii", body, 4 + 8 * number) for number in range(count)]
    return [body[offset : offset + length] for offset, length in places]
