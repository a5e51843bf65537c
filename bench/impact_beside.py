"""What stands beside the impact index: the same numbers by SQL, and how long the index takes to come from a store.

The tables are as kind to SQL as can be: in memory, only the apps that the change bans, clustered by what is asked for.
"""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.figures import Spread, spread
from bench.fleet import BANNED, kept_fleet
from bench.impact_fleet import OWNERSHIPS, PLATFORMS, SOURCES, BenchFleet
from gateway.app.parts import record_loader
from gateway.changes.impact.evidence_rows import Mark
from gateway.changes.impact.index import ImpactIndex
from gateway.domain.bans import Ban, Flag, Matcher, MatcherKind
from gateway.domain.identity import IdentityRules
from gateway.domain.inventory import Platform
from gateway.domain.policy import Exemption, policy_of
from gateway.storage.sql import open_store

_TABLES = """
CREATE TABLE installs (app TEXT, device INTEGER, PRIMARY KEY (app, device)) WITHOUT ROWID;
CREATE TABLE devices
(device INTEGER PRIMARY KEY, person INTEGER, platform TEXT, ownership TEXT, source TEXT, name TEXT);
CREATE TABLE refused (device INTEGER PRIMARY KEY);
CREATE TABLE members (grp TEXT, person INTEGER, PRIMARY KEY (person, grp)) WITHOUT ROWID;
CREATE TABLE exempt_people (person INTEGER PRIMARY KEY);
CREATE TABLE exempt_devices (device INTEGER PRIMARY KEY);
"""
_CUT = """
CREATE TEMP TABLE cut AS
SELECT DISTINCT i.device, d.person FROM installs i JOIN devices d ON d.device = i.device
WHERE i.app IN ({marks})
  AND d.device NOT IN (SELECT device FROM refused)
  AND d.person NOT IN (SELECT person FROM exempt_people)
  AND d.device NOT IN (SELECT device FROM exempt_devices)
"""
_NUMBERS = (
    "SELECT count(*), count(DISTINCT person) FROM cut",
    "SELECT platform, count(*) FROM cut JOIN devices USING (device) GROUP BY platform",
    "SELECT ownership, count(*) FROM cut JOIN devices USING (device) GROUP BY ownership",
    "SELECT source, count(*) FROM cut JOIN devices USING (device) GROUP BY source",
    "SELECT grp, count(*) AS n FROM cut JOIN members USING (person) GROUP BY grp ORDER BY n DESC LIMIT 10",
)
_NAMES = "SELECT name FROM cut JOIN devices USING (device) ORDER BY device LIMIT 50"


@dataclass(frozen=True, slots=True)
class BySql:
    """What SQL found, and in how many milliseconds of processor time."""

    cut: int
    people: int
    numbers: Spread
    """Newly cut, by platform, ownership, source and group; neither time ahead, nor sessions, nor user-wide answers."""
    names: Spread
    """The first 50."""


def by_sql(fleet: BenchFleet, apps: Collection[str], exemptions: Iterable[Exemption], rounds: int) -> BySql:
    """Newly cut by a ban of those apps, beside devices that are refused already and exemptions."""
    connection = sqlite3.connect(":memory:")
    connection.executescript(_TABLES)
    _fill(connection, fleet, apps)
    _exempt(connection, fleet, exemptions)
    connection.execute("ANALYZE")
    listed = sorted(apps)
    create = _CUT.format(marks=",".join("?" * len(listed)))
    found: list[tuple[int, int]] = []

    def numbers() -> None:
        connection.execute("DROP TABLE IF EXISTS temp.cut")
        connection.execute(create, listed)
        found.append(connection.execute(_NUMBERS[0]).fetchone())
        for question in _NUMBERS[1:]:
            connection.execute(question).fetchall()

    times = [_timed(numbers) for _ in range(rounds)]
    names = [_timed(lambda: connection.execute(_NAMES).fetchall()) for _ in range(rounds)]
    connection.close()
    return BySql(*found[-1], spread(times), spread(names))


