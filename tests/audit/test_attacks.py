"""Each attack on a stored log, done for real in both databases: what verifying alone finds, and what it needs help for.

The log has sixteen entries: the eighth and the fourteenth announce checkpoints, and the one for the fourteenth left the
machine. The attacker writes the database; where it says so, he has the key as well.
"""

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.audit.checkpoints import Checkpointing, CheckpointSettings
from gateway.audit.keys import AuditKey, Seals, audit_key
from gateway.audit.verification import verified
from gateway.domain.audit import AuditEntry, AuditKind
from gateway.domain.audit.chain import GrowingLog, head_before
from gateway.domain.audit.checkpoint import Checkpoint, checkpoint_of, read_note
from gateway.domain.audit.comparing import Verification
from gateway.domain.audit.damage import DamageKind
from gateway.domain.audit.stored import StoredEntry
from gateway.ports.store import Store, Writing
from gateway.storage.sql import open_store
from tests.audit.raw_log import (
    RawLog,
    RawPostgres,
    RawSqlite,
    entries,
    head_of,
    origin_of,
    put_entries,
    put_head,
)
from tests.support.migrated_stores import MigratedStores

PAGE = Path(__file__).resolve().parents[2] / "docs" / "audit.md"
KEY = audit_key(Ed25519PrivateKey.generate())
OTHER_KEY = audit_key(Ed25519PrivateKey.generate())
COPY = "INSERT INTO audit_entries (seq, entry, leaf, chain, seal)"


@dataclass(slots=True)
class Log:
    """A log, its raw tables, and the checkpoint that left the machine."""

    store: Store
    raw: RawLog
    outside: Checkpoint


async def write(store: Store, numbers: Sequence[int]) -> None:
    async def work(writing: Writing) -> None:
        for number in numbers:
            await writing.log_audit(AuditEntry(AuditKind.NOTICE, "anna", details={"number": number}))

    await store.write(work)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.live)])
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Log]:
    migrated: MigratedStores = request.getfixturevalue("migrated")
    if request.param == "sqlite":
        url = await migrated.sqlite(tmp_path)
        found: RawLog = RawSqlite(tmp_path / "gatepost.db")
    else:
        url = await migrated.postgres(request.getfixturevalue("postgres"))
        found = RawPostgres(url)
    store = await open_store(url, writable=True, seal=KEY.seal)
    signing = Checkpointing(store, KEY, None, CheckpointSettings())
    await write(store, range(1, 8))
    await signing.make()
    await write(store, range(9, 14))
    made = await signing.make()
    await write(store, range(15, 17))
    assert made.size == 14
    yield Log(store, found, read_note(made.note))
    await store.close()


async def verify(log: Log, *, private: bool = True, outside: bool = False) -> Verification:
    """As ``gatepost audit verify`` does: with the gateway's key file, or with the public key only."""
    async with log.store.read() as reading:
        keys = [KEY.verifier((await reading.audit_head()).origin)]
        return await verified(reading, keys, Seals(KEY) if private else None, [log.outside] if outside else [])


def first(found: Verification) -> tuple[str, int] | None:
    """The kind and the place of the first finding."""
    return (found.damages[0].kind.value, found.damages[0].seq) if found.damages else None


# --- what is done to the rows


def rechained(
    origin: str, contents: Sequence[bytes], key: AuditKey | None, kept: Sequence[StoredEntry] = ()
) -> list[StoredEntry]:
    """Rows as the gateway would write them, sealed by ``key``; those of ``kept`` whose chain stays keep their seal."""
    log, rows = GrowingLog(head_before(origin)), []
    for place, entry in enumerate(contents):
        leaf = log.add(entry)
        seal = key.seal(log.chain) if key else OTHER_KEY.seal(log.chain)
        if place < len(kept) and kept[place].chain == log.chain:
            seal = kept[place].seal
        rows.append(StoredEntry(log.size, entry, leaf, log.chain, seal))
    return rows


def with_number(entry: bytes, seq: int) -> bytes:
    return re.sub(rb'"seq":\d+,', b'"seq":%d,' % seq, entry)


