"""Holds a log that was walked through against what was signed of it: here, and outside of this machine.

The chain proves nothing about its end. A checkpoint that is kept here shows a tail that was cut off, and a log that
was written anew, unless whoever did it took the key or the checkpoints with it; one from outside shows that too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gateway.domain.audit.chain import AuditHead, root_of
from gateway.domain.audit.checkpoint import Checkpoint, VerifierKey, read_note
from gateway.domain.audit.damage import Damage, DamageKind, LogWalk
from gateway.domain.audit.entry import AuditKind
from gateway.domain.audit.stored import DroppedSegment, StoredCheckpoint
from gateway.domain.errors import InvalidValue

Verifies = Callable[[bytes, bytes, bytes], bool]
"""Whether a signature is right: public key, message, signature."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A checkpoint and what its signatures are worth."""

    checkpoint: Checkpoint
    is_known: bool
    """A key that is known has signed it."""
    is_forged: bool
    """It names a key that is known, and the signature is not of it."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The public keys that count."""

    known: tuple[VerifierKey, ...]
    verifies: Verifies

    def judged(self, checkpoint: Checkpoint) -> Signed:
        """What its signatures are worth."""
        message, right, wrong = checkpoint.text.encode(), False, False
        for each in checkpoint.signatures:
            for key in self.known:
                # A key counts under whatever name: the log it signed may have been exchanged for another one.
                if VerifierKey(each.name, key.public).id == each.key_id:
                    fits = self.verifies(key.public, message, each.signature)
                    right, wrong = right or fits, wrong or not fits
        return Signed(checkpoint, right, wrong and not right)


@dataclass(frozen=True, slots=True)
class Verification:
    """What a log is worth."""

    origin: str
    first: int
    """The number of the first entry that is kept; those before were dropped."""
    size: int
    root: bytes
    damages: tuple[Damage, ...]
    damages_beyond: int
    """Found as well, and not named."""
    notes: tuple[str, ...]
    """What somebody should know who reads "intact"."""
    vouched: int
    """The newest entry under a checkpoint that is kept here and was signed by a known key; 0: none is."""
    vouched_at: float
    outside: int
    """The newest entry under one of the checkpoints from outside; 0: none is."""

    @property
    def is_intact(self) -> bool:
        """Whether nothing is wrong."""
        return not self.damages


def compared(
    walk: LogWalk,
    head: AuditHead,
    kept: Sequence[StoredCheckpoint],
    dropped: Sequence[DroppedSegment],
    outside: Sequence[Checkpoint],
    keys: Keys,
) -> Verification:
    """What the walk and all that was signed say together. ``head`` is the one that is stored."""
    damages = list(walk.finish())
    notes: list[str] = []
    if walk.unknown_seals:
        notes.append(
            f"{walk.unknown_seals} entries are sealed by keys of other machines: their seals were not looked at"
        )
    damages += _of_the_head(walk, head)
    damages += _of_dropped(walk, dropped, keys)
    own = [(each, _judged(each.note, keys)) for each in kept]
    damages += _of_kept(walk, own, bool(keys.known))
    damages += _of_missing(walk, [each.size for each in kept])
    good = [each for each, signed in own if signed is not None and signed.is_known and _fits(walk, signed.checkpoint)]
    vouched = max(good, key=lambda each: each.size, default=None)
    found, reached = _of_outside(walk, outside, keys, notes)
    damages += found
    return Verification(
        origin=head.origin,
        first=walk.beginning.size + 1,
        size=walk.size,
        root=walk.root,
        damages=_in_order(damages),
        damages_beyond=walk.damages_beyond,
        notes=tuple(notes),
        vouched=vouched.size if vouched else 0,
        vouched_at=vouched.at if vouched else 0.0,
        outside=reached,
    )


def _judged(note: str, keys: Keys) -> Signed | None:
    try:
        return keys.judged(read_note(note))
    except InvalidValue:
        return None


