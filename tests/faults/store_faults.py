"""The SQLite file: locked by another program, on a full disk, not writable, replaced by an older copy."""

import asyncio
import random
import resource
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

from gateway.storage.sql.sqlite import BUSY_SECONDS
from tests.faults.fault import fault
from tests.faults.site import Site
from tests.system.processes import kill


def _database(site: Site) -> Path:
    return site.gateway.data_dir / "gatepost.db"


@fault(told_by="report_not_stored sightings_not_stored")
async def database_locked(site: Site, rng: random.Random) -> None:
    """Another program holds the write lock for longer than anybody waits for it."""
    with closing(sqlite3.connect(_database(site), timeout=20, isolation_level=None)) as other:
        for _ in range(2000):
            with suppress(sqlite3.OperationalError):
                other.execute("PRAGMA busy_timeout=10")
                other.execute("BEGIN IMMEDIATE")
                break
            await asyncio.sleep(0.001)
        assert other.in_transaction
        await asyncio.sleep(BUSY_SECONDS + 1.5)
        other.execute("ROLLBACK")


@fault("small_disk", short=True, told_by="report_not_stored sightings_not_stored")
async def disk_full(site: Site, rng: random.Random) -> None:
    """Not an octet of room on the file system that holds ``data_dir`` (a small tmpfs)."""
    ballast = site.gateway.data_dir.parent / "ballast"
    # Else the write-ahead log may have room left within the octets that it occupies already.
    with closing(sqlite3.connect(_database(site), timeout=10)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    try:
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(b"\0" * 65536):
                pass
        with ballast.open("ab", buffering=0) as file, suppress(OSError):
            while file.write(b"\0" * 512):
                pass
        await asyncio.sleep(rng.uniform(2.0, 4.0))
    finally:
        ballast.unlink()


@fault(told_by="report_not_stored sightings_not_stored")
async def file_size_limit(site: Site, rng: random.Random) -> None:
    """RLIMIT_FSIZE of the control process: its write-ahead log may not grow by an octet."""
    (pid,) = site.gateway.pids("control")
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        await asyncio.sleep(rng.uniform(2.0, 4.0))
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@fault("small_disk", told_by="child_failed")
async def database_read_only(site: Site, rng: random.Random) -> None:
    """No file may be opened for writing (the immutable flag), as the control process begins anew."""
    files = [str(path) for path in site.gateway.data_dir.glob("gatepost.db*")]
    failed = site.gateway.count("child_failed")
    (pid,) = site.gateway.pids("control")
    kill(pid)
    await _flagged("+i", *files)
    try:
        async with asyncio.timeout(20):
            while site.gateway.count("child_failed") == failed:  # noqa: ASYNC110  (another process)
                await asyncio.sleep(0.05)
        await asyncio.sleep(rng.uniform(0.0, 2.0))
    finally:
        await _flagged("-i", *files)


async def _flagged(flag: str, *files: str) -> None:
    changed = await asyncio.create_subprocess_exec("chattr", flag, *files)
    if await changed.wait():
        raise AssertionError(f"chattr {flag} failed")


@fault(loses=True, told_by="store_went_back")
async def database_replaced_by_older_copy(site: Site, rng: random.Random) -> None:
    """An older copy is moved into its place while all goes on."""
    older = site.directory / "older.db"
    older.unlink(missing_ok=True)
    _copy(_database(site), older)
    await asyncio.sleep(rng.uniform(1.0, 2.0))
    site.judge.model.doubt()
    database = _database(site)
    for beside in database.parent.glob("gatepost.db-*"):
        beside.unlink()
    older.replace(database)
    site.judge.model.doubt()
    site.judge.note("an older copy of the database is in place")
    await _start_over(site)


@fault(loses=True, told_by="store_went_back")
async def database_restored_in_place(site: Site, rng: random.Random) -> None:
    """An older copy is written over it by SQLite's own ``.restore``: the same file, and its counter goes back."""
    older = site.directory / "older.db"
    older.unlink(missing_ok=True)
    _copy(_database(site), older)
    await asyncio.sleep(rng.uniform(1.0, 2.0))
    site.judge.model.doubt()
    await asyncio.to_thread(_copy, older, _database(site))
    site.judge.model.doubt()
    site.judge.note("an older copy of the database was restored over it")
    await _start_over(site)


def _copy(origin: Path, target: Path) -> None:
    until = time.monotonic() + 10
    while True:
        try:
            with (
                closing(sqlite3.connect(origin, timeout=10)) as one,
                closing(sqlite3.connect(target, timeout=10)) as two,
            ):
                one.backup(two)
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
        else:
            return


async def _start_over(site: Site) -> None:
    """What agents do in time by themselves: report again; and the editor sets the flag again."""
    await asyncio.sleep(2.0)
    await site.rest()
    await site.set_enforced(True)
    await site.report_all()
