"""A fleet in a store: many people, each with a phone and the list of its apps, written as reports would write them.

``python -m bench.fleet DATA_DIR PEOPLE`` makes the database of a gateway that has that many clean phones. What the load
of ``eas_load.lua`` asks for is there: ``user000000@corp.example`` with ``PHONE`` and 27 digits, and so on.
"""

import asyncio
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gateway.domain.inventory import App, DeviceKey, Inventory, Naming, Platform, Scope
from gateway.ports.store import MailDevice, Person, Source, Writing
from gateway.storage.sql import open_store

APPS = tuple(App(Platform.ANDROID, f"com.example.app{number}", f"App {number}", "1.0") for number in range(60))
AT_ONCE = 1000


def login_of(number: int) -> str:
    """The login that the load uses."""
    return f"user{number:06}@corp.example"


def device_of(number: int) -> str:
    """The canonical DeviceId that the load uses."""
    return f"phone{number:027}"


def fill(data_dir: Path, people: int) -> None:
    """Write the fleet into a new database in ``data_dir``."""
    data_dir.mkdir(parents=True, exist_ok=True)
    asyncio.run(_fill(f"sqlite:///{data_dir.absolute() / 'gatepost.db'}", people))


async def _fill(url: str, people: int) -> None:
    store = await open_store(url, writable=True)
    now = time.time()

    async def source(writing: Writing) -> None:
        await writing.put_source(Source("mdm", "push", "*", Scope.DEVICE, 7 * 86_400.0, created_at=now))
        writing.log_everybody()

    await store.write(source)
    for start in range(0, people, AT_ONCE):

        async def batch(writing: Writing, start: int = start) -> None:
            for number in range(start, min(people, start + AT_ONCE)):
                await _put(writing, number, now)

        await store.write(batch)
        if sys.stderr.isatty():
            print(f"\r{start + AT_ONCE} of {people}", end="", file=sys.stderr)
    await store.close()


async def _put(writing: Writing, number: int, now: float) -> None:
    login, device_id = login_of(number), device_of(number)
    await writing.put_person(Person(login, origin="mdm"))
    await writing.put_mail_device(MailDevice(login, device_id, now - 86_400, now, "Android"))
    keys = (
        *(DeviceKey("user", login), DeviceKey("eas_device_id", device_id)),
        *(DeviceKey("login", login), DeviceKey("eas", device_id)),
    )
    stated = Inventory(
        "mdm",
        f"mdm-{number}",
        Scope.DEVICE,
        Naming.IDENTIFIER,
        now,
        now,
        1,
        APPS,
        full_at=now,
        device_keys=keys,
        platform=Platform.ANDROID,
    )
    await writing.put_inventory(stated)


if __name__ == "__main__":
    began = time.monotonic()
    fill(Path(sys.argv[1]), int(sys.argv[2]))
    print(f"{sys.argv[2]} people in {time.monotonic() - began:.1f} s")
