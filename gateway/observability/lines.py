"""Lines to standard error that never wait for whoever reads them.

A log collector that hangs, or Ctrl-S on a terminal, must not stop mail: nobody may be judged later because a line
waits for room in a pipe. A line is written at once where there is room; else it is held, up to ``HELD_BYTES`` for a
process, and a thread of its own writes it when there is. What does not fit is lost, and how much is told afterwards.
"""

import atexit
import errno
import os
import select
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

HELD_BYTES = 16 << 20
"""Some 50,000 refusals: a line for each phone that an edit cuts at once fits."""
AT_THE_END_SECONDS = 1.0
"""For what is still held when the process ends."""
PIECE_BYTES = 4096
"""A pipe that has room at all has it for so much (pipe(7), PIPE_BUF): such a write does not wait."""
AGAIN_SECONDS = 1.0


class LineWriter:
    """Writes lines to a descriptor; may be used by several threads. What cannot be written is lost, and nothing else.

    ``on_lost`` is called, by the writing thread, with how many lines were lost once there is room again.
    """

    def __init__(self, fd: Callable[[], int], held_bytes: int = HELD_BYTES) -> None:
        """``fd`` says where to; it may raise ``OSError`` or ``ValueError`` when that is closed."""
        self._fd = fd
        self._held_bytes = held_bytes
        self._lock = threading.Lock()
        self._held: deque[bytes] = deque()
        self._size = 0
        self._lost = 0
        self._thread: threading.Thread | None = None
        self._gathering = 0
        self._gathered: list[bytes] = []
        self.on_lost: Callable[[int], None] = lambda lines: None

    def write(self, line: bytes) -> None:
        """Write a line, its end included. Never waits and never raises."""
        with self._lock:
            if self._gathering:
                self._gathered.append(line)
            else:
                self._put(line)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Lines written within go out at its end, as many at a time as a piece holds: a call for each costs more."""
        with self._lock:
            self._gathering += 1
        try:
            yield
        finally:
            with self._lock:
                self._gathering -= 1
                if not self._gathering:
                    gathered, self._gathered = self._gathered, []
                    for piece, lines in _pieces(gathered):
                        self._put(piece, lines)

    def _put(self, piece: bytes, lines: int = 1) -> None:
        if self._thread is None and not (piece := self._at_once(piece)):
            return
        if self._size + len(piece) > self._held_bytes:
            self._lost += lines
            return
        self._held.append(piece)
        self._size += len(piece)
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_held, name="log-lines", daemon=True)
            self._thread.start()

    def flush(self, within_seconds: float = AT_THE_END_SECONDS) -> None:
        """Wait, at most so long, until nothing is held."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(within_seconds)

    def _at_once(self, line: bytes) -> bytes:
        """Write what can be written without waiting; the rest."""
        while line and self._room(0.0):
            line = self._written(line)
        return line

    def _write_held(self) -> None:
        while True:
            with self._lock:
                if not self._held:
                    self._thread, lost, self._lost = None, self._lost, 0
                    break
                line = self._held[0]
            while line:
                if self._room(AGAIN_SECONDS):
                    line = self._written(line)
            with self._lock:
                self._size -= len(self._held.popleft())
        if lost:
            self.on_lost(lost)

    def _room(self, within_seconds: float) -> bool:
        """Whether a piece can be written without waiting; also where writing fails at once."""
        try:
            look = select.poll()
            look.register(self._fd(), select.POLLOUT)
            return bool(look.poll(within_seconds * 1000))
        except (OSError, ValueError):
            return True

    def _written(self, line: bytes) -> bytes:
        """Write a piece; the rest, nothing where nobody reads any more or there is no room on a disk."""
        try:
            return line[os.write(self._fd(), line[:PIECE_BYTES]) :]
        except BlockingIOError:
            # Somebody made the descriptor non-blocking, and was faster.
            return line
        except (OSError, ValueError):
            return b""


def _pieces(lines: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
    """Whole lines, joined as far as a write takes them at once; and how many they are."""
    piece, count = b"", 0
    for line in lines:
        if count and len(piece) + len(line) > PIECE_BYTES:
            yield piece, count
            piece, count = b"", 0
        piece, count = piece + line, count + 1
    if count:
        yield piece, count


def _stderr() -> int:
    # Looked up each time: a test may have put another in its place.
    if sys.stderr is None:
        # Closed when this program began (``2>&-``): descriptor 2 may be anything by now.
        raise OSError(errno.EBADF, "standard error is closed")
    return sys.stderr.fileno()


STDERR = LineWriter(_stderr)
"""The one of this process."""
atexit.register(STDERR.flush)
