"""Read by every Python process of a gateway under test, from ``PYTHONPATH``: two things that only a harness wants.

``FAULTS_LONGEST_BACK_OFF`` (seconds) bounds how long the supervisor waits before it restarts what died, so that fifty
kills fit into minutes. ``FAULTS_CLOCKS`` names a directory with one file per kind of child, by which libfaketime
(``FAULTS_FAKETIME``) moves the wall clock of that child alone; the monotonic clock stays as it is.
"""

import os
import sys


def _shorten_back_off() -> None:
    longest = os.environ.get("FAULTS_LONGEST_BACK_OFF")
    if longest and "gateway.cli.main" in sys.orig_argv and "run" in sys.orig_argv:
        from gateway.runtime import back_off

        back_off.LONGEST_SECONDS = float(longest)


def _take_clock() -> None:
    clocks, words = os.environ.get("FAULTS_CLOCKS"), sys.orig_argv
    if not clocks or "gateway.app.child" not in words or "FAKETIME_TIMESTAMP_FILE" in os.environ:
        return
    kind = words[words.index("gateway.app.child") + 1]
    faked = {
        "LD_PRELOAD": os.environ["FAULTS_FAKETIME"],
        "FAKETIME_TIMESTAMP_FILE": os.path.join(clocks, kind),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    os.execve(sys.executable, words, {**os.environ, **faked})  # noqa: S606  (no shell is wanted)


_shorten_back_off()
_take_clock()
