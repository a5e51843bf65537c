"""The whole of Gatepost as an operator runs it: a child process with its own data directory and ports of its choice."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0
STOP_SECONDS = 40.0


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that has said it is ready."""

    process: asyncio.subprocess.Process
    data_dir: Path
    config: Path
    environment: Mapping[str, str]
    listening: Mapping[str, list[str]]
    log: list[dict[str, object]]
    """Its log lines so far."""

    @property
    def http(self) -> str:
        """The URL phones come to."""
        return self.listening["http"][0]

    @property
    def inventory(self) -> str:
        """The URL reports go to."""
        return self.listening["inventory"][0]

    @property
    def admin(self) -> str:
        """The URL of the admin API."""
        return self.listening["admin"][0]

    @property
    def token(self) -> str:
        """The first administrator's token."""
        return (self.data_dir / "admin-token").read_text().strip()

    def api(self) -> httpx.AsyncClient:
        """A client of the admin API."""
        return httpx.AsyncClient(
            base_url=f"{self.admin}/api/v1", headers={"Authorization": f"Bearer {self.token}"}, timeout=30
        )

    async def gatepost(self, *words: str, expect: int = 0) -> str:
        """Run a ``gatepost`` command against it; its standard output."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway.cli.main",
            *words,
            "--config",
            str(self.config),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=clean_environment(self.environment),
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
        if process.returncode != expect:
            raise AssertionError(f"gatepost {' '.join(words)} ended with {process.returncode}: {err.decode()}")
        return out.decode() if expect == 0 else err.decode()


def clean_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without settings of Gatepost."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GATEPOST_")}
    return {**kept, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", **(more or {})}


def configuration(data_dir: Path, upstream: str, workers: int = 1, more: str = "") -> str:
    """A configuration file with free ports for everything; what a test sets up is one person's doing."""
    return f"""
[changes]
second_person = false
[gateway]
data_dir = "{data_dir}"
workers = {workers}
[http]
listen = ["http://127.0.0.1:0"]
upstream = ["{upstream}"]
[admin]
listen = ["http://127.0.0.1:0"]
[health]
listen = []
[inventory]
listen = ["http://127.0.0.1:0"]
{more}
"""


@asynccontextmanager
async def running(
    directory: Path,
    upstream: str,
    *,
    workers: int = 1,
    more: str = "",
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> AsyncIterator[Running]:
    """Start a gateway in ``directory`` in front of ``upstream``; it is ready inside, and ended after."""
    data_dir, config = directory / "var", directory / "gatepost.toml"
    data_dir.mkdir(exist_ok=True)
    config.write_text(configuration(data_dir, upstream, workers, more))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway.cli.main",
        "run",
        "--config",
        str(config),
        stderr=asyncio.subprocess.PIPE,
        env=clean_environment(environment),
        cwd=cwd,
        limit=2**20,
    )
    log: list[dict[str, object]] = []
    ready = asyncio.Event()
    reader = asyncio.create_task(_read_log(process, log, ready))
    try:
        await _until_ready(process, ready, log)
        listening = json.loads((data_dir / "listening.json").read_text())
        yield Running(process, data_dir, config, environment or {}, listening, log)
    finally:
        await stop(process)
        await reader


async def stop(process: asyncio.subprocess.Process) -> None:
    """End a gateway as an operator does, and wait for it."""
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise


async def _until_ready(process: asyncio.subprocess.Process, ready: asyncio.Event, log: list[dict[str, object]]) -> None:
    waits = {asyncio.create_task(ready.wait()), asyncio.create_task(process.wait())}
    done, pending = await asyncio.wait(waits, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    if not ready.is_set():
        raise AssertionError(f"the gateway did not get ready ({'ended' if done else 'time-out'}): {log[-12:]}")


async def _read_log(process: asyncio.subprocess.Process, log: list[dict[str, object]], ready: asyncio.Event) -> None:
    assert process.stderr is not None
    async for line in process.stderr:
        try:
            entry = json.loads(line)
        except ValueError:
            entry = {"event": "not_json", "text": line.decode(errors="replace")}
        log.append(entry)
        if entry.get("event") == "ready":
            ready.set()
