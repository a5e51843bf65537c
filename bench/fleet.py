"""A fleet in a store: many people, each with a phone and the list of its apps, written in bulk.

``python -m bench.fleet DATA_DIR PEOPLE`` makes the database of a gateway that has that many phones, as reports would
have made it. Every tenth phone holds a banned app, if anybody bans it. Names are of one length, so that a phone's row
is another phone's row with the number replaced; app lists are 60 apps of a catalogue of 20,000, some everywhere, most
rare, as fleets have them. ``fleet`` copies what ``kept_fleet`` keeps beside the results.
"""

import random
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gateway.domain.inventory import App, AppOrigin, DeviceKey, Inventory, Naming, Platform, Scope
from gateway.storage.inventories import encode_inventory
from gateway.storage.sql.filling import Filled
from gateway.storage.sql.filling import fill as fill_store
from gateway.storage.sql.migrating import MIGRATIONS

KEPT = Path(__file__).resolve().parent / "results" / "fleets"
BANNED = "com.zhiliaoapp.musically"
BANNED_EVERY = 10
APPS = 60
CATALOGUE = 20_000
DISTINCT_LISTS = 2_000
"""Lists repeat only to make the input quickly: decoding gives every record a list of its own."""
DAY = 86_400.0


def login_of(number: int) -> str:
    """The login that the load uses."""
    return f"user{number:06}@corp.example"


def device_of(number: int) -> str:
    """The canonical DeviceId that the load uses."""
    return f"phone{number:027}"


def holds_banned(number: int) -> bool:
    """Whether that phone holds the banned app."""
    return number % BANNED_EVERY == 0


def catalogue() -> list[App]:
    """Distinct apps, as a fleet has them."""
    return [
        App(
            Platform.ANDROID,
            f"com.vendor{number % 700}.product{number}",
            f"Product {number}",
            f"{number % 40}.{number % 7}.1",
            number,
            installer="com.android.vending",
            origin=AppOrigin.STORE,
        )
        for number in range(CATALOGUE)
    ]


def app_list(apps: Sequence[App], generator: random.Random, length: int = APPS) -> tuple[App, ...]:
    """A device's apps: some are everywhere, most are rare."""
    ranks: set[int] = set()
    while len(ranks) < length:
        ranks.add(int(CATALOGUE ** generator.random()) - 1)
    return tuple(apps[rank] for rank in sorted(ranks))


def fleet(data_dir: Path, people: int) -> None:
    """A database with that many phones in a new ``data_dir``: a copy of the one that is kept."""
    kept = kept_fleet(people)
    data_dir.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(kept, data_dir / "gatepost.db")
    (data_dir / "gatepost.db").chmod(0o600)


def kept_fleet(people: int) -> Path:
    """The database that is kept for that many phones, made if need be."""
    head = max(path.stem for path in (MIGRATIONS / "versions").glob("0*.py"))
    kept = KEPT / f"{people}-{APPS}-{head}.db"
    # Evidence is good for a week; a fleet that is kept longer would be stale.
    if not kept.exists() or time.time() - kept.stat().st_mtime > DAY:
        KEPT.mkdir(parents=True, exist_ok=True)
        for old in (*KEPT.glob(f"{people}-{APPS}-*"), *KEPT.glob("*.new")):
            old.unlink(missing_ok=True)
        fresh = kept.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        fill(fresh, people)
        fresh.rename(kept)
    return kept


def fill(path: Path, people: int) -> None:
    """Write a whole fleet into a new SQLite file."""
    fill_store(path, _tables(people, time.time()), _shown)
    if sys.stderr.isatty():
        print("\r" + " " * 70, end="\r", file=sys.stderr)


def _shown(table: str, done: int, whole: int) -> None:
    if sys.stderr.isatty():
        share = done / whole
        print(f"\r{table:16} {'#' * int(40 * share):40} {share:4.0%} ", end="", file=sys.stderr)


Rows = Callable[[int], Sequence[object]]


def _tables(people: int, now: float) -> Iterator[Filled]:
    """Table by table, each in the order of its primary key: rows are appended, nothing is searched."""
    contents = _contents(now)

    def filled(table: str, columns: str, rows_of: Rows) -> Filled:
        return Filled(table, tuple(columns.split()), map(rows_of, range(people)), people)

    columns = ("name", "kind", "devices", "max_scope", "max_age", "secrets", "created_at", "created_by", "user")
    yield Filled("sources", columns, [("mdm", "push", "*", "device", 7 * DAY, "[]", now, "bench", "")], 1)
    yield filled(
        "inventories",
        "source_id source_device received_at content",
        lambda number: ("mdm", _subject(number), now, contents(number)),
    )
    for kind, value in sorted(_KEYS.items()):
        columns_of_keys = "key_type value source_id source_device"
        yield filled("inventory_keys", columns_of_keys, lambda n, k=kind, v=value: (k, v(n), "mdm", _subject(n)))  # type: ignore[misc]
    yield filled(
        "people",
        "person_id aliases groups display_name language time_zone origin",
        lambda number: (login_of(number), "[]", "[]", "", "", "", "mdm"),
    )
    yield filled("person_logins", "login person_id", lambda number: (login_of(number), login_of(number)))
    named = "person_id device_id first_seen_at last_seen_at device_type user_agent"
    yield filled(
        "mail_devices",
        f"{named} protocol_version client_address device_information",
        lambda number: (login_of(number), device_of(number), now - DAY, now, "Android", "", "", "", ""),
    )


def _subject(number: int) -> str:
    return f"mdm-{number:06}"


_KEYS: dict[str, Callable[[int], str]] = {
    "user": login_of,
    "eas_device_id": device_of,
    "login": login_of,
    "eas": device_of,
}


def _contents(now: float) -> Callable[[int], bytes]:
    """The inventory of each phone, made from those of a few by replacing their numbers."""
    generator, apps = random.Random(1), catalogue()
    lists = [app_list(apps, generator) for _ in range(DISTINCT_LISTS)]
    banned = App(Platform.ANDROID, BANNED, "TikTok", "41.2.0", 1)
    pattern = 999_999
    clean = [encode_inventory(_inventory(pattern, each, now)) for each in lists]
    dirty = [encode_inventory(_inventory(pattern, (*each[1:], banned), now)) for each in lists]
    old = [f"{text}".encode() for text in (_subject(pattern), login_of(pattern), device_of(pattern))]

    def content(number: int) -> bytes:
        octets = (dirty if holds_banned(number) else clean)[number % DISTINCT_LISTS]
        new = (_subject(number), login_of(number), device_of(number))
        for before, after in zip(old, new, strict=True):
            octets = octets.replace(before, after.encode())
        return octets

    return content


def _inventory(number: int, apps: tuple[App, ...], now: float) -> Inventory:
    return Inventory(
        *("mdm", _subject(number), Scope.DEVICE, Naming.IDENTIFIER),
        *(now, now, 1, apps),
        full_at=now,
        device_keys=tuple(DeviceKey(kind, value(number)) for kind, value in _KEYS.items()),
        platform=Platform.ANDROID,
    )


if __name__ == "__main__":
    began = time.monotonic()
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    fill(Path(sys.argv[1]) / "gatepost.db", int(sys.argv[2]))
    print(f"{sys.argv[2]} people in {time.monotonic() - began:.1f} s")
