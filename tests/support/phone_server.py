"""A mail server that speaks ActiveSync up to 16.1 and insists on a policy, as far as the test phone asks.

As Exchange does: no command without the policy key (Status 142), Provision in two steps, with DeviceInformation in the
first from 14.1 on (Status 165), a cookie that comes back. What reaches it is written down. It shares nothing with the
gateway.
"""

import asyncio
import base64
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support.phone import CODES, PATH
from tests.support.phone_commands import INBOX, POLICY_TYPE
from tests.support.phone_wbxml import Tag, decoded, encoded, tag
from tests.support.raw_http import WBXML, basic

VERSIONS = "2.5,12.0,12.1,14.0,14.1,16.0,16.1"
COMMANDS = "Sync,SendMail,FolderSync,Settings,Ping,ItemOperations,Provision,Find"
COOKIE = "backend=7d3a"
FIRST_KEY, KEY = 1307199584, 3942919513
_NAMES = {code: name for name, code in CODES.items()}
_STATUS = {
    "FolderSync": "FolderHierarchy:Status",
    "Find": "Find:Status",
    "Ping": "Ping:Status",
    "Settings": "Settings:Status",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One command that reached the server."""

    user: str
    version: str
    command: str
    device_id: str
    policy_key: str
    cookie: str
    body: Tag


@dataclass(slots=True)
class NewerServer:
    """The server and its memory."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    pings: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    """Released once for each Ping that has begun to wait."""

    def commands(self, user: str) -> list[str]:
        """What reached the server from a user, in order."""
        return [each.command for each in self.asked if each.user == user]

    async def answer(self, request: Request) -> Response:
        """One request."""
        user = _user(request)
        if user is None:
            return Response(status_code=401, headers={"WWW-Authenticate": 'Basic realm="mail"'})
        if request.method == "OPTIONS":
            offered = {"MS-ASProtocolVersions": VERSIONS, "MS-ASProtocolCommands": COMMANDS}
            return Response(headers={**offered, "MS-Server-ActiveSync": "15.2"})
        asked = _asked(user, request, await request.body())
        self.asked.append(asked)
        said = encoded(await self._said(asked))
        return Response(said, media_type=WBXML, headers={"Set-Cookie": f"{COOKIE}; path=/; secure; HttpOnly"})

    async def _said(self, asked: Asked) -> Tag:
        if asked.command == "Provision":
            return _policy(asked)
        if asked.policy_key != str(KEY) and asked.command != "Ping":
            # Ping carries no policy key ([MS-ASPROV] 3.1.5.1).
            return tag(asked.body.name, tag(_STATUS[asked.command], "142"))
        if asked.command == "Ping":
            self.pings.release()
            await asyncio.sleep(3600)
        return {"FolderSync": _folders, "Find": _found, "Settings": _thanks}[asked.command]()


def _user(request: Request) -> str | None:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    user = base64.b64decode(value).decode().partition(":")[0] if scheme == "Basic" else ""
    return user if user and request.headers["authorization"] == basic(user) else None


def _asked(user: str, request: Request, body: bytes) -> Asked:
    headers, query = request.headers, request.query_params
    if "Cmd" in query:
        version, key = headers.get("ms-asprotocolversion", ""), headers.get("x-ms-policykey", "")
        command, device_id = query["Cmd"], query["DeviceId"]
    else:
        version, command, device_id, key = _fields(base64.b64decode(request.url.query))
    return Asked(user, version, command, device_id, key, headers.get("cookie", ""), decoded(body))


def _fields(octets: bytes) -> tuple[str, str, str, str]:
    """Version, command, DeviceId and policy key of a base64 query ([MS-ASHTTP] 2.2.1.1.1.1)."""
    version, code, length = octets[0], octets[1], octets[4]
    rest = octets[5 + length :]
    key = str(struct.unpack_from("<I", rest, 1)[0]) if rest[0] == 4 else ""
    return f"{version / 10:.1f}", _NAMES[code], octets[5 : 5 + length].decode(), key


def _policy(asked: Asked) -> Tag:
    """[MS-ASPROV] 3.2.5.1."""
    if asked.body.text("Provision:PolicyKey"):
        accepted = asked.body.text("Provision:PolicyKey") == str(FIRST_KEY)
        return (
            _policies(tag("Provision:PolicyKey", str(KEY))) if accepted else tag("Provision:Provision", _status("144"))
        )
    if float(asked.version) >= 14.1 and not asked.body.text("Settings:Model"):
        return tag("Provision:Provision", _status("165"))
    wanted = tag("Provision:EASProvisionDoc", tag("Provision:DevicePasswordEnabled", "0"))
    return _policies(tag("Provision:PolicyKey", str(FIRST_KEY)), tag("Provision:Data", wanted))


def _policies(*more: Tag) -> Tag:
    policy = tag("Provision:Policy", tag("Provision:PolicyType", POLICY_TYPE), _status("1"), *more)
    return tag("Provision:Provision", _status("1"), tag("Provision:Policies", policy))


def _status(value: str) -> Tag:
    return tag("Provision:Status", value)


def _folders() -> Tag:
    named = {"ServerId": "5", "ParentId": "0", "DisplayName": "Inbox", "Type": INBOX}
    inbox = tag("FolderHierarchy:Add", *(tag(f"FolderHierarchy:{name}", value) for name, value in named.items()))
    changes = tag("FolderHierarchy:Changes", tag("FolderHierarchy:Count", "1"), inbox)
    status, key = tag("FolderHierarchy:Status", "1"), tag("FolderHierarchy:SyncKey", "1")
    return tag("FolderHierarchy:FolderSync", status, key, changes)


def _found() -> Tag:
    return tag(
        "Find:Find", tag("Find:Status", "1"), tag("Find:Response", tag("Find:Status", "1"), tag("Find:Total", "0"))
    )


def _thanks() -> Tag:
    status = tag("Settings:Status", "1")
    return tag("Settings:Settings", status, tag("Settings:DeviceInformation", status))


@asynccontextmanager
async def newer_server() -> AsyncIterator[NewerServer]:
    """Serve on a free port."""
    server = NewerServer()
    app = Starlette(routes=[Route(PATH, server.answer, methods=["POST", "OPTIONS"])])
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        server.url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        config = uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
        running = uvicorn.Server(config)
        serving = asyncio.create_task(running.serve([sock]))
        try:
            yield server
        finally:
            running.should_exit = True
            await serving
