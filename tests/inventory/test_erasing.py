"""Erasing a person, with real files and a real cache server: afterwards nothing on disk or in the cache names them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest

from gateway.changes.fleet_previews import FleetPreviews
from gateway.changes.previews import Previewed, decode_preview, encode_preview
from gateway.domain.audit import AuditEntry, AuditKind, Subject
from gateway.domain.bans import Flag
from gateway.domain.change import GuardedAction, PolicyChange, PreviewSeen, StageDone, State
from gateway.domain.errors import InvalidValue
from gateway.domain.notice import Notice, NoticeKind, Reader
from gateway.domain.policy import Exemption, Policy, Setting, Unknowns, UnknownSetting, policy_of
from gateway.domain.policy_parts import Touch
from gateway.inventory.consequences import Evidence
from gateway.inventory.credentials import Credentials, Wanted
from gateway.inventory.erasing import Eraser
from gateway.inventory.mail_devices import MailDevices, Sighting
from gateway.inventory.publication import Publication
from gateway.ports.store import MailDevice, Person, PinnedBinding, Store, Writing
from gateway.storage.redis import (
    EffectSender,
    RedisConnection,
    RedisEraser,
    RedisMarks,
    RedisPublisher,
    RedisRecords,
    SightingSender,
)
from gateway.storage.sql import open_store
from tests.inventory.chain import loaded, names
from tests.inventory.events import GMAIL, NOW, TIKTOK, full
from tests.inventory.receiving import BANNED, RULES, Receiving, source
from tests.storage.conftest import new_database, postgres
from tests.storage.redis.conftest import connection, server
from tests.support.postgres_server import PostgresServer

__all__ = ["connection", "new_database", "postgres", "server"]

ANN, ALIAS, BOB = "ann.example@example.com", "annie@example.com", "bob@example.com"
PHONE, SUBJECT = "phoneofann1234", "android/annsdevice77"
LIFE = "erased"


@dataclass(slots=True)
class Site:
    """A store, a cache and an index, as the control process holds them."""

    directory: Path
    url: str
    """Of its PostgreSQL; empty: SQLite."""
    store: Store
    redis: RedisConnection
    receiver: Receiving
    previews: FleetPreviews
    eraser: Eraser
    evidence: Evidence
    publication: Publication

    @property
    def policy(self) -> Policy:
        return self.receiver.policy

    async def on_disk(self, *texts: str) -> list[str]:
        """Which of these stands in which file."""
        files = [path for path in sorted(self.directory.iterdir()) if path.is_file()]
        return [f"{text} in {path.name}" for path in files for text in texts if text.encode() in path.read_bytes()]

    async def in_tables(self, *texts: str) -> list[str]:
        """Which of these stands in which table of PostgreSQL, by what it gives to a query."""
        asked = await asyncpg.connect(self.url)
        try:
            tables = await asked.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
            found = []
            for (table,) in tables:
                rows = await asked.fetch(f'SELECT * FROM "{table}"')  # noqa: S608  (a name from the catalogue)
                values = [each if isinstance(each, bytes) else str(each).encode() for row in rows for each in row]
                found += [f"{text} in {table}" for text in texts if any(text.encode() in each for each in values)]
            return found
        finally:
            await asked.close()

    async def entries(self) -> list[dict[str, Any]]:
        """The audit log."""
        async with self.store.read() as reading:
            return [json.loads(each.entry) for each in await reading.audit_entries()]

    async def put(self, *changes: PolicyChange) -> None:
        """Write these down."""

        async def work(writing: Writing) -> None:
            for change in changes:
                await writing.put_policy_change(change, NOW)

        await self.store.write(work)

    async def _asked(self, *words: str | bytes) -> Any:
        return await self.redis.call(lambda run_id: words)

    async def in_cache(self, *texts: str) -> list[str]:
        """Which of these stands under which key of the cache."""
        keys = await self._asked("KEYS", "*")
        found = []
        for key in sorted(keys):
            kind = await self._asked("TYPE", key)
            words = ("GET", key) if kind == b"string" else ("XRANGE", key, "-", "+")
            content = repr(await self._asked(*words))
            found += [f"{text} in {key!r}" for text in texts if text in key.decode() or text in content]
        return found


@pytest.fixture
async def site(tmp_path: Path, connection: RedisConnection) -> AsyncIterator[Site]:
    async with lived_in(_directory(tmp_path), connection, "") as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
async def either(tmp_path: Path, connection: RedisConnection, request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    """The same with each database."""
    url = request.getfixturevalue("new_database")() if request.param == "postgresql" else ""
    async with lived_in(_directory(tmp_path), connection, url) as made:
        yield made


def _directory(within: Path) -> Path:
    made = within / "data"
    made.mkdir()
    return made


@asynccontextmanager
async def lived_in(directory: Path, connection: RedisConnection, url: str) -> AsyncIterator[Site]:
    store = await open_store(url or f"sqlite:///{directory}/gatepost.db", writable=True)
    records = RedisRecords(connection, LIFE, 600.0, publishing=True)
    publication = Publication(store, records, RedisPublisher(connection, LIFE), loaded)
    await publication.start()
    receiver = Receiving(store)
    evidence = Evidence(store, RULES, publication.publish, lambda: receiver.policy)
    receiver.ingest._evidence = evidence
    previews = FleetPreviews(store, loaded, directory / "impact.index", lambda: receiver.now)
    eraser = Eraser(evidence, RedisEraser(connection), previews.rewrite, lambda: receiver.now)
    made = Site(directory, url, store, connection, receiver, previews, eraser, evidence, publication)
    await receiver.write(source())
    index = asyncio.ensure_future(previews.run())
    yield made
    index.cancel()
    await asyncio.gather(index, return_exceptions=True)
    await receiver.client.aclose()
    await store.close()


async def live_for_a_while(site: Site) -> None:
    """Ann is named wherever a person can be named; Bob is there to stay."""
    receiver = site.receiver
    await receiver.write(Person(ANN, (ALIAS,), frozenset({"sales"}), "Ann", "de", "", "import", f"post@{ANN}"))
    devices = MailDevices(site.evidence)
    await devices.take(
        [Sighting(ANN, PHONE, NOW), Sighting(ALIAS, "otherphone99", NOW), Sighting(BOB, "bobphone", NOW)]
    )
    for sequence, apps in ((1, (TIKTOK,)), (2, (GMAIL,)), (3, (GMAIL, "com.example.more"))):
        event = full(sequence, apps, subject=SUBJECT, device=names(ANN, eas=[PHONE], serial="SERIALOFANN"))
        assert (await receiver.post(event, message_id=f"event-annsdevice77-{sequence}")).status_code == 202
    await receiver.post(full(1, (GMAIL,), subject="android/bobs", device=names(BOB, eas=["bobphone"])))
    await Credentials(site.evidence).issue(Wanted(ANN, PHONE), "root", NOW)
    pin = PinnedBinding(ANN, PHONE, "agents", SUBJECT, True, "root", NOW)
    await receiver.write(pin)
    await site.store.write(_named_in_changes)
    row = {"event": "refused", "login": ANN, "device": PHONE}
    await EffectSender(site.redis).send([json.dumps(row).encode()])
    await SightingSender(site.redis).send([json.dumps({"login": ANN, "device_id": PHONE}).encode()])
    await RedisMarks(site.redis).put(f"imap:{ANN}", 600.0)
    await RedisMarks(site.redis).put(f"imap:{ANN}%aaaaaaaa", 600.0)
    assert await site.previews.rewrite()


async def _named_in_changes(writing: Writing) -> None:
    await writing.log_audit(AuditEntry(AuditKind.PERSON_VIEWED, "root", (Subject(ANN, PHONE),)))
    await writing.log_audit(AuditEntry(AuditKind.PERSON_VIEWED, "root", (Subject(BOB),)))


NAMES = (ANN, ALIAS, PHONE, "otherphone99", "annsdevice77", "SERIALOFANN")


async def test_nothing_names_the_person_any_more(either: Site, request: pytest.FixtureRequest) -> None:
    site = either
    await live_for_a_while(site)
    await site.store.scrub()
    found = await (site.in_tables(*NAMES) if site.url else site.on_disk(*NAMES))
    assert {each.partition(" in ")[0] for each in found} == set(NAMES)
    postgresql: PostgresServer | None = request.getfixturevalue("postgres") if site.url else None
    if postgresql is not None:
        assert await asyncio.to_thread(_in_statistics, postgresql)
    assert f"{ANN} in impact.index" in await site.on_disk(ANN)
    assert len(await site.in_cache(ANN)) >= 6
    pseudonyms = {each["subjects"][0]["person"] for each in await site.entries() if each["kind"] == "person_viewed"}
    erased = await site.eraser.erase(ALIAS, "root", "left the company")
    assert erased is not None
    assert not any("erase again" in each for each in erased.kept), erased.kept
    assert any("VACUUM FULL" in each for each in erased.kept) is bool(site.url)
    assert {"inventories", "people", "mail_devices", "credentials", "pins", "messages", "past"} <= erased.rows.keys()
    assert await site.on_disk(*NAMES) == []
    assert await site.in_cache(*NAMES) == []
    # Others are all there.
    assert f"{BOB} in impact.index" in await site.on_disk(BOB)
    async with site.store.read() as reading:
        bob, ann = await loaded(reading, BOB), await loaded(reading, ANN)
        assert [len(device.sources) for device in bob.devices.values()] == [1]
        assert (ann.known, dict(ann.devices), ann.unbound) == (False, {}, ())
        assert list(await reading.audit_pseudonyms([ANN, ALIAS])) == []
        assert len(await reading.audit_pseudonyms([BOB])) == 1
    last = (await site.entries())[-1]
    assert (last["kind"], last["subjects"][0]["person"] in pseudonyms) == ("person_erased", True)
    assert await site.eraser.erase(ANN, "root", "again") is None
    assert await site.on_disk(*NAMES) == []
    if postgresql is not None:
        assert await site.in_tables(*NAMES) == []
        assert await asyncio.to_thread(_in_statistics, postgresql) == []
        # What the answer says of the octets that are left.
        assert await asyncio.to_thread(_in_files_after_vacuum_full, postgresql) == []


def _in_statistics(server: PostgresServer) -> list[str]:
    """Which names the planner knows as examples of what stands in a column."""
    known = "SELECT most_common_vals, histogram_bounds FROM pg_stats WHERE schemaname = 'public'"
    stated = server.sql(known, "shared")
    return [name for name in NAMES if name in stated]


def _in_files_after_vacuum_full(server: PostgresServer) -> list[str]:
    for statement in ("VACUUM FULL", "CHECKPOINT"):
        server.sql(statement, "shared")
    number = server.sql("SELECT oid FROM pg_database WHERE datname = 'shared'")
    files = [path for path in (server.cluster / "base" / number).iterdir() if path.is_file()]
    assert any(BOB.encode() in path.read_bytes() for path in files)
    return [f"{name} in {path.name}" for path in files for name in NAMES if name.encode() in path.read_bytes()]


def change(number: int, title: str, state: State = State.PREVIEWED, **fields: Any) -> PolicyChange:
    return PolicyChange(number, "root", "t1", NOW, title, 1, state=state, **fields)


def exempted(login: str, device_id: str = "") -> Touch:
    exemption = Exemption("e7", "root", "travels", NOW, NOW + 60, login=login, device_id=device_id)
    return Touch("exemption:e7", None, exemption)


BINDING = GuardedAction(
    "pin_device",
    {"person": ANN, "device": PHONE, "source": "agents", "source_device": "annsdevice77", "bound": "yes"},
)
FILE = f'[[exemptions.exemption]]\nuser = "{ANN}"  # not jo{ANN}\n'


async def test_changes_name_the_person_no_more(either: Site) -> None:
    site = either
    await live_for_a_while(site)
    bind = f"bind device {PHONE} of {ANN} to annsdevice77 of source agents"
    await site.put(
        change(1, bind, action=BINDING),
        change(2, bind, State.APPLIED, action=BINDING, done=(StageDone(0, 1, NOW, "root"),)),
        change(3, f"exemption added: user {ANN}", touches=(exempted(ANN, PHONE),)),
        change(4, f"exemption added: user {ALIAS}", State.WITHDRAWN, touches=(exempted(ALIAS),), source=FILE),
        change(5, f"exemption added: user {BOB}", touches=(exempted(BOB),), note=f"asked by {ANN}."),
    )
    erased = await site.eraser.erase(ANN, "root", "left the company")
    assert erased is not None
    assert erased.rows["changes"] == 5
    assert not any("waits and names" in each for each in erased.kept)
    # The file of change 4 names somebody whose login ends like that.
    others = [name for name in NAMES if name != ANN]
    assert await (site.in_tables(*others) if site.url else site.on_disk(*others)) == []
    async with site.store.read() as reading:
        found = {each.number: each for each in await reading.policy_changes()}
    # What waited and was about nobody else is over; what was done stays done.
    assert [found[number].state.value for number in (1, 2, 3, 4, 5)] == [
        *("rejected", "applied", "rejected", "withdrawn", "previewed")
    ]
    assert found[2].title == "bind device (erased) of (erased) to (erased) of source agents"
    assert found[4].source == f'[[exemptions.exemption]]\nuser = "(erased)"  # not jo{ANN}\n'
    assert (found[5].touches, found[5].note) == ((exempted(BOB),), "asked by (erased).")
    told = [each for each in await site.entries() if each["kind"] == "change_rejected"]
    assert [each["details"]["change"] for each in told] == [3, 1]
    assert await site.eraser.erase(ANN, "root", "again") is None


async def test_what_waits_and_is_about_others_too_is_named(site: Site) -> None:
    """What was previewed and perhaps approved is not rewritten; somebody decides what becomes of it."""
    await site.receiver.write(Person(ANN))
    other = Touch("enforcement", True, False)
    mixed = change(1, f"exemption added: user {ANN}, and more", touches=(exempted(ANN), other))
    await site.put(mixed)
    erased = await site.eraser.erase(ANN, "root", "left the company")
    assert erased is not None
    assert any("change 1 waits and names the person beside other things: reject it" in each for each in erased.kept)
    await site.put(replace(mixed, state=State.REJECTED))
    assert await site.eraser.erase(ANN, "root", "again") is not None
    assert await site.on_disk(ANN) == []


async def test_what_comes_later_is_taken_as_new(site: Site) -> None:
    await live_for_a_while(site)
    await site.eraser.erase(ANN, "root", "left the company")
    event = full(4, (GMAIL,), subject=SUBJECT, device=names(ANN, eas=[PHONE]))
    assert (await site.receiver.post(event)).status_code == 202
    async with site.store.read() as reading:
        record = await loaded(reading, ANN)
    assert (record.known, record.groups) == (True, frozenset())
    assert [len(each.sources) for each in record.devices.values()] == [1]


async def test_a_device_that_is_somebody_elses_as_well_stays(site: Site) -> None:
    await site.receiver.write(MailDevice(ANN, PHONE, NOW, NOW))
    shared = names(ANN, eas=[PHONE]) + names(BOB)
    await site.receiver.post(full(1, (TIKTOK,), subject="android/tablet", device=shared))
    erased = await site.eraser.erase(ANN, "root", "left the company")
    assert erased is not None
    assert "inventories" not in erased.rows
    async with site.store.read() as reading:
        (device,) = [*(await loaded(reading, BOB)).devices.values(), *(await loaded(reading, BOB)).unbound]
    assert len(device.sources) == 1


def enforcing(policy: Policy) -> Policy:
    bans = tuple(replace(ban, flag=Flag.ENFORCE) for ban in policy.version.bans)
    return policy_of(replace(policy.version, bans=bans))


async def test_nobody_who_is_refused_comes_in_by_being_forgotten(site: Site) -> None:
    site.receiver.policy = enforcing(BANNED)
    await site.receiver.write(MailDevice(ANN, PHONE, NOW, NOW))
    event = full(1, (TIKTOK,), subject=SUBJECT, device=names(ANN, eas=[PHONE]))
    await site.receiver.post(event)
    with pytest.raises(InvalidValue, match="refused by ban TikTok"):
        await site.eraser.erase(ANN, "root", "x")
    async with site.store.read() as reading:
        assert (await loaded(reading, ANN)).known
    assert await site.eraser.erase(ANN, "root", "x", even_refused=True) is not None


async def test_nor_by_losing_what_refuses_without_a_ban(site: Site) -> None:
    """Stale evidence may be refused where unknown devices are let in."""
    unknowns = replace(Unknowns(), stale=UnknownSetting(Setting.DENY))
    site.receiver.policy = policy_of(replace(BANNED.version, unknowns=unknowns))
    await site.receiver.write(MailDevice(ANN, PHONE, NOW, NOW))
    await site.receiver.post(full(1, (GMAIL,), subject=SUBJECT, device=names(ANN, eas=[PHONE])))
    site.receiver.now = NOW + 10 * 86_400
    with pytest.raises(InvalidValue, match="evidence_stale"):
        await site.eraser.erase(ANN, "root", "x")
    unknowns = replace(unknowns, unmatched=UnknownSetting(Setting.DENY), missing=UnknownSetting(Setting.DENY))
    site.receiver.policy = policy_of(replace(BANNED.version, unknowns=unknowns))
    assert await site.eraser.erase(ANN, "root", "x") is not None


async def test_previews_and_notices_name_the_person_no_more(site: Site) -> None:
    seen = PreviewSeen("d" * 64, 1, 1, NOW, 2, 0, 2)
    change = PolicyChange(1, "root", "t1", NOW, "ban", 1, (), preview=seen)
    shown = {
        "first_cut": [{"person": ANN, "device": PHONE}, {"person": BOB, "device": "bobphone"}],
        "named": [{"name": "board", "people": 2, "cut": [ANN, BOB], "people_cut": 2}],
        "newly_cut": 2,
    }
    content = encode_preview(Previewed(seen, SimpleNamespace(newly_admitted=0), frozenset({1, 2}), shown))  # type: ignore[arg-type]

    async def work(writing: Writing) -> None:
        await writing.put_person(Person(ANN))
        await writing.put_policy_change(change, NOW)
        await writing.put_change_preview(1, seen.digest, content)
        notices = [Notice(1, NoticeKind.CUT, Reader(each, each, "", "", ""), f"<{each}>") for each in (ANN, BOB)]
        await writing.add_notices(notices)

    await site.store.write(work)
    exemption = Exemption("e1", "root", "travels", NOW, NOW + 60, login=ANN)
    site.receiver.policy = policy_of(replace(BANNED.version, exemptions=(exemption,)))
    erased = await site.eraser.erase(ANN, "root", "left the company")
    assert erased is not None
    assert (erased.rows["previews"], erased.rows["notices"]) == (1, 1)
    assert any("an exemption in force names the person" in each for each in erased.kept)
    async with site.store.read() as reading:
        kept = decode_preview(await reading.change_preview(1, seen.digest) or b"")
        assert await reading.notice(1, NoticeKind.CUT, ANN) is None
        assert await reading.notice(1, NoticeKind.CUT, BOB) is not None
    assert kept.newly_cut == {1, 2}
    assert kept.shown["first_cut"] == [{"person": BOB, "device": "bobphone"}]
    assert kept.shown["named"] == [{"name": "board", "people": 2, "cut": [BOB], "people_cut": 2}]
    assert await site.on_disk(ANN, PHONE) == []
