"""The part of a store that keeps the audit log.

An entry is written in the unit of work of what it tells of: both are committed, or neither is. Entries get their
numbers and are chained at the commit, as the last statements of the transaction and behind the change log, so that
several control processes keep one chain. Nothing is changed or deleted afterwards but for ``drop_segment``; the SQL
stores have triggers that say so to everybody else.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from gateway.domain.audit import AuditEntry
from gateway.domain.audit.chain import AuditHead
from gateway.domain.audit.stored import DroppedSegment, StoredCheckpoint, StoredEntry


class ToldMessage(NamedTuple):
    """A report that was stored, as far as the log tells of it."""

    source_id: str
    status: str
    digest: str
    """SHA-256 hex of the message."""
    received_at: float


class AuditReading(Protocol):
    """The audit log at one moment."""

    async def audit_head(self) -> AuditHead:
        """Where the log stands, without what a unit of work under way wants on it; ``origin`` empty: not begun."""
        ...

    async def audit_entries(self, after: int = 0, limit: int = 1000) -> Sequence[StoredEntry]:
        """Rows above ``after`` in order, at most ``limit``."""
        ...

    async def audit_checkpoints(self, after: int = 0, limit: int = 1000) -> Sequence[StoredCheckpoint]:
        """Checkpoints of sizes above ``after`` in order, at most ``limit``."""
        ...

    async def newest_audit_checkpoint(self) -> StoredCheckpoint | None:
        """The one of the largest size."""
        ...

    async def dropped_segments(self) -> Sequence[DroppedSegment]:
        """What is not kept any more, oldest first."""
        ...

    async def audit_pseudonyms(self, logins: Sequence[str]) -> Sequence[str]:
        """What stands in the log for these logins; those without an entry, or whose key was deleted, are left out."""
        ...

    async def evidence_told(self) -> float:
        """Up to which moment the log tells of reports, epoch seconds."""
        ...

    async def messages_between(self, begin: float, end: float) -> Sequence[ToldMessage]:
        """The messages that are remembered of that time, ``end`` not included."""
        ...


class AuditWriting(Protocol):
    """What a unit of work writes to the audit log."""

    async def log_audit(self, entry: AuditEntry) -> None:
        """Write an entry at the end of this unit, with the moment of the commit.

        Raises ``ValueError`` for what no entry can hold (``domain.audit.entry``).
        """
        ...

    async def put_audit_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        """Keep a signed checkpoint; one of the same size stays as it is."""
        ...

    async def drop_audit_segment(self, segment: DroppedSegment) -> int:
        """Forget the entries up to ``segment.upto``, and the checkpoints before it; how many entries.

        Raises ``Conflict`` where they are not all there, or not behind a checkpoint of that size.
        """
        ...

    async def thin_audit_checkpoints(self, sizes: Sequence[int]) -> None:
        """Forget the checkpoints of these sizes; never the newest one."""
        ...

    async def put_evidence_told(self, until: float) -> None:
        """The log tells of reports up to that moment."""
        ...

    async def forget_audit_subject(self, login: str) -> bool:
        """Delete the key of a person: from now on no entry says whom it is about. False: there was none."""
        ...