def _fits(walk: LogWalk, checkpoint: Checkpoint) -> bool:
    return walk.roots.get(checkpoint.size) == checkpoint.root and checkpoint.origin == walk.beginning.origin


def _comparable(walk: LogWalk, size: int) -> bool:
    """Whether the root at that size says something: no entry before it is missing."""
    return not walk.broken_at or size < walk.broken_at


def _of_the_head(walk: LogWalk, head: AuditHead) -> list[Damage]:
    if head.size > walk.size:
        sentence = f"entries {walk.size + 1} to {head.size} are missing: the log's own head counts {head.size}"
        return [Damage(DamageKind.CUT_OFF, walk.size + 1, head.size, sentence)]
    if head.size < walk.size:
        first = head.size + 1
        sentence = f"entries {first} to {walk.size} stand behind the log's own head, which counts {head.size}"
        return [Damage(DamageKind.APPENDED, first, walk.size, sentence)]
    if head.chain != walk.chain and not walk.broken_at:
        sentence = f"the log's own head does not fit entry {walk.size}: one of the two was changed"
        return [Damage(DamageKind.CHANGED, walk.size, walk.size, sentence)]
    return []


def _of_dropped(walk: LogWalk, dropped: Sequence[DroppedSegment], keys: Keys) -> list[Damage]:
    """Each segment that is gone is told of in what is left, and its checkpoint is signed."""
    if not dropped:
        return []
    newest = max(dropped, key=lambda each: each.upto)
    told = {each.details.get("upto") for each in walk.marks if each.kind is AuditKind.SEGMENT_DROPPED}
    signed = _judged(newest.note, keys)
    right = signed is not None and not signed.is_forged and (signed.is_known or not keys.known)
    fits = signed is not None and (signed.checkpoint.size, signed.checkpoint.root) == (
        newest.upto,
        root_of(newest.frontier),
    )
    if newest.upto in told and right and fits:
        return []
    what = "no entry tells of it" if newest.upto not in told else "no checkpoint of a known key stands for them"
    sentence = f"the entries up to {newest.upto} are gone, and {what}"
    return [Damage(DamageKind.DROPPED, 1, newest.upto, sentence)]


def _of_kept(walk: LogWalk, own: Sequence[tuple[StoredCheckpoint, Signed | None]], keyed: bool) -> list[Damage]:
    found, unknown, matched = [], 0, walk.beginning.size
    for each, signed in own:
        if signed is None or signed.is_forged or signed.checkpoint.size != each.size:
            sentence = f"the checkpoint kept for entry {each.size} is not signed by the key that it names"
            found.append(Damage(DamageKind.CHECKPOINT_FORGED, each.size, each.size, sentence))
        elif each.size > walk.size:
            sentence = f"entries {walk.size + 1} to {each.size} are missing: a checkpoint kept here counts {each.size}"
            found.append(Damage(DamageKind.CUT_OFF, walk.size + 1, each.size, sentence))
        elif each.size < walk.beginning.size or not _comparable(walk, each.size):
            continue
        elif not _fits(walk, signed.checkpoint):
            found.append(_rewritten(matched + 1, each.size, "a checkpoint kept here"))
        else:
            matched = each.size
            unknown = unknown if signed.is_known else each.size
    if unknown and keyed and not any(signed and signed.is_known for _, signed in own):
        sentence = (
            "no checkpoint kept here is signed by a key that is known: give the right one by --key, or all of them "
            "were exchanged"
        )
        found.append(Damage(DamageKind.KEY_NOT_KNOWN, unknown, unknown, sentence))
    return found


def _rewritten(first: int, size: int, what: str) -> Damage:
    sentence = f"entries {first} to {size} are not all those that {what} was signed for: rewritten"
    return Damage(DamageKind.REWRITTEN, first, size, sentence)


