"""A whole gateway under floods: its processes do not grow with them, its log does not either, and mail goes on."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from tests.support.raw_http import Client, ask, basic, eas, request
from tests.support.running import Running, running
from tests.support.spine import FOLDER_SYNC, PING
from tests.support.upstream import mailbox_server
from tests.system.processes import children_of

SETTINGS = "[decision]\ncache_people = 500\n"
ROUND = 600
ROUNDS = 4
AT_ONCE = 10
GROWTH_MOST = 3 << 20
"""From the second round to the last: two rounds of hundreds of each kind."""
LINES_MOST = 60 + 120
"""Of one event: the burst, and one a second for as long as the test may take."""


def resident(pid: int) -> int:
    """Memory of a process that is in use, in octets."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


async def phones(gateway: Running, first: int, some: range) -> None:
    """Users and devices that nobody knows, with wrong passwords; closed paths; odd commands."""
    client = await Client.connected(gateway.http)
    for number in some:
        name = f"u{first + number}"
        for octets in (
            request(eas("FolderSync", name, f"d{name}"), FOLDER_SYNC, user=name, Authorization=basic(name, "guess")),
            request(f"/{name}/x", method="GET", Content_Length=""),
            request(eas(f"C{name}", name, "d"), FOLDER_SYNC, user=name),
        ):
            answer = await client.ask(octets)
            if answer.closed or answer.header("Connection") == "close":
                client.close()
                client = await Client.connected(gateway.http)
    client.close()


async def agents(gateway: Running, first: int, some: range) -> None:
    """Reports with signatures that nobody made, and tokens that nobody has."""
    limits = httpx.Limits(max_connections=2)
    async with httpx.AsyncClient(limits=limits, timeout=30) as client:
        for number in some[: len(some) // 5]:
            headers = {
                "Content-Type": "application/cloudevents+json",
                "gatepost-source": f"s{first + number}",
                "webhook-id": f"m{first + number}",
                "webhook-timestamp": str(int(time.time())),
                "webhook-signature": "v1,AAAA",
            }
            await client.post(f"{gateway.inventory}/inventory/v1/reports", content=b"{}", headers=headers)
            token = {"Authorization": f"Bearer t{first + number}"}
            await client.get(f"{gateway.admin}/api/v1/status", headers=token)


async def one_round(gateway: Running, number: int) -> None:
    """Everything at once."""
    works: tuple[Callable[[Running, int, range], Awaitable[None]], ...] = (phones, agents)
    await asyncio.gather(
        *(work(gateway, number * ROUND, range(each, ROUND, AT_ONCE)) for each in range(AT_ONCE) for work in works)
    )


async def test_floods_fill_nothing(tmp_path: Path) -> None:
    async with mailbox_server() as mailbox, running(tmp_path, mailbox.url, more=SETTINGS) as gateway:
        waiting = await Client.connected(gateway.http)
        waiting.write(request(eas("Ping", "nora", "noras1"), PING, user="nora"))
        await mailbox.until_parked(1)
        kinds = children_of(gateway.process.pid)
        pids = {kind: kinds[kind][0] for kind in ("worker", "control")}
        grown: dict[str, list[int]] = {kind: [] for kind in pids}
        for number in range(ROUNDS):
            await one_round(gateway, number)
            mailbox.received.clear()
            for kind, pid in pids.items():
                grown[kind].append(resident(pid))
        for kind, measured in grown.items():
            assert measured[-1] - measured[1] < GROWTH_MOST, (kind, measured)
        lines = Counter(str(entry["event"]) for entry in gateway.log)
        assert max(lines.values()) < LINES_MOST, lines
        assert lines["report_not_authentic"] >= 60
        assert any(entry.get("left_out") for entry in gateway.log if entry["event"] == "report_not_authentic")
        async with httpx.AsyncClient() as client:
            metrics = (await client.get(f"{gateway.admin}/metrics")).text
        assert len(metrics.splitlines()) < 400
        # Whoever waited waits, and is answered; others have their mail.
        assert not waiting.closed
        answer = await ask(gateway.http, request(eas("FolderSync", "nora", "noras1"), FOLDER_SYNC, user="nora"))
        assert answer.body == b"mail for nora"
        mailbox.released.set()
        assert (await waiting.answer()).status == 200
        waiting.close()
