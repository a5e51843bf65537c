"""The main job from one end to the other, by the commands an operator types.

Report in, parked Ping cut, refused, clean report, mail flows.
"""

import asyncio
import time

from tests.support.raw_http import Client, ask, eas, request
from tests.support.reporting import TIKTOK, Agent
from tests.support.running import Running
from tests.support.spine import FOLDER_SYNC, PING, PING_CUT, ban_tiktok
from tests.support.upstream import MailboxServer


async def test_the_main_job(gateway: Running, agent: Agent, mailbox: MailboxServer) -> None:
    await gateway.gatepost(
        "ban", "add", "TikTok", "--id", "android:com.zhiliaoapp.musically", "--flag", "enforce", "--yes"
    )
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


async def test_a_flag_turns_mail_off_and_on(gateway: Running, agent: Agent, mailbox: MailboxServer) -> None:
    await ban_tiktok(gateway, "report-only")
    await agent.dirty("anna", "PHONE1")
    question = request(eas("FolderSync", "anna", "PHONE1"), FOLDER_SYNC, user="anna")
    assert (await ask(gateway.http, question)).body == b"mail for anna"
    # The command answers when the flag is in force on every worker: nothing to wait for.
    await gateway.gatepost("flag", "set", "TikTok", "enforce", "--yes")
    assert (await ask(gateway.http, question)).body != b"mail for anna"
    await gateway.gatepost("flag", "set", "--global", "off", "--yes")
    assert (await ask(gateway.http, question)).body == b"mail for anna"


async def test_without_credentials_the_mailbox_server_asks_for_them(
    gateway: Running, agent: Agent, mailbox: MailboxServer
) -> None:
    await gateway.gatepost(
        "ban", "add", "TikTok", "--id", "android:com.zhiliaoapp.musically", "--flag", "enforce", "--yes"
    )
    await agent.dirty("anna", "PHONE1")
    nobody = await ask(gateway.http, request(eas("FolderSync", "anna", "PHONE1"), FOLDER_SYNC))
    assert nobody.status == 401
    assert "Basic" in nobody.header("WWW-Authenticate")
