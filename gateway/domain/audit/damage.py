"""Walks through a stored log and finds what is wrong with it: which entry first, and what was done.

``LogWalk`` is fed with the rows in order. A row is bad when its octets do not have its leaf, when its chain does not
follow from the row before, when the number within its octets is another one, or when its seal is not the key's. What
all four together cannot see (a tail that was cut off, a log that was written anew with the key) is for ``comparing``.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.audit.chain import AuditHead, GrowingLog
from gateway.domain.audit.entry import AuditKind, decoded
from gateway.domain.audit.stored import StoredEntry

DAMAGES_NAMED = 20


class DamageKind(StrEnum):
    """What was done to a log."""

    CHANGED = "changed"
    DELETED = "deleted"
    INSERTED = "inserted"
    REORDERED = "reordered"
    APPENDED = "appended_without_key"
    REWRITTEN = "rewritten"
    CUT_OFF = "tail_cut_off"
    CHECKPOINT_FORGED = "checkpoint_forged"
    CHECKPOINTS_MISSING = "checkpoints_missing"
    DROPPED = "dropped_without_word"
    KEY_NOT_KNOWN = "key_not_known"


@dataclass(frozen=True, slots=True)
class Damage:
    """One finding."""

    kind: DamageKind
    seq: int
    """The first entry that it is about."""
    upto: int
    """The last one."""
    sentence: str


@dataclass(slots=True)
class _Moved:
    """Rows one after another whose octets say other numbers."""

    first: int
    last: int
    shifts: set[int]


@dataclass(frozen=True, slots=True)
class Marked:
    """An entry that says something about the log itself."""

    seq: int
    kind: AuditKind
    details: dict[str, object]


_KIND = b'"kind":"'
_MARKS = {kind.value.encode(): kind for kind in (AuditKind.CHECKPOINT, AuditKind.SEGMENT_DROPPED, AuditKind.RESTORED)}
_MAY_MARK = frozenset(kind[:2] for kind in _MARKS)

Unseal = Callable[[bytes, bytes], bool | None]
"""Whether a seal is right for a chain; None: of a key that counts, but is not here to tell."""


class LogWalk:
    """One walk from ``beginning`` on."""

    def __init__(self, beginning: AuditHead, sizes: Iterable[int], unseal: Unseal | None) -> None:
        """``sizes``: where the root is wanted. ``unseal`` None: seals cannot be looked at here."""
        self._log = GrowingLog(beginning)
        self._unseal = unseal
        self._wanted = sorted({size for size in sizes if size >= beginning.size}, reverse=True)
        self._damages: list[Damage] = []
        self._moved: _Moved | None = None
        self._unsealed: tuple[int, int] | None = None
        self._bad_before = False
        self.beginning = beginning
        self.roots: dict[int, bytes] = {}
        """The root at each size that was wanted and reached."""
        self.broken_at = 0
        """From this entry on the roots mean nothing, as entries are missing; 0: they are right."""
        self.marks: list[Marked] = []
        self.unknown_seals = 0
        self.damages_beyond = 0
        self._note_root()

    @property
    def size(self) -> int:
        """The number of the last entry that was seen."""
        return self._log.size

    @property
    def chain(self) -> bytes:
        """The chain after it."""
        return self._log.chain

    @property
    def root(self) -> bytes:
        """The root now."""
        return self._log.root

    def feed(self, rows: Sequence[StoredEntry]) -> None:
        """Go on by some rows, in the order of their numbers."""
        log, sha256 = self._log, hashlib.sha256
        for row in rows:
            seq, entry, leaf, chain, seal = row
            right = (
                seq == log.size + 1
                and sha256(b"\x00" + entry).digest() == leaf
                and sha256(log.chain + leaf).digest() == chain
                and b'"seq":%d,' % seq in entry
            )
            if right:
                self._bad_before = False
                if self._unseal is not None:
                    self._see_the_seal(seq, chain, seal)
            else:
                self._bad(row)
            log.chain = chain
            log.add_leaf(leaf)
            kind = entry.rfind(_KIND) + len(_KIND)
            if entry[kind : kind + 2] in _MAY_MARK:
                self._note_mark(seq, entry)
            if self._wanted and self._wanted[-1] <= log.size:
                self._note_root()

    def finish(self) -> tuple[Damage, ...]:
        """What was found, in the order of the log."""
        self._end_move()
        self._end_unsealed()
        return tuple(sorted(self._damages, key=lambda each: each.seq))

    def _note_root(self) -> None:
        while self._wanted and self._wanted[-1] <= self._log.size:
            size = self._wanted.pop()
            if size == self._log.size:
                self.roots[size] = self._log.root

    def _note_mark(self, seq: int, entry: bytes) -> None:
        said = decoded(entry) or {}
        kind, details = _MARKS.get(str(said.get("kind")).encode("utf-8", "replace")), said.get("details")
        if kind is not None:
            self.marks.append(Marked(seq, kind, details if isinstance(details, dict) else {}))

    def _see_the_seal(self, seq: int, chain: bytes, seal: bytes) -> None:
        assert self._unseal is not None
        right = self._unseal(chain, seal)
        if right:
            self._end_unsealed()
        elif right is None:
            self.unknown_seals += 1
        else:
            first = self._unsealed[0] if self._unsealed else seq
            self._unsealed = first, seq

    def _bad(self, row: StoredEntry) -> None:
        seq, follows = row.seq, self._bad_before
        self._bad_before = True
        gap = seq - self._log.size - 1
        if gap:
            self._missing(self._log.size + 1, seq - 1)
        said = decoded(row.entry) or {}
        stated = said.get("seq")
        if isinstance(stated, int) and stated != seq:
            self._move(seq, stated - seq)
        elif hashlib.sha256(b"\x00" + row.entry).digest() != row.leaf:
            self._end_move()
            self._add(DamageKind.CHANGED, seq, seq, f"entry {seq} was changed: its octets do not have its hash")
        elif gap:
            # What it was chained to is not there any more.
            return
        elif follows and self._moved is not None:
            # The first one behind rows that changed places hangs on what is not before it any more.
            self._moved.last = seq
        else:
            self._end_move()
            before = max(seq - 1, self.beginning.size + 1)
            sentence = f"entry {seq} does not follow from the one before it: one of the two was changed"
            self._add(DamageKind.CHANGED, before, seq, sentence)

    def _missing(self, first: int, last: int) -> None:
        which = f"entry {first} is" if first == last else f"entries {first} to {last} are"
        self._add(DamageKind.DELETED, first, last, f"{which} missing: deleted")
        self.broken_at = self.broken_at or first
        self._log.size = last

    def _move(self, seq: int, shift: int) -> None:
        if self._moved is not None and self._moved.last == seq - 1:
            self._moved.last = seq
            self._moved.shifts.add(shift)
            return
        self._end_move()
        self._moved = _Moved(seq, seq, {shift})

    def _end_move(self) -> None:
        moved, self._moved = self._moved, None
        if moved is None:
            return
        shift = next(iter(moved.shifts))
        first, last = moved.first, moved.last
        self.broken_at = self.broken_at or first
        to_the_end = last == self._log.size and len(moved.shifts) == 1
        if to_the_end and shift > 0:
            sentence = f"from entry {first} on each row holds the entry {shift} further: {shift} before it were deleted"
            self._add(DamageKind.DELETED, first, last, sentence)
        elif to_the_end and first - shift <= last + 1:
            sentence = f"from entry {first} on each row holds the entry {-shift} before: {-shift} were inserted"
            self._add(DamageKind.INSERTED, first, last, sentence)
        else:
            self._add(DamageKind.REORDERED, first, last, f"entries {first} to {last} stand in another order")

    def _end_unsealed(self) -> None:
        unsealed, self._unsealed = self._unsealed, None
        if unsealed is None:
            return
        first, last = unsealed
        which = f"entry {first} is" if first == last else f"entries {first} to {last} are"
        sentence = f"{which} chained rightly, but not sealed by a key that is known: not written by this gateway"
        self._add(DamageKind.APPENDED, first, last, sentence)

    def _add(self, kind: DamageKind, first: int, last: int, sentence: str) -> None:
        if len(self._damages) >= DAMAGES_NAMED:
            self.damages_beyond += 1
            return
        self._damages.append(Damage(kind, first, last, sentence))
