"""A worker that stands still while a change is applied and withdrawn: named within seconds, the other one follows."""

import asyncio
import re
import signal
import time
from pathlib import Path

from tests.support.raw_http import Client, eas, request
from tests.support.running import Running, running
from tests.support.spine import PING, PING_CUT, added_agent, ban_tiktok
from tests.support.upstream import MailboxServer, mailbox_server
from tests.system.processes import children_of, kill

PHONES = 8
NAMED_WITHIN_SECONDS = 9.0
"""The wait for the workers is 5 s; the rest is a command's own start on a busy machine."""


async def _parked(gateway: Running, mailbox: MailboxServer) -> list[Client]:
    """Phones that wait for mail, spread over both workers by the kernel."""
    phones = []
    for number in range(PHONES):
        phone = await Client.connected(gateway.http)
        phone.write(request(eas("Ping", f"user{number}", f"PHONE{number}"), PING, user=f"user{number}"))
        await mailbox.until_parked(number + 1)
        phones.append(phone)
    return phones


async def _silent(gateway: Running, *words: str) -> tuple[str, float]:
    """Whom a command names as silent, and after how long."""
    began = time.monotonic()
    said = await gateway.gatepost(*words, expect=1)
    found = re.search(r"in force on 1 of 2 workers only; silent: (\S+)", said)
    assert found is not None, said
    return found[1], time.monotonic() - began


async def _sessions(gateway: Running) -> dict[str, int]:
    """How many phones wait at each worker, when all are counted."""
    async with asyncio.timeout(20), gateway.api() as api:
        while True:
            workers = (await api.get("/status")).json()["gateway"]["workers"]
            found = {str(each["name"]): int(each["sessions"]) for each in workers}
            if sum(found.values()) == PHONES:
                return found
            await asyncio.sleep(0.05)


async def test_it_is_named_and_the_other_one_judges_by_the_change(tmp_path: Path) -> None:
    async with (
        mailbox_server() as mailbox,
        running(tmp_path, mailbox.url, workers=2) as gateway,
        added_agent(gateway) as agent,
    ):
        await ban_tiktok(gateway, "report-only")
        for number in range(PHONES):
            await agent.dirty(f"user{number}", f"PHONE{number}")
        phones = await _parked(gateway, mailbox)
        answers = [asyncio.create_task(phone.answer(within_seconds=120)) for phone in phones]
        sessions = await _sessions(gateway)
        stopped = max(children_of(gateway.process.pid)["worker"])
        kill(stopped, signal.SIGSTOP)
        try:
            name, seconds = await _silent(gateway, "flag", "set", "TikTok", "enforce", "--yes")
            assert seconds < NAMED_WITHIN_SECONDS
            status = await gateway.gatepost("status", "--json")
            assert name in status
            cut = [each for each in answers if each.done()]
            # Those of the other worker, all of them.
            assert len(cut) == PHONES - sessions[name]
            again, seconds = await _silent(gateway, "withdraw", "2", "--reason", "sent in error")
            assert (again, seconds < NAMED_WITHIN_SECONDS) == (name, True)
        finally:
            kill(stopped, signal.SIGCONT)
        assert {each.result().body for each in cut} <= {PING_CUT}
        async with asyncio.timeout(20):
            while True:
                async with gateway.api() as api:
                    workers = (await api.get("/status")).json()["gateway"]["workers"]
                if {each["policy_version"] for each in workers} == {4}:
                    break
                await asyncio.sleep(0.05)
        for phone, answer in zip(phones, answers, strict=True):
            answer.cancel()
            phone.close()
