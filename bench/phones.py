"""Phones on connections of their own, plain or TLS: as little work as possible, and the moment of the last octet."""

import asyncio
import base64
import ssl
import time
from collections.abc import Callable, Iterable
from typing import cast
from urllib.parse import urlsplit

from bench.fleet import device_of, login_of

PING_BODY = bytes.fromhex("03016a00000d4548033630300001494a4b033500014c03456d61696c0001010101")
"""Ping with HeartbeatInterval 600 on folder 5, class Email ([MS-ASCMD] 2.2.1.13)."""
PING_CUT = bytes.fromhex("03016a00000d45470337000101")
"""Ping Status 7: the folder hierarchy is to be synchronised anew."""
FOLDER_SYNC = bytes.fromhex("03016a00000756520330000101")
"""SyncKey 0 ([MS-ASCMD] 2.2.1.5)."""


def authorization(login: str, password: str = "secret") -> str:  # noqa: S107
    """The value of the header for HTTP Basic."""
    return "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()


def request_of(login: str, device_id: str, command: str, body: bytes) -> bytes:
    """A short request of a phone."""
    return (
        f"POST /Microsoft-Server-ActiveSync?Cmd={command}&User={login}&DeviceId={device_id}"
        f"&DeviceType=Android HTTP/1.1\r\nHost: mail.example\r\nAuthorization: {authorization(login)}\r\n"
        "MS-ASProtocolVersion: 14.1\r\nContent-Type: application/vnd.ms-sync.wbxml\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


class Phone(asyncio.Protocol):
    """One connection of one phone; remembers when the answer's last octet came."""

    def __init__(self, login: str, device_id: str, answered: Callable[["Phone"], None]) -> None:
        self.login = login
        self.device_id = device_id
        self.answer = b""
        self.answered_at = 0.0
        self._answered = answered
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to ask."""
        # uvloop's transports are none of asyncio's by inheritance.
        self._transport = cast("asyncio.Transport", transport)

    def ask(self, command: str = "Ping", body: bytes = PING_BODY) -> None:
        """Send one request."""
        assert self._transport is not None
        self.answer, self.answered_at = b"", 0.0
        self._transport.write(request_of(self.login, self.device_id, command, body))

    def data_received(self, data: bytes) -> None:
        """Collect until the answer is whole."""
        self.answer += data
        head, _, body = self.answer.partition(b"\r\n\r\n")
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:") and len(body) >= int(line[15:]):
                self._done()

    def connection_lost(self, exc: Exception | None) -> None:
        """An answer may also end so."""
        if not self.answered_at:
            self._done()

    def _done(self) -> None:
        self.answered_at = time.perf_counter()
        self._answered(self)

    def become(self, login: str, device_id: str) -> None:
        """The connection is another phone's from now on, as behind a front proxy."""
        self.login, self.device_id = login, device_id

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()


async def connect(
    url: str,
    login: str,
    device_id: str,
    answered: Callable[[Phone], None],
    trust: ssl.SSLContext | None = None,
    kind: type[Phone] = Phone,
) -> Phone:
    """A phone connected to ``url``; for https with ``trust``."""
    address = urlsplit(url)
    _, phone = await asyncio.get_running_loop().create_connection(
        lambda: kind(login, device_id, answered),
        address.hostname or "",
        address.port or 0,
        ssl=trust if address.scheme == "https" else None,
    )
    return phone


async def seen_once(url: str, numbers: Iterable[int], connections: int = 64) -> None:
    """Have each of these phones served once: its record is in memory then, and the phone is known."""
    waiting = iter(numbers)

    async def one() -> None:
        answered = asyncio.Event()
        phone = await connect(url, "", "", lambda _: answered.set())
        for number in waiting:
            phone.become(login_of(number), device_of(number))
            answered.clear()
            phone.ask("FolderSync", FOLDER_SYNC)
            await asyncio.wait_for(answered.wait(), 60)
            if not phone.answer.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"{phone.login} was answered {phone.answer[:200]!r}")
        phone.close()

    await asyncio.gather(*(one() for _ in range(connections)))
