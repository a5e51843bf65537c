"""The audit log as it is stored: rows of entries, signed checkpoints, and what was dropped behind one of them."""

from dataclasses import dataclass
from typing import NamedTuple

from gateway.domain.audit.chain import AuditHead


class StoredEntry(NamedTuple):
    """A row. There may be millions: a tuple."""

    seq: int
    """1, 2, 3 … without a gap."""
    entry: bytes
    """The octets exactly as they were hashed."""
    leaf: bytes
    chain: bytes
    seal: bytes
    """Four octets that name a key, and an HMAC of ``chain`` under it; empty: written without a key."""


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A signed note, and what is needed to go on from there without what is before."""

    size: int
    at: float
    """Epoch seconds of the signing."""
    note: str
    chain: bytes
    frontier: tuple[bytes, ...]

    def head(self, origin: str) -> AuditHead:
        """The log as it stood."""
        return AuditHead(origin, self.size, self.chain, self.frontier)


@dataclass(frozen=True, slots=True)
class DroppedSegment:
    """Entries that are not kept any more, and the checkpoint that stands for them."""

    upto: int
    """The last of them; the first is the one after the segment before."""
    at: float
    note: str
    chain: bytes
    frontier: tuple[bytes, ...]


SEAL_BYTES = 20
