"""ActiveSync 16.0 and 16.1, policies and DeviceInformation, which no server in Debian has: against a scripted one.

What the phone and the server have to say to each other passes unchanged, policy keys and cookies included; a refused
phone gets none of it, Provision least of all.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from pyactivesync import Client, StatusError

from tests.support.phone import Account, Phone, understood
from tests.support.phone_certificates import Certificates, make_certificates
from tests.support.phone_commands import accept_policy, ask_for_policy, hierarchy, ping, tell_of_itself
from tests.support.phone_server import COOKIE, FIRST_KEY, KEY, VERSIONS, NewerServer, newer_server
from tests.support.phone_wbxml import Tag, tag
from tests.support.raw_http import HttpAnswer
from tests.support.reporting import Agent
from tests.support.running import Running, running
from tests.system.arranging import agent_of, enforce_tiktok

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORMS = [("16.0", False), ("16.0", True), ("16.1", False), ("16.1", True)]
forms = pytest.mark.parametrize(("version", "base64_query"), FORMS, ids=["16.0", "16.0-base64", "16.1", "16.1-base64"])
BLOCKED, NEEDS_POLICY, DONE = "129", "142", "1"
"""[MS-ASCMD] 2.2.2"""


@dataclass(frozen=True, slots=True)
class Office:
    """A gateway that enforces a ban, the server behind it and what reports to it."""

    gateway: Running
    server: NewerServer
    agent: Agent
    certificates: Certificates

    def phone(self, user: str, version: str, base64_query: bool = False) -> Phone:
        """A phone of ``user``."""
        return Phone(Account(self.gateway.http, user, f"ID{user.upper()}", version, base64_query))

    async def stated(self, user: str) -> dict[str, str]:
        """What the phone of ``user`` has said of itself, as the administrator reads it; waits until it is there."""
        async with self.gateway.api() as api, asyncio.timeout(20):
            while True:
                shown = await api.get(f"/devices/{user}/ID{user.upper()}")
                if shown.status_code == 200 and shown.json()["stated"]:
                    return dict(shown.json()["stated"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def office(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    directory = tmp_path_factory.mktemp("newer")
    made = make_certificates(directory)
    tables = f'[tls]\ncertificate = "{made.certificate}"\nkey = "{made.key}"\n'
    listen = {"GATEPOST_HTTP__LISTEN": "http://127.0.0.1:0, https://127.0.0.1:0"}
    async with (
        newer_server() as server,
        running(directory, server.url, more=tables, environment=listen) as gateway,
        agent_of(gateway) as agent,
    ):
        await enforce_tiktok(gateway)
        yield Office(gateway, server, agent, made)


async def provisioned(phone: Phone) -> Phone:
    """Take both steps to a policy."""
    phone.policy_key = int(understood(await ask_for_policy(phone)).text("Provision:PolicyKey"))
    phone.policy_key = int(understood(await accept_policy(phone)).text("Provision:PolicyKey"))
    return phone


def find() -> Tag:
    """Look for mails with a word ([MS-ASCMD] 2.2.1.2, from 16.1 on)."""
    wanted = tag("Find:MailBoxSearchCriterion", tag("Find:Query", tag("Find:FreeText", "minutes")))
    return tag("Find:Find", tag("Find:SearchId", "1"), tag("Find:ExecuteSearch", wanted))


def status(answer: HttpAnswer, name: str) -> str:
    return understood(answer).text(name)


@forms
async def test_a_phone_gets_its_policy_and_then_its_folders(office: Office, version: str, base64_query: bool) -> None:
    user = f"policy{version.replace('.', '')}{'b' if base64_query else 'p'}"
    phone = office.phone(user, version, base64_query)
    assert (await phone.options()).header("ms-asprotocolversions") == VERSIONS
    assert status(await hierarchy(phone), "FolderHierarchy:Status") == NEEDS_POLICY
    first = understood(await ask_for_policy(phone))
    assert first.text("Provision:PolicyKey") == str(FIRST_KEY)
    assert first.text("Provision:DevicePasswordEnabled") == "0"
    phone.policy_key = FIRST_KEY
    assert understood(await accept_policy(phone)).text("Provision:PolicyKey") == str(KEY)
    phone.policy_key = KEY
    folders = understood(await hierarchy(phone))
    assert (folders.text("FolderHierarchy:Status"), folders.text("FolderHierarchy:DisplayName")) == (DONE, "Inbox")
    phone.hang_up()

    last = next(each for each in reversed(office.server.asked) if each.user == user)
    assert (last.version, last.device_id, last.policy_key) == (version, f"ID{user.upper()}", str(KEY))
    assert last.cookie == COOKIE
    assert await office.stated(user) == {"Model": "Pixel 8", "OS": "Android 16"}


@pytest.mark.parametrize("base64_query", [False, True], ids=["plain", "base64"])
async def test_find(office: Office, base64_query: bool) -> None:
    phone = await provisioned(office.phone(f"finder{int(base64_query)}", "16.1", base64_query))
    assert status(await phone.command("Find", find()), "Find:Total") == "0"
    phone.hang_up()


@pytest.mark.parametrize("version", ["12.0", "12.1", "14.0"])
async def test_what_a_phone_says_of_itself_by_settings(office: Office, version: str) -> None:
    user = f"settings{version.replace('.', '')}"
    phone = await provisioned(office.phone(user, version))
    assert status(await tell_of_itself(phone), "Settings:Status") == DONE
    assert await office.stated(user) == {"Model": "Pixel 8", "OS": "Android 16"}
    phone.hang_up()


@forms
async def test_cut_and_back(office: Office, version: str, base64_query: bool) -> None:
    user = f"cut{version.replace('.', '')}{'b' if base64_query else 'p'}"
    device_id = f"ID{user.upper()}"
    await office.agent.clean(user, device_id)
    phone = await provisioned(office.phone(user, version, base64_query))
    waits = asyncio.create_task(ping(phone, "5"))
    await asyncio.wait_for(office.server.pings.acquire(), 20)
    await office.agent.dirty(user, device_id)
    assert status(await waits, "Ping:Status") == "7"

    reached = office.server.commands(user)
    assert status(await hierarchy(phone), "FolderHierarchy:Status") == BLOCKED
    assert status(await tell_of_itself(phone), "Settings:Status") == BLOCKED
    refused = understood(await ask_for_policy(phone))
    assert (refused.text("Provision:Status"), refused.all("Provision:Policies")) == (BLOCKED, [])
    if version == "16.1":
        assert status(await phone.command("Find", find()), "Find:Status") == BLOCKED
    # The credentials of a refused phone are checked by OPTIONS; no command of it comes this far.
    assert office.server.commands(user) == reached

    await office.agent.clean(user, device_id)
    async with asyncio.timeout(10):
        while status(await hierarchy(phone), "FolderHierarchy:Status") != DONE:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    phone.hang_up()


async def test_another_client(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """``pyactivesync``, over TLS: the policy in two steps, the folders, Find, and the refusal."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(office.certificates.authority))
    server = urlsplit(office.gateway.listening["http"][1]).netloc
    await office.agent.clean("another", "IDANOTHER")
    with Client(server, "another", "secret", device_id="IDANOTHER", device_type="Android") as client:
        assert await asyncio.to_thread(client.provision) == str(KEY)
        (inbox,) = await asyncio.to_thread(client.list_folders)
        assert (inbox.id, inbox.name) == ("5", "Inbox")
        assert (await asyncio.to_thread(client.find_mailbox, "minutes")).status == DONE
        waits = asyncio.create_task(asyncio.to_thread(client.ping, inbox.id, timeout=60))
        await asyncio.wait_for(office.server.pings.acquire(), 20)
        await office.agent.dirty("another", "IDANOTHER")
        assert (await waits).status == "7"
        with pytest.raises(StatusError, match=BLOCKED):
            await asyncio.to_thread(client.list_folders)
        with pytest.raises(StatusError, match=BLOCKED):
            await asyncio.to_thread(client.provision)
