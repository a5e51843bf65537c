"""The audit log in SQL: reading it, what a unit of work wants on it, and the chaining at the end of a transaction."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, delete, func, select, update

from gateway.domain.audit import AuditEntry
from gateway.domain.audit.chain import AuditHead
from gateway.domain.audit.entry import pseudonym_of
from gateway.domain.audit.stored import DroppedSegment, StoredCheckpoint, StoredEntry
from gateway.ports.audit_store import ToldMessage
from gateway.ports.store import Conflict
from gateway.storage.audit_rows import NOT_BEGUN, Content, Seal, content_of, new_log, new_subject_key, rows_of
from gateway.storage.sql import schema as s
from gateway.storage.sql.rows import Rows

HASH_BYTES = 32

_HEAD = select(s.audit_head.c.origin, s.audit_head.c.size, s.audit_head.c.chain, s.audit_head.c.frontier)
_LOCKED_HEAD = _HEAD.with_for_update()
_BEGIN = s.audit_head.insert()
_MOVE_ON = update(s.audit_head).values(
    size=bindparam("reached"), chain=bindparam("newest"), frontier=bindparam("subtrees")
)
_ENTRIES = (
    select(s.audit_entries)
    .where(s.audit_entries.c.seq > bindparam("after"))
    .order_by(s.audit_entries.c.seq)
    .limit(bindparam("most"))
)
_FIRST = select(func.coalesce(func.min(s.audit_entries.c.seq), 0))
_ADD_ENTRIES = s.audit_entries.insert()
_DROP_ENTRIES = delete(s.audit_entries).where(s.audit_entries.c.seq <= bindparam("last"))
_CHECKPOINTS = (
    select(s.audit_checkpoints)
    .where(s.audit_checkpoints.c.size > bindparam("after"))
    .order_by(s.audit_checkpoints.c.size)
    .limit(bindparam("most"))
)
_CHECKPOINT = select(s.audit_checkpoints).where(s.audit_checkpoints.c.size == bindparam("wanted"))
_NEWEST_CHECKPOINT = select(s.audit_checkpoints).order_by(s.audit_checkpoints.c.size.desc()).limit(1)
_ADD_CHECKPOINT = s.audit_checkpoints.insert()
_DROP_CHECKPOINTS = delete(s.audit_checkpoints).where(s.audit_checkpoints.c.size < bindparam("before"))
_NEWEST_SIZE = select(func.coalesce(func.max(s.audit_checkpoints.c.size), 0))
_THIN_CHECKPOINTS = delete(s.audit_checkpoints).where(s.audit_checkpoints.c.size == bindparam("one"))
_DROPPED = select(s.audit_dropped).order_by(s.audit_dropped.c.upto)
_ADD_DROPPED = s.audit_dropped.insert()
_KEYS = select(s.audit_subjects.c.login, s.audit_subjects.c.key).where(
    s.audit_subjects.c.login.in_(bindparam("wanted", expanding=True))
)
_ADD_KEYS = s.audit_subjects.insert()
_DROP_KEY = delete(s.audit_subjects).where(s.audit_subjects.c.login == bindparam("person"))
_EVIDENCE_TOLD = select(s.store_state.c.evidence_told)
_TELL_EVIDENCE = update(s.store_state).values(evidence_told=bindparam("until"))
_MESSAGES_BETWEEN = select(
    s.messages.c.source_id, s.messages.c.status, s.messages.c.digest, s.messages.c.received_at
).where(s.messages.c.received_at >= bindparam("begin"), s.messages.c.received_at < bindparam("end"))
LOGINS_AT_ONCE = 500
"""In one question: databases bound the number of values."""


class SqlAuditReading:
    """``ports.audit_store.AuditReading`` on one transaction."""

    _rows: Rows

    async def audit_head(self) -> AuditHead:
        return _head(await self._rows.all(_HEAD))

    async def audit_entries(self, after: int = 0, limit: int = 1000) -> Sequence[StoredEntry]:
        found = await self._rows.all(_ENTRIES, {"after": after, "most": limit})
        return [_entry(row) for row in found]

    async def audit_checkpoints(self, after: int = 0, limit: int = 1000) -> Sequence[StoredCheckpoint]:
        return [_checkpoint(row) for row in await self._rows.all(_CHECKPOINTS, {"after": after, "most": limit})]

    async def newest_audit_checkpoint(self) -> StoredCheckpoint | None:
        found = await self._rows.all(_NEWEST_CHECKPOINT)
        return _checkpoint(found[0]) if found else None

    async def dropped_segments(self) -> Sequence[DroppedSegment]:
        found = await self._rows.all(_DROPPED)
        return [
            DroppedSegment(row.upto, _moment(row.at), str(row.note), _octets(row.chain), _hashes(row.frontier))
            for row in found
        ]

    async def audit_pseudonyms(self, logins: Sequence[str]) -> Sequence[str]:
        keys = await self._subject_keys(logins)
        return [pseudonym_of(keys[login], login) for login in logins if login in keys]

    async def evidence_told(self) -> float:
        ((until,),) = await self._rows.all(_EVIDENCE_TOLD)
        return float(until)

    async def messages_between(self, begin: float, end: float) -> Sequence[ToldMessage]:
        found = await self._rows.all(_MESSAGES_BETWEEN, {"begin": begin, "end": end})
        return [ToldMessage(*row) for row in found]

    async def _subject_keys(self, logins: Sequence[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        wanted = list(dict.fromkeys(logins))
        for begin in range(0, len(wanted), LOGINS_AT_ONCE):
            rows = await self._rows.all(_KEYS, {"wanted": wanted[begin : begin + LOGINS_AT_ONCE]})
            found.update((row.login, bytes(row.key)) for row in rows)
        return found


class SqlAuditWriting(SqlAuditReading):
    """``ports.audit_store.AuditWriting`` inside a savepoint of the shared transaction."""

    def __init__(self) -> None:
        self.audit_contents: list[Content] = []
        """What this unit wants on the log, in its order."""

    async def log_audit(self, entry: AuditEntry) -> None:
        keys: dict[str, bytes] = {}
        if entry.subjects:
            logins = dict.fromkeys(each.login for each in entry.subjects)
            keys = await self._subject_keys(list(logins))
            fresh = {login: new_subject_key() for login in logins if login not in keys}
            if fresh:
                await self._rows.run(_ADD_KEYS, [{"login": login, "key": key} for login, key in fresh.items()])
                keys.update(fresh)
        self.audit_contents.append(content_of(entry, keys))

    async def put_audit_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        if await self._rows.all(_CHECKPOINT, {"wanted": checkpoint.size}):
            return
        values = {
            "size": checkpoint.size,
            "at": checkpoint.at,
            "note": checkpoint.note,
            "chain": checkpoint.chain,
            "frontier": b"".join(checkpoint.frontier),
        }
        await self._rows.run(_ADD_CHECKPOINT, values)

    async def drop_audit_segment(self, segment: DroppedSegment) -> int:
        ((first,),) = await self._rows.all(_FIRST)
        head = await self.audit_head()
        behind = await self._rows.all(_CHECKPOINT, {"wanted": segment.upto})
        if not first or not first <= segment.upto <= head.size or not behind:
            raise Conflict(f"the entries up to {segment.upto} are not all there, or no checkpoint stands for them")
        values = {
            "upto": segment.upto,
            "at": segment.at,
            "note": segment.note,
            "chain": segment.chain,
            "frontier": b"".join(segment.frontier),
        }
        await self._rows.run(_ADD_DROPPED, values)
        gone = await self._rows.run(_DROP_ENTRIES, {"last": segment.upto})
        await self._rows.run(_DROP_CHECKPOINTS, {"before": segment.upto})
        return gone

    async def thin_audit_checkpoints(self, sizes: Sequence[int]) -> None:
        ((newest,),) = await self._rows.all(_NEWEST_SIZE)
        gone = [{"one": size} for size in sizes if size != newest]
        if gone:
            await self._rows.run(_THIN_CHECKPOINTS, gone)

    async def put_evidence_told(self, until: float) -> None:
        await self._rows.run(_TELL_EVIDENCE, {"until": until})

    async def forget_audit_subject(self, login: str) -> bool:
        return bool(await self._rows.run(_DROP_KEY, {"person": login}))


async def chain_entries(rows: Rows, contents: Sequence[Content], at: float, seal: Seal) -> None:
    """Among the last statements of a transaction: number and chain what its units want on the log.

    The head's row is locked meanwhile, behind the change log's counter and everywhere in this order.
    """
    if not contents:
        return
    present = _head(await rows.all(_LOCKED_HEAD))
    made, head = rows_of(contents, present if present.origin else new_log(), at, seal)
    await rows.run(_ADD_ENTRIES, [row._asdict() for row in made])
    frontier = b"".join(head.frontier)
    if present.origin:
        await rows.run(_MOVE_ON, {"reached": head.size, "newest": head.chain, "subtrees": frontier})
    else:
        values = {"id": 1, "origin": head.origin, "size": head.size, "chain": head.chain, "frontier": frontier}
        await rows.run(_BEGIN, values)


def _head(found: Sequence[Any]) -> AuditHead:
    if not found:
        return NOT_BEGUN
    row = found[0]
    return AuditHead(str(row.origin), row.size, _octets(row.chain), _hashes(row.frontier))


def _checkpoint(row: Any) -> StoredCheckpoint:
    return StoredCheckpoint(row.size, _moment(row.at), str(row.note), _octets(row.chain), _hashes(row.frontier))


def _entry(row: Any) -> StoredEntry:
    seq, entry, leaf, chain, seal = row
    if type(entry) is type(leaf) is type(chain) is type(seal) is bytes:
        return StoredEntry(seq, entry, leaf, chain, seal)
    return StoredEntry(seq, _octets(entry), _octets(leaf), _octets(chain), _octets(seal))


def _octets(value: object) -> bytes:
    """SQLite holds a text in a column of octets as well; who put one there is found out by its hash."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


def _moment(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _hashes(value: object) -> tuple[bytes, ...]:
    octets = _octets(value)
    return tuple(octets[begin : begin + HASH_BYTES] for begin in range(0, len(octets), HASH_BYTES))
