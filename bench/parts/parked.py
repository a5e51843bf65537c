"""Memory per waiting phone, and what so many waiting phones cost per second while nothing happens; plain and TLS.

Each proxy is started afresh for it. Phones and mail server are processes of their own on the other core. Memory is what
is the proxy's own (Private_Dirty) after and before; records and sightings of the phones are there before.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack
from urllib.parse import urlsplit

import uvloop

from bench.figures import Outcome, Table
from bench.fleet import device_of, holds_banned, login_of
from bench.line_up import TITLES, Site, Target, site
from bench.machine import LOAD_CORE, Missing, cpu_seconds, on_core, private_kb, wait_for_quiet
from bench.mailbox import mailbox_process, parked_at
from bench.options import Options
from bench.phones import Phone, connect, seen_once

COMPARED = ("nginx", "haproxy", "aiohttp", "gatepost")
"""nginx with auth_request waits as nginx does; mitmproxy needs a thread's memory for each."""
AT_ONCE = 64
WITHIN_SECONDS = 180.0
IDLE_SECONDS = 10.0


def measure(options: Options) -> Outcome:
    """A row per proxy and scheme."""
    outcome, rows = Outcome(), []
    with on_core(LOAD_CORE):
        for name in options.targets or COMPARED:
            for scheme in options.schemes or ("plain", "tls"):
                try:
                    found = _one(name, scheme, options)
                except Missing as error:
                    rows.append((TITLES[name], scheme, str(error), "", "", ""))
                    continue
                rows.append(
                    (
                        TITLES[name],
                        scheme,
                        f"{options.parked:,}",
                        f"{found['base_mb']:.1f}",
                        f"{found['kb']:.2f}",
                        f"{found['idle_ms']:.2f}",
                    )
                )
                outcome.raw.append({"part": "parked", "target": name, "scheme": scheme, **found})
                if name == "gatepost":
                    outcome.measured[f"parked/{scheme}"] = found["kb"]
    columns = ("proxy", "scheme", "waiting", "before MB", "KB each", "CPU ms/s idle")
    outcome.show(Table("Waiting phones", columns, rows))
    return outcome


def _one(name: str, scheme: str, options: Options) -> dict[str, float]:
    with ExitStack() as stack:
        mailbox = stack.enter_context(mailbox_process())
        place = stack.enter_context(site(options.parked * 10 // 9 + 20, urlsplit(mailbox).port or 0))
        return uvloop.run(_parked(place, place.start(name), scheme, mailbox, options))


async def _parked(place: Site, target: Target, scheme: str, mailbox: str, options: Options) -> dict[str, float]:
    numbers = [each for each in range(place.people) if not holds_banned(each)][: options.parked]
    if target.gateway is not None:
        await seen_once(target.gateway.http, numbers)
        await asyncio.to_thread(wait_for_quiet, target.pids)
    before = private_kb(target.pids)
    phones = await park(target.url(scheme), numbers, place)
    try:
        await until_parked(mailbox, len(numbers))
        await asyncio.to_thread(wait_for_quiet, target.pids)
        after = private_kb(target.pids)
        idle = await _idle_cost(target.pids, 2.0 if options.quick else IDLE_SECONDS)
        if await parked_at(mailbox) != len(numbers):
            raise SystemExit(f"{target.title} did not keep all phones waiting")
    finally:
        for phone in phones:
            phone.close()
    return {"base_mb": before / 1024, "kb": (after - before) / len(numbers), "idle_ms": idle * 1e3}


async def _idle_cost(pids: Sequence[int], seconds: float) -> float:
    used, began = cpu_seconds(pids), time.perf_counter()
    await asyncio.sleep(seconds)
    return (cpu_seconds(pids) - used) / (time.perf_counter() - began)


async def park(url: str, numbers: Sequence[int], place: Site) -> list[Phone]:
    """Connect these phones and let each send a Ping."""
    waiting, phones = iter(numbers), list[Phone]()
    trust = place.certificate.client()

    async def some() -> None:
        for number in waiting:
            phone = await connect(url, login_of(number), device_of(number), lambda phone: None, trust)
            phone.ask()
            phones.append(phone)

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return phones


async def until_parked(mailbox: str, count: int) -> None:
    """Wait until so many are parked at the mailbox server."""
    async with asyncio.timeout(WITHIN_SECONDS):
        while await parked_at(mailbox) < count:  # noqa: ASYNC110  (another process)
            await asyncio.sleep(0.2)
