"""Read by every Python process of a gateway under test, from ``PYTHONPATH``: two things that only a harness wants.

``FAULTS_LONGEST_BACK_OFF`` (seconds) bounds how long the supervisor waits before it restarts what died, so that fifty
kills fit into minutes. ``FAULTS_CLOCKS`` names a directory with one file per kind of child that holds the seconds by
which ``time.time`` of that child is ahead. (libfaketime does the same for every program, but also takes over the waits
of threads, which makes the control process ten times slower.) The monotonic clock stays the machine's.
"""

import os
import sys
import time


def _shorten_back_off() -> None:
    longest = os.environ.get("FAULTS_LONGEST_BACK_OFF")
    if longest and "gateway.cli.main" in sys.orig_argv and "run" in sys.orig_argv:
        from gateway.runtime import back_off

        back_off.LONGEST_SECONDS = float(longest)


class _MovedClock:
    """``time.time`` ahead by what a file says; looked at ten times a second."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._right = time.time
        self._ahead = 0.0
        self._look_at = 0.0

    def time(self) -> float:
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + 0.1
            with open(self._path) as file:
                self._ahead = float(file.read())
        return self._right() + self._ahead


def _take_clock() -> None:
    clocks, words = os.environ.get("FAULTS_CLOCKS"), sys.orig_argv
    if clocks and "gateway.app.child" in words:
        kind = words[words.index("gateway.app.child") + 1]
        time.time = _MovedClock(os.path.join(clocks, kind)).time


_shorten_back_off()
_take_clock()
