"""The time from the 2xx of a report to the last octet of Status 7 at the phone; the same for a ban and for a flag.

Everything is real: ``gatepost run`` with its embedded cache and SQLite, signed reports by HTTP, phones on their own
connections. Phones, the mailbox server behind the gateway and the clock that measures live in this one process.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Sequence
from pathlib import Path

import httpx
import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.parked import PING_CUT, Phone, Tally, connect, mailbox
from tests.support.reporting import HARMLESS, TIKTOK, Agent
from tests.support.running import Running, running

PATIENCE_SECONDS = 60.0
SYNC = bytes.fromhex("03016a00455c4f4b033000015203350001010101")
SYNC_CUT = bytes.fromhex("03016a00454e0331320001 01".replace(" ", ""))
"""Sync Status 12: the folder hierarchy has changed ([MS-ASCMD] 2.2.3.177.17)."""
MAIL = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.ms-sync.wbxml\r\nContent-Length: 4\r\n\r\nMAIL"


class Fleet:
    """Phones with parked Pings in front of one gateway."""

    def __init__(self, gateway: Running, agent: Agent, tally: Tally) -> None:
        self._gateway = gateway
        self._agent = agent
        self._tally = tally
        self._answers: dict[Phone, asyncio.Future[None]] = {}
        self.phones: list[Phone] = []
        self.acknowledged_at = 0.0
        """When the last report's 2xx came."""

    async def enrol(self, count: int) -> None:
        """Report ``count`` clean phones and connect them."""
        room = asyncio.Semaphore(16)

        async def report(number: int) -> None:
            async with room:
                await self._agent.clean(f"user{number:05}", f"PHONE{number:05}")

        await asyncio.gather(*(report(number) for number in range(count)))
        # Only then: a connection that asks nothing for long is closed.
        self.phones = [
            await connect(self._gateway.http, f"user{number:05}", f"PHONE{number:05}", self._answered)
            for number in range(count)
        ]

    def _answered(self, phone: Phone) -> None:
        waiting = self._answers.pop(phone, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    async def connected_anew(self, number: int) -> Phone:
        """A clean phone with a new connection in the place of one."""
        old = self.phones[number]
        old.close()
        await self._agent.report(old.login, old.device_id, HARMLESS)
        self.phones[number] = await connect(self._gateway.http, old.login, old.device_id, self._answered)
        return self.phones[number]

    def expect(self, phone: Phone) -> "asyncio.Future[None]":
        """A future for the phone's next answer."""
        self._answers[phone] = asyncio.get_running_loop().create_future()
        return self._answers[phone]

    async def park(self, phones: Sequence[Phone]) -> None:
        """Let them Ping, and wait until all of them are parked at the mailbox server."""
        reached = self._tally.reaches(self._tally.parked + len(phones))
        for phone in phones:
            phone.ask()
        await asyncio.wait_for(reached, PATIENCE_SECONDS)

    async def turn(self, phone: Phone, answered: "asyncio.Future[None] | None" = None, *, check: bool = True) -> float:
        """Report the banned app; seconds from the 2xx to the answer, which must be the cut."""
        answered = answered or self.expect(phone)
        await self._agent.dirty(phone.login, phone.device_id)
        self.acknowledged_at = acknowledged_at = time.perf_counter()
        await asyncio.wait_for(answered, PATIENCE_SECONDS)
        if check:
            check_cut(phone)
        return phone.answered_at - acknowledged_at

    async def recover(self, phone: Phone) -> None:
        """Report the phone clean and let it sync until it is served."""
        await self._agent.report(phone.login, phone.device_id, HARMLESS)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                answered = self.expect(phone)
                phone.ask("FolderSync", bytes.fromhex("03016a00000756520330000101"))
                await answered
                if b"\r\nContent-Length: 0\r\n" in phone.answer:
                    return


def check_cut(phone: Phone) -> None:
    """The answer must be Status 7 and nothing else."""
    if not phone.answer.endswith(b"\r\n\r\n" + PING_CUT):
        raise SystemExit(f"{phone.login} was not cut properly: {phone.answer!r}")


def described(name: str, seconds: Sequence[float]) -> dict[str, object]:
    """Percentiles in milliseconds; a cut before the 2xx was back counts as 0."""
    ordered = sorted(max(0.0, each) for each in seconds)

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000, 2)

    return {
        "what": name,
        "turns": len(ordered),
        "p50_ms": at(0.50),
        "p99_ms": at(0.99),
        "max_ms": at(1.0),
        "before_the_2xx": sum(1 for each in seconds if each < 0),
    }


async def measure_reports(fleet: Fleet, turns: int, at_once: int) -> list[dict[str, object]]:
    """One after the other, then many at once."""
    await fleet.park(fleet.phones)
    singles = []
    for number in range(turns):
        phone = fleet.phones[number % len(fleet.phones)]
        singles.append(await fleet.turn(phone))
        await fleet.recover(phone)
        await fleet.park([phone])
    many = await asyncio.gather(*(fleet.turn(phone) for phone in fleet.phones[:at_once]))
    return [described("report, one after the other", singles), described(f"report, {at_once} at once", many)]


