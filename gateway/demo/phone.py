"""A simulated phone: one account, ActiveSync over one connection without TLS ([MS-ASHTTP] 2.2.1, [MS-ASCMD] 2.2.1).

It keeps what a phone keeps (keys, mails), sends one command at a time, and hands back what was answered and how long
that took. What an answer means for the story is the story's business.
"""

import asyncio
import base64
import time
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from gateway.demo.documents import Tag, every, tag, text, written
from gateway.demo.messages import read_response
from gateway.domain.errors import InvalidValue
from gateway.protocols.activesync.refusals import WBXML_TYPE
from gateway.protocols.activesync.wbxml import Element, decode
from gateway.protocols.http import writing

PATH = "/Microsoft-Server-ActiveSync"
USER_AGENT = "Gatepost-demo-phone/1"
COMMAND_SECONDS = 30.0
BLOCKED = "129"
"""The device is blocked ([MS-ASCMD] 2.2.2)."""

_STATUS_OF = {"FolderSync": "FolderHierarchy:Status", "Sync": "AirSync:Status", "Ping": "Ping:Status"}


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer as the phone has it."""

    command: str
    http_status: int
    fields: dict[str, str]
    """Headers by lower-case name."""
    body: bytes
    document: Element | None
    status: str
    """ActiveSync's own Status; empty without a document."""
    seconds: float
    """From the first octet sent to the last one read."""
    at: float
    """When that was, by the monotonic clock."""

    @property
    def refused(self) -> bool:
        """Whether this device may not have mail, in either dialect."""
        return self.http_status == 403 or self.status == BLOCKED

    @property
    def words(self) -> str:
        """What came, for a sentence."""
        inside = f", Status {self.status}" if self.status else ""
        return f"HTTP {self.http_status}{inside}"


@dataclass(slots=True)
class Phone:
    """One account on one phone."""

    url: str
    user: str
    password: str
    device_id: str
    version: str = "14.1"
    subjects: list[str] = field(default_factory=list)
    """Of the mails that it holds."""
    _folder_key: str = "0"
    _inbox: str = ""
    _inbox_key: str = "0"
    _connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def options(self) -> Answered:
        """Ask which versions and commands there are."""
        return await self._ask("OPTIONS", "OPTIONS", PATH, b"")

    async def folder_sync(self) -> Answered:
        """Ask for the folders, all or what changed."""
        key = tag("FolderHierarchy:SyncKey", self._folder_key)
        answer = await self._command("FolderSync", tag("FolderHierarchy:FolderSync", key))
        if answer.document is not None and answer.status == "1":
            self._folder_key = text(answer.document, "FolderHierarchy:SyncKey")
            for added in every(answer.document, "FolderHierarchy:Add"):
                if text(added, "FolderHierarchy:Type") == "2":
                    self._inbox = text(added, "FolderHierarchy:ServerId")
        return answer

    async def sync(self) -> Answered:
        """Ask for what is new in the Inbox."""
        key, folder = tag("AirSync:SyncKey", self._inbox_key), tag("AirSync:CollectionId", self._inbox)
        collection = tag("AirSync:Collection", key, folder)
        answer = await self._command("Sync", tag("AirSync:Sync", tag("AirSync:Collections", collection)))
        if answer.document is not None and answer.status == "1":
            self._inbox_key = text(answer.document, "AirSync:SyncKey")
            added = every(answer.document, "AirSync:Add")
            self.subjects += [text(each, "Email:Subject") for each in added]
        return answer

    @property
    def inbox_known(self) -> bool:
        """Whether a first Sync has told a key from which to go on."""
        return self._inbox_key != "0"

    async def ping(self, heartbeat: int) -> Answered:
        """Wait for mail, at most for so many seconds."""
        folder = tag("Ping:Folder", tag("Ping:Id", self._inbox), tag("Ping:Class", "Email"))
        body = tag("Ping:Ping", tag("Ping:HeartbeatInterval", str(heartbeat)), tag("Ping:Folders", folder))
        return await self._command("Ping", body, COMMAND_SECONDS + heartbeat)

    def hang_up(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection[1].close()
            self._connection = None

    async def _command(self, name: str, body: Tag, seconds: float = COMMAND_SECONDS) -> Answered:
        query = {"Cmd": name, "User": self.user, "DeviceId": self.device_id, "DeviceType": "Android"}
        target = "&".join(f"{key}={quote(value, safe='')}" for key, value in query.items())
        return await self._ask(name, "POST", f"{PATH}?{target}", written(body), seconds)

    async def _ask(
        self, command: str, method: str, target: str, body: bytes, seconds: float = COMMAND_SECONDS
    ) -> Answered:
        begun = time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await self._connected()
                writer.write(self._request(method, target, body))
                head, content = await read_response(reader, method)
        except BaseException:
            # What was to come on this connection belongs to a request that nobody waits for.
            self.hang_up()
            raise
        at = time.monotonic()
        if not head.keep_alive:
            self.hang_up()
        fields = {name.decode().lower(): value.decode("latin-1") for name, value in head.fields}
        document = decode(content) if content and fields.get("content-type") == WBXML_TYPE else None
        status = text(document, _STATUS_OF[command]) if document is not None else ""
        return Answered(command, head.status, fields, content, document, status, at - begun, at)

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._connection is None:
            address = urlsplit(self.url)
            self._connection = await asyncio.open_connection(address.hostname, address.port)
        return self._connection

    def _request(self, method: str, target: str, body: bytes) -> bytes:
        credentials = base64.b64encode(f"{self.user}:{self.password}".encode())
        fields = [(b"Authorization", b"Basic " + credentials), (b"User-Agent", USER_AGENT.encode())]
        if method == "POST":
            fields += [(b"MS-ASProtocolVersion", self.version.encode()), (b"Content-Type", WBXML_TYPE.encode())]
        framing = b"Content-Length: %d\r\n" % len(body) if method == "POST" else b""
        host = urlsplit(self.url).netloc.encode()
        return writing.request_head(method.encode(), target.encode(), host, fields, framing) + body


def versions_of(answer: Answered) -> list[str]:
    """The protocol versions that an answer to OPTIONS offers. Raises ``InvalidValue`` when it offers none."""
    versions = [each.strip() for each in answer.fields.get("ms-asprotocolversions", "").split(",") if each.strip()]
    if not versions:
        raise InvalidValue(f"OPTIONS was answered {answer.words}, without any version of ActiveSync")
    return versions
