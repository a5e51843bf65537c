"""A mail server for submission that writes down what reaches it. It reads SMTP by the standard library's streams alone.

It knows one password for everybody and says what the test wants in place of its usual replies. ``lenient``: it ends a
message at every dot between two line ends of whatever kind, as servers did that let messages be smuggled.
"""

import asyncio
import base64
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

PASSWORD = "secret"
EXTENSIONS = ("PIPELINING", "SIZE 50000000", "ENHANCEDSTATUSCODES", "8BITMIME", "DSN", "SMTPUTF8", "CHUNKING")
_END = re.compile(rb"\r\n\.\r\n")
_LENIENT_END = re.compile(rb"(?:\r\n|\r|\n)\0?\.(?:\r\n|\r|\n)")


@dataclass(slots=True)
class Message:
    """What was submitted, as it came behind DATA."""

    user: str
    commands: list[bytes]
    """MAIL and RCPT."""
    octets: bytes


@dataclass(slots=True)
class SubmissionServer:
    """The server and its memory."""

    port: int = 0
    extensions: list[str] = field(default_factory=lambda: list(EXTENSIONS))
    mechanisms: str = "PLAIN LOGIN"
    starttls: ssl.SSLContext | None = None
    lenient: bool = False
    passwords: tuple[str, ...] = (PASSWORD,)
    replies: dict[str, list[bytes]] = field(default_factory=dict)
    """By verb, ``.`` for the answer to a message: taken one after the other in place of the usual reply; empty: the
    connection is closed instead."""
    held: asyncio.Event | None = None
    """Set to an unset event: the answer to a message waits for it."""
    commands: list[bytes] = field(default_factory=list)
    """All of them, of all connections; secrets too."""
    messages: list[Message] = field(default_factory=list)
    unfinished: list[bytes] = field(default_factory=list)
    """What had come of messages whose connection ended before they did."""
    preambles: list[bytes] = field(default_factory=list)
    """What came before the greeting, if it waits for something (``preamble``)."""
    preamble: Literal["", "line", "binary"] = ""
    """What the PROXY protocol's versions send ahead."""
    connections: int = 0
    open: int = 0
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        """As the gateway is told of it."""
        return f"smtp{'+starttls' if self.starttls else ''}://localhost:{self.port}"

    def verbs(self) -> list[str]:
        """The commands' first words."""
        return [each.split(b" ")[0].decode("latin-1").upper() for each in self.commands]


@asynccontextmanager
async def submission_server(tls: ssl.SSLContext | None = None) -> AsyncIterator[SubmissionServer]:
    """A server on a free port; ``tls``: TLS from the start."""
    server = SubmissionServer()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        server.connections += 1
        server.open += 1
        try:
            await _Session(server, reader, writer).run()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            server.open -= 1
            tasks.discard(task)
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listening.wait_closed()


