"""What the life of a change needs of the impact preview: numbers to guard by, and a set to compare with later.

The devices of the newly cut set are kept as 64-bit marks of (person, device), so that a set that somebody approved can
be compared with the one of today after a restart, when devices may be numbered otherwise.
"""

import json
import struct
import sys
from array import array
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol

from gateway.changes.guards import Measured
from gateway.domain.change import PreviewSeen
from gateway.domain.errors import InvalidValue
from gateway.domain.policy import PolicyVersion

FORMAT = 1
_HEAD = struct.Struct("<IQ")
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

    async def of(self, before: PolicyVersion, after: PolicyVersion) -> Previewed:
        """What going from one version to the other does to the fleet of now.

        Raises ``NotReadyYet``, ``StoreUnavailable``.
        """
        ...


def encode_preview(previewed: Previewed) -> bytes:
    """A preview for keeping: the number of marks, the marks in order, then all that was shown, as JSON."""
    return _encoded(previewed.newly_cut, previewed.shown)


def _encoded(newly_cut: Iterable[int], shown: dict[str, Any]) -> bytes:
    marks = array("Q", sorted(newly_cut))
    if sys.byteorder == "big":
        marks.byteswap()
    return _HEAD.pack(FORMAT, len(marks)) + marks.tobytes() + json.dumps(shown).encode()


@dataclass(frozen=True, slots=True)
class KeptPreview:
    """A preview that was kept."""

    newly_cut: frozenset[int]
    shown: dict[str, Any]


def decode_preview(content: bytes) -> KeptPreview:
    """A preview that ``encode_preview`` made. Raises ``ValueError``."""
    if len(content) < _HEAD.size:
        raise ValueError("this is no preview of a change")
    form, count = _HEAD.unpack_from(content)
    if form != FORMAT:
        raise ValueError(f"a preview of format {form}; this Gatepost reads {FORMAT}")
    end = _HEAD.size + count * 8
    marks = array("Q")
    marks.frombytes(content[_HEAD.size : end])
    if sys.byteorder == "big":
        marks.byteswap()
    if len(marks) != count:
        raise ValueError("a preview that was cut short")
    return KeptPreview(frozenset(marks), json.loads(content[end:]))


def without_people(content: bytes, logins: Collection[str]) -> bytes | None:
    """A kept preview that names none of these people; None: it names none of them as it is. Raises ``ValueError``."""
    kept = decode_preview(content)
    shown = dict(kept.shown)
    shown["first_cut"] = [each for each in shown.get("first_cut", []) if each["person"] not in logins]
    shown["named"] = [
        {**each, "cut": [name for name in each["cut"] if name not in logins]} for each in shown.get("named", [])
    ]
    return None if shown == kept.shown else _encoded(kept.newly_cut, shown)


def beyond(approved: frozenset[int], present: Iterable[int]) -> tuple[int, int]:
    """How many devices of ``present`` nobody approved, and how many would be too many."""
    more = sum(1 for mark in present if mark not in approved)
    return more, max(DIFFERS_BY_DEVICES, int(len(approved) * DIFFERS_BY_SHARE))


def beyond_number(approved: int, present: int) -> tuple[int, int]:
    """How many more there are than somebody approved, and how many would be too many."""
    return max(0, present - approved), max(DIFFERS_BY_DEVICES, int(approved * DIFFERS_BY_SHARE))
