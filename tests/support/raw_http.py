"""Requests written octet by octet, and answers read the strict way (h11)."""

import asyncio
import base64
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

import h11

ANSWER_SECONDS = 20.0
WBXML = "application/vnd.ms-sync.wbxml"


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer as the client has it."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    closed: bool
    """The connection was closed before the answer was whole (then ``status`` may be 0)."""

    def header(self, name: str) -> str:
        """A header's value; empty when absent."""
        return next((value for key, value in self.headers if key == name.lower()), "")


def basic(user: str, password: str = "secret") -> str:  # noqa: S107  (a test's password)
    """The value of an Authorization header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def request(target: str, body: bytes = b"", *, user: str = "", method: str = "POST", **headers: str) -> bytes:
    """One request; ``headers`` with ``_`` for ``-`` replace or add to the usual ones (an empty value removes)."""
    fields = {"Host": "mail.example", "MS-ASProtocolVersion": "14.1", "Content-Length": str(len(body))}
    if user:
        fields["Authorization"] = basic(user)
    if body:
        fields["Content-Type"] = WBXML
    fields.update({name.replace("_", "-"): value for name, value in headers.items()})
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items() if value)]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def eas(command: str, login: str, device_id: str, more: str = "") -> str:
    """The target of an ActiveSync request in the plain form."""
    return f"/Microsoft-Server-ActiveSync?Cmd={command}&User={login}&DeviceId={device_id}&DeviceType=Android{more}"


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._rest = b""

    @classmethod
    async def connected(cls, url: str, source: str = "", tls: ssl.SSLContext | None = None) -> "Client":
        """A connection to the gateway; ``source``: the address of this machine that it comes from."""
        address = urlsplit(url)
        local = (source, 0) if source else None
        return cls(*await asyncio.open_connection(address.hostname, address.port, ssl=tls, local_addr=local))

    def write(self, octets: bytes) -> None:
        """Send octets as they are."""
        self._writer.write(octets)

    async def answer(self, method: str = "POST", within_seconds: float = ANSWER_SECONDS) -> HttpAnswer:
        """Read one answer."""
        async with asyncio.timeout(within_seconds):
            return await self._read(method)

    async def _read(self, method: str) -> HttpAnswer:
        http = h11.Connection(h11.CLIENT)
        http.send(h11.Request(method=method, target="/", headers=[("Host", "x"), ("Content-Length", "0")]))
        http.send(h11.EndOfMessage())
        status, body = 0, bytearray()
        headers: tuple[tuple[str, str], ...] = ()
        if self._rest:
            http.receive_data(self._rest)
        while True:
            try:
                event = http.next_event()
            except h11.RemoteProtocolError:
                return HttpAnswer(status, headers, bytes(body), closed=True)
            if event is h11.NEED_DATA:
                http.receive_data(await self._read_some())
            elif isinstance(event, h11.Response):
                status = event.status_code
                headers = tuple((name.decode(), value.decode("latin-1")) for name, value in event.headers)
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                self._rest = http.trailing_data[0]
                return HttpAnswer(status, headers, bytes(body), closed=False)
            elif isinstance(event, h11.ConnectionClosed):
                return HttpAnswer(status, headers, bytes(body), closed=True)

    async def _read_some(self) -> bytes:
        try:
            return await self._reader.read(65536)
        except ConnectionResetError:
            return b""

    async def ask(self, octets: bytes, method: str = "POST") -> HttpAnswer:
        """Send one request and read its answer."""
        self.write(octets)
        return await self.answer(method)

    @property
    def closed(self) -> bool:
        """Whether the other side has hung up, as far as is known here."""
        return self._reader.at_eof() or self._writer.transport.is_closing()

    def close(self) -> None:
        """Hang up."""
        self._writer.close()

    def abort(self) -> None:
        """Hang up at once, whatever is still to be sent."""
        self._writer.transport.abort()


async def ask(url: str, octets: bytes, method: str = "POST") -> HttpAnswer:
    """One request on a connection of its own."""
    client = await Client.connected(url)
    try:
        return await client.ask(octets, method)
    finally:
        client.close()
