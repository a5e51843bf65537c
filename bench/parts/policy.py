"""From applying an edit to the cuts, 10,000 waiting: a ban added, its flag taken back and set again; then a withdrawal.

An edit that cuts so many needs a second person, who has agreed before the clock starts. A tenth, 12 % or all of those
who wait hold the app. Withdrawn is the last of the edits: phones that were cut ask again, spread over a second, until
they are let in, so that the last refusal says from when on nobody is refused any more.

Phones and mail server are processes of their own on the same cores as the gateway: with two cores for seven processes
the figures are an upper bound, the phones' own work included.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
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
from bench.phones import FOLDER_SYNC, PING_CUT, Phone, connect, seen_once
from bench.second_person import approve, change_of

PARKED = 10_000
PATIENCE_SECONDS = 120.0
EDITS = 5
ASKS_PER_SECOND = 1_200.0
"""Of phones that were cut and ask again; many more would keep two cores busy with refusals."""
ASK_AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """How many of those who wait turn, at how many workers."""

    name: str
    percent: int
    workers: int


SCENARIOS = (
    Scenario("tenth", 10, 4),
    Scenario("twelve", 12, 2),
    Scenario("twelve", 12, 4),
    Scenario("all", 100, 4),
)


@dataclass(frozen=True, slots=True)
class Edited:
    """One edit: seconds from its sending."""

    what: str
    answered: float
    cuts: list[float]
    cpu: float
    """Seconds that the workers used until the last cut."""


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """One withdrawal: seconds from its sending."""

    answered: float
    refused: list[float]
    """When each ask was sent that was still refused."""
    let_in: list[float]
    """When each phone had the answer that lets it in."""
    slowest: float
    """The longest that an answer which lets in took."""
    parked: float
    """When all waited for mail again."""


class Waiting(Phone):
    """A phone that does next to nothing when it is cut, since thousands are at once."""

    def data_received(self, data: bytes) -> None:
        """The answer comes in one piece; it is looked at later."""
        self.answered_at = time.perf_counter()
        self.answer = data
        self._answered(self)


def measure(options: Options) -> Outcome:
    """A row per edit, and one per withdrawal. ``options.targets``: some of tenth, twelve, all."""
    parked = 100 if options.quick else PARKED
    outcome, rows, back = Outcome(), [], []
    for scenario in SCENARIOS:
        if options.targets and scenario.name not in options.targets:
            continue
        turning = parked * scenario.percent // 100
        title = f"{scenario.workers} workers, {turning:,} turn"
        with on_core(None), mailbox_process() as mailbox, site(turning * 10, 0) as place:
            work = _measured(place, mailbox, scenario, parked - turning, 2 if options.quick else EDITS)
            edits, withdrawn = uvloop.run(work)
        rows += [_row(title, edit, parked) for edit in edits]
        back.append(_row_back(title, withdrawn))
        _keep(outcome, scenario, edits, withdrawn)
    columns = (
        "workers",
        "edit",
        "cut",
        "answered after ms",
        "p50 ms",
        "p99 ms",
        "last ms",
        "workers' CPU µs each of all",
    )
    outcome.show(Table(f"Policy change, {parked:,} waiting, from applying it to the cuts", columns, rows))
    headings = (
        "workers",
        "answered after ms",
        "refused meanwhile",
        "last refusal asked after ms",
        "slowest let in ms",
        "all wait again s",
    )
    outcome.show(
        Table("Withdrawal, from its sending; phones that were cut ask again until they are let in", headings, back)
    )
    return outcome


def _row(title: str, edit: Edited, parked: int) -> tuple[str, ...]:
    shares = (at_share(edit.cuts, 0.5), at_share(edit.cuts, 0.99), max(edit.cuts))
    times = (f"{each * 1000:.1f}" for each in (edit.answered, *shares))
    return title, edit.what, f"{len(edit.cuts):,}", *times, f"{edit.cpu / parked * 1e6:.0f}"


def _row_back(title: str, found: Withdrawn) -> tuple[str, ...]:
    last = max(found.refused, default=0.0)
    times = (f"{each * 1000:.1f}" for each in (last, found.slowest))
    return title, f"{found.answered * 1000:.1f}", f"{len(found.refused):,}", *times, f"{found.parked:.1f}"


def _keep(outcome: Outcome, scenario: Scenario, edits: Sequence[Edited], withdrawn: Withdrawn) -> None:
    name = f"policy/{scenario.name}" if scenario.name != "twelve" else f"policy/twelve/{scenario.workers}"
    outcome.measured[name] = statistics.median(max(edit.cuts) for edit in edits) * 1000
    outcome.measured[f"{name}/withdrawn"] = max(withdrawn.refused, default=0.0) * 1000
    for edit in edits:
        last = max(edit.cuts)
        outcome.raw.append({"part": name, "what": edit.what, "answered": edit.answered, "last": last})
    outcome.raw.append(
        {
            "part": name,
            "what": "withdrawn",
            "answered": withdrawn.answered,
            "refused": withdrawn.refused,
            "let_in": withdrawn.let_in,
        }
    )


async def _measured(
    place: Site, mailbox: str, scenario: Scenario, clean: int, count: int
) -> tuple[list[Edited], Withdrawn]:
    from bench.fleet import fleet

    data_dir = place.directory / "var"
    await asyncio.to_thread(fleet, data_dir, place.people)
    holders = [number for number in range(place.people) if holds_banned(number)]
    others = [number for number in range(place.people) if not holds_banned(number)][:clean]
    with gatepost(None, data_dir, mailbox, place.certificate, workers=scenario.workers) as gateway:
        await seen_once(gateway.http, [*holders, *others])
        crowd = Crowd(gateway, mailbox, len(holders))
        await crowd.connect([*holders, *others])
        await asyncio.to_thread(gateway.until_previews)
        edits = [await crowd.edit("ban added", crowd.add_ban)]
        for _ in range(count - 1):
            (await crowd.set_flag("report-only")).raise_for_status()
            edits.append(await crowd.edit("flag set", lambda: crowd.set_flag("enforce")))
        withdrawn = await crowd.withdraw()
        for phone in crowd.phones:
            phone.close()
        await crowd.client.aclose()
    return edits, withdrawn


class Crowd:
    """All the phones; the first ``turning`` of them are cut by an edit, the others wait on."""

    def __init__(self, gateway: Gatepost, mailbox: str, turning: int) -> None:
        self._turning = turning
        self._gateway = gateway
        self._mailbox = mailbox
        self._left = 0
        self._all_cut = asyncio.Event()
        self._asking: dict[Phone, asyncio.Future[None]] = {}
        self._change = 0
        """The last one that was applied."""
        self.phones: list[Phone] = []
        token = (gateway.data_dir / "admin-token").read_text().strip()
        self.client = httpx.AsyncClient(
            base_url=f"{gateway.admin}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=60
        )

    async def connect(self, numbers: list[int]) -> None:
        """Connect them all, spread over the workers by the kernel."""
        for number in numbers:
            phone = await connect(self._gateway.http, login_of(number), device_of(number), self._answered, kind=Waiting)
            self.phones.append(phone)
            phone.ask()

    def _answered(self, phone: Phone) -> None:
        asking = self._asking.get(phone)
        if asking is not None:
            if not asking.done():
                asking.set_result(None)
            return
        self._left -= 1
        if not self._left:
            self._all_cut.set()

    async def _park_again(self) -> None:
        for phone in self.phones:
            if phone.answered_at:
                phone.ask()
        await until_parked(self._mailbox, len(self.phones))

    async def edit(self, what: str, send: Callable[[], Awaitable[httpx.Response]]) -> Edited:
        """Park whoever does not wait, have the edit approved, apply it, and wait until all are cut."""
        await self._park_again()
        cut = self.phones[: self._turning]
        self._left = len(cut)
        self._all_cut.clear()
        change = change_of(await send())
        if change is None:
            raise SystemExit(f"{what} needed no second person: it was in force before it could be measured")
        self._change = change
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

    async def withdraw(self) -> Withdrawn:
        """Take the last edit back while everybody who was cut asks again; then all wait for mail again."""
        cut, refused = self.phones[: self._turning], list[float]()
        began = time.perf_counter()
        asks = [
            asyncio.ensure_future(self._until_let_in(phone, began, number / ASKS_PER_SECOND, refused))
            for number, phone in enumerate(cut)
        ]
        body = {"reason": "sent in error"}
        (await self.client.post(f"/changes/{self._change}/withdraw", json=body)).raise_for_status()
        answered = time.perf_counter() - began
        found = await asyncio.wait_for(asyncio.gather(*asks), PATIENCE_SECONDS)
        self._asking.clear()
        await self._park_again()
        let_in = [at - began for at, _ in found]
        return Withdrawn(answered, refused, let_in, max(took for _, took in found), time.perf_counter() - began)

    async def _until_let_in(
        self, phone: Phone, began: float, first_after: float, refused: list[float]
    ) -> tuple[float, float]:
        """When it was let in, and how long that answer took; each ask that is refused is noted."""
        await asyncio.sleep(first_after)
        while True:
            self._asking[phone] = asyncio.get_running_loop().create_future()
            sent = time.perf_counter()
            phone.ask("FolderSync", FOLDER_SYNC)
            await self._asking[phone]
            if not phone.answer.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"{phone.login} was answered {phone.answer[:200]!r}")
            if phone.answer.endswith(b"\r\n\r\n"):
                # The mail server's own answer is an empty one; a refusal has a body.
                return phone.answered_at, phone.answered_at - sent
            refused.append(sent - began)
            await asyncio.sleep(ASK_AGAIN_SECONDS)

    async def add_ban(self) -> httpx.Response:
        """Ban the app that they hold."""
        matcher = {"kind": "id", "value": BANNED, "platform": "android"}
        ban = {"name": "TikTok", "matchers": [matcher], "flag": "enforce"}
        return await self.client.post("/bans", json=ban)

    async def set_flag(self, flag: str) -> httpx.Response:
        """Enforce it or not."""
        return await self.client.put("/flags/bans/TikTok", json={"flag": flag})
