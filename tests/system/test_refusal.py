"""Refusals through the whole gateway: exact octets for every command, how phones take them, and what they cost.

anna's PHONE1 holds a banned app, and unknown devices are refused. Nothing of a refused phone may reach the mailbox but
the question whether its password is right, and that seldom.
"""

import asyncio
import base64
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tests.support.raw_http import WBXML, Client, HttpAnswer, ask, basic, eas, request
from tests.support.reporting import TIKTOK
from tests.support.running import Running, running
from tests.support.spine import FOLDER_SYNC
from tests.support.upstream import MailboxServer, mailbox_server
from tests.support.wbxml_peers import libwbxml_xml, needs_libwbxml
from tests.system.arranging import agent_of, enforce_tiktok, put, set_unknowns

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = "TikTok is not allowed on phones with company mail. Remove it and open the company portal."
LOGINS_PER_MINUTE = 5
OF_ONE_ADDRESS = LOGINS_PER_MINUTE - 1
"""Failed logins at the mail server that refusals of one user cause at most, per worker."""

# command: its code in a base64 query, the octets after the header from 14.0 on, and what they say
REFUSED: dict[str, tuple[int, str, str]] = {
    "Sync": (0, "454e 03 31323900 0101", "AirSync Sync/Status"),
    "SendMail": (1, "0015 4552 03 31323900 0101", "ComposeMail SendMail/Status"),
    "SmartForward": (2, "0015 4652 03 31323900 0101", "ComposeMail SmartForward/Status"),
    "SmartReply": (3, "0015 4752 03 31323900 0101", "ComposeMail SmartReply/Status"),
    "FolderSync": (9, "0007 564c 03 31323900 0101", "FolderHierarchy FolderSync/Status"),
    "FolderCreate": (10, "0007 534c 03 31323900 0101", "FolderHierarchy FolderCreate/Status"),
    "FolderDelete": (11, "0007 544c 03 31323900 0101", "FolderHierarchy FolderDelete/Status"),
    "FolderUpdate": (12, "0007 554c 03 31323900 0101", "FolderHierarchy FolderUpdate/Status"),
    "MoveItems": (13, "0005 454b 03 31323900 0101", "Move MoveItems/Status"),
    "GetItemEstimate": (14, "0006 454e 03 31323900 0101", "GetItemEstimate GetItemEstimate/Status"),
    "MeetingResponse": (15, "0008 474a4b 03 31323900 010101", "MeetingResponse MeetingResponse/Result/Status"),
    "Search": (16, "000f 454c 03 31323900 0101", "Search Search/Status"),
    "Settings": (17, "0012 4546 03 31323900 0101", "Settings Settings/Status"),
    "Ping": (18, "000d 4547 03 31323900 0101", "Ping Ping/Status"),
    "ItemOperations": (19, "0014 454d 03 31323900 0101", "ItemOperations ItemOperations/Status"),
    "Provision": (20, "000e 454b 03 31323900 0101", "Provision Provision/Status"),
    "ResolveRecipients": (21, "000a 4547 03 31323900 0101", "ResolveRecipients ResolveRecipients/Status"),
    "ValidateCert": (22, "000b 454a 03 31323900 0101", "ValidateCert ValidateCert/Status"),
    "Find": (23, "0019 454a 03 31323900 0101", "Find Find/Status"),
}
BLOCKED = bytes.fromhex("03016a00" + REFUSED["FolderSync"][1])
REFUSED_BY_PROVISION = bytes.fromhex("03016a00" + REFUSED["Provision"][1])


@dataclass(frozen=True, slots=True)
class Office:
    """A strict gateway and the mailbox server behind it."""

    gateway: Running
    mailbox: MailboxServer

    @property
    def http(self) -> str:
        return self.gateway.http

    def logged(self, event: str, login: str) -> list[dict[str, object]]:
        """The gateway's log lines of a kind about a user."""
        return [entry for entry in self.gateway.log if entry["event"] == event and entry.get("login") == login]

    async def until_logged(self, event: str, login: str) -> list[dict[str, object]]:
        """The same, once there are any: they come by another process."""
        async with asyncio.timeout(10):
            while not (found := self.logged(event, login)):  # noqa: ASYNC110  (a line of another process)
                await asyncio.sleep(0.01)
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def prepared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    async with (
        mailbox_server() as mailbox,
        running(tmp_path_factory.mktemp("refusal"), mailbox.url) as gateway,
        agent_of(gateway) as agent,
    ):
        await enforce_tiktok(gateway, TEXT)
        await set_unknowns(gateway, "missing", "unmatched")
        for user in ("anna", "carla", "dora", "emil"):
            await agent.clean(user, f"CLEAN{user.upper()}")
            await agent.dirty(user, f"{user.upper()}1")
        await agent.dirty("anna", "PHONE1")
        yield Office(gateway, mailbox)


