"""Which people were erased after a backup was made: it has them still, and a restore brings them back.

The audit log says when, by whom and for what reason, and nobody's name; what the present one has beyond the backup's
is looked through.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from gateway.domain.audit import AuditKind
from gateway.domain.audit.entry import decoded
from gateway.domain.audit.stored import StoredEntry
from gateway.ports.store import Reading

ENTRIES_AT_ONCE = 1_000
LOOKED_FOR = (AuditKind.PERSON_ERASED, AuditKind.RESTORED)


@dataclass(frozen=True, slots=True)
class Erasure:
    """A person was erased."""

    at: str
    """As the audit log has it: RFC 3339, UTC."""
    author: str
    reason: str


@dataclass(frozen=True, slots=True)
class ErasuresSince:
    """The erasures that a backup does not know of."""

    found: tuple[Erasure, ...]
    """The oldest first."""
    all_known: bool
    """False: there may be others, in a part of the audit log that was lost, or is not kept any more."""


async def erasures_since(now: Reading, then: Reading) -> ErasuresSince:
    """What the log of ``now`` tells and that of ``then``, the backup, does not. Raises ``StoreUnavailable``."""
    kept, origin = (await then.audit_head()).size, (await now.audit_head()).origin
    goes_on = not kept or await _same(now, then, kept)
    # One that does not go on from the backup's parted from it at some entry before: each is held against the backup's.
    after = kept if goes_on else 0
    first = await now.audit_entries(after, 1)
    all_known = goes_on and (not first or first[0].seq == after + 1)
    found = []
    for row, content in await _told(now, after):
        if not goes_on and await _same(now, then, row.seq):
            continue
        if content["kind"] == AuditKind.PERSON_ERASED:
            found.append(_erasure(content))
        elif not _lost_nothing(content, origin):
            all_known = False
    return ErasuresSince(tuple(found), all_known)


async def _told(reading: Reading, after: int) -> Sequence[tuple[StoredEntry, Mapping[str, object]]]:
    """The entries of what is looked for."""
    found = []
    marks = [f'"{kind}"'.encode() for kind in LOOKED_FOR]
    while page := await reading.audit_entries(after, ENTRIES_AT_ONCE):
        after = page[-1].seq
        for row in page:
            # Few of many: the octets are looked at first.
            content = decoded(row.entry) if any(mark in row.entry for mark in marks) else None
            if content is not None and content.get("kind") in LOOKED_FOR:
                found.append((row, content))
    return found


async def _same(one: Reading, other: Reading, number: int) -> bool:
    """Whether both logs have the same entry of that number."""
    here, there = await _entry(one, number), await _entry(other, number)
    return here is not None and here == there


async def _entry(reading: Reading, number: int) -> bytes | None:
    rows = await reading.audit_entries(number - 1, 1)
    return rows[0].entry if rows and rows[0].seq == number else None


def _lost_nothing(content: Mapping[str, object], origin: str) -> bool:
    """Whether the log that an earlier restore took the place of had nothing that this one has not."""
    details = _details(content)
    return details.get("lost_log") == origin and details.get("lost_upto") == details.get("continues_after")


def _erasure(content: Mapping[str, object]) -> Erasure:
    at = str(content.get("at", ""))
    try:
        datetime.fromisoformat(at)
    except ValueError:
        # A damaged entry keeps nobody from restoring.
        at = ""
    return Erasure(at, str(content.get("actor", "")), str(_details(content).get("reason", "")))


def _details(content: Mapping[str, object]) -> Mapping[str, object]:
    details = content.get("details")
    return details if isinstance(details, dict) else {}
