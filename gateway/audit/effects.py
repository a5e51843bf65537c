"""Effects in the audit log: whom a policy refused first and whom it cut, many to an entry.

They come from the workers' memory and not from a unit of work, so they are the one kind of entry that may be missing
after a fault; what was left out for want of room is counted in the log.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import structlog

from gateway.decision.noted import Noted
from gateway.domain.audit import AuditEntry, AuditKind, Subject
from gateway.domain.audit.entry import ENTRY_BYTES, GATEPOST, WHOLE_NUMBERS_BELOW, Value, canonical, moment_text
from gateway.ports.store import Store, Writing

log = structlog.get_logger()

SUBJECTS_TO_AN_ENTRY = 100
"""Fewer where they say much."""
ABOUT_ALL_BYTES = 1_000
PSEUDONYMS_BYTES = 100
"""More than the two of a subject take."""
TEXT_LONGEST = 300
LATEST = 1e11
_TEXTS = ("event", "login", "device", "reason", "ban", "app", "protocol", "asker")


@dataclass(frozen=True, slots=True)
class ToldEffects:
    """What a batch of rows says."""

    subjects: tuple[Subject, ...] = ()
    dropped: int = 0
    """Further effects, of which nothing is known."""
    refusals: frozenset[tuple[int, int]] = frozenset()
    """Policy versions and hashes of the refusals among them; once they are in the log they are not told again."""


class Effects:
    """Writes them; one per control process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._noted = Noted()
        """Refusals that are in the log already: each worker tells of its own first."""

    def read(self, rows: Sequence[bytes]) -> ToldEffects:
        """The effects in what workers sent; rows of another version of the code are left out."""
        subjects: list[Subject] = []
        refusals: set[tuple[int, int]] = set()
        dropped = 0
        for row in rows:
            try:
                said = json.loads(row)
                if "dropped" in said:
                    dropped = min(dropped + _number(said["dropped"]), WHOLE_NUMBERS_BELOW - 1)
                    continue
                subject, refusal = _subject(said)
            except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
                log.warning("effect_unreadable", octets=len(row))
                continue
            if said["event"] != "cut":
                if self._noted.has(*refusal) or refusal in refusals:
                    continue
                refusals.add(refusal)
            subjects.append(subject)
        return ToldEffects(tuple(subjects), dropped, frozenset(refusals))

    async def take(self, told: ToldEffects) -> None:
        """Write them down. Raises ``StoreUnavailable``: nothing is stored then."""
        if not told.subjects and not told.dropped:
            return

        async def work(writing: Writing) -> None:
            dropped = told.dropped
            for some in _pieces(told.subjects):
                details: dict[str, Value] = {"number": len(some)}
                if dropped:
                    details["not_noted"] = dropped
                await writing.log_audit(AuditEntry(AuditKind.EFFECTS, GATEPOST, some, details))
                dropped = 0

        await self._store.write(work)
        # Not before: what is not in the log is read again, and must be new then.
        for refusal in sorted(told.refusals):
            self._noted.add(*refusal)


def _pieces(subjects: Sequence[Subject]) -> Iterable[tuple[Subject, ...]]:
    """As many to an entry as it holds; one empty piece of none."""
    piece: list[Subject] = []
    octets = 0
    for each in subjects:
        size = len(canonical(each.details)) + PSEUDONYMS_BYTES
        if piece and (len(piece) >= SUBJECTS_TO_AN_ENTRY or octets + size > ENTRY_BYTES - ABOUT_ALL_BYTES):
            yield tuple(piece)
            piece, octets = [], 0
        piece.append(each)
        octets += size
    yield tuple(piece)


def _number(said: object) -> int:
    """One that an entry can hold. Raises ``ValueError``."""
    found = int(str(said))
    if not 0 <= found < WHOLE_NUMBERS_BELOW:
        raise ValueError
    return found


def _subject(said: dict[str, object]) -> tuple[Subject, tuple[int, int]]:
    texts = {name: said[name] for name in _TEXTS}
    if not all(isinstance(value, str) and len(value) <= TEXT_LONGEST for value in texts.values()):
        raise ValueError
    # Every store must take them; a lone surrogate raises here.
    if "\0" in "".join(map(str, texts.values())).encode().decode():
        raise ValueError
    at, version = float(str(said["at"])), _number(said["policy_version"])
    if not (texts["login"] and 0 <= at < LATEST):
        raise ValueError
    told: dict[str, Value] = {
        name: str(value) for name, value in texts.items() if value and name not in ("login", "device")
    }
    told |= {"policy_version": version, "happened_at": moment_text(at)}
    key = hash((texts["login"], texts["device"], texts["reason"], texts["ban"], texts["asker"]))
    return Subject(str(texts["login"]), str(texts["device"]), told), (version, key)