class _Session:
    """One connection from the gateway."""

    def __init__(self, server: SubmissionServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer
        self._user = ""
        self._envelope: list[bytes] = []
        self._secure = False

    async def run(self) -> None:
        if self._server.preamble == "line":
            self._server.preambles.append(await self._line())
        elif self._server.preamble == "binary":
            head = await self._reader.readexactly(16)
            self._server.preambles.append(head + await self._reader.readexactly(int.from_bytes(head[14:], "big")))
        self._say(self._reply("", b"220 mail.example ESMTP"))
        while True:
            line = await self._line()
            self._server.commands.append(line)
            verb = line.split(b" ")[0].decode("latin-1").upper()
            if await self._answer(verb, line):
                return

    def _reply(self, verb: str, usual: bytes) -> bytes:
        waiting = self._server.replies.get(verb)
        return waiting.pop(0) if waiting else usual

    def _say(self, reply: bytes) -> None:
        if not reply:
            raise ConnectionResetError
        self._writer.write(reply + b"\r\n")

    async def _line(self) -> bytes:
        return (await self._reader.readuntil(b"\r\n"))[:-2]

    async def _answer(self, verb: str, line: bytes) -> bool:
        """Whether the connection ends."""
        if verb == "EHLO":
            self._say(self._reply(verb, self._offer()))
        elif verb == "AUTH":
            await self._authenticate(line)
        elif verb == "STARTTLS":
            self._say(b"220 go ahead")
            await self._writer.start_tls(self._server.starttls)  # type: ignore[arg-type]
            self._secure = True
        elif verb == "XCLIENT":
            self._say(self._reply(verb, b"220 mail.example ESMTP"))
        elif verb == "DATA":
            await self._message()
        elif verb == "QUIT":
            self._say(b"221 2.0.0 Bye")
            return True
        else:
            reply = self._reply(verb, b"250 2.1.0 Ok")
            if verb in ("MAIL", "RCPT") and reply.startswith(b"2"):
                self._envelope.append(line)
            elif verb == "RSET":
                self._envelope = []
            self._say(reply)
        return False

    def _offer(self) -> bytes:
        words = ["mail.example", *self._server.extensions]
        if self._server.starttls is not None and not self._secure:
            words.append("STARTTLS")
        elif self._server.mechanisms:
            words.append(f"AUTH {self._server.mechanisms}")
        lines = [f"250-{word}" for word in words[:-1]]
        return "\r\n".join([*lines, f"250 {words[-1]}"]).encode()

    async def _authenticate(self, line: bytes) -> None:
        _, mechanism, *initial = line.split(b" ")
        if mechanism == b"LOGIN":
            user, password = await self._asked(b"VXNlcm5hbWU6"), await self._asked(b"UGFzc3dvcmQ6")
        else:
            response = base64.b64decode(initial[0]) if initial else await self._asked(b"")
            user, password = _read(mechanism, response)
        usual = b"235 2.7.0 Authentication successful"
        if password.decode() not in self._server.passwords:
            if mechanism in (b"XOAUTH2", b"OAUTHBEARER"):
                self._say(b"334 eyJzdGF0dXMiOiI0MDEifQ==")
                self._server.commands.append(await self._line())
            usual = b"535 5.7.8 Error: authentication failed"
        reply = self._reply("AUTH", usual)
        if reply.startswith(b"235"):
            self._user = user.decode()
        self._say(reply)

    async def _asked(self, prompt: bytes) -> bytes:
        self._say(b"334 " + prompt)
        line = await self._line()
        self._server.commands.append(line)
        return base64.b64decode(line)

    async def _message(self) -> None:
        reply = self._reply("DATA", b"354 End data with <CR><LF>.<CR><LF>")
        self._say(reply)
        if not reply.startswith(b"354"):
            return
        end = _LENIENT_END if self._server.lenient else _END
        octets = bytearray(b"\r\n")
        searched = 0
        while (found := end.search(octets, searched)) is None:
            searched = max(0, len(octets) - 5)
            if early := self._server.replies.get("early"):
                self._say(early.pop(0))
            piece = await self._reader.read(65536)
            if not piece:
                self._server.unfinished.append(bytes(octets[2:]))
                raise ConnectionResetError
            octets += piece
        self._server.messages.append(Message(self._user, self._envelope, bytes(octets[2 : found.end()])))
        self._envelope = []
        for line in bytes(octets[found.end() :]).split(b"\r\n"):
            if line:
                # Smuggled, or pipelined; the gateway sends nothing behind a message before its answer.
                self._server.commands.append(line)
        if self._server.held is not None:
            await self._server.held.wait()
        self._say(self._reply(".", b"250 2.0.0 Ok: queued as 4711"))


def _read(mechanism: bytes, response: bytes) -> tuple[bytes, bytes]:
    if mechanism == b"PLAIN":
        _, user, password = response.split(b"\0")
        return user, password
    found = re.search(rb"(?:user=|a=)([^\x01,]*).*?auth=Bearer ([^\x01]*)", response, re.DOTALL)
    assert found is not None
    return found[1], found[2]
