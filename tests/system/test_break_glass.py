"""Break-glass with the control process and the cache dead: mail for everybody, and the audit log hears of it later."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import httpx

from tests.support.raw_http import ask, eas, request
from tests.support.running import Running, running
from tests.support.spine import FOLDER_SYNC
from tests.support.upstream import MailboxServer
from tests.system.arranging import agent_of, enforce_tiktok
from tests.system.processes import children_of, kill, until_gone

WITHIN_SECONDS = 20.0
MAIL = b"mail for anna"


async def until_mail(gateway: Running, *, let_in: bool) -> None:
    """Wait until every one of some requests in a row gets mail, or none does: there are two workers."""
    asked = request(eas("FolderSync", "anna", "IDANNA"), FOLDER_SYNC, user="anna")
    async with asyncio.timeout(WITHIN_SECONDS):
        in_a_row = 0
        while in_a_row < 12:
            in_a_row = in_a_row + 1 if ((await ask(gateway.http, asked)).body == MAIL) is let_in else 0
            await asyncio.sleep(0.02)


async def test_enforcement_ends_with_control_and_cache_killed_and_is_audited_on_return(
    tmp_path: Path, mailbox: MailboxServer
) -> None:
    async with running(tmp_path, mailbox.url, workers=2) as gateway, agent_of(gateway) as agent:
        await enforce_tiktok(gateway)
        await agent.dirty("anna", "IDANNA")
        await until_mail(gateway, let_in=False)
        children = children_of(gateway.process.pid)
        # Stopped, the supervisor starts nothing anew.
        kill(gateway.process.pid, signal.SIGSTOP)
        try:
            for pid in (*children["control"], *children["cache"]):
                kill(pid)
                await until_gone(pid)
            said = await gateway.gatepost("flag", "set", "--global", "off", "--local", "--note", "a drill")
            assert "enforces nothing within a second or two, until" in said
            await until_mail(gateway, let_in=True)
            await gateway.gatepost("flag", "set", "--global", "on", "--local", "--yes")
            await until_mail(gateway, let_in=False)
            await gateway.gatepost("flag", "set", "--global", "off", "--local", "--note", "again")
            await until_mail(gateway, let_in=True)
        finally:
            kill(gateway.process.pid, signal.SIGCONT)
        await seen_on_return(gateway)


async def seen_on_return(gateway: Running) -> None:
    """Status, readiness and the audit log tell of it."""
    async with asyncio.timeout(60), gateway.api() as api:
        told: list[dict[str, Any]] = []
        while len(told) < 3:
            await asyncio.sleep(0.2)
            try:
                answer = await api.get("/audit/entries", params={"limit": 1000})
            except httpx.TransportError:
                # The control process is still beginning.
                continue
            lines = answer.json()["entries"] if answer.is_success else []
            told = [each["entry"] for each in lines if each["entry"]["kind"] == "break_glass"]
        warnings = (await api.get("/status")).json()["warnings"]
        ready = (await api.get(f"{gateway.admin}/readyz")).json()
    assert [(each["details"]["broken"], each["details"]["reason"]) for each in told] == [
        (True, "a drill"),
        (False, ""),
        (True, "again"),
    ]
    assert any("the glass is broken: local user" in each and "(again)" in each for each in warnings)
    assert "break_glass" in ready["checks"]
    assert {"glass_broken", "glass_whole_again"} <= {str(entry["event"]) for entry in gateway.log}
