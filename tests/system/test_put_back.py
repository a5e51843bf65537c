"""An earlier state of the database is put in place while the shared cache lives on: nothing of the later one counts."""

import shutil
from pathlib import Path

from gateway.storage.redis import EmbeddedValkey
from tests.support.raw_http import ask, eas, request
from tests.support.reporting import Agent
from tests.support.running import Running, running
from tests.support.spine import FOLDER_SYNC
from tests.support.upstream import MailboxServer
from tests.system.arranging import agent_of, enforce_tiktok
from tests.system.processes import role

MAIL = b"mail for anna"
ASKED = request(eas("FolderSync", "anna", "PHONE1"), FOLDER_SYNC, user="anna")


async def served(gateway: Running) -> bool:
    return (await ask(gateway.http, ASKED)).body == MAIL


async def test_a_refused_phone_stays_refused(tmp_path: Path, mailbox: MailboxServer) -> None:
    valkey = EmbeddedValkey(tmp_path / "elsewhere")
    await valkey.start()
    try:
        await _put_back(tmp_path, mailbox, f'[redis]\nurl = "{valkey.url}"\n')
    finally:
        await valkey.stop()


async def _put_back(tmp_path: Path, mailbox: MailboxServer, more: str) -> None:
    database, kept = tmp_path / "var" / "gatepost.db", tmp_path / "kept.db"
    async with running(tmp_path, mailbox.url, more=more) as gateway, agent_of(gateway) as agent:
        secret = agent.secret
        await enforce_tiktok(gateway)
        await agent.dirty("anna", "PHONE1")
        assert not await served(gateway)
    shutil.copy(database, kept)
    async with running(tmp_path, mailbox.url, more=more) as gateway:
        later = Agent(gateway.inventory, secret, sequence=10)
        for _ in range(3):
            await later.clean("anna", "PHONE1")
        assert await served(gateway)
        await later.client.aclose()
    for beside in database.parent.glob("gatepost.db*"):
        beside.unlink()
    shutil.copy(kept, database)
    # Nor is it believed by workers that begin before any control process has looked.
    async with role("gateway", tmp_path / "gatepost.toml") as workers:
        await workers.until("ready")
        assert (await ask(workers.url("http"), ASKED)).body != MAIL
    async with running(tmp_path, mailbox.url, more=more) as gateway:
        assert not await served(gateway)
        assert [entry for entry in gateway.log if entry["event"] == "store_went_back"]
        again = Agent(gateway.inventory, secret, sequence=20)
        await again.dirty("anna", "PHONE1")
        assert not await served(gateway)
        await again.clean("anna", "PHONE1")
        await again.client.aclose()
