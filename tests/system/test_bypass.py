"""Ways round a refusal, with unknowns set to deny: each is refused, or answered as the same device.

One user (anna) with a phone that holds a banned app (PHONE1), a colleague (berta) whose phone is clean (PHONE2).
What must never happen is that the mailbox server runs a command for anna.
"""

import base64
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tests.support.raw_http import WBXML, Client, ask, basic, eas, request
from tests.support.reporting import Agent
from tests.support.running import Running, running
from tests.support.spine import FOLDER_SYNC, PING
from tests.support.upstream import MailboxServer, mailbox_server
from tests.system.arranging import agent_of, enforce_tiktok

SYNC = bytes.fromhex("03016a00455c4f4b033000015203350001010101")
EAS = "/Microsoft-Server-ActiveSync"


# One gateway for the whole file: what one test does must not open a way for the next.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True, slots=True)
class Strict:
    """A gateway that lets nothing unknown through, with anna refused and berta clean."""

    gateway: Running
    agent: Agent
    mailbox: MailboxServer

    @property
    def http(self) -> str:
        return self.gateway.http


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def prepared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Strict]:
    async with (
        mailbox_server() as mailbox,
        running(tmp_path_factory.mktemp("strict"), mailbox.url) as gateway,
        agent_of(gateway) as agent,
    ):
        await enforce_tiktok(gateway)
        for unknown in ("missing", "stale", "scope", "unmatched", "conflict"):
            await gateway.gatepost("flag", "set", "--unknown", unknown, "deny", "--yes")
        await agent.clean("berta", "PHONE2")
        await agent.clean("anna", "PHONE1")
        await agent.dirty("anna", "PHONE1")
        yield Strict(gateway, agent, mailbox)


@pytest.fixture
def strict(prepared: Strict) -> Strict:
    prepared.mailbox.received.clear()
    return prepared


@pytest.fixture
def mailbox(strict: Strict) -> MailboxServer:
    return strict.mailbox


@pytest.fixture
def agent(strict: Strict) -> Agent:
    return strict.agent


def served(mailbox: MailboxServer, user: str = "anna") -> list[str]:
    """The commands that the mailbox server ran for a user, the credential check left out."""
    return [each.target for each in mailbox.received if each.accepted and each.user == user and each.method == "POST"]


def base64_query(command: int, device_id: bytes) -> str:
    octets = struct.pack("<BBHB", 141, command, 0x0409, len(device_id)) + device_id + b"\x00" + b"\x07Android"
    return base64.b64encode(octets).decode()


SPELLINGS = {
    "plain": "Cmd=FolderSync&User=anna&DeviceId=PHONE1&DeviceType=Android",
    "lower-case id": "Cmd=FolderSync&User=anna&DeviceId=phone1&DeviceType=Android",
    "percent-encoded id": "Cmd=FolderSync&User=anna&DeviceId=%50HONE%31&DeviceType=Android",
    "percent-encoded name": "Cmd=FolderSync&User=anna&Device%49d=PHONE1&DeviceType=Android",
    "mixed-case names": "cmd=foldersync&USER=anna&deviceID=PHONE1&devicetype=Android",
    "two DeviceIds": "Cmd=FolderSync&User=anna&DeviceId=PHONE2&DeviceId=PHONE1&DeviceType=Android",
    "two DeviceIds in another case": "Cmd=FolderSync&User=anna&DeviceId=PHONE2&deviceid=PHONE1&DeviceType=Android",
    "a second question mark": "Cmd=FolderSync&User=anna&DeviceId=PHONE2?DeviceId=PHONE1&DeviceType=Android",
    "semicolons": "Cmd=FolderSync;User=anna;DeviceId=PHONE2&DeviceId=PHONE1&DeviceType=Android",
    "33 characters": f"Cmd=FolderSync&User=anna&DeviceId={'A' * 33}&DeviceType=Android",
    "no DeviceId": "Cmd=FolderSync&User=anna&DeviceType=Android",
    "empty DeviceId": "Cmd=FolderSync&User=anna&DeviceId=&DeviceType=Android",
    "NUL in the id": "Cmd=FolderSync&User=anna&DeviceId=PHONE2%00PHONE1&DeviceType=Android",
    "a colleague's device": "Cmd=FolderSync&User=anna&DeviceId=PHONE2&DeviceType=Android",
    "a colleague's name": "Cmd=FolderSync&User=berta&DeviceId=PHONE2&DeviceType=Android",
    "an alias form of the name": "Cmd=FolderSync&User=CORP%5Canna&DeviceId=PHONE1&DeviceType=Android",
    "a new device": "Cmd=FolderSync&User=anna&DeviceId=NEW20261124&DeviceType=Android",
    "base64": base64_query(9, b"PHONE1"),
    "base64, another case": base64_query(9, b"phone1"),
    "base64, colleague's device": base64_query(9, b"PHONE2"),
    "base64, garbage behind": base64_query(9, b"PHONE1")[:-4] + "AAAA" * 20,
}


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_no_spelling_of_the_query_gets_mail(strict: Strict, mailbox: MailboxServer, spelling: str) -> None:
    answer = await ask(strict.http, request(f"{EAS}?{SPELLINGS[spelling]}", FOLDER_SYNC, user="anna"))
    assert answer.status
    assert served(mailbox) == []


