"""The gateway that faults happen to: started with fixed free ports, so that it can be killed and started again."""

import asyncio
import fcntl
import json
import os
import shutil
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO, cast

import httpx

from tests.support.running import ROOT, START_SECONDS, clean_environment, stop
from tests.system.processes import PROC, children_of

LAUNCH = Path(__file__).with_name("launch")
LONGEST_BACK_OFF_SECONDS = 0.3
"""In production 10 s: there a child that dies every few seconds is not to eat the machine."""


@dataclass(slots=True)
class GatewayUnderTest:
    """One gateway through all its starts."""

    directory: Path
    upstream: str
    workers: int = 2
    data_dir: Path = Path()
    more: str = ""
    """Further tables of the settings."""
    environment: Mapping[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    process: asyncio.subprocess.Process | None = None
    log: list[dict[str, object]] = field(default_factory=list)
    _counted: Counter[str] = field(default_factory=Counter)
    _follower: asyncio.Task[None] | None = None
    _ready: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, part: str) -> str:
        """Where a part listens: http, admin, inventory."""
        return f"http://127.0.0.1:{self.ports[part]}"

    @property
    def config(self) -> Path:
        """The settings file."""
        return self.directory / "gatepost.toml"

    def prepare(self) -> None:
        """Choose ports and write the settings."""
        if not self.data_dir.name:
            self.data_dir = self.directory / "var"
        self.data_dir.mkdir(parents=True, exist_ok=True)
        free = [socket.socket() for _ in range(3)]
        for each in free:
            each.bind(("127.0.0.1", 0))
        self.ports = dict(zip(("http", "admin", "inventory"), (each.getsockname()[1] for each in free), strict=True))
        for each in free:
            each.close()
        self.config.write_text(
            f'[gateway]\ndata_dir = "{self.data_dir}"\nworkers = {self.workers}\ndrain_seconds = 2.0\n'
            f'[http]\nlisten = "{self.url("http")}"\nupstream = "{self.upstream}"\n'
            f"[changes]\nsecond_person = false\n"
            f'[identity]\ndefault_domain = "corp.example"\n'
            f'[admin]\nlisten = "{self.url("admin")}"\n[inventory]\nlisten = "{self.url("inventory")}"\n{self.more}'
        )

    async def start(self) -> None:
        """Start it; returns when it is ready."""
        self._ready.clear()
        more = {
            "PYTHONPATH": f"{LAUNCH}{os.pathsep}{ROOT}",
            "FAULTS_LONGEST_BACK_OFF": str(LONGEST_BACK_OFF_SECONDS),
            **self.environment,
        }
        self.process = await asyncio.create_subprocess_exec(
            *(*_with_us(), sys.executable, "-m", "gateway.cli.main", "run", "--config", str(self.config)),
            stderr=asyncio.subprocess.PIPE,
            env=clean_environment(more),
            limit=2**20,
        )
        self._follower = asyncio.create_task(self._follow(self.process))
        async with asyncio.timeout(START_SECONDS):
            await self._ready.wait()

    async def _follow(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        with (self.directory / "gateway.log").open("a") as kept:
            async for line in process.stderr:
                self._take(line.decode(errors="replace"), kept)

    def _take(self, line: str, kept: TextIO) -> None:
        kept.write(line)
        kept.flush()
        try:
            entry = json.loads(line)
        except ValueError:
            entry = {"event": "not_json", "text": line}
        entry["heard_at"] = time.monotonic()
        self.log.append(entry)
        self._counted[str(entry["event"])] += 1
        del self.log[:-5000]
        if entry.get("event") == "ready":
            self._ready.set()

    def read_log(self, on: bool) -> None:
        """Read what it writes to standard error, or leave it in pipes that have room for a page each."""
        assert self.process is not None
        transport = cast("Any", self.process)._transport.get_pipe_transport(2)
        if on:
            transport.resume_reading()
            return
        transport.pause_reading()
        for link in (PROC / str(self.process.pid) / "fd").iterdir():
            with suppress(OSError):
                if os.readlink(link).startswith("pipe:"):
                    pipe = os.open(link, os.O_RDONLY | os.O_NONBLOCK)
                    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 4096)
                    os.close(pipe)

    def heard_since(self, moment: float) -> set[str]:
        """The kinds of log lines since then, in seconds of ``time.monotonic``; of the last thousands."""
        return {str(entry["event"]) for entry in self.log if float(str(entry["heard_at"])) >= moment}

    def count(self, event: str) -> int:
        """Log lines of a kind so far."""
        return self._counted[event]

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to the supervisor."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    async def stop(self) -> None:
        """End it as an operator does."""
        if self.process is not None:
            await stop(self.process)
        if self._follower is not None:
            await self._follower

    async def until_dead(self) -> None:
        """Wait for the end of the supervisor and all its children."""
        assert self.process is not None
        await self.process.wait()
        if self._follower is not None:
            # The children hold the other end of its standard error: it ends with the last of them.
            await asyncio.wait({self._follower}, timeout=5)

    def pids(self, kind: str) -> list[int]:
        """The children of a kind that live."""
        assert self.process is not None
        with suppress(OSError):
            return children_of(self.process.pid).get(kind, [])
        return []

    def use(self) -> dict[str, tuple[int, int]]:
        """(resident KiB, open files) by process: the supervisor's, and each child's."""
        assert self.process is not None
        found = {"supervisor": _use(self.process.pid)}
        for kind, pids in children_of(self.process.pid).items():
            for number, pid in enumerate(sorted(pids), 1):
                found[f"{kind}-{number}"] = _use(pid)
        return found

    def api(self) -> httpx.AsyncClient:
        """A client of the admin API."""
        token = (self.data_dir / "admin-token").read_text().strip()
        return httpx.AsyncClient(
            base_url=f"{self.url('admin')}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=10
        )


def _with_us() -> tuple[str, ...]:
    """Words that let a program end when the harness is killed."""
    return ("setpriv", "--pdeathsig", "TERM", "--") if shutil.which("setpriv") else ()


def _use(pid: int) -> tuple[int, int]:
    try:
        lines = PROC.joinpath(str(pid), "status").read_text().splitlines()
        resident = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
        return resident, len(os.listdir(PROC / str(pid) / "fd"))
    except (OSError, StopIteration):
        return 0, 0