@pytest.fixture
def office(prepared: Office) -> Office:
    prepared.mailbox.received.clear()
    prepared.mailbox.challenges = ('Basic realm="mail"',)
    return prepared


# --- what is said


def xml_of(said: str) -> str:
    page, _, path = said.partition(" ")
    tags = path.split("/")
    opened = "".join(f"<{tag}>" for tag in tags).replace(">", f' xmlns="{page}:">', 1)
    return f"{opened}129{''.join(f'</{tag}>' for tag in reversed(tags))}"


@pytest.mark.parametrize("form", ["14.0", "14.1", "16.1", "base64"])
async def test_every_command_is_refused_by_status(office: Office, form: str) -> None:
    phone = await Client.connected(office.http)
    for command, (code, octets, _) in REFUSED.items():
        # A device each: what is refused very often is held back.
        if form == "base64":
            device = f"B64{command}".encode()
            query = struct.pack("<BBHB", 161, code, 0x0409, len(device)) + device + b"\x00\x07Android"
            target = f"/Microsoft-Server-ActiveSync?{base64.b64encode(query).decode()}"
            answer = await phone.ask(request(target, user="anna", MS_ASProtocolVersion=""))
        else:
            target = eas(command, "anna", f"{form.replace('.', '')}{command}")
            answer = await phone.ask(request(target, user="anna", MS_ASProtocolVersion=form))
        assert (answer.status, answer.body) == (200, bytes.fromhex("03016a00" + octets)), command
        assert answer.header("Content-Type") == WBXML
        assert answer.header("Cache-Control") == "private, no-store"
        assert answer.header("Content-Length") == str(len(answer.body))
        assert not answer.closed
    phone.close()
    assert office.mailbox.commands(accepted_only=False) == []


@needs_libwbxml
@pytest.mark.live
async def test_another_decoder_reads_them(office: Office) -> None:
    for command, (_, _, said) in REFUSED.items():
        answer = await ask(office.http, request(eas(command, "anna", f"XML{command}"), user="anna"))
        # That library ends at page 24, and reads of Find the structure only.
        wanted = "FolderHierarchy unknown/unknown" if command == "Find" else said
        assert libwbxml_xml(answer.body) == xml_of(wanted), command


@pytest.mark.parametrize("version", ["2.5", "12.0", "12.1", ""])
async def test_every_command_of_an_older_phone_is_refused_by_http(office: Office, version: str) -> None:
    phone = await Client.connected(office.http)
    for command in (*REFUSED, "GetAttachment"):
        if command == "Find":
            continue
        target = eas(command, "anna", f"OLD{version.replace('.', '')}{command}")
        answer = await phone.ask(request(target, user="anna", MS_ASProtocolVersion=version))
        assert answer.status == 403, command
        assert answer.header("Content-Type") == "text/plain; charset=utf-8"
        assert not answer.header("WWW-Authenticate")
        assert b"blocked by your organization" in answer.body
        assert not answer.closed
    phone.close()
    assert office.mailbox.commands(accepted_only=False) == []


async def test_an_attachment_is_refused_by_http_in_every_version(office: Office) -> None:
    target = eas("GetAttachment", "anna", "ATTACHMENT", "&AttachmentName=x")
    answer = await ask(office.http, request(target, user="anna", MS_ASProtocolVersion="14.1"))
    assert (answer.status, answer.header("Content-Type")) == (403, "text/plain; charset=utf-8")


