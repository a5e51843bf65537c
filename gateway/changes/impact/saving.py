"""The index in a file, so that a start does not read the app lists of the whole fleet again.

A saved index belongs to one life of the store and to one sequence of its change log: who loads it replays the log from
there (``building.catch_up``). Anything odd (another format, another life, a torn file) makes ``load`` say so, and the
index is built anew. Nothing in the file is executed: a JSON head, columns of numbers, serialised bitmaps, a checksum.

It says who has which app: the file is for its owner only, and is to be deleted with the store's data.
"""

import json
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from gateway.changes.impact.by_source import ListColumns, Lists
from gateway.changes.impact.catalogue import Catalogue
from gateway.changes.impact.columns import Column, Shelf
from gateway.changes.impact.evidence_rows import Mark
from gateway.changes.impact.fleet import GONE, NOBODY, Fleet
from gateway.changes.impact.writing import Writer
from gateway.domain.inventory import App, AppOrigin, Ownership, Platform

_MAGIC = b"gatepost impact 2\n"
_OF_DEVICES = ("person", "next", "sufficient_until", "stale_from", "first_seen_at", "earlier", "key", "apps")
_OF_PEOPLE = ("first", "hash", "standing", "seen")
_OF_LISTS = ("device", "source", "sufficient_until", "stale_from")
_SHELVES = ("marks", "platforms", "ownerships", "sources", "groups", "members")
_LENGTH = struct.Struct("<Q")


class Unusable(Exception):  # noqa: N818  (a state of affairs)
    """The file cannot be used: build the index anew. The sentence says why."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """An index as it was at one moment, to be written by any thread."""

    fleet: Fleet
    group_count: NDArray[np.uint16]
    aliases: dict[int, tuple[str, ...]]
    unwritten: list[str]
    """The people with devices that are kept whole: these are not in the file, and are read again after loading."""


def frozen(writer: Writer) -> Frozen:
    """The index of now. For the writer's own thread."""
    fleet = writer.view()
    whole = {fleet.person_ids[int(fleet.devices.person[device])] for device in fleet.whole}
    return Frozen(fleet, writer.group_count.view(fleet.people_count), dict(writer.aliases), sorted(whole))


