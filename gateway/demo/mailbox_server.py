"""The demo's mailbox server: ActiveSync over HTTP for one mailbox, on a free port of this machine.

It is no mail server and says so in its ``Server`` header. It knows one password, answers 401 to any other, serves
OPTIONS, FolderSync, Sync and Ping, and keeps a Ping waiting until mail comes, the time is up, or the other end leaves.
"""

import asyncio
import base64
import binascii
import hmac
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import parse_qs

from gateway.demo.documents import Tag, written
from gateway.demo.mailbox import Mail, Mailbox, heartbeat_of, ping_answer
from gateway.demo.messages import read_request
from gateway.domain.errors import DomainError
from gateway.protocols.activesync.refusals import WBXML_TYPE
from gateway.protocols.activesync.wbxml import decode
from gateway.protocols.answer import Answer
from gateway.protocols.http import writing
from gateway.protocols.http.request_head import RequestHead

SERVER_NAME = "Gatepost-demo-mailbox (not a real mail server)"
PATH = b"/Microsoft-Server-ActiveSync"
VERSIONS = "12.1,14.0,14.1"
COMMANDS = "FolderSync,Sync,Ping"


@dataclass(frozen=True, slots=True)
class Account:
    """Whose mailbox it is."""

    user: str
    password: str


class MailboxServer:
    """The server, its one mailbox, and what it has served."""

    def __init__(self, account: Account, others: Collection[str] = ()) -> None:
        """``others``: users who look into the same mailbox, by the same password."""
        self.account = account
        self._users = frozenset((account.user, *others))
        self.mailbox = Mailbox(account.user)
        self.served: Counter[str] = Counter()
        """Commands that it ran, by name."""
        self.parked = 0
        """Pings that wait at this moment."""
        self.url = ""
        self._handed_out: dict[str, int] = {}
        """How many mails each phone had after its last Sync."""
        self._news = asyncio.Event()
        self._parking = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._conversations: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._converse, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        """Hang up on everybody and end."""
        if self._server is None:
            return
        self._server.close()
        for task in tuple(self._conversations):
            task.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)
        await self._server.wait_closed()

    def deliver(self, sender: str, subject: str, text: str) -> None:
        """Mail comes in; whoever waits for it is told."""
        self.mailbox.mails.append(Mail(sender, subject, text, time.time()))
        self._news, news = asyncio.Event(), self._news
        news.set()

    async def until_parked(self, count: int) -> None:
        """Wait until exactly so many Pings wait here."""
        while self.parked != count:
            await self._parking.wait()

    def _note_parked(self, more: int) -> None:
        self.parked += more
        self._parking, parking = asyncio.Event(), self._parking
        parking.set()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._conversations.add(task)
        try:
            while (request := await read_request(reader)) is not None:
                answer = await self._answer(*request, reader)
                writer.write(writing.written(answer, close=False))
                await writer.drain()
        except (ConnectionError, DomainError, asyncio.CancelledError):
            # Whoever talks nonsense to the demo, or leaves, is hung up on.
            pass
        finally:
            self._conversations.discard(task)
            writer.close()

    async def _answer(self, head: RequestHead, body: bytes, reader: asyncio.StreamReader) -> Answer:
        if head.path != PATH:
            return _answer(404, "Not Found")
        if not self._knows(head.named.get(b"authorization", b"")):
            return _answer(401, "Unauthorized", ("WWW-Authenticate", 'Basic realm="Gatepost demo"'))
        if head.method == b"OPTIONS":
            return _answer(200, "OK", ("MS-ASProtocolVersions", VERSIONS), ("MS-ASProtocolCommands", COMMANDS))
        query = parse_qs((head.query or b"").decode("ascii", "replace"))
        command, device_id = query.get("Cmd", [""])[0], query.get("DeviceId", [""])[0]
        if head.method != b"POST" or command not in COMMANDS.split(","):
            return _answer(501, "Not Implemented")
        asked = decode(body)
        self.served[command] += 1
        if command == "FolderSync":
            return _document(self.mailbox.folder_sync(asked))
        held = len(self.mailbox.mails)
        if command == "Sync":
            self._handed_out[device_id] = held
            return _document(self.mailbox.sync(asked))
        if self._handed_out.get(device_id, held) < held:
            # It came between this phone's Sync and its Ping.
            return _document(ping_answer(changed=True))
        return _document(await self._park(heartbeat_of(asked), reader))

    def _knows(self, authorization: bytes) -> bool:
        scheme, _, coded = authorization.partition(b" ")
        try:
            given = base64.b64decode(coded, validate=True) if scheme.lower() == b"basic" else b""
        except binascii.Error:
            return False
        user, _, password = given.decode("utf-8", "replace").partition(":")
        right = hmac.compare_digest(password.encode(), self.account.password.encode())
        return right and user in self._users

    async def _park(self, seconds: float, reader: asyncio.StreamReader) -> Tag:
        """Wait for mail; raises ``ConnectionResetError`` when the other end hangs up."""
        news = asyncio.ensure_future(self._news.wait())
        # While a Ping waits nothing is sent, so the end of the stream is all that can be read.
        gone = asyncio.ensure_future(reader.read(1))
        self._note_parked(1)
        try:
            done, _ = await asyncio.wait({news, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._note_parked(-1)
            news.cancel()
            gone.cancel()
            # A stream has one reader at a time: the next request is read only when this one has let go.
            await asyncio.wait({news, gone})
        if gone in done:
            raise ConnectionResetError
        return ping_answer(changed=news in done)


def _answer(status: int, reason: str, *headers: tuple[str, str], body: bytes = b"") -> Answer:
    return Answer(status, reason, (("Server", SERVER_NAME), *headers), body)


def _document(root: Tag) -> Answer:
    return _answer(200, "OK", ("Content-Type", WBXML_TYPE), body=written(root))
