"""A backup as a file: the rows of a database, independent of which one it was, in one compressed stream.

A line that says what it is; a line of JSON (the header) that can be read with ``head -2``; then one zlib stream of
msgpack messages, each behind its length: a table with its columns, its rows in batches, the next table, and at the end
the number of rows of each. The last line is a SHA-256 of all before it, so that a file that was cut or altered is seen.
Nothing is held in memory but a batch.
"""

import hashlib
import json
import os
import secrets
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from gateway.domain.errors import DomainError

FORMAT = 1
MAGIC = b"gatepost backup\n"
HEADER_BYTES = 1 << 20
BATCH_BYTES = 256 << 20
"""A longer message is no batch of ours."""
_PIECE = 1 << 18
_LEVEL = 3
_END_LENGTH = 64 + 1
_LENGTH = 8

Tick = Callable[[int, int], None]
"""Told how much of how much is done."""


class BackupUnusable(DomainError):  # noqa: N818
    """The file is no backup that this version can restore; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class BackupHeader:
    """What a backup says of itself, secrets not among it."""

    schema: str
    """The revision of the database's schema."""
    incarnation: str
    sequence: int
    """Of the change log."""
    policy_version: int
    taken_at: float
    """Epoch seconds of the snapshot."""
    counts: dict[str, int] = field(default_factory=dict)
    """Rows of each table."""
    gatepost: str = ""
    """The version that wrote it."""
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class TableStart:
    """The rows that follow are of this table."""

    name: str
    columns: tuple[str, ...]


Batch = list[list[Any]]


class BackupWriter:
    """Writes a backup beside its place and puts it there when it is whole; ``finish`` or ``discard`` ends it."""

    def __init__(self, path: Path, header: BackupHeader) -> None:
        """Raises ``OSError``."""
        self._path = path
        self._fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(self._fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
        self._file = os.fdopen(descriptor, "wb")
        self._digest = hashlib.sha256()
        self._packer = zlib.compressobj(_LEVEL)
        self._encoder = msgspec.msgpack.Encoder()
        self._counts: dict[str, int] = {}
        self._table = ""
        self._write(MAGIC + json.dumps(asdict(header), sort_keys=True).encode() + b"\n")

    def table(self, name: str, columns: Sequence[str]) -> None:
        """Begin with a table."""
        self._table = name
        self._counts[name] = 0
        self._add(["table", name, list(columns)])

    def rows(self, batch: Sequence[Sequence[object]]) -> None:
        """Add rows of the table, values in the order of its columns."""
        self._counts[self._table] += len(batch)
        self._add(["rows", [list(row) for row in batch]])

    def finish(self) -> int:
        """Make it durable and put it in its place; its length in octets. Raises ``OSError``."""
        self._add(["end", self._counts])
        self._write(self._packer.flush())
        self._file.write(self._digest.hexdigest().encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        length = self._file.tell()
        self._file.close()
        self._fresh.replace(self._path)
        sync_directory(self._path.parent)
        return length

    def discard(self) -> None:
        """Leave nothing behind."""
        self._file.close()
        self._fresh.unlink(missing_ok=True)

    def _add(self, message: object) -> None:
        packed = self._encoder.encode(message)
        self._write(self._packer.compress(len(packed).to_bytes(_LENGTH, "big") + packed))

    def _write(self, octets: bytes) -> None:
        self._digest.update(octets)
        self._file.write(octets)


def sync_directory(path: Path) -> None:
    """Make a rename in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class BackupReader:
    """A backup that was opened; whole and unaltered once ``verify`` has returned."""

    def __init__(self, path: Path) -> None:
        """Raises ``BackupUnusable``."""
        self._path = path
        try:
            self._file: BinaryIO = path.open("rb")
            self._length = os.fstat(self._file.fileno()).st_size
        except OSError as error:
            raise BackupUnusable(f"{path} cannot be read ({error.strerror}): name a file of gatepost backup") from None
        try:
            self.header = self._read_header()
        except BaseException:
            self._file.close()
            raise
        self._begin = self._file.tell()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def verify(self, tick: Tick = lambda done, whole: None) -> None:
        """Read it all once, changing nothing anywhere. Raises ``BackupUnusable`` for one that was cut or altered."""
        digest, left = hashlib.sha256(), self._length - _END_LENGTH
        self._file.seek(0)
        while left > 0:
            piece = self._file.read(min(_PIECE, left))
            if not piece:
                break
            digest.update(piece)
            left -= len(piece)
            tick(self._length - left, self._length)
        if left or self._file.read() != digest.hexdigest().encode() + b"\n":
            raise BackupUnusable(f"{self._path} was cut off or altered (its checksum is wrong): use another backup")

    def messages(self, tick: Tick = lambda done, whole: None) -> Iterator[TableStart | Batch]:
        """The tables and their rows. Raises ``BackupUnusable``."""
        self._file.seek(self._begin)
        decoder = msgspec.msgpack.Decoder(list[Any])
        counted: dict[str, int] = {}
        table, done, whole = "", 0, sum(self.header.counts.values())
        try:
            for kind, *rest in map(decoder.decode, self._packed_messages()):
                if kind == "table":
                    table, counted[rest[0]] = rest[0], 0
                    yield TableStart(rest[0], tuple(rest[1]))
                elif kind == "rows":
                    counted[table] += len(rest[0])
                    done += len(rest[0])
                    yield rest[0]
                    tick(done, whole)
                elif kind == "end" and rest[0] == counted == self.header.counts:
                    return
                else:
                    break
        except (msgspec.MsgspecError, zlib.error, ValueError, KeyError, IndexError, TypeError):
            pass
        raise BackupUnusable(f"{self._path} is damaged: use another backup")

    def _packed_messages(self) -> Iterator[bytes]:
        stream = _Inflated(self._file, self._length - _END_LENGTH)
        while head := stream.read(_LENGTH):
            length = int.from_bytes(head, "big")
            if length > BATCH_BYTES:
                return
            yield stream.read(length)

    def _read_header(self) -> BackupHeader:
        if self._file.read(len(MAGIC)) != MAGIC:
            raise BackupUnusable(f"{self._path} is no backup of Gatepost: name a file of gatepost backup")
        line = self._file.readline(HEADER_BYTES)
        try:
            stated = json.loads(line)
            known = {each.name for each in fields(BackupHeader)}
            newer = int(stated["format"])
            header = msgspec.convert({name: stated[name] for name in known & stated.keys()}, BackupHeader)
        except (ValueError, KeyError, TypeError, msgspec.ValidationError):
            raise BackupUnusable(f"{self._path} was cut off or altered (its header): use another backup") from None
        if newer != FORMAT:
            raise BackupUnusable(
                f"{self._path} has format {newer}, this Gatepost reads {FORMAT}: restore it with the version "
                f"that wrote it ({header.gatepost})"
            )
        return header


class _Inflated:
    """Reads the compressed part of a file, so many octets at a time."""

    def __init__(self, file: BinaryIO, end: int) -> None:
        self._file = file
        self._end = end
        self._inflater = zlib.decompressobj()
        self._ready = bytearray()

    def read(self, length: int) -> bytes:
        """So many octets; fewer (none) at the end."""
        while len(self._ready) < length and not self._inflater.eof:
            packed = self._inflater.unconsumed_tail or self._file.read(
                max(0, min(_PIECE, self._end - self._file.tell()))
            )
            if not packed:
                # What a bounded call has left inside.
                self._ready += self._inflater.flush()
                break
            self._ready += self._inflater.decompress(packed, _PIECE)
        octets = bytes(self._ready[:length])
        del self._ready[:length]
        return octets
