"""An Exchange that is none: a scripted EWS server over TLS, since there is no Exchange to try against.

It reads each request strictly: the SOAP header, the elements that we send and no other, in the order that the schema
has them. What it does not expect stands in ``problems`` and is answered ErrorSchemaValidation. A message that it takes
lies in ``sent``, whether or not the client has heard of it. ``script`` says how the next CreateItems are answered; each
other request is answered at once. Tokens come from ``/token``.
"""

import asyncio
import ssl
from base64 import b64decode
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from lxml import etree

from tests.notices import ews_answers as answers
from tests.notices.ews_answers import ENVELOPE, M, T
from tests.notices.ews_ntlm import Acceptor

PATH = "/EWS/Exchange.asmx"
NO = ("ReminderIsSet", "IsReadReceiptRequested", "IsDeliveryReceiptRequested", "IsRead", "IsResponseRequested")
"""What exchangelib adds, with the value 0."""
ORDER = (
    *("Subject", "Sensitivity", "Body", "Importance", "InReplyTo", "ReminderIsSet", "ReminderMinutesBeforeStart"),
    *("ExtendedProperty", "ToRecipients", "IsReadReceiptRequested", "IsDeliveryReceiptRequested"),
    *("From", "InternetMessageId", "IsRead", "IsResponseRequested", "References", "ReplyTo"),
)
"""Of the parts of a message that we send, as types.xsd has them."""


@dataclass(frozen=True, slots=True)
class Act:
    """How one CreateItem is met."""

    what: str = "take"
    """take, say (``answer`` instead of taking), cut_before, cut_after, hang, drip, hear (take it, then ``answer``)."""
    status: int = 200
    answer: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sent:
    """A message in Sent Items."""

    key: str
    message_id: str
    recipient: str
    subject: str
    item: Any = field(repr=False, default=None)


@dataclass
class Ews:
    """The server and what it has seen."""

    port: int = 0
    script: deque[Act] = field(default_factory=deque)
    looks: deque[Act] = field(default_factory=deque)
    """How the next FindItems are answered, where not by what is in Sent Items."""
    sent: list[Sent] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    requests: list[tuple[str, bytes]] = field(default_factory=list)
    """Operation and body."""
    logins: list[str] = field(default_factory=list)
    impersonated: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    token_seconds: int = 3600
    token_status: int = 200
    revoked: set[str] = field(default_factory=set)
    password: str = ""
    """With it logins are by Basic; else by tokens."""
    certificate: bytes = b""
    """The server's own, DER: with it logins are by NTLM."""
    taken: asyncio.Event = field(default_factory=asyncio.Event)
    copies_seen: bool = True
    """Copies in Sent Items can be found."""

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}{PATH}"

    @property
    def token_url(self) -> str:
        return f"https://127.0.0.1:{self.port}/token"

    def operations(self) -> list[str]:
        return [name for name, _ in self.requests]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        acceptor = Acceptor(self.certificate) if self.certificate else None
        try:
            with suppress(asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError, ssl.SSLError):
                while await self._one(reader, writer, acceptor):
                    pass
        finally:
            writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, acceptor: Acceptor | None) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        path = head[0].split(" ")[1]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if path == "/token":
            return await self._token(writer, body)
        if acceptor is not None:
            if asked := acceptor.asked(headers.get("authorization", "")):
                self.logins += [acceptor.refused] if acceptor.refused else []
                return await _answer(writer, 401, "", {"WWW-Authenticate": asked})
            self.logins.append(acceptor.user)
        elif not self._may(headers.get("authorization", "")):
            return await _answer(writer, 401, "", {"WWW-Authenticate": "Basic"})
        root = etree.fromstring(body, etree.XMLParser(resolve_entities=False, no_network=True))
        operation = root.find(f"{ENVELOPE}Body")[0]
        name = etree.QName(operation).localname
        self.requests.append((name, body))
        self._check_header(root)
        if name == "CreateItem":
            return await self._create(writer, operation)
        if name not in ("FindItem", "GetItem", "GetFolder"):
            self.problems.append(f"{name} is not expected")
        if name == "FindItem" and self.looks:
            act = self.looks.popleft()
            return await _answer(writer, act.status, act.answer, act.headers)
        return await _answer(writer, 200, self._found(name, operation))

    # --- who is there

    async def _token(self, writer: asyncio.StreamWriter, body: bytes) -> bool:
        asked = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        if asked.get("grant_type") != "client_credentials" or not asked.get("scope"):
            self.problems.append(f"token asked for by {sorted(asked)}")
        if self.token_status != 200:
            return await _answer(writer, self.token_status, '{"error": "invalid_client"}', kind="application/json")
        self.tokens.append(f"token-{len(self.tokens) + 1}")
        text = f'{{"access_token": "{self.tokens[-1]}", "token_type": "Bearer", "expires_in": {self.token_seconds}}}'
        return await _answer(writer, 200, text, kind="application/json")

    def _may(self, shown: str) -> bool:
        scheme, _, value = shown.partition(" ")
        if self.password:
            login = b64decode(value).decode() if scheme == "Basic" else ""
            self.logins.append(login.partition(":")[0])
            return login.endswith(f":{self.password}")
        return scheme == "Bearer" and value in self.tokens and value not in self.revoked

    def _check_header(self, root: Any) -> None:
        header = root.find(f"{ENVELOPE}Header")
        names = [etree.QName(each).localname for each in header]
        if names not in (
            ["RequestServerVersion", "TimeZoneContext"],
            ["RequestServerVersion", "ExchangeImpersonation", "TimeZoneContext"],
        ):
            self.problems.append(f"SOAP header of {names}")
        if header[0].get("Version") != "Exchange2016":
            self.problems.append(f"version {header[0].get('Version')}")
        self.impersonated += header.xpath(".//*[local-name()='PrimarySmtpAddress']/text()") or [""]

    # --- a message

    async def _create(self, writer: asyncio.StreamWriter, operation: Any) -> bool:
        wrong = wrong_with(operation)
        if wrong:
            self.problems += wrong
            return await _answer(writer, 500, answers.fault("ErrorSchemaValidation", wrong[0]))
        act = self.script.popleft() if self.script else Act()
        if act.what in ("take", "cut_after", "hang", "drip", "hear"):
            self._take(operation.find(f"{M}Items")[0])
        if act.what in ("cut_before", "cut_after"):
            writer.transport.abort()
            return False
        if act.what == "hang":
            await asyncio.Event().wait()
        if act.what == "drip":
            await _drip(writer)
        text = answers.created() if act.what == "take" else act.answer
        return await _answer(writer, act.status, text, act.headers)

    def _take(self, item: Any) -> None:
        extended = item.iter(f"{T}ExtendedProperty")
        properties = {answers.property_name(each): each.findtext(f"{T}Value") for each in extended}
        message_id = item.findtext(f"{T}InternetMessageId") or f"<{len(self.sent)}.exchange@mail.test>"
        recipient = item.find(f"{T}ToRecipients").findtext(f".//{T}EmailAddress")
        self.taken.set()
        self.sent.append(Sent(properties["gatepost-notice"], message_id, recipient, item.findtext(f"{T}Subject"), item))

    def _found(self, name: str, operation: Any) -> str:
        if name == "GetFolder":
            return answers.folders([each.get("Id") for each in operation.iter(f"{T}DistinguishedFolderId")])
        if name == "FindItem":
            keys = {each.get("Value") for each in operation.iter(f"{T}Constant")}
            places = [place for place, each in enumerate(self.sent) if each.key in keys and self.copies_seen]
            return answers.found(places)
        places = [int(each.get("Id")) for each in operation.iter(f"{T}ItemId")]
        return answers.items([(place, self.sent[place].key, self.sent[place].message_id) for place in places])


