"""The kinds of site that faults need: what stands around the gateway differs."""

import os
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from tests.faults.cache_under_test import CacheUnderTest
from tests.faults.postgres_pair import postgres_pair
from tests.faults.site import Site, site
from tests.faults.wire import Wire
from tests.support.postgres_server import missing as no_postgres

SMALL_DISK_OCTETS = 24 << 20


@asynccontextmanager
async def plain(directory: Path, seed: int) -> AsyncIterator[Site]:
    """As shipped: SQLite, the embedded Valkey, two workers."""
    async with site(directory, seed) as running:
        yield running


@asynccontextmanager
async def cache(directory: Path, seed: int) -> AsyncIterator[Site]:
    """With a Valkey of its own that keeps a dump, reached by a wire that can be slow or cut."""
    server = CacheUnderTest(directory / "valkey")
    await server.start()
    wire = Wire(directory / "wire.sock", server.socket)
    await wire.open()
    try:
        async with site(directory, seed, more=f'[redis]\nurl = "unix://{wire.socket}"\n') as running:
            running.cache, running.wire = server, wire
            yield running
    finally:
        await wire.close()
        await server.kill()


@asynccontextmanager
async def postgres(directory: Path, seed: int) -> AsyncIterator[Site]:
    """With PostgreSQL and a synchronous standby, by a URL that names both."""
    with postgres_pair() as pair:
        for wire in pair.wires:
            await wire.open()
        try:
            async with site(directory, seed, more=f'[storage]\nurl = "{pair.url}"\n') as running:
                running.postgres = pair
                yield running
        finally:
            for wire in pair.wires:
                await wire.close()


@asynccontextmanager
async def clocks(directory: Path, seed: int) -> AsyncIterator[Site]:
    """Each kind of child has a wall clock that can be moved (``launch``); the monotonic one is the machine's."""
    files = directory / "clocks"
    set_clocks(files, 0.0)
    async with site(directory, seed, environment={"FAULTS_CLOCKS": str(files)}) as running:
        yield running


@asynccontextmanager
async def small_disk(directory: Path, seed: int) -> AsyncIterator[Site]:
    """``data_dir`` on a file system of its own of a few megabytes (tmpfs; needs root)."""
    disk = directory / "disk"
    _mount(disk)
    try:
        async with site(directory, seed, data_dir=disk / "var") as running:
            yield running
    finally:
        subprocess.run(("umount", str(disk)), check=True)  # noqa: ASYNC221


def set_clocks(files: Path, ahead_seconds: float, kinds: Sequence[str] = ("control", "worker")) -> None:
    """Let wall clocks be ahead by so much."""
    files.mkdir(parents=True, exist_ok=True)
    for kind in kinds:
        # In one go: it is read at every look at the clock.
        fresh = files / f".{kind}"
        fresh.write_text(str(ahead_seconds))
        fresh.replace(files / kind)


def _mount(disk: Path) -> None:
    disk.mkdir(parents=True, exist_ok=True)
    options = f"size={SMALL_DISK_OCTETS}"
    subprocess.run(("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)), check=True)


Ground = Callable[[Path, int], AbstractAsyncContextManager[Site]]

GROUNDS: dict[str, Ground] = {
    "plain": plain,
    "cache": cache,
    "small_disk": small_disk,
    "postgres": postgres,
    "clocks": clocks,
}


def missing(ground: str) -> str:
    """Why a kind of site cannot be had here; empty when it can."""
    if ground == "small_disk" and os.geteuid() != 0:
        return "a small file system can be mounted by root only"
    if ground == "postgres":
        return no_postgres()
    return ""
