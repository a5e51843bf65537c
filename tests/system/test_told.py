"""A whole gateway tells people of a change by itself, and hears from them that a notice is wrong.

By the API that operators use, a mail server that receives, and the page that readers open.
"""

import asyncio
import re
from datetime import UTC, datetime
from email.message import Message
from pathlib import Path

import httpx

from tests.notices.receiving import Manners, Receiving, receiving_server
from tests.support.running import Running, running
from tests.support.upstream import MailboxServer
from tests.system.arranging import agent_of, enforce_tiktok, exported

WITHIN_SECONDS = 20.0
ANN, BOB, EVE = "ann@corp.example", "bob@corp.example", "eve@corp.example"


def notices(port: int) -> str:
    """Without a hold, at any hour of the day."""
    return f"""
[notices]
sender = "notices@corp.example"
server = "smtp://127.0.0.1:{port}"
tell = "with-the-cut"
hold_seconds = 0
day_begins_hour = 4
day_ends_hour = 23
time_zone = "{daytime()}"
listen = ["http://127.0.0.1:0"]
link = "http://mail-access.corp.example"
"""


def daytime() -> str:
    """A zone in which it is about noon now."""
    hours = 12 - datetime.now(UTC).hour
    return "UTC" if hours == 0 else f"Etc/GMT{-hours:+d}"


async def mail_to(server: Receiving, address: str) -> Message:
    async with asyncio.timeout(WITHIN_SECONDS):
        while not server.mailboxes.get(address):  # noqa: ASYNC110  (what another process sends)
            await asyncio.sleep(0.02)
    (message,) = server.mailboxes[address]
    return message


def path_in(message: Message) -> str:
    text = message.get_payload(0).get_content()  # type: ignore[union-attr]
    found = re.search(r"^http://mail-access\.corp\.example(/n/\S+)", text, flags=re.MULTILINE)
    assert found, text
    return found[1]


async def test_whom_a_change_cuts_is_told_and_may_say_that_it_is_wrong(mailbox: MailboxServer, tmp_path: Path) -> None:
    async with (
        receiving_server(Manners()) as server,
        running(tmp_path, mailbox.url, more=notices(server.port)) as gateway,
        agent_of(gateway) as agent,
    ):
        for login in (ANN, BOB):
            await agent.dirty(login, f"id{login[:3]}")
        await agent.clean(EVE, "ideve")
        await enforce_tiktok(gateway)
        paths = {login: path_in(await mail_to(server, login)) for login in (ANN, BOB)}
        await page_counts(gateway, paths)
        await the_log_has_it(gateway)
        assert sorted(server.mailboxes) == [ANN, BOB]


async def page_counts(gateway: Running, paths: dict[str, str]) -> None:
    async with (
        httpx.AsyncClient(base_url=gateway.listening["notices"][0]) as reader,
        gateway.api() as api,
    ):

        async def wrong() -> int:
            number: int = (await api.get("/changes/1")).json()["wrong"]
            return number

        shown = await reader.get(paths[ANN])
        assert (shown.status_code, "Press the button" in shown.text, await wrong()) == (200, True, 0)
        for login in (ANN, ANN, BOB):
            assert (await reader.post(paths[login])).status_code == 200
        assert await wrong() == 2
        assert (await reader.get("/api/v1/status")).status_code == 404
        warnings = (await api.get("/status")).json()["warnings"]
        assert "2 readers say that the notice about change 1 is wrong: gatepost change show 1" in warnings


async def the_log_has_it(gateway: Running) -> None:
    """Each reader once, and nobody by name."""
    acts = [each for each in await exported(gateway, "notice") if each["act"] == "called wrong"]
    assert acts == [{"actor": "gatepost", "act": "called wrong", "change": 1, "kind": "cut"}] * 2
