"""A phone that waits on SOGo is cut off when its report names a banned app, and has mail again when it is gone."""

import asyncio
import time
from dataclasses import dataclass

import pytest

from tests.live.conftest import BYSTANDER, COLLEAGUE, CUT, SECURE, SYNCING, MakePhone, Way
from tests.live.conversation import DIALECTS, DOMAIN, Dialect
from tests.live.site import Site
from tests.support.phone import Phone, understood
from tests.support.phone_commands import Mailbox, ask_for_policy, message, ping, send_mail
from tests.support.raw_http import HttpAnswer
from tests.support.reporting import Agent

pytestmark = pytest.mark.asyncio(loop_scope="session")

FOLDERS_CHANGED, CHANGES = "7", "2"
"""Ping Status: synchronise the folders anew; there is mail ([MS-ASCMD] 2.2.3.177.11)."""
HIERARCHY_CHANGED = "12"
"""Sync Status, to the same end ([MS-ASCMD] 2.2.3.177.17)."""
BLOCKED, DONE = "129", "1"
"""DeviceIsBlockedForThisUser ([MS-ASCMD] 2.2.2), and success."""
AT_ONCE_SECONDS = 2.0
HEARTBEAT = 60
NEWEST = Dialect("14.1")


@dataclass(frozen=True, slots=True)
class Waiting:
    """A phone and its Ping."""

    mailbox: Mailbox
    parked: "asyncio.Task[HttpAnswer]"

    @property
    def phone(self) -> Phone:
        """The phone."""
        return self.mailbox.phone

    async def told(self) -> str:
        """The Status that the Ping is answered with."""
        return understood(await self.parked).text("Ping:Status")


async def waiting(site: Site, agent: Agent, phone: Phone) -> Waiting:
    """The phone is clean, and its Ping has reached SOGo."""
    await agent.clean(phone.account.user, phone.account.device_id)
    mailbox = Mailbox(phone)
    await mailbox.fill()
    parked = asyncio.create_task(ping(phone, mailbox.folder, HEARTBEAT))
    await site.until_waiting(phone.account.user)
    assert not parked.done()
    return Waiting(mailbox, parked)


def status_of(answer: HttpAnswer, name: str) -> str:
    """The Status in an answer; that of HTTP where there is none."""
    return understood(answer).text(name) if answer.status == 200 and answer.body else str(answer.status)


def refused(dialect: Dialect) -> str:
    """How a dialect says no ([MS-ASCMD] 2.2.2): up to 12.1 by HTTP, from 14.0 on inside the answer."""
    return "403" if float(dialect.version) < 14.0 else BLOCKED


async def until_folders(mailbox: Mailbox, status: str) -> None:
    """Ask for the folders until a report has had its effect."""
    async with asyncio.timeout(10):
        while status_of(await mailbox.folders(), "FolderHierarchy:Status") != status:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
async def test_cut_and_back(site: Site, ways: dict[str, Way], phone: MakePhone, agent: Agent, dialect: Dialect) -> None:
    user, device_id = CUT[dialect], f"CUT{dialect.name}"
    waits = await waiting(site, agent, phone(ways["plain"].account(user, device_id, dialect)))
    reported_at = time.monotonic()
    await agent.dirty(user, device_id)
    assert await waits.told() == FOLDERS_CHANGED
    assert time.monotonic() - reported_at < AT_ONCE_SECONDS

    no = refused(dialect)
    assert status_of(await waits.mailbox.folders(), "FolderHierarchy:Status") == no
    assert status_of(await waits.mailbox.sync(), "AirSync:Status") == no
    assert status_of(await ask_for_policy(waits.phone), "Provision:Status") == no
    mime = message(f"{user}@{DOMAIN}", f"{COLLEAGUE}@{DOMAIN}", f"Never sent by {user}.")
    assert status_of(await send_mail(waits.phone, mime), "ComposeMail:Status") == no
    site.mail.send(user, "Meanwhile.")
    site.mail.until_arrived(user, "Meanwhile.")

    await agent.clean(user, device_id)
    await until_folders(waits.mailbox, DONE)
    await waits.mailbox.sync()
    assert waits.mailbox.subjects() == ["Meanwhile."]
    assert (await send_mail(waits.phone, mime.replace(b"Never sent", b"Sent after"))).status == 200
    site.mail.until_arrived(COLLEAGUE, f"Sent after by {user}.")
    assert site.mail.messages(COLLEAGUE, f"Never sent by {user}.") == []


async def test_a_waiting_sync_is_cut(site: Site, ways: dict[str, Way], phone: MakePhone, agent: Agent) -> None:
    await agent.clean(SYNCING, "CUTSYNC")
    mailbox = Mailbox(phone(ways["plain"].account(SYNCING, "CUTSYNC", NEWEST)))
    await mailbox.fill()
    parked = asyncio.create_task(mailbox.sync(minutes=1))
    await site.until_waiting(SYNCING)
    await agent.dirty(SYNCING, "CUTSYNC")
    assert status_of(await parked, "AirSync:Status") == HIERARCHY_CHANGED
    assert status_of(await mailbox.folders(), "FolderHierarchy:Status") == BLOCKED

    site.mail.send(SYNCING, "Meanwhile.")
    site.mail.until_arrived(SYNCING, "Meanwhile.")
    await agent.clean(SYNCING, "CUTSYNC")
    await until_folders(mailbox, DONE)
    await mailbox.sync()
    assert mailbox.subjects() == ["Meanwhile."]


async def test_cut_over_tls(site: Site, ways: dict[str, Way], phone: MakePhone, secure_agent: Agent) -> None:
    waits = await waiting(site, secure_agent, phone(ways["tls"].account(SECURE, "CUTTLS", NEWEST)))
    await secure_agent.dirty(SECURE, "CUTTLS")
    assert await waits.told() == FOLDERS_CHANGED
    assert status_of(await waits.mailbox.folders(), "FolderHierarchy:Status") == BLOCKED
    await secure_agent.clean(SECURE, "CUTTLS")
    await until_folders(waits.mailbox, DONE)


async def test_only_the_phone_with_the_app_is_cut(
    site: Site, ways: dict[str, Way], phone: MakePhone, agent: Agent
) -> None:
    """The same user's other phone goes on waiting, and its mail comes."""
    waits = await waiting(site, agent, phone(ways["plain"].account(BYSTANDER, "GOODPHONE", NEWEST)))
    await agent.dirty(BYSTANDER, "BADPHONE")
    await until_folders(Mailbox(phone(ways["plain"].account(BYSTANDER, "BADPHONE", NEWEST))), BLOCKED)
    assert not waits.parked.done()
    site.mail.send(BYSTANDER, "For the good phone.")
    assert await waits.told() == CHANGES
    await waits.mailbox.sync()
    assert waits.mailbox.subjects() == ["For the good phone."]