async def test_an_older_phone_is_told_why(office: Office) -> None:
    question = request(eas("Sync", "anna", "PHONE1"), FOLDER_SYNC, user="anna", MS_ASProtocolVersion="12.1")
    answer = await ask(office.http, question)
    assert answer.status == 403
    first, second = answer.body.decode().splitlines()
    assert first == f"Mail on this device is blocked by your organization because of this app: TikTok ({TIKTOK})"
    assert second == TEXT


async def test_a_refused_phone_still_learns_the_versions(office: Office) -> None:
    answer = await ask(office.http, request("/Microsoft-Server-ActiveSync", user="anna", method="OPTIONS"), "OPTIONS")
    assert answer.status == 200
    assert "14.1" in answer.header("MS-ASProtocolVersions")


# --- what a phone makes of it


@dataclass(slots=True)
class StockAndroid:
    """Repeats a request at once when Provision succeeds after a 403, as the stock client does, without counting."""

    url: str
    version: str
    asked: int = 0
    enough: int = 20

    async def sync(self) -> str:
        """How it ends: what the user sees."""
        client = await Client.connected(self.url)
        try:
            while self.asked < self.enough:
                answer = await self._ask(client, "FolderSync")
                if answer.status == 200:
                    return "denied" if answer.body == BLOCKED else "synchronised"
                if answer.status != 403 or not await self._provisioned(client):
                    return f"error {answer.status}"
            return "loops"
        finally:
            client.close()

    async def _provisioned(self, client: Client) -> bool:
        """Whether both steps succeed; any Status but 1 is a failure."""
        answer = await self._ask(client, "Provision")
        return answer.status == 200 and answer.body != REFUSED_BY_PROVISION

    async def _ask(self, client: Client, command: str) -> HttpAnswer:
        self.asked += 1
        target = eas(command, "anna", f"STOCK{self.version.replace('.', '')}")
        return await client.ask(request(target, FOLDER_SYNC, user="anna", MS_ASProtocolVersion=self.version))


@pytest.mark.parametrize(
    ("version", "ends", "requests"), [("2.5", "error 403", 2), ("12.1", "error 403", 2), ("14.1", "denied", 1)]
)
async def test_a_stock_android_gives_up(office: Office, version: str, ends: str, requests: int) -> None:
    phone = StockAndroid(office.http, version)
    assert await phone.sync() == ends
    assert phone.asked == requests


# --- to whom it is said


@pytest.mark.parametrize("version", ["2.5", "12.1", "14.1", "16.1"])
async def test_only_whoever_proves_to_be_anna_is_told(office: Office, version: str) -> None:
    target = eas("FolderSync", "anna", "PHONE1")
    nobody = await ask(office.http, request(target, FOLDER_SYNC, MS_ASProtocolVersion=version))
    assert nobody.status == 401
    assert nobody.header("WWW-Authenticate").startswith("Basic")
    question = request(target, FOLDER_SYNC, Authorization=basic("anna", "guessed"), MS_ASProtocolVersion=version)
    wrong = await ask(office.http, question)
    assert wrong.status == 401
    assert wrong.header("WWW-Authenticate") == 'Basic realm="mail"'
    assert wrong.body == b""
    assert office.mailbox.commands() == []


async def test_a_challenge_that_is_bound_to_a_connection_is_not_passed_on(office: Office) -> None:
    office.mailbox.challenges = ("Negotiate", "NTLM", 'Basic realm="mail"')
    target = eas("FolderSync", "emil", "EMIL1")
    wrong = await ask(office.http, request(target, FOLDER_SYNC, Authorization=basic("emil", "guessed")))
    assert wrong.status == 401
    assert [value for name, value in wrong.headers if name == "www-authenticate"] == ['Basic realm="mail"']
    for scheme in ("NTLM TlRMTVNTUAABAAAA", "Negotiate YII="):
        answer = await ask(office.http, request(target, FOLDER_SYNC, Authorization=scheme))
        assert answer.status == 401
    schemes = {each.header("authorization").partition(" ")[0] for each in office.mailbox.received}
    assert schemes == {"Basic"}


# --- what it costs


