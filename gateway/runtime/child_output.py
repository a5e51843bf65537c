"""What a child writes to its standard error, passed on line by line.

The lines of a child that is starting are held for a moment: if it dies, its words are printed only when they say
something that has not been printed yet, so that four workers that fail three times for one reason give it once.
"""

import asyncio
import json
import os
from collections.abc import Callable

from gateway.observability.lines import STDERR

HELD_SECONDS = 3.0
"""A start that takes longer is no quick death: its lines are wanted."""
HELD_LINES = 1_000
LINE_BYTES = 1 << 20

Write = Callable[[bytes], None]


def to_stderr(octets: bytes) -> None:
    """Write to this process's standard error, without waiting; what cannot be written is lost, and nothing else."""
    STDERR.write(octets)


class ChildOutput:
    """The lines of one life of a child. ``said`` are the reasons that were printed, shared by all children."""

    def __init__(self, write: Write, said: set[str]) -> None:
        self._write = write
        self._said = said
        self._held: list[bytes] | None = []
        self._dropping = False
        self.fd = -1
        """What is followed."""

    async def follow(self, fd: int) -> None:
        """Read the pipe ``fd`` to its end, and close it."""
        loop = asyncio.get_running_loop()
        self.fd = fd
        reader = asyncio.StreamReader(limit=LINE_BYTES)
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(fd, "rb", buffering=0)
        )
        timer = loop.call_later(HELD_SECONDS, self.release)
        try:
            while line := await _line(reader):
                self._take(line)
        finally:
            timer.cancel()
            transport.close()

    def _take(self, line: bytes) -> None:
        if self._dropping:
            return
        if self._held is None:
            self._write(line)
            return
        self._held.append(line)
        if len(self._held) >= HELD_LINES:
            self.release()

    def release(self) -> None:
        """The child runs: what was held is printed, and from now on each line at once."""
        held, self._held = self._held, None
        for line in held or ():
            self._write(line)

    def drop(self) -> None:
        """What is still held is not printed, nor what follows."""
        if self._held is not None:
            self._held = []
            self._dropping = True

    def died(self) -> None:
        """It ended: what is still held is printed if it gives a reason that was not given before."""
        reason = _reason(self._held or [])
        if not self._dropping and reason not in self._said:
            self._said.add(reason)
            self.release()
        self._held = None


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except ValueError:
        # Longer than the limit: what was read so far is gone, the rest follows.
        return b"(a line too long to print)\n"


def _reason(lines: list[bytes]) -> str:
    """The last thing said, without the time at which it was said."""
    text = next((line for line in reversed(lines) if line.strip()), b"").decode("utf-8", "replace").strip()
    try:
        entry = json.loads(text)
    except ValueError:
        return text
    if isinstance(entry, dict):
        entry.pop("timestamp", None)
    return json.dumps(entry, sort_keys=True)