def _of_missing(walk: LogWalk, sizes: Sequence[int]) -> list[Damage]:
    """Each signing is announced by an entry; the newest may lack theirs (a gateway died just then)."""
    newest = max(sizes, default=walk.beginning.size)
    announced = [each.seq for each in walk.marks if each.kind is AuditKind.CHECKPOINT and each.seq > newest]
    if len(announced) < 3:
        return []
    sentence = f"the checkpoints behind entry {newest} are missing: {len(announced)} entries announce one"
    return [Damage(DamageKind.CHECKPOINTS_MISSING, announced[0], announced[-1], sentence)]


def _of_outside(walk: LogWalk, outside: Sequence[Checkpoint], keys: Keys, notes: list[str]) -> tuple[list[Damage], int]:
    found: list[Damage] = []
    reached = 0
    matched = walk.beginning.size
    for each in sorted(outside, key=lambda one: one.size):
        signed = keys.judged(each)
        if each.origin != walk.beginning.origin and signed.is_known:
            sentence = (
                f"this is another log ({walk.beginning.origin or 'an empty one'}) than the one that the checkpoint "
                f"from outside was signed for ({each.origin})"
            )
            found.append(Damage(DamageKind.REWRITTEN, 1, max(walk.size, each.size), sentence))
        elif each.origin != walk.beginning.origin:
            notes.append(f"a checkpoint from outside is of another log, {each.origin}: it was not looked at")
        elif signed.is_forged or not (signed.is_known or not keys.known):
            notes.append(f"the checkpoint from outside for entry {each.size} is not signed by a known key: left out")
        elif each.size < walk.beginning.size:
            notes.append(f"the checkpoint from outside for entry {each.size} is of entries that were dropped")
        elif declared := _declared(walk, each):
            notes.append(declared)
        elif each.size > walk.size:
            sentence = (
                f"entries {walk.size + 1} to {each.size} are missing: a checkpoint from outside counts {each.size}"
            )
            found.append(Damage(DamageKind.CUT_OFF, walk.size + 1, each.size, sentence))
        elif not _comparable(walk, each.size):
            continue
        elif _fits(walk, each):
            reached = matched = each.size
        else:
            found.append(_rewritten(matched + 1, each.size, "a checkpoint from outside"))
    return found, reached


def _declared(walk: LogWalk, checkpoint: Checkpoint) -> str:
    """Whether a restore has said that it lost those entries; in words."""
    if _fits(walk, checkpoint):
        return ""
    for each in walk.marks:
        lost, kept = _number(each.details, "lost_upto"), _number(each.details, "continues_after")
        if each.kind is AuditKind.RESTORED and kept < checkpoint.size <= lost:
            return (
                f"the checkpoint from outside for entry {checkpoint.size} is of entries that a restore has lost: "
                f"entry {each.seq} says that it put a backup with {kept} entries in the place of {lost}"
            )
    return ""


def _number(details: Mapping[str, object], name: str) -> int:
    value = details.get(name)
    return value if isinstance(value, int) else 0


_OF_ROWS = frozenset({DamageKind.CHANGED, DamageKind.DELETED, DamageKind.INSERTED, DamageKind.REORDERED})


def _in_order(damages: Sequence[Damage]) -> tuple[Damage, ...]:
    """Each finding once, the first entry first; what another one explains is left out."""
    rewritten = [each for each in damages if each.kind is DamageKind.REWRITTEN]
    kept: list[Damage] = []
    for each in sorted(damages, key=lambda one: (one.seq, one.upto)):
        if each.kind is DamageKind.REWRITTEN:
            # A row that is bad by itself is why the root is another one; of two checkpoints the closer one tells more.
            by_rows = any(other.kind in _OF_ROWS and other.seq <= each.upto for other in damages)
            closer = any(other.upto == each.upto and other.seq > each.seq for other in rewritten)
            explained = by_rows or closer
        elif each.kind is DamageKind.APPENDED:
            by_rows = any(other.kind is DamageKind.CHANGED and other.seq == each.seq for other in damages)
            explained = by_rows or any(each.seq <= other.upto for other in rewritten)
        else:
            explained = False
        if not explained and each not in kept:
            kept.append(each)
    return tuple(kept)
