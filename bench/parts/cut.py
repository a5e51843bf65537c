"""From the 2xx of a report to the last octet of Status 7 at the phone, with 1 to 4 workers; and mail at that moment.

Everything is real: ``gatepost run`` with its embedded cache and SQLite, signed reports by HTTP, phones on their own
connections. A cut before the 2xx was back counts as 0. Nothing is kept to a core: all of it shares the machine.
"""

import asyncio
import json
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import uvloop

from bench.figures import Outcome, Table, at_share
from bench.mailbox import Tally, mailbox
from bench.options import Options
from bench.turning import PATIENCE_SECONDS, TurningPhones
from tests.support.reporting import TIKTOK, Agent
from tests.support.running import running

PARKED = 1_000
TURNS = 300
AT_ONCE = 200
SYNC = bytes.fromhex("03016a00455c4f4b033000015203350001010101")
SYNC_CUT = bytes.fromhex("03016a00454e033132000101")
"""Sync Status 12: the folder hierarchy has changed ([MS-ASCMD] 2.2.3.177.17)."""
MAIL = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.ms-sync.wbxml\r\nContent-Length: 4\r\n\r\nMAIL"


def measure(options: Options) -> Outcome:
    """Three rows for each number of workers."""
    outcome, rows = Outcome(), []
    parked, turns = (50, 20) if options.quick else (PARKED, TURNS)
    for workers in options.workers:
        found, mail = uvloop.run(_one(workers, parked, turns))
        rows += [(str(workers), f"{parked:,}", *_row(name, seconds)) for name, seconds in found.items()]
        outcome.raw.append({"part": "cut", "workers": workers, "parked": parked, "mail": mail, **found})
        if workers == max(options.workers):
            worst = max(at_share(seconds, 0.99) for seconds in found.values())
            outcome.measured["cut/p99"] = max(0.0, worst) * 1000
            note = "Mail released by the mail server around the 2xx: " + json.dumps(mail)
    columns = ("workers", "parked", "what", "turns", "p50 ms", "p99 ms", "longest ms", "before the 2xx")
    outcome.show(Table("From the 2xx of a report to the cut", columns, rows, note))
    return outcome


def _row(name: str, seconds: Sequence[float]) -> tuple[str, ...]:
    shares = (f"{max(0.0, at_share(seconds, share)) * 1000:.2f}" for share in (0.5, 0.99, 1.0))
    return (name, f"{len(seconds):,}", *shares, f"{sum(each < 0 for each in seconds)}")


async def measure_reports(phones: TurningPhones, turns: int, at_once: int) -> dict[str, list[float]]:
    """One after the other, then many at once."""
    await phones.park(phones.phones)
    singles = []
    for number in range(turns):
        phone = phones.phones[number % len(phones.phones)]
        singles.append(await phones.turn(phone))
        await phones.recover(phone)
        await phones.park([phone])
    many = await asyncio.gather(*(phones.turn(phone) for phone in phones.phones[:at_once]))
    return {"one after the other": singles, f"{at_once} at once": list(many)}


async def measure_released(phones: TurningPhones, tally: Tally, turns: int) -> dict[str, object]:
    """Mail that the mailbox server releases at the very moment of the cut: it is there in time, or it never comes."""
    outcomes: Counter[str] = Counter()
    latest, usual_seconds = 0.0, 0.02
    for number in range(turns):
        phone = await phones.connected_anew(number % len(phones.phones))
        # Not by their number: the connection before may be counted still.
        reached, answered = tally.next_of(phone.login), phones.expect(phone)
        phone.ask("Sync", SYNC)
        await asyncio.wait_for(reached, PATIENCE_SECONDS)
        # From when the report is sent until twice as long as a cut takes after that.
        at, began = number % 97 / 97 * 2 * usual_seconds, time.perf_counter()
        asyncio.get_running_loop().call_later(at, tally.waiting[phone.login].release, MAIL)
        await phones.turn(phone, answered, check=False)
        received = phone.answer
        await asyncio.sleep(0.02)
        if phone.answer != received:
            raise SystemExit(f"{phone.login} got something behind its answer: {phone.answer!r}")
        if received.endswith(b"MAIL"):
            outcomes["mail"] += 1
            latest = max(latest, phone.answered_at - phones.acknowledged_at)
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


async def _one(workers: int, parked: int, turns: int) -> tuple[dict[str, list[float]], dict[str, object]]:
    tally = Tally()
    server, url = await mailbox(tally)
    limits = {"GATEPOST_HTTP__MAX_CONNECTIONS_PER_ADDRESS": "20000"}
    with tempfile.TemporaryDirectory(prefix="gatepost-cut-") as directory:
        async with running(Path(directory), url, workers=workers, environment=limits) as gateway:
            source = await gateway.gatepost("source", "add", "agents", "--kind", "push", "--devices", "*", "--json")
            agent = Agent(gateway.inventory, json.loads(source)["secret"])
            await gateway.gatepost("ban", "add", "TikTok", "--id", f"android:{TIKTOK}", "--flag", "enforce", "--yes")
            phones = TurningPhones(gateway, agent, tally)
            await phones.enrol(parked)
            found = await measure_reports(phones, turns, min(AT_ONCE, parked))
            mail = await measure_released(phones, tally, turns)
            for phone in phones.phones:
                phone.close()
            await agent.client.aclose()
    server.close()
    return found, mail
