"""Measures the store and the cached unit: committed reports per second on SQLite, and the memory of person records.

``python -m bench.stores`` prints one line per figure. A report here is what ingest does to the store: look up the
message, the source, the inventory and the person; write the message, the inventory of 60 apps with its events, and a
change-log row. Each is committed (``synchronous=FULL``) before it counts; 64 are under way at a time.
"""

import asyncio
import gc
import random
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import uvloop

from bench.fleet import APPS, app_list, catalogue
from gateway.domain.evidence import BindingState, DeviceEvidence, PersonRecord, SourceEvidence
from gateway.domain.inventory import App, DeviceKey, Inventory, Naming, Ownership, Platform, Scope
from gateway.ports.store import Person, Source, StoredMessage, Writing
from gateway.storage.compact import compact
from gateway.storage.records import decode_record, encode_record
from gateway.storage.sql import SqlStore, open_store

DEVICES = 2_000
REPORTS = 6_000
UNDER_WAY = 64
RECORDS = 100_000


async def report(store: SqlStore, inventory: Inventory, message: str, login: str) -> None:
    """One report, from look-up to commit."""

    async def work(writing: Writing) -> None:
        if await writing.message(inventory.source_id, message) is not None:
            return
        await writing.source(inventory.source_id)
        current = await writing.inventory(inventory.source_id, inventory.source_device)
        await writing.person_by_login(login)
        added = inventory.apps[:1] if current else inventory.apps
        await writing.put_inventory(inventory, added, current.apps[:1] if current else (), before=current)
        stored = StoredMessage("0" * 64, "applied", inventory.sequence, inventory.received_at)
        await writing.put_message(inventory.source_id, message, stored)
        writing.log_people([login])

    await store.write(work)


async def measure_reports(directory: Path) -> None:
    """Print the committed reports per second."""
    generator = random.Random(1)
    apps = catalogue()
    store = await open_store(f"sqlite:///{directory}/bench.db", writable=True)

    async def prepare(writing: Writing) -> None:
        await writing.put_source(Source("mdm", "push", "*", Scope.DEVICE, 86400.0))
        for number in range(DEVICES):
            await writing.put_person(Person(f"user{number}@corp.example"))

    await store.write(prepare)
    inventories = [inventory_of(number, app_list(apps, generator)) for number in range(DEVICES)]
    waiting = iter(range(REPORTS))
    delays: list[float] = []

    async def client() -> None:
        for number in waiting:
            device = number % DEVICES
            began = time.perf_counter()
            inventory = replace(inventories[device], sequence=number, generated_at=float(number))
            await report(store, inventory, f"m{number}", f"user{device}@corp.example")
            delays.append(time.perf_counter() - began)

    began, worked = time.perf_counter(), time.process_time()
    await asyncio.gather(*(client() for _ in range(UNDER_WAY)))
    seconds, cpu = time.perf_counter() - began, time.process_time() - worked
    delays.sort()
    print(f"reports committed per second: {REPORTS / seconds:.0f} (CPU {cpu / REPORTS * 1e6:.0f} µs each)")
    print(f"report to commit, {UNDER_WAY} under way: p50 {delays[REPORTS // 2] * 1e3:.1f} ms, ", end="")
    print(f"p99 {delays[REPORTS * 99 // 100] * 1e3:.1f} ms")
    alone = []
    for number in range(200):
        began = time.perf_counter()
        await report(store, replace(inventories[number], sequence=REPORTS), f"alone{number}", "user1@corp.example")
        alone.append(time.perf_counter() - began)
    print(f"report to commit, alone: p50 {sorted(alone)[100] * 1e3:.2f} ms")
    await store.close()


def inventory_of(number: int, apps: tuple[App, ...]) -> Inventory:
    """A device's state."""
    return Inventory(
        source_id="mdm",
        source_device=f"device-{number}",
        scope=Scope.DEVICE,
        naming=Naming.IDENTIFIER,
        generated_at=0.0,
        received_at=time.time(),
        sequence=0,
        apps=apps,
        full_at=0.0,
        device_keys=(DeviceKey("serial", f"S{number:09}"), DeviceKey("login", f"user{number}@corp.example")),
        ownership=Ownership.COMPANY,
        platform=Platform.ANDROID,
    )


def measure_memory() -> None:
    """Print what person records take in a process that has decoded them."""
    generator = random.Random(2)
    apps = catalogue()
    lists = [app_list(apps, generator) for _ in range(2_000)]
    encoded = [encode_record(record_of(number, lists[number % len(lists)])) for number in range(RECORDS)]
    # The lists repeat only to make the input quickly: decoding gives every record a list of its own.
    gc.collect()
    began_at = resident_bytes()
    began = time.perf_counter()
    records = {record.person_id: record for record in map(compact, map(decode_record, encoded))}
    seconds = time.perf_counter() - began
    gc.collect()
    used = resident_bytes() - began_at
    print(f"decoding a person record with {APPS} apps: {seconds / RECORDS * 1e6:.1f} µs")
    print(f"encoded person record: {sum(map(len, encoded)) / RECORDS:.0f} bytes")
    print(f"memory of {len(records)} person records: {used / 1e6:.0f} MB ({used / len(records):.0f} bytes each)")


def record_of(number: int, apps: tuple[App, ...]) -> PersonRecord:
    """A person with one bound device."""
    login, device_id, at = f"user{number}@corp.example", f"appl{number:09}", 1.7e9 + number
    source = SourceEvidence(
        "mdm", f"device-{number}", Scope.DEVICE, Naming.IDENTIFIER, at, 86400.0, apps, at, None, True
    )
    device = DeviceEvidence(device_id, BindingState.BOUND, (source,), (), at, Platform.ANDROID, Ownership.COMPANY)
    return PersonRecord(login, True, (login,), frozenset({"all", "sales"}), {device_id: device}, (), number)


def resident_bytes() -> int:
    """The process's resident memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def main() -> None:
    """Measure everything here."""
    with tempfile.TemporaryDirectory() as directory:
        uvloop.run(measure_reports(Path(directory)))
    measure_memory()


if __name__ == "__main__":
    main()