def other(entry: bytes) -> bytes:
    return entry.replace(b'"anna"', b'"eve"')


async def change_octets(raw: RawLog) -> None:
    await raw.run("UPDATE audit_entries SET entry = ? WHERE seq = 10", [(other((await entries(raw))[9].entry),)])


async def change_with_its_hashes(raw: RawLog) -> None:
    rows = await entries(raw)
    made = rechained(await origin_of(raw), [*(row.entry for row in rows[:9]), other(rows[9].entry)], None)[9]
    await put_entries(raw, [*rows[:9], made, *rows[10:]])


async def delete_one(raw: RawLog) -> None:
    await raw.run("DELETE FROM audit_entries WHERE seq = 10")


async def delete_and_renumber(raw: RawLog) -> None:
    rows = await entries(raw)
    left = [row._replace(seq=place) for place, row in enumerate([*rows[:9], *rows[10:]], 1)]
    await put_entries(raw, left)
    await put_head(raw, await head_of(raw, left))


async def swap_two(raw: RawLog) -> None:
    rows = await entries(raw)
    rows[9], rows[10] = rows[10]._replace(seq=10), rows[9]._replace(seq=11)
    await put_entries(raw, rows)


async def insert_one(raw: RawLog) -> None:
    rows = await entries(raw)
    new = rechained(
        await origin_of(raw), [*(row.entry for row in rows[:9]), other(with_number(rows[8].entry, 10))], None
    )[9]
    await put_entries(raw, [*rows[:9], new, *(row._replace(seq=row.seq + 1) for row in rows[9:])])


async def append_without_key(raw: RawLog) -> None:
    rows = await entries(raw)
    contents = [*(row.entry for row in rows), other(with_number(rows[15].entry, 17))]
    made = rechained(await origin_of(raw), contents, None, rows)
    await put_entries(raw, made)
    await put_head(raw, await head_of(raw, made))


async def cut_off_the_tail(raw: RawLog) -> None:
    rows = await entries(raw)
    await put_entries(raw, rows[:11])
    await put_head(raw, await head_of(raw, rows[:11]))


async def cut_off_the_tail_with_its_checkpoint(raw: RawLog) -> None:
    await cut_off_the_tail(raw)
    await raw.run("DELETE FROM audit_checkpoints WHERE size > 11")


async def rewrite(raw: RawLog, key: AuditKey | None) -> list[StoredEntry]:
    rows = await entries(raw)
    contents = [*(row.entry for row in rows[:9]), other(rows[9].entry), *(row.entry for row in rows[10:])]
    made = rechained(await origin_of(raw), contents, key, rows)
    await put_entries(raw, made)
    await put_head(raw, await head_of(raw, made))
    return made


async def rewrite_without_key(raw: RawLog) -> None:
    await rewrite(raw, None)


async def rewrite_without_key_and_checkpoint(raw: RawLog) -> None:
    await rewrite(raw, None)
    await raw.run("DELETE FROM audit_checkpoints WHERE size > 9")


async def rewrite_with_the_key(raw: RawLog) -> None:
    made = await rewrite(raw, KEY)
    head = await head_of(raw, made[:14])
    note, frontier = KEY.note(checkpoint_of(head)), b"".join(head.frontier)
    await raw.run(
        "UPDATE audit_checkpoints SET note = ?, chain = ?, frontier = ? WHERE size = 14", [(note, head.chain, frontier)]
    )


async def begin_another_log(raw: RawLog) -> None:
    """All is gone, and another log stands in its place, written by whoever has the key."""
    await raw.run("DELETE FROM audit_checkpoints")
    made = rechained("gatepost/another", [row.entry for row in await entries(raw)], KEY)
    await put_entries(raw, made)
    await raw.run("UPDATE audit_head SET origin = 'gatepost/another'")
    await put_head(raw, await head_of(raw, made))


