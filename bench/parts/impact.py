"""The preview of a change for a whole fleet: time to all numbers and to the first names, memory, start, reports.

Five changes as in life, one of them under the fleet brake, each with nothing remembered of the catalogue and of any
policy; beside them SQLite answering the barest part of the question, which devices have an app of the list, from a
clustered index. Everything runs in a process of its own, so that memory is the index's own.
"""

import multiprocessing
import random
import resource
import sqlite3
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.figures import Outcome, Spread, Table, spread
from bench.impact_beside import begun, by_sql
from bench.impact_fleet import GROUPS, NOW, TIKTOK, BenchFleet, app, make
from bench.options import Options
from gateway.changes.impact.algebra import Evaluation
from gateway.changes.impact.catalogue import Catalogue
from gateway.changes.impact.figures import Impact, page_of
from gateway.changes.impact.fleet import Fleet
from gateway.changes.impact.hits import Hits
from gateway.changes.impact.impact import Asked, impact_of
from gateway.changes.impact.live import Live, LiveKey, live_on
from gateway.changes.impact.moment import Moment
from gateway.changes.impact.saving import frozen, load, save
from gateway.changes.impact.verifying import Said
from gateway.changes.impact.writing import Update, Writer
from gateway.domain.access import Protocol
from gateway.domain.ageing import Ageing
from gateway.domain.bans import Ban, Flag, FlagRule, Matcher, MatcherKind
from gateway.domain.dated import pairs
from gateway.domain.evidence import PersonRecord
from gateway.domain.inventory import Platform
from gateway.domain.policy import (
    Exemption,
    Policy,
    PolicyVersion,
    Setting,
    SettingRule,
    Unknowns,
    UnknownSetting,
    policy_of,
)

BANS = 59
EXEMPTIONS = 2_000
SESSIONS = 100_000
SAMPLE = 10_000
STORED = 100_000
"""People in the store from which the index is built: it takes a millisecond and more for each."""
VERSIONS = 5
DAY = 86_400.0


def measure(options: Options) -> Outcome:
    """The fleet with one version of each app, then with five."""
    outcome = Outcome()
    rounds = 3 if options.quick else 15
    for versions in (1, VERSIONS):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            # Once is enough: what is held against the decision knows no versions.
            sample = 200 if options.quick or versions > 1 else SAMPLE
            found = process.submit(_measured, options.devices, versions, rounds, sample).result(1_800)
        # Printed there, as soon as they were known.
        outcome.tables += found.tables
        outcome.measured |= found.measured
        outcome.raw += found.raw
    _start(outcome, options)
    return outcome


def _start(outcome: Outcome, options: Options) -> None:
    """From a store, by a process of its own, too."""
    people, sample = min(options.devices, STORED), 200 if options.quick else SAMPLE
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        found = process.submit(begun, people, sample).result(3_600)
    rows = [
        (f"built from SQLite, {people:,} people with a phone and 60 apps, s", f"{found.built:.1f}"),
        ("of it processor time, ms for each", f"{found.built_cpu * 1e3 / people:.2f}"),
        ("saved, s", f"{found.saved:.2f}"),
        ("loaded and brought up to date, s", f"{found.loaded:.2f}"),
        (f"of {found.decisions:,} decisions against decide different", str(found.different)),
    ]
    outcome.show(Table("Impact: the index at the start", ("what", "figure"), rows))
    outcome.raw.append({"part": "impact", "people": people, "built": found.built, "loaded": found.loaded})


def _measured(devices: int, versions: int, rounds: int, sample: int) -> Outcome:
    before = _megabytes()
    began = time.process_time()
    fleet = make(devices, versions)
    built, memory = time.process_time() - began, _megabytes() - before
    outcome = Outcome()
    title = f"Impact, {devices:,} devices, {fleet.people:,} people, {len(fleet.writer.catalogue):,} apps"
    _changes(outcome, fleet, title, versions, rounds)
    _keeping(outcome, fleet, title, built, memory, sample)
    return outcome


# --- Policies


def version_of(*bans: Ban, number: int = 1, **fields: object) -> PolicyVersion:
    """A policy with 2,000 exemptions, which edits leave as they are, and compromised devices refused."""
    unknowns = Unknowns(compromised=UnknownSetting(Setting.DENY))
    given = {"bans": bans, "unknowns": unknowns, "exemptions": exemptions(), **fields}
    return replace(PolicyVersion(number, NOW, "bench"), **given)  # type: ignore[arg-type]


