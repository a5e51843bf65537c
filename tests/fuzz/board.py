"""What a fuzzing process tells its parent while it runs: how far it is, and the input that it has in hand.

It is a mapped file, so it is still there when the process was ended by a signal or hangs.
"""

import json
import mmap
import struct
from pathlib import Path
from typing import Any

_HEAD = struct.Struct("<QI")
INPUT_MOST = 64 << 10


class Board:
    """One process writes, another reads."""

    def __init__(self, folder: Path) -> None:
        self._results = folder / "results.json"
        path = folder / "board"
        if not path.exists():
            path.write_bytes(bytes(_HEAD.size + INPUT_MOST))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)

    def begin(self, number: int, octets: bytes) -> None:
        """A case begins."""
        octets = octets[:INPUT_MOST]
        _HEAD.pack_into(self._map, 0, number, len(octets))
        self._map[_HEAD.size : _HEAD.size + len(octets)] = octets

    @property
    def number(self) -> int:
        """The case in hand."""
        number: int = _HEAD.unpack_from(self._map)[0]
        return number

    @property
    def octets(self) -> bytes:
        """Its input."""
        length = _HEAD.unpack_from(self._map)[1]
        return self._map[_HEAD.size : _HEAD.size + length]

    def end(self, results: dict[str, Any]) -> None:
        """All cases are through."""
        self._results.write_text(json.dumps(results))

    def results(self) -> dict[str, Any] | None:
        """What ``end`` was given; None: it did not come to that."""
        return json.loads(self._results.read_text()) if self._results.exists() else None
