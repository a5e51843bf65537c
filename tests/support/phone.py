"""A phone that speaks ActiveSync 2.5 to 16.1, written from the protocol and not from the gateway.

It sends one command a request on one connection, in the plain form of the query or in the base64 form ([MS-ASHTTP]
2.2.1.1.1), and hands back the answer as it came; what the commands mean is in ``phone_commands``.
"""

import asyncio
import base64
import ssl
import struct
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from tests.support.phone_wbxml import Tag, decoded, encoded
from tests.support.raw_http import WBXML, Client, HttpAnswer, request

PATH = "/Microsoft-Server-ActiveSync"
RFC822 = "message/rfc822"
CODES = {
    "Sync": 0,
    "SendMail": 1,
    "SmartForward": 2,
    "SmartReply": 3,
    "GetAttachment": 4,
    "FolderSync": 9,
    "MoveItems": 13,
    "GetItemEstimate": 14,
    "Settings": 17,
    "Ping": 18,
    "ItemOperations": 19,
    "Provision": 20,
    "Find": 23,
}
"""[MS-ASHTTP] 2.2.1.1.1.1.2"""
_PARAMETERS = {"AttachmentName": 0, "CollectionId": 1, "ItemId": 3}
_ENGLISH = 0x0409


@dataclass(frozen=True, slots=True)
class Account:
    """What is typed into a phone: where, who, and the phone's own name."""

    url: str
    user: str
    device_id: str
    version: str = "14.1"
    base64_query: bool = False
    password: str = "secret"
    device_type: str = "Android"
    trusted: ssl.SSLContext | None = None
    """For ``https``: what the server's certificate is checked against."""


@dataclass(slots=True)
class Phone:
    """One account on one phone, with one connection that is opened when it is needed."""

    account: Account
    policy_key: int = 0
    cookie: str = ""
    """The last one that was set; from 16.0 on it must be given back ([MS-ASHTTP] 2.2.1.1.2.4)."""
    _client: Client | None = field(default=None)

    @property
    def speaks_wbxml_mail(self) -> bool:
        """From 14.0 on mail is sent inside WBXML ([MS-ASCMD] 2.2.1.17)."""
        return float(self.account.version) >= 14.0

    async def options(self) -> HttpAnswer:
        """Ask which versions and commands there are."""
        return await self._ask(PATH, b"", "OPTIONS", MS_ASProtocolVersion="", User_Agent="TestPhone/1.0")

    async def command(self, name: str, body: Tag | bytes = b"", *, multipart: bool = False, **more: str) -> HttpAnswer:
        """Send a command; ``more`` are parameters of the query."""
        octets = encoded(body) if isinstance(body, Tag) else body
        headers = {"User_Agent": "TestPhone/1.0", "X_MS_PolicyKey": str(self.policy_key), "Cookie": self.cookie}
        headers["Content_Type"] = (WBXML if isinstance(body, Tag) else RFC822) if octets else ""
        if self.account.base64_query:
            headers.update(MS_ASProtocolVersion="", X_MS_PolicyKey="")
            target = f"{PATH}?{self._base64_query(name, more, multipart)}"
        else:
            headers.update(MS_ASProtocolVersion=self.account.version, MS_ASAcceptMultiPart="T" if multipart else "")
            target = f"{PATH}?{self._plain_query(name, more)}"
        return await self._ask(target, octets, "POST", **headers)

    def _plain_query(self, name: str, more: dict[str, str]) -> str:
        account = self.account
        fixed = {"Cmd": name, "User": account.user, "DeviceId": account.device_id, "DeviceType": account.device_type}
        # An id in which the server has escaped something itself is given as it is: SOGo knows it in no other form.
        return "&".join(f"{key}={quote(value, safe='%')}" for key, value in {**fixed, **more}.items())

    def _base64_query(self, name: str, more: dict[str, str], multipart: bool) -> str:
        device_id, device_type = self.account.device_id.encode(), self.account.device_type.encode()
        version = round(float(self.account.version) * 10)
        octets = struct.pack("<BBHB", version, CODES[name], _ENGLISH, len(device_id)) + device_id
        octets += struct.pack("<BI", 4, self.policy_key) if self.policy_key else b"\x00"
        octets += bytes((len(device_type),)) + device_type
        flags = (0x01 if more.pop("SaveInSent", "") == "T" else 0) | (0x02 if multipart else 0)
        for key, value in more.items():
            octets += bytes((_PARAMETERS[key], len(value.encode()))) + value.encode()
        if flags:
            octets += bytes((7, 1, flags))
        return base64.b64encode(octets).decode()

    async def _ask(self, target: str, body: bytes, method: str, **headers: str) -> HttpAnswer:
        client = await self.connection()
        account = self.account
        credentials = base64.b64encode(f"{account.user}:{account.password}".encode()).decode()
        octets = request(target, body, method=method, Authorization=f"Basic {credentials}", **headers)
        answer = await client.ask(octets, method)
        self.cookie = answer.header("set-cookie").partition(";")[0] or self.cookie
        if answer.closed or answer.header("connection").lower() == "close":
            self.hang_up()
        return answer

    async def connection(self) -> Client:
        """The connection, opened if there is none."""
        if self._client is None:
            address = urlsplit(self.account.url)
            tls = self.account.trusted if address.scheme == "https" else None
            self._client = Client(*await asyncio.open_connection(address.hostname, address.port, ssl=tls))
        return self._client

    def hang_up(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None


def understood(answer: HttpAnswer) -> Tag:
    """The document in a successful answer."""
    if answer.status != 200 or answer.closed or not answer.header("content-type").startswith(WBXML):
        raise AssertionError(f"no document: {answer.status} {answer.headers} {answer.body[:200]!r}")
    return decoded(answer.body)
