"""A phone that a report turns dirty after the change came: its owner is refused, and told so by mail, once."""

import asyncio
from pathlib import Path

from tests.notices.receiving import Manners, receiving_server
from tests.support.raw_http import ask, eas, request
from tests.support.running import running
from tests.support.spine import FOLDER_SYNC
from tests.support.upstream import MailboxServer
from tests.system.arranging import agent_of, enforce_tiktok
from tests.system.test_told import mail_to, notices

EVE, PHONE = "eve@corp.example", "EVE1"


async def test_who_is_cut_by_a_later_report_is_told(mailbox: MailboxServer, tmp_path: Path) -> None:
    async with (
        receiving_server(Manners()) as server,
        running(tmp_path, mailbox.url, more=notices(server.port) + "later = true\n") as gateway,
        agent_of(gateway) as agent,
    ):
        await agent.clean(EVE, PHONE)
        await enforce_tiktok(gateway)
        question = request(eas("FolderSync", EVE, PHONE), FOLDER_SYNC, user=EVE)
        served = await ask(gateway.http, question)
        await agent.dirty(EVE, PHONE)
        async with asyncio.timeout(10):
            while (refused := await ask(gateway.http, question)).body == served.body:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert refused.status == 200
        message = await mail_to(server, EVE)
        assert "TikTok" in str(message.get_payload(0))
        await ask(gateway.http, question)
        async with gateway.api() as api:
            (mailing,) = (await api.get("/notices")).json()["mailings"]
        assert (mailing["change"], mailing["kind"], sum(mailing["notices"].values())) == (1, "cut", 1)
