"""Requests that SOGo reads in a way of its own.

None of them gets mail for a phone that is refused, and what SOGo cannot read reaches it in a form that it can.

SOGo runs what the body says whatever ``Cmd`` says, takes the first of two DeviceIds, ignores ``User`` and drops what
stands before a second question mark: each of them would be a way round if the gateway read the request differently.
"""

import base64
import struct
from urllib.parse import quote

import pytest
import pytest_asyncio

from tests.live.conftest import BYSTANDER, READER, Way
from tests.support.phone_wbxml import decoded
from tests.support.raw_http import HttpAnswer, ask, basic, request
from tests.support.reporting import Agent
from tests.support.spine import FOLDER_SYNC

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATH = "/Microsoft-Server-ActiveSync"
GOOD, BAD = "ODDGOOD", "ODDBAD"


def plain(command: str = "FolderSync", user: str = READER, device_id: str = BAD, more: str = "") -> str:
    return f"{PATH}?Cmd={command}&User={user}&DeviceId={device_id}&DeviceType=Android{more}"


def base64_query(device_id: str, command: int = 9) -> str:
    octets = struct.pack("<BBHB", 141, command, 0x0409, len(device_id)) + device_id.encode() + b"\x00\x07Android"
    return base64.b64encode(octets).decode()


def has_folders(answer: HttpAnswer) -> bool:
    """Whether there is anything of the mailbox in it."""
    return answer.status == 200 and bool(answer.body) and bool(decoded(answer.body).all("FolderHierarchy:Add"))


@pytest_asyncio.fixture(scope="module", loop_scope="session", autouse=True)
async def refused(agent: Agent) -> None:
    """The reader has a phone with the banned app beside a clean one."""
    await agent.clean(READER, GOOD)
    await agent.dirty(READER, BAD)


@pytest.mark.parametrize("form", ["as it is", "escaped", "without padding"])
async def test_a_base64_query_in_every_form(ways: dict[str, Way], form: str) -> None:
    """SOGo alone neither decodes percent signs nor adds padding; the gateway writes the query anew."""
    query = base64_query("ODDGOOD1")
    assert query.endswith("=")
    written = {"as it is": query, "escaped": quote(query, safe=""), "without padding": query.rstrip("=")}[form]
    octets = request(f"{PATH}?{written}", FOLDER_SYNC, MS_ASProtocolVersion="", Authorization=basic(READER))
    assert has_folders(await ask(ways["direct"].url, octets)) == (form == "as it is")
    assert has_folders(await ask(ways["plain"].url, octets))


ROUND_ABOUT = {
    "as it is": plain(),
    "base64": f"{PATH}?{base64_query(BAD)}",
    "base64 as Ping": f"{PATH}?{base64_query(BAD, 18)}",
    "another command": plain("Ping"),
    "a harmless command": plain("Settings"),
    "a colleague's name": plain(user=BYSTANDER),
    "an alias of the name": plain(user=f"{READER}@corp.example"),
    "two DeviceIds": plain(more=f"&DeviceId={GOOD}"),
    "a clean DeviceId in second place": plain(more=f"&deviceid={GOOD}"),
    "a second question mark": f"{plain(device_id=GOOD)}?Cmd=FolderSync&User={READER}&DeviceId={BAD}&DeviceType=Android",
    "nothing before a second question mark": f"{PATH}?x?Cmd=FolderSync&User={READER}&DeviceId={BAD}&DeviceType=Android",
    "another case": plain(device_id=BAD.lower()),
    "SOGo's own path": plain().replace(PATH, f"/SOGo{PATH}"),
    "a longer path": plain().replace(PATH, f"{PATH}/default.eas"),
}


@pytest.mark.parametrize("way", ["plain"])
@pytest.mark.parametrize("name", ROUND_ABOUT)
async def test_no_way_round(ways: dict[str, Way], way: str, name: str) -> None:
    octets = request(ROUND_ABOUT[name], FOLDER_SYNC, Authorization=basic(READER))
    if name.startswith("base64"):
        octets = request(ROUND_ABOUT[name], FOLDER_SYNC, MS_ASProtocolVersion="", Authorization=basic(READER))
    assert not has_folders(await ask(ways[way].url, octets))


async def test_the_clean_phone_has_its_folders(ways: dict[str, Way]) -> None:
    """The same request, else the refusals above would prove nothing."""
    octets = request(plain(device_id=GOOD), FOLDER_SYNC, Authorization=basic(READER))
    assert has_folders(await ask(ways["plain"].url, octets))
    assert has_folders(await ask(ways["direct"].url, request(plain("Ping"), FOLDER_SYNC, Authorization=basic(READER))))


@pytest.mark.parametrize("device_id", [GOOD, BAD])
async def test_a_wrong_password_is_told_nothing(ways: dict[str, Way], device_id: str) -> None:
    """Neither the clean nor the refused phone hears anything but SOGo's own challenge."""
    octets = request(plain(device_id=device_id), FOLDER_SYNC, Authorization=basic(READER, "wrong"))
    for way in ("direct", "plain"):
        answer = await ask(ways[way].url, octets)
        assert (answer.status, answer.header("www-authenticate")) == (401, 'basic realm="SOGo"'), way


@pytest.mark.parametrize(("method", "status"), [("POST", 403), ("OPTIONS", 401)])
async def test_without_a_password(ways: dict[str, Way], method: str, status: int) -> None:
    """SOGo answers a command without credentials with 403 and no challenge, which some phones take as final."""
    octets = request(plain(), FOLDER_SYNC) if method == "POST" else request(PATH, method=method)
    direct, through = await ask(ways["direct"].url, octets, method), await ask(ways["plain"].url, octets, method)
    assert (direct.status, through.status) == (status, 401)
    assert through.header("www-authenticate").lower().startswith("basic realm=")