def wrong_with(create: Any) -> list[str]:
    """What a CreateItem of a notice has that it should not have, or lacks."""
    wrong = []
    if create.get("MessageDisposition") != "SendAndSaveCopy":
        wrong.append(f"MessageDisposition {create.get('MessageDisposition')}")
    if [etree.QName(each).localname for each in create] != ["SavedItemFolderId", "Items"]:
        return [*wrong, "not SavedItemFolderId, Items"]
    if [each.get("Id") for each in create[0]] != ["sentitems"]:
        wrong.append("the copy is not saved in sentitems")
    if [etree.QName(each).localname for each in create[1]] != ["Message"]:
        return [*wrong, "not one Message"]
    names = [etree.QName(each).localname for each in create[1][0]]
    if not set(names) <= set(ORDER) or names != sorted(names, key=ORDER.index):
        wrong.append(f"parts of the message: {names}")
    if not {"Subject", "Body", "ExtendedProperty", "ToRecipients", "From"} <= set(names):
        wrong.append(f"parts lacking: {names}")
    if any(create[1][0].findtext(f"{T}{name}", "0") != "0" for name in NO):
        wrong.append(f"not 0: one of {NO}")
    return wrong


async def _drip(writer: asyncio.StreamWriter) -> None:
    """An octet of a header now and then, never an end."""
    writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not writer.transport.is_closing():
        writer.write(b"a")
        await asyncio.sleep(0.05)
    raise ConnectionAbortedError


async def _answer(
    writer: asyncio.StreamWriter,
    status: int,
    text: str,
    headers: Mapping[str, str] | None = None,
    kind: str = "text/xml; charset=utf-8",
) -> bool:
    body = text.encode()
    lines = [f"HTTP/1.1 {status} Said", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    await writer.drain()
    return True


@asynccontextmanager
async def ews_server(context: ssl.SSLContext, **more: Any) -> AsyncIterator[Ews]:
    """The server on a free port of this machine."""
    ews = Ews(**more)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await ews.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    ews.port = server.sockets[0].getsockname()[1]
    try:
        yield ews
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # The sockets are closed in the next turn of the loop.
        await asyncio.sleep(0)