PATHS = (
    "/SOGo/Microsoft-Server-ActiveSync",
    "/Microsoft-Server-ActiveSync/x",
    "/x/../Microsoft-Server-ActiveSync",
    "/..;/Microsoft-Server-ActiveSync",
    "/%2e/Microsoft-Server-ActiveSync",
    "//Microsoft-Server-ActiveSync",
    "/Microsoft-Server-ActiveSync/",
    "/Microsoft-Server-ActiveSync%00",
    "/microsoft-server-activesync",
    "/Microsoft%2dServer-ActiveSync",
    "/EWS/Exchange.asmx",
    "/owa/",
    "/ecp/",
    "/PowerShell/",
    "http://mail.example/Microsoft-Server-ActiveSync",
    "http://other.example/Microsoft-Server-ActiveSync",
)


@pytest.mark.parametrize("path", PATHS)
async def test_no_path_gets_mail(strict: Strict, mailbox: MailboxServer, path: str) -> None:
    query = "?Cmd=FolderSync&User=anna&DeviceId=PHONE1&DeviceType=Android"
    answer = await ask(strict.http, request(path + query, FOLDER_SYNC, user="anna"))
    assert answer.status
    assert [each.target for each in mailbox.received if each.accepted and each.method == "POST"] == []


async def test_the_body_cannot_be_another_command(strict: Strict, agent: Agent, mailbox: MailboxServer) -> None:
    # Also for a clean phone: what is judged, logged and cut by Cmd must be what the back end runs.
    for command, body in (("Ping", SYNC), ("FolderSync", PING), ("Ping", FOLDER_SYNC), ("Sync", FOLDER_SYNC)):
        answer = await ask(strict.http, request(eas(command, "berta", "PHONE2"), body, user="berta"))
        assert answer.status in (200, 400)
        assert not answer.body.startswith(b"mail for")
    assert served(mailbox, "berta") == []


async def test_http_1_0_is_judged_the_same(strict: Strict, mailbox: MailboxServer) -> None:
    octets = request(eas("FolderSync", "anna", "PHONE1"), FOLDER_SYNC, user="anna").replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    await ask(strict.http, octets)
    assert served(mailbox) == []


async def test_nothing_slips_through_behind_a_refused_request(strict: Strict, mailbox: MailboxServer) -> None:
    client = await Client.connected(strict.http)
    question = request(eas("FolderSync", "anna", "PHONE1"), FOLDER_SYNC, user="anna")
    client.write(question * 3)
    answers = [await client.answer() for _ in range(3)]
    assert all(not answer.body.startswith(b"mail for") for answer in answers)
    client.close()
    assert served(mailbox) == []


async def test_two_users_never_share_a_connection_bound_login(strict: Strict, mailbox: MailboxServer) -> None:
    mailbox.challenges = ('Basic realm="mail"', "NTLM", "Negotiate")
    nobody = await ask(strict.http, request(eas("FolderSync", "berta", "PHONE2"), FOLDER_SYNC))
    offered = [value for name, value in nobody.headers if name == "www-authenticate"]
    assert nobody.status == 401
    assert offered
    assert all(value.lower().startswith(("basic", "bearer")) for value in offered)
    for scheme in ("NTLM TlRMTVNTUAABAAAA", "Negotiate YII="):
        target = eas("FolderSync", "berta", "PHONE2")
        answer = await ask(strict.http, request(target, FOLDER_SYNC, Authorization=scheme))
        assert answer.status == 401
    assert all(not each.header("authorization").startswith(("NTLM", "Negotiate")) for each in mailbox.received)


async def test_a_conflict_provoked_on_purpose_clears_nothing(
    strict: Strict, agent: Agent, mailbox: MailboxServer
) -> None:
    # A second, clean inventory device of the same source claims the same DeviceId.
    answer = await agent.send(agent.event("anna", "PHONE1", ("org.mozilla.firefox",), device="another"))
    assert answer.status_code in (200, 202)
    await ask(strict.http, request(eas("FolderSync", "anna", "PHONE1"), FOLDER_SYNC, user="anna"))
    assert served(mailbox) == []


async def test_a_colleagues_credentials_on_the_refused_phone(
    strict: Strict, agent: Agent, mailbox: MailboxServer
) -> None:
    # berta's account added on anna's phone: the phone is the one with the app.
    await ask(strict.http, request(eas("FolderSync", "berta", "PHONE1"), FOLDER_SYNC, user="berta"))
    assert served(mailbox, "berta") == []


async def test_a_clean_phone_is_served_all_the_while(strict: Strict, mailbox: MailboxServer) -> None:
    answer = await ask(strict.http, request(eas("FolderSync", "berta", "PHONE2"), FOLDER_SYNC, user="berta"))
    assert answer.body == b"mail for berta"
    assert len(served(mailbox, "berta")) == 1


async def test_a_wrong_password_is_told_nothing(strict: Strict, mailbox: MailboxServer) -> None:
    target = eas("FolderSync", "anna", "PHONE1")
    answer = await ask(strict.http, request(target, FOLDER_SYNC, Authorization=basic("anna", "wrong")))
    assert answer.status == 401


async def test_refused_requests_with_a_wrong_password_are_few_logins(strict: Strict, mailbox: MailboxServer) -> None:
    client = await Client.connected(strict.http)
    question = request(eas("FolderSync", "anna", "PHONE1"), FOLDER_SYNC, Authorization=basic("anna", "wrong"))
    before = len(mailbox.received)
    for _ in range(200):
        assert (await client.ask(question)).status in (401, 503, 429)
    client.close()
    assert len(mailbox.received) - before <= 5


async def test_content_encoding_is_not_accepted(strict: Strict, mailbox: MailboxServer) -> None:
    target = eas("FolderSync", "berta", "PHONE2")
    answer = await ask(
        strict.http, request(target, FOLDER_SYNC, user="berta", Content_Encoding="gzip", Content_Type=WBXML)
    )
    assert answer.status == 415
    assert served(mailbox, "berta") == []
