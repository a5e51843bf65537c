"""How long ``gatepost audit verify`` takes: ``python -m bench.audit [--entries N]``.

Makes a log as the gateway writes it (four entries in five are of one person, signed every 10,000), in SQLite on this
machine, and verifies all of it with the gateway's key and a checkpoint from outside. Budget: a million under 10 s.
"""

import argparse
import asyncio
import sqlite3
import tempfile
import time
from pathlib import Path

from gateway.app.audit_check import check_audit
from gateway.audit.checkpoints import Checkpointing, CheckpointSettings
from gateway.audit.keys import AuditKey, find_or_make_key
from gateway.domain.audit import AuditEntry, AuditKind, Subject
from gateway.settings import load_settings
from gateway.storage.audit_rows import Content, content_of, rows_of
from gateway.storage.sql import SqlStore, open_store

SIGNED_EVERY = 10_000
BUDGET_SECONDS = 10.0


async def made(directory: Path, key: AuditKey, entries: int) -> str:
    """A log of so many entries or a few more; the newest checkpoint."""
    store = await open_store(f"sqlite:///{directory / 'gatepost.db'}", writable=True, seal=key.seal)
    signing = Checkpointing(store, key, None, CheckpointSettings())
    await store.write(lambda writing: writing.log_audit(AuditEntry(AuditKind.STARTED, "gatepost")))
    note = ""
    for begin in range(0, entries, SIGNED_EVERY):
        await _add(store, directory / "gatepost.db", key, begin, min(SIGNED_EVERY, entries - begin))
        note = (await signing.make()).note
    await store.close()
    return note


async def _add(store: SqlStore, path: Path, key: AuditKey, begin: int, number: int) -> None:
    """By the store's own functions, and past its units of work, which would make each entry a commit."""
    async with store.read() as reading:
        head = await reading.audit_head()
    contents = [_content(begin + place) for place in range(number)]
    rows, head = rows_of(contents, head, 1_700_000_000.0 + begin, key.seal)
    with sqlite3.connect(path) as connection:
        connection.executemany("INSERT INTO audit_entries VALUES (?, ?, ?, ?, ?)", rows)
        frontier = b"".join(head.frontier)
        connection.execute("UPDATE audit_head SET size = ?, chain = ?, frontier = ?", (head.size, head.chain, frontier))
    connection.close()


def _content(number: int) -> Content:
    subjects = (Subject(f"p{number}", "phone"),) if number % 5 else ()
    entry = AuditEntry(AuditKind.NOTICE, "anna", subjects, {"change": number % 977, "state": "accepted"})
    return content_of(entry, {f"p{number}": number.to_bytes(32, "big")})


def main() -> None:
    """Make, verify, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    entries: int = parser.parse_args().entries
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        config = directory / "gatepost.toml"
        config.write_text(f'[gateway]\ndata_dir = "{directory}"\n')
        key, _ = find_or_make_key(directory)
        began = time.monotonic()
        outside = directory / "outside"
        outside.write_text(asyncio.run(made(directory, key, entries)))
        print(f"made {entries} entries in {time.monotonic() - began:.1f} s")
        octets = (directory / "gatepost.db").stat().st_size
        print(f"{octets / entries:.0f} octets an entry in the database")
        began, began_cpu = time.monotonic(), time.process_time()
        found = check_audit(load_settings(config, {}), [outside], [], lambda done, whole: None)
        seconds, cpu = time.monotonic() - began, time.process_time() - began_cpu
        said = found.verification
        assert said.is_intact, said.damages
        print(f"verified {said.size} entries, outside up to {said.outside}: {seconds:.1f} s, processor {cpu:.2f} s")
        a_million = cpu / said.size * 1e6
        print(f"a million: {a_million:.1f} s of processor (budget {BUDGET_SECONDS:.0f} s)")


if __name__ == "__main__":
    main()