async def forge_a_checkpoint(raw: RawLog) -> None:
    """The tail is cut off, and a checkpoint for what is left bears the name of the key."""
    await cut_off_the_tail_with_its_checkpoint(raw)
    head = await head_of(raw, await entries(raw))
    checkpoint = checkpoint_of(head)
    forged = checkpoint.text + "\n" + KEY.note(Checkpoint(head.origin, 3, head.root)).split("\n\n")[1]
    values = (head.size, 1.0, forged, head.chain, b"".join(head.frontier))
    await raw.run("INSERT INTO audit_checkpoints (size, at, note, chain, frontier) VALUES (?, ?, ?, ?, ?)", [values])


async def drop_without_word(raw: RawLog) -> None:
    """Old entries are declared dropped, behind a checkpoint that is good."""
    ((at, note, chain, frontier),) = await raw.all(
        "SELECT at, note, chain, frontier FROM audit_checkpoints WHERE size = 8"
    )
    await raw.run(
        "INSERT INTO audit_dropped (upto, at, note, chain, frontier) VALUES (?, ?, ?, ?, ?)",
        [(8, at, note, chain, frontier)],
    )
    await raw.run("DELETE FROM audit_entries WHERE seq <= 8")


@dataclass(frozen=True, slots=True)
class Attack:
    """What is done, in the words of the page, and what each way of verifying finds first; None: nothing."""

    words: str
    do: Callable[[RawLog], Awaitable[None]]
    with_key_file: tuple[DamageKind, int] | None
    with_public_key: tuple[DamageKind, int] | None
    with_outside: tuple[DamageKind, int]
    """With the public key and the checkpoint that left the machine."""


K = DamageKind
ATTACKS = (
    Attack("an entry's text changed", change_octets, (K.CHANGED, 10), (K.CHANGED, 10), (K.CHANGED, 10)),
    Attack(
        "the same, its own hashes made to fit",
        change_with_its_hashes,
        (K.CHANGED, 10),
        (K.CHANGED, 10),
        (K.CHANGED, 10),
    ),
    Attack("an entry deleted", delete_one, (K.DELETED, 10), (K.DELETED, 10), (K.DELETED, 10)),
    Attack(
        "an entry deleted, those behind it renumbered",
        delete_and_renumber,
        (K.DELETED, 10),
        (K.DELETED, 10),
        (K.DELETED, 10),
    ),
    Attack("two entries exchanged", swap_two, (K.REORDERED, 10), (K.REORDERED, 10), (K.REORDERED, 10)),
    Attack(
        "an entry inserted, those behind it renumbered",
        insert_one,
        (K.APPENDED, 10),
        (K.INSERTED, 11),
        (K.INSERTED, 11),
    ),
    Attack("an entry appended, everything made to fit", append_without_key, (K.APPENDED, 17), None, (K.APPENDED, 17)),
    Attack(
        "the tail cut off, the head made to fit", cut_off_the_tail, (K.CUT_OFF, 12), (K.CUT_OFF, 12), (K.CUT_OFF, 12)
    ),
    Attack(
        "the same, and the checkpoints of the tail deleted",
        cut_off_the_tail_with_its_checkpoint,
        None,
        None,
        (K.CUT_OFF, 12),
    ),
    Attack(
        "the same, and another checkpoint forged",
        forge_a_checkpoint,
        (K.CHECKPOINT_FORGED, 11),
        (K.CHECKPOINT_FORGED, 11),
        (K.CHECKPOINT_FORGED, 11),
    ),
    Attack(
        "everything from an entry on rewritten, without the key",
        rewrite_without_key,
        (K.REWRITTEN, 9),
        (K.REWRITTEN, 9),
        (K.REWRITTEN, 9),
    ),
    Attack(
        "the same, and the checkpoints behind it deleted",
        rewrite_without_key_and_checkpoint,
        (K.APPENDED, 10),
        None,
        (K.REWRITTEN, 1),
    ),
    Attack(
        "everything from an entry on rewritten, **with the key**", rewrite_with_the_key, None, None, (K.REWRITTEN, 1)
    ),
    Attack("another log in its place, **with the key**", begin_another_log, None, None, (K.REWRITTEN, 1)),
    Attack("old entries declared dropped", drop_without_word, (K.DROPPED, 1), (K.DROPPED, 1), (K.DROPPED, 1)),
)