async def test_a_wrong_password_is_tried_once(office: Office) -> None:
    """A refused phone with an old password comes a thousand times: the account must not be locked over it."""
    question = request(eas("FolderSync", "carla", "CARLA1"), FOLDER_SYNC, Authorization=basic("carla", "old"))
    statuses = await many(office.http, question, 1000, clients=10)
    assert Counter(statuses) == {401: 1000}
    assert logins(office, "carla") == 1
    right = await ask(office.http, request(eas("FolderSync", "carla", "CARLA1"), FOLDER_SYNC, user="carla"))
    assert right.body == BLOCKED


async def test_many_wrong_passwords_are_few_logins(office: Office) -> None:
    """One address has four attempts a minute, the fifth is for others; the other phone does not notice."""
    target = eas("FolderSync", "dora", "DORA1")
    client = await Client.connected(office.http)
    statuses = []
    for number in range(1000):
        question = request(target, FOLDER_SYNC, Authorization=basic("dora", f"guess {number}"))
        statuses.append((await client.ask(question)).status)
    client.close()
    assert Counter(statuses) == {401: OF_ONE_ADDRESS, 503: 1000 - OF_ONE_ADDRESS}
    assert logins(office, "dora") == OF_ONE_ADDRESS
    # The right one is neither told nor tried now: "come back later", which a phone does by itself.
    late = await ask(office.http, request(target, FOLDER_SYNC, user="dora"))
    assert (late.status, late.header("Retry-After")) == (503, "30")
    clean = await ask(office.http, request(eas("FolderSync", "dora", "CLEANDORA"), FOLDER_SYNC, user="dora"))
    assert clean.body == b"mail for dora"
    assert logins(office, "dora") == OF_ONE_ADDRESS


def logins(office: Office, user: str) -> int:
    """Failed logins of a user at the mailbox server."""
    return sum(1 for each in office.mailbox.received if each.user == user and not each.accepted)


async def many(url: str, question: bytes, count: int, *, clients: int) -> list[int]:
    """The statuses of so many requests, on a few connections at once."""

    async def some() -> list[int]:
        client = await Client.connected(url)
        statuses = [(await client.ask(question)).status for _ in range(count // clients)]
        client.close()
        return statuses

    return [status for each in await asyncio.gather(*(some() for _ in range(clients))) for status in each]


async def test_a_refused_phone_that_hammers_costs_little(office: Office) -> None:
    """A thousand requests at once with the right password: one login, one line, and all but a burst held back."""
    question = request(eas("FolderSync", "emil", "EMIL1"), FOLDER_SYNC, user="emil")
    began = time.monotonic()
    asking = [asyncio.create_task(ask(office.http, question)) for _ in range(1000)]
    times = []
    for answered in asyncio.as_completed(asking):
        answer = await answered
        assert (answer.status, answer.body) == (200, BLOCKED)
        times.append(time.monotonic() - began)
        if len(times) == 26:
            break
    # A burst of 20, then 2 a second (the longest wait is 10 s): with the 26th answer nearly all wait still.
    assert times[25] - times[0] > 2.0
    assert sum(task.done() for task in asking) < 40
    assert [each.method for each in office.mailbox.received] == ["OPTIONS"]
    (line,) = await office.until_logged("refused", "emil")
    assert (line["reason"], line["ban"], line["app"]) == ("banned_app", "TikTok", TIKTOK)
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)


# --- Outlook mobile, which comes from a cloud with one id for all phones of a user


async def test_outlook_mobile_has_its_own_rule(office: Office) -> None:
    cloud = f"{eas('FolderSync', 'carla', 'CLOUDID').replace('DeviceType=Android', 'DeviceType=Outlook')}"
    question = request(cloud, FOLDER_SYNC, user="carla", User_Agent="Outlook-iOS-Android/1.0")
    expected = {
        "unmatched": BLOCKED,
        "allow": b"mail for carla",
        "user-wide": BLOCKED,
        "deny": BLOCKED,
        "report-only": b"mail for carla",
    }
    for rule, body in expected.items():
        await put(office.gateway, "/flags/outlook_mobile", {"rule": rule})
        assert (await ask(office.http, question)).body == body, rule
    # A phone that calls itself Outlook is judged by what is known of it.
    named = eas("FolderSync", "carla", "CARLA1").replace("DeviceType=Android", "DeviceType=Outlook")
    assert (await ask(office.http, request(named, FOLDER_SYNC, user="carla"))).body == BLOCKED
