"""The gateway as the demo's child: ``gatepost run`` with a configuration of its own, free ports, and its log in a file.

It leads a process group of its own, so that Ctrl-C reaches the demo, which ends it in order; should the demo be killed,
the kernel ends it too.
"""

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path

from gateway.admin.auth import TOKEN_FILE
from gateway.demo.values import DOMAIN, DemoFailed
from gateway.runtime.sockets import LISTENING_FILE
from gateway.storage.redis import die_with_parent

START_SECONDS = 60.0
STOP_SECONDS = 20.0
_LOOK_EVERY_SECONDS = 0.02
_SENTENCE_LONGEST = 300

_CONFIGURATION = """\
# A gateway for a demo: free ports on this machine, SQLite and the embedded cache in data_dir.
[gateway]
data_dir = {data_dir}
workers = {workers}
drain_seconds = 2.0
[http]
listen = ["http://127.0.0.1:0"]
upstream = [{upstream}]
[identity]
default_domain = "{domain}"
[admin]
listen = ["http://127.0.0.1:0"]
[inventory]
listen = ["http://127.0.0.1:0"]
[log]
format = "json"
{more}"""


class GatewayChild:
    """One gateway in one directory."""

    def __init__(self, directory: Path) -> None:
        self.config = directory / "gatepost.toml"
        self.log = directory / "gateway.log"
        self.data_dir = directory / "data"
        self.listening: dict[str, list[str]] = {}
        """URLs by part, once it is ready."""
        self.ended: asyncio.Task[int] | None = None
        """Its exit code."""
        self.workers = 1
        self.start_seconds = START_SECONDS
        self.more = ""
        """Further tables of its configuration."""
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Of its supervisor."""
        return self._process.pid if self._process is not None else 0

    @property
    def token(self) -> str:
        """The first administrator's token."""
        return (self.data_dir / TOKEN_FILE).read_text("utf-8").strip()

    def url(self, part: str) -> str:
        """Where a part listens."""
        return self.listening[part][0]

    async def start(self, upstream: str) -> float:
        """Start it in front of ``upstream``; seconds until it was ready. Raises ``DemoFailed``."""
        begun = time.monotonic()
        # A JSON string is a TOML string too.
        words = {"data_dir": json.dumps(str(self.data_dir)), "upstream": json.dumps(upstream), "domain": DOMAIN}
        words |= {"workers": str(self.workers), "more": self.more}
        self.config.write_text(_CONFIGURATION.format(**words), "utf-8")
        command = (sys.executable, "-m", "gateway.cli.main", "run", "--config", str(self.config))
        with self.log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, die_with_parent.__file__, str(os.getpid()), *command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={name: value for name, value in os.environ.items() if not name.startswith("GATEPOST_")},
                start_new_session=True,
            )
        self.ended = asyncio.create_task(self._process.wait())
        await self._until_ready(begun)
        return time.monotonic() - begun

    async def _until_ready(self, begun: float) -> None:
        assert self.ended is not None
        told = self.data_dir / LISTENING_FILE
        while not told.exists():
            if self.ended.done():
                raise DemoFailed(f"the gateway did not start: {self._last_words()}")
            if time.monotonic() - begun > self.start_seconds:
                raise DemoFailed(f"the gateway was not ready after {self.start_seconds:.0f} s: {self._last_words()}")
            await asyncio.wait({self.ended}, timeout=_LOOK_EVERY_SECONDS)
        self.listening = json.loads(told.read_text("utf-8"))

    async def stop(self) -> float:
        """End it in order; seconds that took. Raises ``DemoFailed`` when it does not end well."""
        if self._process is None or self.ended is None:
            return 0.0
        begun = time.monotonic()
        if not self.ended.done():
            self._process.send_signal(signal.SIGTERM)
        done, _ = await asyncio.wait({self.ended}, timeout=STOP_SECONDS)
        if not done:
            self._process.kill()
            await self.ended
            raise DemoFailed(f"the gateway did not end within {STOP_SECONDS:.0f} s and was killed")
        if self.ended.result() != 0:
            raise DemoFailed(f"the gateway ended with exit code {self.ended.result()}: {self._last_words()}")
        return time.monotonic() - begun

    def _last_words(self) -> str:
        """The last line of its log, as far as a person reads it."""
        lines = self.log.read_text("utf-8", "replace").strip().splitlines() or ["it wrote nothing"]
        return lines[-1].removeprefix("gatepost: ")[:_SENTENCE_LONGEST]