async def test_an_untouched_log_is_intact(log: Log) -> None:
    for private in (True, False):
        found = await verify(log, private=private, outside=True)
        assert found.damages == ()
        assert found.notes == ()
        assert (found.first, found.size, found.vouched, found.outside) == (1, 16, 14, 14)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.do.__name__)
async def test_what_is_found(log: Log, attack: Attack) -> None:
    await log.raw.without_triggers()
    await attack.do(log.raw)
    assert first(await verify(log)) == attack.with_key_file
    assert first(await verify(log, private=False)) == attack.with_public_key
    assert not (await verify(log, outside=True)).is_intact
    if attack.do is not append_without_key:
        assert first(await verify(log, private=False, outside=True)) == attack.with_outside


async def test_what_was_appended_is_found_by_a_later_checkpoint_only_if_it_is_of_the_right_log(log: Log) -> None:
    """What an attacker appends before the gateway signs is signed with the rest: only the seal tells."""
    await log.raw.without_triggers()
    await append_without_key(log.raw)
    await Checkpointing(log.store, KEY, None, CheckpointSettings()).make()
    assert first(await verify(log)) == (K.APPENDED, 17)
    assert first(await verify(log, private=False, outside=True)) is None


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entries SET entry = entry WHERE seq = 10",
        "DELETE FROM audit_entries WHERE seq = 16",
        "DELETE FROM audit_entries",
        COPY + " SELECT 18, entry, leaf, chain, seal FROM audit_entries WHERE seq = 1",  # noqa: S608
        COPY + " SELECT 10, entry, leaf, chain, seal FROM audit_entries WHERE seq = 1",  # noqa: S608
        "UPDATE audit_head SET size = 3",
        "UPDATE audit_head SET origin = 'another'",
        "DELETE FROM audit_head",
        "UPDATE audit_checkpoints SET note = 'x'",
        "DELETE FROM audit_checkpoints WHERE size = 14",
    ],
)
async def test_the_triggers_refuse_what_is_no_part_of_a_logs_life(log: Log, statement: str) -> None:
    with pytest.raises(Exception, match="append-only"):
        await log.raw.run(statement)
    assert (await verify(log, outside=True)).is_intact


@pytest.mark.parametrize("log", ["sqlite"], indirect=True)
async def test_the_triggers_of_sqlite_refuse_to_replace(log: Log) -> None:
    again = "SELECT seq, entry, leaf, chain, seal FROM audit_entries WHERE seq = 10"
    with pytest.raises(Exception, match="append-only"):
        await log.raw.run(f"INSERT OR REPLACE INTO audit_entries (seq, entry, leaf, chain, seal) {again}")


@pytest.mark.parametrize("log", [pytest.param("postgres", marks=pytest.mark.live)], indirect=True)
async def test_the_triggers_of_postgres_hold_for_replication_and_truncate(log: Log) -> None:
    with pytest.raises(Exception, match="append-only"):
        await log.raw.run("TRUNCATE audit_entries")
    with pytest.raises(Exception, match=r"append-only|permission denied"):
        await log.raw.run("SET session_replication_role = replica; DELETE FROM audit_entries")


def test_the_page_shows_this_table() -> None:
    rows = re.findall(r"^\| (?!attack)(.+?) \| (.+?) \| (.+?) \| (.+?) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert [row for row in rows if row[1] != "---"] == [
        (each.words, _cell(each.with_key_file), _cell(each.with_public_key), _outside(each)) for each in ATTACKS
    ]


def _outside(attack: Attack) -> str:
    return "no" if attack.do is append_without_key else _cell(attack.with_outside)


def _cell(found: tuple[DamageKind, int] | None) -> str:
    return "**no**" if found is None else found[0].value.replace("_", " ")


def test_json_of_an_entry_is_what_the_attacks_think() -> None:
    assert json.loads(with_number(b'{"seq":12,"v":1}', 7)) == {"seq": 7, "v": 1}