@cache
def exemptions() -> tuple[Exemption, ...]:
    """Of people, of devices, of two groups."""
    said = ("bench", "a reason", NOW - DAY)
    people = [
        Exemption(f"p{n}", *said, NOW + (n % 60 + 0.5) * DAY, login=f"user{n * 401:06}@corp.example")
        for n in range(EXEMPTIONS * 3 // 4)
    ]
    devices = [
        Exemption(f"d{n}", *said, NOW + 40 * DAY, f"user{n * 907:06}@corp.example", f"phone{n * 907:027}")
        for n in range(EXEMPTIONS // 4 - 2)
    ]
    groups = [Exemption(f"g{n}", *said, NOW + 90 * DAY, group=f"group{n:03}") for n in (200, 250)]
    return (*people, *devices, *groups)


def ban(number: int, rank: int, **fields: object) -> Ban:
    """A ban of one app."""
    named = app(rank)
    matcher = Matcher(MatcherKind.ID, named.id, Platform.ANDROID)
    made = Ban(f"ban {number}", (matcher,), flag=Flag.ENFORCE, seed=number * 7919 + 3)
    return replace(made, **fields)  # type: ignore[arg-type]


def ranks() -> list[int]:
    """The apps of the list of 59: one that everybody knows, others that some have, most that few have."""
    return [TIKTOK, *(1_000 + 5 * number * number for number in range(1, BANS))]


def mixed_ban(number: int, rank: int) -> Ban:
    """Stages, percentages, groups and dates, mixed."""
    group, generator = f"group{number * 5 % GROUPS:03}", random.Random(number)
    match number % 5:
        case 0:
            return ban(number, rank)
        case 1:
            share = FlagRule(Flag.ENFORCE, percent=float(generator.choice((5, 10, 25))))
            return ban(number, rank, flag=Flag.REPORT_ONLY, rules=(share,))
        case 2:
            rules = (FlagRule(Flag.OFF, group=group), FlagRule(Flag.ENFORCE, percent=50.0))
            return ban(number, rank, flag=Flag.REPORT_ONLY, rules=rules)
        case 3:
            return ban(number, rank, groups=frozenset({group, f"group{number:03}", "group000"}))
        case _:
            return ban(number, rank, starts_at=NOW + number * 3_600.0)


def changes() -> dict[str, tuple[Policy, Policy]]:
    """What is previewed: from, to."""
    listed = tuple(ban(number, rank) for number, rank in enumerate(ranks()))
    tenth, quarter = (
        ban(0, TIKTOK, flag=Flag.REPORT_ONLY, rules=(FlagRule(Flag.ENFORCE, percent=percent),))
        for percent in (10.0, 25.0)
    )
    stale = UnknownSetting(rules=(SettingRule(Setting.DENY, platform=Platform.IOS),))
    unknowns = Unknowns(compromised=UnknownSetting(Setting.DENY), stale=stale)
    mixed = tuple(mixed_ban(number, rank) for number, rank in enumerate(ranks()))
    versions = {
        "add a list of 59 apps, enforced": (version_of(), version_of(*listed)),
        "one ban from 10 % to 25 %": (version_of(tenth), version_of(quarter)),
        "stale refused on one platform": (version_of(), version_of(unknowns=unknowns)),
        "59 bans: stages, shares, groups, dates": (version_of(), version_of(*mixed)),
    }
    found = {name: (policy_of(before), policy_of(after)) for name, (before, after) in versions.items()}
    strict = Unknowns(compromised=UnknownSetting(Setting.DENY), stale=UnknownSetting(Setting.DENY))
    ageing = Ageing(NOW, {"intune": NOW - 3 * DAY, "jamf": NOW - DAY})
    reported, enforced = (version_of(ban(0, TIKTOK, flag=each), unknowns=strict) for each in (Flag.OFF, Flag.ENFORCE))
    found["held by the fleet brake, two sources: one ban"] = (
        replace(policy_of(reported), ageing=ageing),
        replace(policy_of(enforced), ageing=ageing),
    )
    return found


# --- Previews


def _changes(outcome: Outcome, fleet: BenchFleet, title: str, versions: int, rounds: int) -> None:
    view = fleet.writer.view()
    live = _live(view, fleet)
    rows = []
    for name, (before, after) in changes().items():
        asked = Asked(live, dated=_dated(before, after))
        whole = [_timed(lambda: _preview(view, before, after, asked)) for _ in range(rounds)]  # noqa: B023
        bare = [_timed(lambda: _preview(view, before, after, Asked(horizons=()))) for _ in range(rounds)]  # noqa: B023
        one = [_timed(lambda: _evaluate(view, after)) for _ in range(rounds)]  # noqa: B023
        impact = _preview(view, before, after, asked)
        page = [_timed(lambda: page_of(view, impact.sets.cut)) for _ in range(rounds)]  # noqa: B023
        times = [spread(each) for each in (whole, bare, one, page)]
        rows.append((name, f"{impact.cut:,}", f"{impact.unjudged:,}", *(each.text(1) for each in times)))
        key = f"impact/{versions}/{name.split(' ')[0]}"
        outcome.measured[key] = times[0].median + times[3].median
        outcome.raw.append({"part": "impact", "versions": versions, "change": name, "ms": whole, "page_ms": page})
    worst = max(value for key, value in outcome.measured.items() if key.startswith(f"impact/{versions}/"))
    outcome.measured["impact/ms" if versions == 1 else "impact/versions/ms"] = worst
    columns = ("change", "cut", "unjudged", "all, ms", "without time and sessions", "one policy", "first 50 names")
    outcome.show(Table(title, columns, rows, _by_sql(fleet, rounds)))
    if versions == 1:
        _beside(outcome, fleet, title, rounds)


def _dated(before: Policy, after: Policy) -> tuple[tuple[Policy, Policy], ...]:
    """What a change is looked at for beside the moment when it comes: the dates of its bans."""
    found = pairs(before.version, after.version, NOW, NOW)
    if len(found) == 1:
        return ()
    return tuple((before if one is before.version else policy_of(one, before), policy_of(b, after)) for one, b in found)


def _preview(view: Fleet, before: Policy, after: Policy, asked: Asked) -> Impact:
    """With nothing remembered of any ban."""
    _forget(view.catalogue)
    return impact_of(view, before, after, NOW, asked)


def _evaluate(view: Fleet, policy: Policy) -> int:
    _forget(view.catalogue)
    return len(Evaluation(Moment.under(view, NOW, policy.ageing), policy, Hits(view)).refused(Protocol.ACTIVESYNC))


def _forget(catalogue: Catalogue) -> None:
    catalogue._found.clear()


def _live(view: Fleet, fleet: BenchFleet) -> Live:
    """Nine in ten of the sessions say which device it is."""
    generator = random.Random(2)
    sessions: Iterable[LiveKey] = (
        LiveKey(
            view.person_ids[view.devices.person[device]],
            view.device_ids[device] if generator.random() < 0.9 else "",
            Protocol.ACTIVESYNC,
        )
        for device in generator.sample(range(fleet.devices), min(SESSIONS, fleet.devices))
    )
    return live_on(view, (each if each.device_id else each._replace(protocol=Protocol.IMAP) for each in sessions))


def _by_sql(fleet: BenchFleet, rounds: int) -> str:
    """The bare set of the first change: one range of a clustered index for each app."""
    wanted = ranks()
    view = fleet.writer.view()
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE installs (app TEXT, device INTEGER, PRIMARY KEY (app, device)) WITHOUT ROWID")
    names = {view.catalogue.app(number).id: number for number in range(len(view.catalogue))}
    for number, bitmap in sorted(view.entries.items()):
        named = view.catalogue.app(number).id
        if named in {app(rank).id for rank in wanted}:
            rows = ((named, device) for device in bitmap)
            connection.executemany("INSERT INTO installs VALUES (?, ?)", rows)
    marks = ",".join("?" * len(wanted))
    sql = f"SELECT count(DISTINCT device) FROM installs WHERE app IN ({marks})"  # noqa: S608
    apps = [app(rank).id for rank in wanted if app(rank).id in names]
    times = [_timed(lambda: connection.execute(sql, apps).fetchone()) for _ in range(rounds)]
    (count,) = connection.execute(sql, apps).fetchone()
    connection.close()
    return f"SQLite in memory, only which devices have an app of the list ({count:,}): {spread(times).text(1)} ms"


def _beside(outcome: Outcome, fleet: BenchFleet, title: str, rounds: int) -> None:
    """The first change by SQL. Raises ``SystemExit`` where it finds something else than the index."""
    before, after = next(iter(changes().values()))
    view = fleet.writer.view()
    impact = _preview(view, before, after, Asked(horizons=()))
    found = by_sql(fleet, {app(rank).id for rank in ranks()}, exemptions(), rounds)
    if (found.cut, found.people) != (impact.cut, impact.people_cut):
        told = f"{found.cut} devices of {found.people} people, the index {impact.cut} of {impact.people_cut}"
        raise SystemExit(f"SQL finds {told}")
    index = [_timed(lambda: _preview(view, before, after, Asked(horizons=()))) for _ in range(rounds)]
    rows = [
        ("SQLite in memory", f"{found.cut:,}", found.numbers.text(1), found.names.text(2)),
        ("index, with reasons and user-wide answers", f"{impact.cut:,}", spread(index).text(1), "< 0.1"),
    ]
    columns = ("by", "newly cut", "numbers, groups, platforms, sources, ms", "first 50 names, ms")
    outcome.show(Table(f"{title}: a list of 59 apps, the same by SQL", columns, rows))
    outcome.raw.append({"part": "impact", "sql_ms": found.numbers.median, "index_ms": index})


# --- Keeping it


def _keeping(outcome: Outcome, fleet: BenchFleet, title: str, built: float, memory: float, sample: int) -> None:
    rows = [("made by numpy, with its names and keys, s", f"{built:.1f}"), ("memory, MB", f"{memory:.0f}")]
    rows += _verified(fleet, sample)
    rows += _updates(fleet)
    with TemporaryDirectory(prefix="gatepost-bench-") as directory:
        path = Path(directory) / "impact.index"
        state = frozen(fleet.writer)
        saving = _timed(lambda: save(state, path))
        loading = _timed(lambda: load(path, "bench"))
        rows.append(("saved, ms", f"{saving:.0f}"))
        rows.append(("file, MB", f"{path.stat().st_size / 1e6:.0f}"))
        rows.append(("loaded, ms", f"{loading:.0f}"))
    outcome.show(Table(f"{title}: keeping the index", ("what", "figure"), rows))


def _verified(fleet: BenchFleet, sample: int) -> list[tuple[str, str]]:
    generator = random.Random(3)
    records = [fleet.record_of(each) for each in generator.sample(range(fleet.people), min(sample, fleet.people))]
    different, decisions = 0, 0
    for before, after in changes().values():
        for policy in (before, after):
            said = Said(
                Evaluation(Moment.under(fleet.writer.view(), NOW, policy.ageing), policy, Hits(fleet.writer.view()))
            )
            different += sum(len(list(said.differences(record))) for record in records)
            decisions += sum(len(Protocol) * (1 + len(record.devices)) for record in records)
    return [
        (f"decisions of {len(records):,} people held against decide", f"{decisions:,}"),
        ("different", str(different)),
    ]


def _updates(fleet: BenchFleet) -> list[tuple[str, str]]:
    """Reports that change six apps of a phone."""
    generator = random.Random(4)
    people = generator.sample(range(fleet.people * 9 // 10), 1_000)
    before = [fleet.record_of(number) for number in people]
    after = [_with_other_apps(record, generator) for record in before]
    pairs = list(zip(after, before, strict=True))
    with_word = _each(fleet.writer, [[Update(new, old)] for new, old in pairs])
    without = _each(fleet.writer, [[Update(old)] for _, old in pairs[:100]])
    batch = _each(fleet.writer, [[Update(old) for _, old in pairs[100:600]]])
    fleet.writer.view()
    first = _each(fleet.writer, [[Update(new, old)] for new, old in pairs[:1]])
    return [
        ("a report that changes six apps, record before at hand, µs", f"{with_word.median * 1e3:.0f}"),
        ("the same, record before not at hand, µs", f"{without.median * 1e3:.0f}"),
        ("the same in batches of 500, µs each", f"{batch.median * 1e3 / 500:.0f}"),
        ("the first one after a view was taken, µs", f"{first.median * 1e3:.0f}"),
    ]


def _with_other_apps(record: PersonRecord, generator: random.Random) -> PersonRecord:
    devices = dict(record.devices)
    for name, device in record.devices.items():
        if device.sources:
            source = device.sources[0]
            apps = (*source.apps[6:], *(app(generator.randrange(20_000)) for _ in range(6)))
            devices[name] = replace(device, sources=(replace(source, apps=apps), *device.sources[1:]))
    return replace(record, devices=devices)


def _each(writer: Writer, batches: list[list[Update]]) -> Spread:
    return spread(_timed(lambda: writer.put(batch)) for batch in batches)  # noqa: B023


def _timed(run: Callable[[], object]) -> float:
    """Milliseconds of processor time: it is one thread that never waits, and the machine does other things as well."""
    began = time.process_time()
    run()
    return (time.process_time() - began) * 1e3


def _megabytes() -> float:
    """Resident memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6
