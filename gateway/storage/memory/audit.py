"""The audit log of the memory store."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from gateway.domain.audit import AuditEntry
from gateway.domain.audit.chain import AuditHead
from gateway.domain.audit.entry import pseudonym_of
from gateway.domain.audit.stored import DroppedSegment, StoredCheckpoint, StoredEntry
from gateway.ports.store import Conflict
from gateway.storage.audit_rows import NOT_BEGUN, Content, Seal, content_of, new_log, new_subject_key, rows_of


@dataclass(frozen=True, slots=True)
class AuditTables:
    """One state of the log; never changed, only replaced."""

    head: AuditHead = NOT_BEGUN
    entries: tuple[StoredEntry, ...] = ()
    """Their numbers have no gap."""
    checkpoints: tuple[StoredCheckpoint, ...] = ()
    dropped: tuple[DroppedSegment, ...] = ()
    keys: dict[str, bytes] = field(default_factory=dict)
    """Of persons, by login."""

    @property
    def first(self) -> int:
        """The number of the first entry that is kept."""
        return self.dropped[-1].upto + 1 if self.dropped else 1


class MemoryAuditReading:
    """``ports.audit_store.AuditReading`` over one state."""

    audit: AuditTables

    async def audit_head(self) -> AuditHead:
        return self.audit.head

    async def audit_entries(self, after: int = 0, limit: int = 1000) -> Sequence[StoredEntry]:
        begin = max(0, after + 1 - self.audit.first)
        return self.audit.entries[begin : begin + limit]

    async def audit_checkpoints(self, after: int = 0, limit: int = 1000) -> Sequence[StoredCheckpoint]:
        return [each for each in self.audit.checkpoints if each.size > after][:limit]

    async def newest_audit_checkpoint(self) -> StoredCheckpoint | None:
        return self.audit.checkpoints[-1] if self.audit.checkpoints else None

    async def dropped_segments(self) -> Sequence[DroppedSegment]:
        return self.audit.dropped

    async def audit_pseudonyms(self, logins: Sequence[str]) -> Sequence[str]:
        keys = self.audit.keys
        return [pseudonym_of(keys[login], login) for login in logins if login in keys]


class MemoryAuditWriting(MemoryAuditReading):
    """``ports.audit_store.AuditWriting`` on a state of a unit's own."""

    def __init__(self, audit: AuditTables) -> None:
        self.audit = audit
        self._contents: list[Content] = []

    async def log_audit(self, entry: AuditEntry) -> None:
        keys = self.audit.keys
        fresh = {each.login: new_subject_key() for each in entry.subjects if each.login not in keys}
        content = content_of(entry, {**keys, **fresh})
        if fresh:
            self.audit = replace(self.audit, keys={**keys, **fresh})
        self._contents.append(content)

    async def put_audit_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        known = self.audit.checkpoints
        if all(each.size != checkpoint.size for each in known):
            ordered = sorted((*known, checkpoint), key=lambda each: each.size)
            self.audit = replace(self.audit, checkpoints=tuple(ordered))

    async def drop_audit_segment(self, segment: DroppedSegment) -> int:
        number = segment.upto + 1 - self.audit.first
        behind = any(each.size == segment.upto for each in self.audit.checkpoints)
        if number < 1 or segment.upto > self.audit.head.size or not behind:
            raise Conflict(f"the entries up to {segment.upto} are not all there, or no checkpoint stands for them")
        self.audit = replace(
            self.audit,
            entries=self.audit.entries[number:],
            checkpoints=tuple(each for each in self.audit.checkpoints if each.size >= segment.upto),
            dropped=(*self.audit.dropped, segment),
        )
        return number

    async def thin_audit_checkpoints(self, sizes: Sequence[int]) -> None:
        gone, known = set(sizes), self.audit.checkpoints
        self.audit = replace(
            self.audit, checkpoints=tuple(each for each in known if each.size not in gone or each is known[-1])
        )

    async def forget_audit_subject(self, login: str) -> bool:
        keys = dict(self.audit.keys)
        known = keys.pop(login, None) is not None
        self.audit = replace(self.audit, keys=keys)
        return known

    def finish_audit(self, at: float, seal: Seal) -> None:
        """Chain the unit's entries."""
        if self._contents:
            head = self.audit.head if self.audit.head.origin else new_log()
            rows, head = rows_of(self._contents, head, at, seal)
            self.audit = replace(self.audit, head=head, entries=(*self.audit.entries, *rows))
