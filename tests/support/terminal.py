"""A command on a pseudo-terminal of its own: what it draws at which width, and Ctrl-C as a person presses it."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import IO

WITHIN_SECONDS = 200.0
CTRL_C = b"\x03"
_STEERING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_LINE_ENDS = re.compile(r"[\r\n]+")


class Terminal:
    """A command that runs on it, in the foreground."""

    def __init__(self, process: subprocess.Popen[bytes], ours: int) -> None:
        self.process = process
        self._ours = ours
        self.written = ""
        """All that it has drawn so far, with what steers the cursor."""

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._ours, keys)

    def until(self, seen: Callable[[str], bool]) -> None:
        """Read until what was drawn is so. Raises ``AssertionError`` where it ends or takes too long before."""
        deadline = time.monotonic() + WITHIN_SECONDS
        while not seen(self.written):
            assert self._read(deadline), f"it ended, or was too slow; it had drawn {self.written!r}"

    def end(self) -> int:
        """Read until it has ended; its exit code."""
        deadline = time.monotonic() + WITHIN_SECONDS
        while self._read(deadline):
            pass
        return self.process.wait(max(0.1, deadline - time.monotonic()))

    def _read(self, deadline: float) -> bool:
        """Read some; whether there may be more."""
        if not select.select([self._ours], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return False
        try:
            octets = os.read(self._ours, 65536)
        except OSError:
            # Linux says EIO when the last writer is gone.
            return False
        self.written += octets.decode(errors="replace")
        return bool(octets)

    @property
    def lines(self) -> list[str]:
        """What was drawn, line by line, each time anew, without what steers."""
        return [line for line in _LINE_ENDS.split(_STEERING.sub("", self.written)) if line.strip()]


def _at_a_desk(theirs: int) -> None:
    """The terminal is its own, so Ctrl-C reaches it; what a shell runs in the background would ignore it."""
    fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def terminal(
    command: Sequence[str], env: Mapping[str, str], columns: int = 80, stdout: IO[bytes] | None = None
) -> Iterator[Terminal]:
    """Run a command on a terminal of so many columns, its controlling one; ``stdout`` may go elsewhere."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    kept = {name: value for name, value in env.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs if stdout is None else stdout,
        stderr=theirs,
        env=kept,
        start_new_session=True,
        preexec_fn=partial(_at_a_desk, theirs),  # noqa: PLW1509
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()
        os.close(ours)
