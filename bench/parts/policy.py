"""From applying an edit to the cuts, 10,000 waiting at 4 workers: a ban added, its flag taken back and set again.

An edit that cuts so many needs a second person, who has agreed before the clock starts.

Once a tenth of those who wait hold the app, as a fleet does, once all of them. Phones and mail server are processes of
their own on the same cores as the gateway: with two cores for seven processes the figures are an upper bound, the
phones' own work included.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx
import uvloop

from bench.figures import Outcome, Table, at_share
from bench.fleet import BANNED, device_of, holds_banned, login_of
from bench.gatepost import Gatepost, gatepost
from bench.line_up import Site, site
from bench.machine import cpu_seconds, on_core
from bench.mailbox import mailbox_process
from bench.options import Options
from bench.parts.parked import until_parked
from bench.phones import PING_CUT, Phone, connect, seen_once
from bench.second_person import approve, change_of

WORKERS = 4
PARKED = 10_000
PATIENCE_SECONDS = 120.0
EDITS = 5


@dataclass(frozen=True, slots=True)
class Edited:
    """One edit: seconds from its sending."""

    what: str
    answered: float
    cuts: list[float]
    cpu: float
    """Seconds that the workers used until the last cut."""


class Waiting(Phone):
    """A phone that does next to nothing when it is cut, since thousands are at once."""

    def data_received(self, data: bytes) -> None:
        """The answer comes in one piece; it is looked at later."""
        self.answered_at = time.perf_counter()
        self.answer = data
        self._answered(self)


def measure(options: Options) -> Outcome:
    """A row per edit."""
    parked = 100 if options.quick else PARKED
    outcome, rows = Outcome(), []
    for name, people, turning in (("policy/tenth", parked, parked // 10), ("policy/all", parked * 10, parked)):
        with on_core(None), mailbox_process() as mailbox, site(people, 0) as place:
            edits = uvloop.run(_measured(place, mailbox, people, parked - turning, 2 if options.quick else EDITS))
        for edit in edits:
            last = max(edit.cuts)
            shares = (at_share(edit.cuts, 0.5), at_share(edit.cuts, 0.99), last)
            times = (f"{each * 1000:.1f}" for each in (edit.answered, *shares))
            rows.append((edit.what, f"{len(edit.cuts):,}", *times, f"{edit.cpu / parked * 1e6:.0f}"))
            outcome.raw.append({"part": name, "what": edit.what, "answered": edit.answered, "last": last})
        outcome.measured[name] = statistics.median(max(edit.cuts) for edit in edits) * 1000
    columns = ("edit", "cut", "answered after ms", "p50 ms", "p99 ms", "last ms", "workers' CPU µs each of all")
    heading = f"Policy change, {WORKERS} workers, {parked:,} waiting, from applying it to the cuts"
    outcome.show(Table(heading, columns, rows))
    return outcome


async def _measured(place: Site, mailbox: str, people: int, clean: int, count: int) -> list[Edited]:
    from bench.fleet import fleet

    data_dir = place.directory / "var"
    await asyncio.to_thread(fleet, data_dir, people)
    holders = [number for number in range(people) if holds_banned(number)]
    others = [number for number in range(people) if not holds_banned(number)][:clean]
    with gatepost(None, data_dir, mailbox, place.certificate, workers=WORKERS) as gateway:
        await seen_once(gateway.http, [*holders, *others])
        crowd = Crowd(gateway, mailbox, len(holders))
        await crowd.connect([*holders, *others])
        await asyncio.to_thread(gateway.until_previews)
        edits = [await crowd.edit("ban added", crowd.add_ban)]
        for _ in range(count - 1):
            (await crowd.set_flag("report-only")).raise_for_status()
            edits.append(await crowd.edit("flag set", lambda: crowd.set_flag("enforce")))
        for phone in crowd.phones:
            phone.close()
        await crowd.client.aclose()
    return edits


class Crowd:
    """All the phones; the first ``turning`` of them are cut by an edit, the others wait on."""

    def __init__(self, gateway: Gatepost, mailbox: str, turning: int) -> None:
        self._turning = turning
        self._gateway = gateway
        self._mailbox = mailbox
        self._left = 0
        self._all_cut = asyncio.Event()
        self.phones: list[Phone] = []
        token = (gateway.data_dir / "admin-token").read_text().strip()
        self.client = httpx.AsyncClient(
            base_url=f"{gateway.admin}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=60
        )

    async def connect(self, numbers: list[int]) -> None:
        """Connect them all, spread over the workers by the kernel."""
        for number in numbers:
            phone = await connect(self._gateway.http, login_of(number), device_of(number), self._cut, kind=Waiting)
            self.phones.append(phone)
            phone.ask()

    def _cut(self, phone: Phone) -> None:
        self._left -= 1
        if not self._left:
            self._all_cut.set()

    async def edit(self, what: str, send: Callable[[], Awaitable[httpx.Response]]) -> Edited:
        """Park whoever does not wait, have the edit approved, apply it, and wait until all are cut."""
        for phone in self.phones:
            if phone.answered_at:
                phone.ask()
        await until_parked(self._mailbox, len(self.phones))
        cut = self.phones[: self._turning]
        self._left = len(cut)
        self._all_cut.clear()
        change = change_of(await send())
        if change is None:
            raise SystemExit(f"{what} needed no second person: it was in force before it could be measured")
        with self._gateway.api() as api:
            await asyncio.to_thread(approve, api, change)
        began, used = time.perf_counter(), cpu_seconds(self._gateway.workers)
        (await self.client.post(f"/changes/{change}/apply")).raise_for_status()
        answered = time.perf_counter() - began
        await asyncio.wait_for(self._all_cut.wait(), PATIENCE_SECONDS)
        for phone in cut:
            if not phone.answer.endswith(PING_CUT):
                raise SystemExit(f"{phone.login} was not cut properly: {phone.answer!r}")
        if any(phone.answered_at for phone in self.phones[self._turning :]):
            raise SystemExit("a phone without the app was cut as well")
        cpu = cpu_seconds(self._gateway.workers) - used
        return Edited(what, answered, [phone.answered_at - began for phone in cut], cpu)

    async def add_ban(self) -> httpx.Response:
        """Ban the app that they hold."""
        matcher = {"kind": "id", "value": BANNED, "platform": "android"}
        ban = {"name": "TikTok", "matchers": [matcher], "flag": "enforce"}
        return await self.client.post("/bans", json=ban)

    async def set_flag(self, flag: str) -> httpx.Response:
        """Enforce it or not."""
        return await self.client.put("/flags/bans/TikTok", json={"flag": flag})
