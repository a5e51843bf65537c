"""What units of work want on the audit log, and the rows that become of it; the same in every store."""

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence

from gateway.domain.audit import AuditEntry
from gateway.domain.audit.chain import AuditHead, GrowingLog, head_before
from gateway.domain.audit.entry import WHOLE_NUMBERS_BELOW, Value, encoded, pseudonymous
from gateway.domain.audit.stored import StoredEntry

Content = Mapping[str, Value]
"""An entry without names, number and moment."""
Seal = Callable[[bytes], bytes]
"""The seal for a chain."""

SUBJECT_KEY_BYTES = 32
NOT_BEGUN = AuditHead("", 0, b"")


def unsealed(chain: bytes) -> bytes:
    """For a store that was opened without a key."""
    return b""


def new_subject_key() -> bytes:
    """A key for one person."""
    return secrets.token_bytes(SUBJECT_KEY_BYTES)


def new_log() -> AuditHead:
    """The head of a log that begins now, under a name that no other one has."""
    return head_before(f"gatepost/{secrets.token_hex(8)}")


def content_of(entry: AuditEntry, keys: Mapping[str, bytes]) -> Content:
    """What is stored of an entry. Raises ``ValueError`` here, where only its own unit fails, and not at the commit."""
    content = pseudonymous(entry, keys)
    encoded(content, WHOLE_NUMBERS_BELOW - 1, 0.0)
    return content


def rows_of(
    contents: Iterable[Content], head: AuditHead, at: float, seal: Seal
) -> tuple[Sequence[StoredEntry], AuditHead]:
    """The rows of entries behind ``head``, and the head behind them. ``at``: of the commit, epoch seconds."""
    log = GrowingLog(head)
    rows = []
    for content in contents:
        octets = encoded(content, log.size + 1, at)
        leaf = log.add(octets)
        rows.append(StoredEntry(log.size, octets, leaf, log.chain, seal(log.chain)))
    return rows, log.head()