async def measure_released(fleet: Fleet, tally: Tally, turns: int) -> dict[str, object]:
    """Mail that the mailbox server releases at the very moment of the cut: it is there in time, or it never comes."""
    outcomes: Counter[str] = Counter()
    latest, usual_seconds = 0.0, 0.02
    for number in range(turns):
        phone = await fleet.connected_anew(number % len(fleet.phones))
        reached, answered = tally.reaches(tally.parked + 1), fleet.expect(phone)
        phone.ask("Sync", SYNC)
        await asyncio.wait_for(reached, PATIENCE_SECONDS)
        # From when the report is sent until twice as long as a cut takes after that.
        at, began = number % 97 / 97 * 2 * usual_seconds, time.perf_counter()
        asyncio.get_running_loop().call_later(at, tally.waiting[phone.login].release, MAIL)
        await fleet.turn(phone, answered, check=False)
        received = phone.answer
        await asyncio.sleep(0.02)
        if phone.answer != received:
            raise SystemExit(f"{phone.login} got something behind its answer: {phone.answer!r}")
        if received.endswith(b"MAIL"):
            outcomes["mail"] += 1
            latest = max(latest, phone.answered_at - fleet.acknowledged_at)
        elif received.endswith(SYNC_CUT):
            outcomes["cut"] += 1
            usual_seconds = 0.9 * usual_seconds + 0.1 * (phone.answered_at - began)
        else:
            raise SystemExit(f"{phone.login} got neither mail nor the cut: {received!r}")
    return {
        "what": "mail released at the moment of the cut",
        "turns": turns,
        "cut": outcomes["cut"],
        "mail_in_time": outcomes["mail"],
        "latest_mail_after_the_2xx_ms": round(max(0.0, latest) * 1000, 2),
    }


async def measure_edits(fleet: Fleet, gateway: Running, agent: Agent) -> list[dict[str, object]]:
    """A ban added and a flag set, with every phone holding the app."""
    for phone in fleet.phones:
        await agent.report(phone.login, phone.device_id, (*HARMLESS, "org.example.newlybanned"))
    await fleet.park(fleet.phones)
    rows = []
    matcher = {"kind": "id", "value": "org.example.newlybanned", "platform": "android"}
    ban = {"name": "New", "matchers": [matcher], "flag": "enforce"}
    async with gateway.api() as api:
        rows.append(await _edit(fleet, "ban added", api.post("/bans", json=ban)))
        (await api.put("/flags/bans/New", json={"flag": "report-only"})).raise_for_status()
        await fleet.park(fleet.phones)
        rows.append(await _edit(fleet, "flag set", api.put("/flags/bans/New", json={"flag": "enforce"})))
    return rows


async def _edit(fleet: Fleet, name: str, asking: Awaitable[httpx.Response]) -> dict[str, object]:
    answers = [fleet.expect(phone) for phone in fleet.phones]
    began = time.perf_counter()
    response = await asking
    answered_at = time.perf_counter()
    response.raise_for_status()
    await asyncio.wait_for(asyncio.gather(*answers), PATIENCE_SECONDS)
    for phone in fleet.phones:
        check_cut(phone)
    row = described(f"{name}: after the answer", [phone.answered_at - answered_at for phone in fleet.phones])
    last = max(phone.answered_at for phone in fleet.phones)
    return {**row, "from_request_to_last_cut_ms": round((last - began) * 1000, 1)}


async def one_gateway(args: argparse.Namespace, workers: int, *, edits: bool) -> list[dict[str, object]]:
    """Start everything and measure one kind."""
    tally = Tally()
    server, url = await mailbox(tally)
    limits = {"GATEPOST_HTTP__MAX_CONNECTIONS_PER_ADDRESS": "20000"}
    with tempfile.TemporaryDirectory(prefix="gatepost-cut-") as directory:
        async with running(Path(directory), url, workers=workers, environment=limits) as gateway:
            source = await gateway.gatepost("source", "add", "agents", "--kind", "push", "--devices", "*", "--json")
            agent = Agent(gateway.inventory, json.loads(source)["secret"])
            await gateway.gatepost("ban", "add", "TikTok", "--id", f"android:{TIKTOK}", "--flag", "enforce", "--yes")
            fleet = Fleet(gateway, agent, tally)
            await fleet.enrol(args.parked)
            rows = (
                await measure_edits(fleet, gateway, agent)
                if edits
                else [
                    *await measure_reports(fleet, args.turns, args.at_once),
                    await measure_released(fleet, tally, args.turns),
                ]
            )
            for phone in fleet.phones:
                phone.close()
            await agent.client.aclose()
    server.close()
    return [{"workers": workers, "parked": args.parked, **row} for row in rows]


async def main() -> None:
    """Print one row per measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parked", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=200)
    parser.add_argument("--only", choices=("reports", "edits"))
    args = parser.parse_args()
    wanted = [(1, False)] * (args.only != "edits") + [(2, True)] * (args.only != "reports")
    for workers, edits in wanted:
        for row in await one_gateway(args, workers, edits=edits):
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
