"""What the life of a change needs of the impact preview: numbers to guard by, and a set to compare with later.

The devices of the newly cut set are kept as 64-bit marks of (person, device), so that a set that somebody approved can
be compared with the one of today after a restart, when devices may be numbered otherwise.
"""

import json
import struct
import sys
from array import array
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol

from gateway.changes.guards import Measured
from gateway.domain.change import PolicyChange, PreviewSeen, in_full
from gateway.domain.dated import Pair, pairs
from gateway.domain.errors import InvalidValue
from gateway.domain.policy import PolicyVersion

FORMAT = 1
FORMAT_APPROVED = 2
"""With what an older approval that stands was given for."""
_HEAD = struct.Struct("<IQ")
_ADMITTED = struct.Struct("<Q")
DIFFERS_BY_DEVICES = 5
DIFFERS_BY_SHARE = 0.10


def mark_of(person_id: str, device_id: str) -> int:
    """The mark of a device, or of a person's unnamed devices (``device_id`` empty)."""
    digest = blake2b(f"{person_id}\0{device_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


class NotReadyYet(InvalidValue):
    """The fleet is not known well enough yet: the same later will do."""


@dataclass(frozen=True, slots=True)
class Previewed:
    """A preview, as far as decisions stand on it."""

    seen: PreviewSeen
    measured: Measured
    newly_cut: frozenset[int]
    """Marks."""
    shown: dict[str, Any]
    """All numbers and first names, fit for JSON."""


class Previews(Protocol):
    """Computes previews over all that is known."""

    async def of(
        self, before: PolicyVersion, after: PolicyVersion, *, dated: Sequence[Pair] = (), brief: bool = False
    ) -> Previewed:
        """What going from one version to the other does to the fleet of now.

        ``dated`` are the two at other moments, the first of them when the change comes: whom the one turns then, and
        the other does not, is in the figures as well.
        ``brief``: nobody looks at it, so what is only shown may be left out: who is connected, what time will bring.
        Raises ``NotReadyYet``, ``StoreUnavailable``.
        """
        ...


async def of_change(
    previews: Previews,
    before: PolicyVersion,
    target: PolicyVersion,
    change: PolicyChange,
    now: float,
    *,
    brief: bool = False,
) -> Previewed:
    """What a change that makes ``target`` of ``before`` does, when it comes or at a later date (``domain.dated``).

    A ban that begins later turns nobody now, and is judged by whom it will turn. What it takes the place of ends now:
    until then a ban that is put off lets in, and an exemption that is put off cuts. Raises ``InvalidValue``: too many
    dates.
    """
    whole = in_full(target, change, now)
    dated = pairs(before, target, max(now, change.starts_at or now), now)
    return await previews.of(before, whole, dated=() if dated == ((before, whole),) else dated, brief=brief)


@dataclass(frozen=True, slots=True)
class Approved:
    """What an approval was given for."""

    newly_cut: frozenset[int] = frozenset()
    """Marks."""
    newly_admitted: int = 0


def encode_preview(previewed: Previewed, approved: Approved | None = None) -> bytes:
    """A preview for keeping: the number of marks, the marks in order, then all that was shown, as JSON.

    ``approved``: what an approval that still stands was given for; it comes second, where it is something else.
    """
    if approved == Approved(previewed.newly_cut, previewed.measured.newly_admitted):
        approved = None
    return _encoded(previewed.newly_cut, previewed.shown, approved)


def _encoded(newly_cut: frozenset[int], shown: dict[str, Any], approved: Approved | None) -> bytes:
    text = json.dumps(shown).encode()
    if approved is None:
        return _packed(FORMAT, newly_cut) + text
    second = _packed(FORMAT_APPROVED, approved.newly_cut) + _ADMITTED.pack(approved.newly_admitted)
    return _packed(FORMAT_APPROVED, newly_cut) + second + text


def _packed(form: int, marks: frozenset[int]) -> bytes:
    ordered = array("Q", sorted(marks))
    if sys.byteorder == "big":
        ordered.byteswap()
    return _HEAD.pack(form, len(ordered)) + ordered.tobytes()


@dataclass(frozen=True, slots=True)
class KeptPreview:
    """A preview that was kept."""

    newly_cut: frozenset[int]
    shown: dict[str, Any]
    approved: Approved | None = None
    """What an older approval that stands was given for."""


def decode_preview(content: bytes) -> KeptPreview:
    """A preview that ``encode_preview`` made. Raises ``ValueError``."""
    form, newly_cut, end = _unpacked(content, 0)
    approved = None
    if form == FORMAT_APPROVED:
        _, marks, end = _unpacked(content, end)
        if len(content) < end + _ADMITTED.size:
            raise ValueError("a preview that was cut short")
        approved, end = Approved(marks, *_ADMITTED.unpack_from(content, end)), end + _ADMITTED.size
    return KeptPreview(newly_cut, json.loads(content[end:]), approved)


def _unpacked(content: bytes, begin: int) -> tuple[int, frozenset[int], int]:
    """A set of marks that begins there, and where it ends."""
    if len(content) < begin + _HEAD.size:
        raise ValueError("this is no preview of a change")
    form, count = _HEAD.unpack_from(content, begin)
    if form not in (FORMAT, FORMAT_APPROVED):
        raise ValueError(f"a preview of format {form}; this Gatepost reads {FORMAT} and {FORMAT_APPROVED}")
    begin += _HEAD.size
    end = begin + count * 8
    if len(content) < end:
        raise ValueError("a preview that was cut short")
    marks = array("Q")
    marks.frombytes(content[begin:end])
    if sys.byteorder == "big":
        marks.byteswap()
    return form, frozenset(marks), end


def without_people(content: bytes, logins: Collection[str]) -> bytes | None:
    """A kept preview that names none of these people; None: it names none of them as it is. Raises ``ValueError``."""
    kept = decode_preview(content)
    shown = dict(kept.shown)
    shown["first_cut"] = [each for each in shown.get("first_cut", []) if each["person"] not in logins]
    shown["named"] = [
        {**each, "cut": [name for name in each["cut"] if name not in logins]} for each in shown.get("named", [])
    ]
    return None if shown == kept.shown else _encoded(kept.newly_cut, shown, kept.approved)


def beyond(approved: frozenset[int], present: Iterable[int]) -> tuple[int, int]:
    """How many devices of ``present`` nobody approved, and how many would be too many."""
    more = sum(1 for mark in present if mark not in approved)
    return more, max(DIFFERS_BY_DEVICES, int(len(approved) * DIFFERS_BY_SHARE))


def beyond_number(approved: int, present: int) -> tuple[int, int]:
    """How many more there are than somebody approved, and how many would be too many."""
    return max(0, present - approved), max(DIFFERS_BY_DEVICES, int(approved * DIFFERS_BY_SHARE))


def within(approved: Approved, found: Previewed) -> bool:
    """Whether an approval that was given for the one is good for the other."""
    more_cut, most_cut = beyond(approved.newly_cut, found.newly_cut)
    more_admitted, most_admitted = beyond_number(approved.newly_admitted, found.measured.newly_admitted)
    return more_cut <= most_cut and more_admitted <= most_admitted