def _fill(connection: sqlite3.Connection, fleet: BenchFleet, apps: Collection[str]) -> None:
    view, draws = fleet.writer.view(), fleet.draws
    for number, bitmap in view.entries.items():
        named = view.catalogue.app(number).id
        if named in apps:
            connection.executemany("INSERT OR IGNORE INTO installs VALUES (?, ?)", ((named, each) for each in bitmap))
    drawn = zip(
        *(view.devices.person.tolist(), draws["platform"].tolist(), draws["ownership"].tolist()),
        draws["source"].tolist(),
        strict=True,
    )
    rows = (
        (
            device,
            person,
            PLATFORMS[platform].value,
            OWNERSHIPS[ownership].value,
            SOURCES[source],
            view.device_ids[device],
        )
        for device, (person, platform, ownership, source) in enumerate(drawn)
    )
    connection.executemany("INSERT INTO devices VALUES (?, ?, ?, ?, ?, ?)", rows)
    refused = fleet.marks[Mark.COMPROMISED].nonzero()[0].tolist()
    connection.executemany("INSERT INTO refused VALUES (?)", ((each,) for each in refused))
    for number, people in enumerate(fleet.groups_of):
        group = f"group{number:03}"
        connection.executemany("INSERT INTO members VALUES (?, ?)", ((group, each) for each in people.tolist()))


def _exempt(connection: sqlite3.Connection, fleet: BenchFleet, exemptions: Iterable[Exemption]) -> None:
    view = fleet.writer.view()
    for each in exemptions:
        if each.group:
            sql = "INSERT OR IGNORE INTO exempt_people SELECT person FROM members WHERE grp = ?"
            connection.execute(sql, (each.group,))
        elif each.device_id:
            device = view.device(each.login, each.device_id)
            if device is not None:
                connection.execute("INSERT OR IGNORE INTO exempt_devices VALUES (?)", (device,))
        else:
            person = view.person_of_login(each.login)
            if person is not None:
                connection.execute("INSERT OR IGNORE INTO exempt_people VALUES (?)", (person,))


# --- the start


@dataclass(frozen=True, slots=True)
class Begun:
    """Seconds of a start with the index: from the store alone, and from the file that the one before has left."""

    people: int
    built: float
    built_cpu: float
    saved: float
    loaded: float
    different: int
    decisions: int


def begun(people: int, sample: int) -> Begun:
    """From a store with that many phones, 60 apps on each."""
    return asyncio.run(_begun(kept_fleet(people), people, sample))


async def _begun(database: Path, people: int, sample: int) -> Begun:
    from bench.parts.impact import version_of

    store = await open_store(f"sqlite:///{database}", writable=False)
    load = record_loader(IdentityRules("corp.example"))
    try:
        began, used = time.monotonic(), time.process_time()
        index = await ImpactIndex.built(store, load)
        built, cpu = time.monotonic() - began, time.process_time() - used
        with TemporaryDirectory(prefix="gatepost-bench-") as directory:
            path = Path(directory) / "impact.index"
            saved = await _waited(partial(index.save, path))
            loaded = await _waited(partial(ImpactIndex.loaded, path, store, load))
        matcher = Matcher(MatcherKind.ID, BANNED, Platform.ANDROID)
        policy = policy_of(version_of(Ban("TikTok", (matcher,), flag=Flag.ENFORCE, seed=1)))
        found = await index.verify(policy, time.time(), sample)
    finally:
        await store.close()
    return Begun(people, built, cpu, saved, loaded, found.different, found.decisions)


async def _waited(work: Callable[[], Awaitable[object]]) -> float:
    began = time.monotonic()
    await work()
    return time.monotonic() - began


def _timed(run: Callable[[], object]) -> float:
    began = time.process_time()
    run()
    return (time.process_time() - began) * 1e3