def save(state: Frozen, path: Path) -> None:
    """Write the index; the file is there whole or not at all. Raises ``OSError``."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        checksum = 0
        for piece in _pieces(state):
            checksum = zlib.crc32(piece, checksum)
            file.write(piece)
        file.write(struct.pack("<I", checksum))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _pieces(state: Frozen) -> Iterator[bytes]:
    fleet = state.fleet
    entries = {number: bitmap for number, bitmap in fleet.entries.items() if bitmap}
    shelves: dict[str, Mapping[Any, BitMap]] = {name: getattr(fleet, name) for name in _SHELVES}
    yield _MAGIC
    yield from _sized(json.dumps(_head(state, entries, shelves)).encode())
    # Whoever is gone has a number still, and no name.
    people = _named(fleet.person_ids, fleet.people.standing[: fleet.people_count] != GONE)
    devices = _named(fleet.device_ids, fleet.devices.person[: fleet.device_count] != NOBODY)
    yield from _sized(people.encode("utf-8", "surrogatepass"))
    yield from _sized(devices.encode("utf-8", "surrogatepass"))
    for name in _OF_DEVICES:
        yield from _sized(getattr(fleet.devices, name).tobytes())
    for name in _OF_PEOPLE:
        yield from _sized(getattr(fleet.people, name).tobytes())
    yield from _sized(state.group_count.tobytes())
    for name in _OF_LISTS:
        yield from _sized(getattr(fleet.lists, name).tobytes())
    for bitmap in (*entries.values(), *(each for shelf in shelves.values() for each in shelf.values())):
        yield from _sized(bitmap.serialize())


def _named(names: Sequence[str], present: NDArray[np.bool_]) -> str:
    return "\n".join(name if there else "" for name, there in zip(names, present.tolist(), strict=False))


def _head(state: Frozen, entries: Iterable[int], shelves: Mapping[str, Mapping[Any, BitMap]]) -> dict[str, object]:
    fleet = state.fleet
    return {
        "incarnation": fleet.incarnation,
        "sequence": fleet.sequence,
        "newest_first_seen_at": max(0.0, fleet.newest_first_seen_at),
        "devices": fleet.device_count,
        "people": fleet.people_count,
        "lists": len(fleet.lists.device),
        # Only the first so many are named in the columns; there may be more by now.
        "listing": list(fleet.lists.numbers),
        "aliases": [[number, *logins] for number, logins in state.aliases.items()],
        "unwritten": state.unwritten,
        "apps": [_app_row(fleet.catalogue.app(number)) for number in entries],
        "shelves": {name: list(map(_key, shelf)) for name, shelf in shelves.items()},
    }


def _key(name: Mark | str | None) -> str | None:
    return str(name.value) if isinstance(name, Mark) else name


def _sized(octets: bytes) -> Iterator[bytes]:
    yield _LENGTH.pack(len(octets))
    yield octets


def _app_row(app: App) -> list[object]:
    return [
        *(app.platform, app.id, app.name, app.version, app.version_code),
        *(app.publisher, app.team_id, list(app.signers), app.origin),
    ]


def load(path: Path, incarnation: str) -> tuple[Writer, list[str]]:
    """The index of that life of the store, and the people whose records must be read again.

    Raises ``Unusable``.
    """
    try:
        octets = path.read_bytes()
    except FileNotFoundError:
        raise Unusable("no index was saved yet") from None
    except OSError as error:
        raise Unusable(f"the saved index cannot be read: {error.strerror}") from None
    if not octets.startswith(_MAGIC):
        raise Unusable("the saved index is of another version")
    if len(octets) < len(_MAGIC) + 4 or zlib.crc32(memoryview(octets)[:-4]) != struct.unpack("<I", octets[-4:])[0]:
        raise Unusable("the saved index is damaged")
    try:
        return _read(octets, incarnation)
    except (ValueError, KeyError, TypeError, IndexError, struct.error) as error:
        raise Unusable(f"the saved index is damaged: {type(error).__name__}") from None


class _Octets:
    """Takes one sized piece after the other."""

    def __init__(self, octets: bytes) -> None:
        self._octets, self._at = octets, len(_MAGIC)

    def take(self) -> bytes:
        (length,) = _LENGTH.unpack_from(self._octets, self._at)
        begin = self._at + _LENGTH.size
        self._at = begin + length
        if self._at > len(self._octets) - 4:
            raise ValueError("a piece is longer than the file")
        return self._octets[begin : self._at]

    def bitmap(self) -> BitMap:
        return BitMap.deserialize(self.take())


def _read(octets: bytes, incarnation: str) -> tuple[Writer, list[str]]:
    pieces = _Octets(octets)
    head = json.loads(pieces.take())
    if head["incarnation"] != incarnation:
        raise Unusable("the saved index is of another life of the store")
    writer = Writer(incarnation, head["sequence"])
    writer.newest_first_seen_at = head["newest_first_seen_at"]
    writer.person_ids = _names(pieces.take(), head["people"])
    writer.device_ids = _names(pieces.take(), head["devices"])
    for name in (*_OF_DEVICES, *_OF_PEOPLE, "group_count"):
        empty: Column[Any] = getattr(writer, name)
        size = head["devices"] if name in _OF_DEVICES else head["people"]
        setattr(writer, name, Column(empty.empty, _column(pieces.take(), empty.empty.dtype, size)))
    lists = {name: _column(pieces.take(), getattr(writer.lists, name).empty.dtype, head["lists"]) for name in _OF_LISTS}
    writer.lists = Lists.of(ListColumns(**lists, numbers={name: each for each, name in enumerate(head["listing"])}))
    writer.catalogue = Catalogue(map(_app, head["apps"]))
    writer.entries = Shelf({number: pieces.bitmap() for number in range(len(head["apps"]))})
    for name in _SHELVES:
        keys = [_KEYS[name](key) for key in head["shelves"][name]]
        setattr(writer, name, Shelf({key: pieces.bitmap() for key in keys}))
    _name_people(writer, head["aliases"])
    writer.gone = int((writer.person.view(head["devices"]) == NOBODY).sum())
    writer.gone += int((writer.standing.view(head["people"]) == GONE).sum())
    return writer, list(head["unwritten"])


def _names(octets: bytes, count: int) -> list[str]:
    names = octets.decode("utf-8", "surrogatepass").split("\n") if count else []
    if len(names) != count:
        raise ValueError("names are missing")
    return names


def _column(octets: bytes, dtype: np.dtype[Any], size: int) -> NDArray[Any]:
    values = np.frombuffer(octets, dtype).copy()
    if len(values) != size:
        raise ValueError("a column is too short")
    return values


_KEYS: dict[str, Callable[[Any], Any]] = {
    "marks": lambda key: Mark(int(key)),
    "platforms": lambda key: None if key is None else Platform(key),
    "ownerships": Ownership,
    "sources": str,
    "groups": str,
    "members": str,
}


def _app(row: list[Any]) -> App:
    platform, app_id, name, version, code, publisher, team_id, signers, origin = row
    return App(
        *(Platform(platform), app_id, name, version, code, publisher, team_id, tuple(signers)), origin=AppOrigin(origin)
    )


def _name_people(writer: Writer, aliases: list[list[Any]]) -> None:
    standing = writer.standing.view(len(writer.person_ids))
    for number in np.flatnonzero(standing).tolist():
        writer.logins[writer.person_ids[number]] = number
    for number, *logins in aliases:
        writer.aliases[number] = tuple(logins)
        writer.logins.update(dict.fromkeys(logins, number))
