"""Everything of the story that runs: fleet on disk, mail server, gateway, phones, operators; set up and taken down."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from gateway.app.parts import DATABASE_FILE, INDEX_FILE
from gateway.demo.children import child, first_line
from gateway.demo.control import Agent, InstalledApp
from gateway.demo.phone import Phone
from gateway.demo.sent_in_error.crowd import Crowd
from gateway.demo.sent_in_error.fleet import Device, device_id_of, fleet_of, login_of
from gateway.demo.sent_in_error.operators import Operator
from gateway.demo.sent_in_error.post_office import Mailboxes
from gateway.demo.stage import Stage
from gateway.demo.values import DemoFailed
from gateway.inventory.sources.push.secrets import new_secret

T = TypeVar("T")
Tick = Callable[[str, int, int], None]

LONG_SECONDS = 7_200.0
"""For what takes minutes with a large fleet on a slow machine."""
LOOK_EVERY_SECONDS = 0.05
LOOK_AT_MANY_EVERY_SECONDS = 0.5
"""Looking costs as well."""
MANY = 50_000
SECOND_PERSON = "the second person"

_NOTICES = """\
[notices]
sender = "it@demo.example"
server = "smtp://127.0.0.1:{port}"
connections = 4
per_second = 1000.0
hold_seconds = {hold}
first_batch = {first_batch}
batch_seconds = 86400.0
tell = "never"
ask = "call the service desk, 2222"
elsewhere = "webmail on your computer"
"""


@dataclass(frozen=True, slots=True)
class Scale:
    """How large the story is told."""

    people: int
    phones: int
    """That hold the banned app and wait for mail."""
    staying: int
    """That do not hold it."""
    first_batch: int
    hold_seconds: float
    workers: int
    sample: int
    """People for whom the index is held against the decision."""
    still_seconds: float
    """So long nothing more may arrive before what arrived is counted as all."""

    @classmethod
    def of(cls, people: int) -> "Scale":
        """As much as a fleet of that size gives."""
        if people >= MANY:
            return cls(people, 240, 60, 500, 10.0, 2, 1_000, 5.0)
        return cls(people, min(240, people // 50), min(60, people // 200), min(500, people // 40), 1.0, 1, 200, 1.0)


class Scene:
    """To be used with ``async with``, which takes everything down."""

    def __init__(self, directory: Path, scale: Scale, tick: Tick) -> None:
        self.scale = scale
        self.tick = tick
        self.now = time.time()
        self.fleet = fleet_of(scale.people, self.now)
        self._turning = self.fleet.phones(scale.phones, holding=True)
        self._staying = self.fleet.phones(scale.staying, holding=False)
        users = [login_of(number) for number, _ in (*self._turning, *self._staying)]
        self.stage = Stage(directory, users)
        self.stage.gateway.workers = scale.workers
        self.stage.gateway.start_seconds = 300.0
        self.mailboxes = Mailboxes(directory / "mailboxes")
        self.crowd: Crowd | None = None
        self._secret = new_secret()
        self._office: asyncio.subprocess.Process | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self.mailboxes.directory.mkdir()
        await self._stack.enter_async_context(self.stage)
        office = child("gateway.demo.sent_in_error.post_office", str(self.mailboxes.directory))
        self._office = await self._stack.enter_async_context(office)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.hang_up()
        await self._stack.aclose()

    async def hang_up(self) -> None:
        """Close every phone's connection."""
        if self.crowd is not None:
            await self.crowd.end()

    # --- setting up

    async def write_fleet(self) -> int:
        """Fleet and index, by a process of its own; the size of the database in octets. Raises ``DemoFailed``."""
        data_dir = self.stage.gateway.data_dir
        database = data_dir / DATABASE_FILE
        words = (str(database), str(data_dir / INDEX_FILE), str(self.scale.people), repr(self.now))
        async with child("gateway.demo.sent_in_error.writing", *words) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{self._secret}\n".encode())
            async for line in process.stdout:
                what, done, whole = json.loads(line)
                self.tick(f"writing: {what.replace('_', ' ')}", done, whole)
            if await process.wait():
                raise DemoFailed(f"the fleet could not be written into {data_dir}: is there room?")
        return database.stat().st_size

    async def start_gateway(self) -> float:
        """The mail server for notices, and the gateway; seconds until it was ready. Raises ``DemoFailed``."""
        assert self._office is not None
        port = await first_line(self._office, "the mail server for notices", 60.0)
        told = {"port": port, "hold": self.scale.hold_seconds, "first_batch": self.scale.first_batch}
        self.stage.gateway.more = _NOTICES.format(**told)
        return await self.stage.gateway.start(self.stage.mailbox.url)

    async def operator(self, token: str = "") -> Operator:
        """Somebody at the desk; without a token whoever holds that of the first start."""
        gateway = self.stage.gateway
        operator = Operator(gateway.url("admin"), token or gateway.token, LONG_SECONDS)
        self._stack.push_async_callback(operator.close)
        return operator

    async def reports(self) -> tuple[int, float]:
        """The crowd's phones report what they hold, signed; how many, and how many seconds that took."""
        agent, turn = Agent(self.stage.gateway.url("inventory"), self._secret), asyncio.Semaphore(8)

        async def one(number: int, device: Device) -> None:
            async with turn:
                apps = [InstalledApp(app.id, app.name) for app in device.apps]
                await agent.report(login_of(number), device_id_of(number, device.letter), apps)

        begun, wanted = time.monotonic(), [*self._turning, *self._staying]
        try:
            await asyncio.gather(*(one(*each) for each in wanted))
        finally:
            await agent.close()
        return len(wanted), time.monotonic() - begun

    async def gather_crowd(self) -> Crowd:
        """Phones on sockets, each with its folders, all waiting for mail. Raises ``DemoFailed``."""
        crowd = Crowd(self._phones(self._turning), self._phones(self._staying))
        self.crowd = crowd
        await crowd.begin()
        crowd.park(crowd.phones)
        await self.stage.mailbox.until_parked(len(crowd.phones))
        return crowd

    def _phones(self, wanted: Iterable[tuple[int, Device]]) -> list[Phone]:
        url, password = self.stage.gateway.url("http"), self.stage.account.password
        return [
            Phone(url, login_of(number), password, device_id_of(number, device.letter)) for number, device in wanted
        ]

    # --- waiting

    async def during(self, work: Awaitable[T], doing: str, seconds: float = LONG_SECONDS) -> T:
        """What comes of ``work``. Raises ``DemoFailed`` when it fails, takes too long, or the gateway ends first."""
        return await self.stage.during(work, doing, seconds)

    async def until(self, looked: Callable[[], Awaitable[bool]], doing: str, seconds: float = LONG_SECONDS) -> None:
        """Look again and again until it is so. Raises ``DemoFailed``."""

        every = LOOK_AT_MANY_EVERY_SECONDS if self.scale.people >= MANY else LOOK_EVERY_SECONDS

        async def waiting() -> None:
            while not await looked():  # noqa: ASYNC110  (what is looked at is another process)
                await asyncio.sleep(every)

        await self.during(waiting(), doing, seconds)

    def memory_mb(self) -> dict[str, int]:
        """Of the gateway's processes, by what they are: memory that is resident (Linux; elsewhere nothing)."""
        if sys.platform != "linux":
            return {}
        found: dict[str, int] = {}
        for pid in _below(self.stage.gateway.pid):
            name, resident = _process(pid)
            found[name] = found.get(name, 0) + resident
        return found


def _below(pid: int) -> list[int]:
    """A process with all that it has begun."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *(each for one in children for each in _below(int(one)))]


def _process(pid: int) -> tuple[str, int]:
    """What a process of the gateway is, and its resident memory in MB."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return "", 0
    sizes: dict[str, Any] = {line.split(":")[0]: line.split()[1] for line in status if line.startswith("VmRSS")}
    name = words[-1] if words[-1] in ("worker", "control") else "supervisor and cache"
    return name, int(sizes.get("VmRSS", 0)) // 1024
