"""The main job from one end to the other, by the commands an operator types.

Report in, parked Ping cut, refused, clean report, mail flows.
"""

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.support.raw_http import Client, ask, eas, request
from tests.support.reporting import TIKTOK, Agent
from tests.support.running import Running, running
from tests.support.spine import FOLDER_SYNC, PING, PING_CUT, added_agent, ban_tiktok
from tests.support.upstream import MailboxServer, mailbox_server

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mailbox() -> AsyncIterator[MailboxServer]:
    async with mailbox_server() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(mailbox: MailboxServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """One for all, with an enforced ban; each test has a person of its own."""
    async with running(tmp_path_factory.mktemp("spine"), mailbox.url) as gateway:
        await ban_tiktok(gateway, "enforce")
        yield gateway


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def agent(gateway: Running) -> AsyncIterator[Agent]:
    async with added_agent(gateway) as agent:
        yield agent


async def test_the_main_job(gateway: Running, agent: Agent, mailbox: MailboxServer) -> None:
    await agent.clean("anna", "PHONE1")
    phone = await Client.connected(gateway.http)
    folders = await phone.ask(request(eas("FolderSync", "anna", "PHONE1"), FOLDER_SYNC, user="anna"))
    assert (folders.status, folders.body) == (200, b"mail for anna")

    phone.write(request(eas("Ping", "anna", "PHONE1"), PING, user="anna"))
    await mailbox.until_parked(1)
    reported_at = time.monotonic()
    await agent.dirty("anna", "PHONE1")
    cut = await phone.answer()
    assert cut.body == PING_CUT
    assert time.monotonic() - reported_at < 5
    await mailbox.until_none_parked()

    refused = await ask(gateway.http, request(eas("FolderSync", "anna", "PHONE1"), FOLDER_SYNC, user="anna"))
    assert refused.status == 200
    assert refused.body != b"mail for anna"
    assert TIKTOK in await gateway.gatepost("why", "anna", "PHONE1")

    await agent.clean("anna", "PHONE1")
    served = await _until_served(gateway.http)
    assert served == b"mail for anna"
    phone.close()


async def _until_served(url: str) -> bytes:
    async with asyncio.timeout(5):
        while True:
            answer = await ask(url, request(eas("FolderSync", "anna", "PHONE1"), FOLDER_SYNC, user="anna"))
            if answer.body == b"mail for anna":
                return answer.body
            await asyncio.sleep(0.01)


async def test_a_flag_turns_mail_off_and_on(gateway: Running, agent: Agent) -> None:
    await gateway.gatepost("flag", "set", "TikTok", "report-only", "--yes")
    await agent.dirty("bert", "PHONE2")
    question = request(eas("FolderSync", "bert", "PHONE2"), FOLDER_SYNC, user="bert")
    assert (await ask(gateway.http, question)).body == b"mail for bert"
    # The command answers when the flag is in force on every worker: nothing to wait for.
    await gateway.gatepost("flag", "set", "TikTok", "enforce", "--yes")
    assert (await ask(gateway.http, question)).body != b"mail for bert"
    await gateway.gatepost("flag", "set", "--global", "off", "--yes")
    assert (await ask(gateway.http, question)).body == b"mail for bert"
    await gateway.gatepost("flag", "set", "--global", "on", "--yes")
    assert (await ask(gateway.http, question)).body != b"mail for bert"


async def test_a_preview_says_how_many_who_are_connected_would_be_cut(
    gateway: Running, agent: Agent, mailbox: MailboxServer
) -> None:
    await gateway.gatepost("flag", "set", "TikTok", "report-only", "--yes")
    await agent.dirty("dora", "PHONE4")
    phone = await Client.connected(gateway.http)
    phone.write(request(eas("Ping", "dora", "PHONE4"), PING, user="dora"))
    await mailbox.until_parked(1)
    async with gateway.api() as api:
        await _until_told(api)
        await api.put("/flags/bans/TikTok", json={"flag": "enforce"})
        number = (await api.get("/changes")).json()["changes"][0]["number"]
        sessions = (await api.get(f"/changes/{number}")).json()["preview"]["sessions"]
    assert (sessions["ended"], sessions["connected"], sessions["told_by_workers"]) == (1, 1, 1)
    assert "1 of 1 sessions would end now" in await gateway.gatepost("change", "show", str(number))
    assert (await phone.answer()).body == PING_CUT
    phone.close()


async def _until_told(api: httpx.AsyncClient) -> None:
    """What workers tell of who is connected is a second old."""
    async with asyncio.timeout(20):
        for seconds in range(1, 1_000):
            await api.put("/flags/grace", json={"seconds": seconds})
            number = (await api.get("/changes")).json()["changes"][0]["number"]
            if (await api.get(f"/changes/{number}")).json()["preview"]["sessions"]["connected"]:
                return
            await asyncio.sleep(0.1)


async def test_without_credentials_the_mailbox_server_asks_for_them(gateway: Running, agent: Agent) -> None:
    await agent.dirty("carl", "PHONE3")
    nobody = await ask(gateway.http, request(eas("FolderSync", "carl", "PHONE3"), FOLDER_SYNC))
    assert nobody.status == 401
    assert "Basic" in nobody.header("WWW-Authenticate")


async def test_control_looks_ahead_and_the_worker_follows(gateway: Running) -> None:
    """The fleet brake: lists age up to a moment that is still to come."""
    async with gateway.api() as api, asyncio.timeout(20):
        while True:
            told = (await api.get("/brake")).json()
            (worker,) = (await api.get("/status")).json()["gateway"]["workers"]
            if told["looked_until"] and worker["lists_age_until"]:
                break
            await asyncio.sleep(0.2)
    assert (told["standing_still"], told["holds"]) == (False, [])
    assert worker["lists_age_until"] > time.time() + 60
