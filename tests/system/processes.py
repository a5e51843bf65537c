"""Processes of a gateway one by one: roles started alone, children by what they are, a cache server beside them."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from gateway.storage.redis import find_binary
from tests.support.running import START_SECONDS, clean_environment, stop

PROC = Path("/proc")


def children_of(pid: int) -> dict[str, list[int]]:
    """The children of a supervisor by kind: worker, control, health, cache."""
    found: dict[str, list[int]] = {}
    for child in PROC.joinpath(f"{pid}/task/{pid}/children").read_text().split():
        try:
            words = PROC.joinpath(child, "cmdline").read_bytes().split(b"\0")
        except OSError:
            # It has just ended.
            continue
        if kind := _kind(words):
            found.setdefault(kind, []).append(int(child))
    return found


def _kind(words: Sequence[bytes]) -> str:
    """What a process is by its words; empty for one that is just beginning or ending."""
    if b"gateway.app.child" in words:
        return words[words.index(b"gateway.app.child") + 1].decode()
    return "cache" if any(b"valkey-server" in word or b"redis-server" in word for word in words) else ""


async def until_gone(pid: int) -> None:
    """Wait until a process that was killed is no more, or waits for nothing but its burial."""
    async with asyncio.timeout(20):
        while True:
            try:
                state = PROC.joinpath(str(pid), "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                return
            if state == "Z":
                return
            await asyncio.sleep(0.01)


@dataclass(slots=True)
class Role:
    """One ``gatepost run --role …``, which is ready."""

    process: asyncio.subprocess.Process
    log: list[dict[str, object]] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def events(self, name: str) -> list[dict[str, object]]:
        """Its log lines of a kind."""
        return [entry for entry in self.log if entry["event"] == name]

    def url(self, part: str) -> str:
        """Where a part listens."""
        urls = self.events("listening")[-1][part]
        assert isinstance(urls, list)
        return str(urls[0])

    async def until(self, event: str, count: int = 1) -> None:
        """Wait for so many log lines of a kind."""
        async with asyncio.timeout(START_SECONDS):
            while len(self.events(event)) < count:
                self._news.clear()
                await self._news.wait()

    async def follow(self) -> None:
        """Read its log to the end."""
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            try:
                self.log.append(json.loads(line))
            except ValueError:
                self.log.append({"event": "not_json", "text": line.decode(errors="replace")})
            self._news.set()


@asynccontextmanager
async def role(name: str, config: Path, **environment: str) -> AsyncIterator[Role]:
    """Start one role; whoever waits for it to be ready says so (``until``). It is ended after."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.cli.main", "run", "--role", name, "--config", str(config)),
        stderr=asyncio.subprocess.PIPE,
        env=clean_environment(environment),
        limit=2**20,
    )
    started = Role(process)
    follower = asyncio.create_task(started.follow())
    try:
        yield started
    finally:
        await stop(process)
        await follower


class CacheServer:
    """A Valkey of one's own, on a unix socket, that keeps nothing."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.socket = directory / "cache.sock"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """As ``[redis] url`` has it."""
        return f"unix://{self.socket}"

    async def start(self) -> None:
        """Start it; returns when it answers."""
        settings = {"port": "0", "unixsocket": str(self.socket), "dir": str(self._directory), "save": ""}
        self._process = await asyncio.create_subprocess_exec(
            str(find_binary()),
            *(word for name, value in settings.items() for word in (f"--{name}", value)),
            stdout=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(20):
            while await self.ask("PING") != b"+PONG":  # noqa: ASYNC110  (another program's socket)
                await asyncio.sleep(0.01)

    async def ask(self, command: str) -> bytes:
        """The first line of its answer; nothing where it does not run."""
        try:
            reader, writer = await asyncio.open_unix_connection(str(self.socket))
        except OSError:
            return b""
        writer.write(f"{command}\r\n".encode())
        line = await reader.readline()
        writer.close()
        return line.strip()

    async def kill(self) -> None:
        """End it as a machine's loss of power does."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            self._process = None


@asynccontextmanager
async def cache_server(directory: Path) -> AsyncIterator[CacheServer]:
    """A cache server that runs."""
    server = CacheServer(directory)
    await server.start()
    try:
        yield server
    finally:
        await server.kill()


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to a process that a test's gateway started."""
    os.kill(pid, number)
