"""Read by every Python process of a gateway under test, from ``PYTHONPATH``: what only a harness wants.

``FAULTS_LONGEST_BACK_OFF`` (seconds) bounds how long the supervisor waits before it restarts what died, so that fifty
kills fit into minutes. ``FAULTS_CLOCKS`` names a directory with one file per kind of child that holds the seconds by
which ``time.time`` of that child is ahead. (libfaketime does the same for every program, but also takes over the waits
of threads, which makes the control process ten times slower.) The monotonic clock stays the machine's. A further file
``passed`` holds seconds that have passed at once for all: wall clocks and those that count the sleep of a machine are
ahead by them. ``FAULTS_BRAKE_SECONDS`` is how often the fleet brake is looked after, ``FAULTS_BELIEVED_SECONDS`` when a
wall clock that jumped is believed. ``FAULTS_STEPS`` names a directory that says at which step of a change the control
process ends (``tests/changes/steps.py``).
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
    """Clocks ahead by what files say; looked at ten times a second."""

    def __init__(self, directory: str, kind: str) -> None:
        self._files = (os.path.join(directory, kind), os.path.join(directory, "passed"))
        self._right = time.time
        self._boot = getattr(time, "CLOCK_BOOTTIME", None)
        self._clock = time.clock_gettime
        self._ahead = self._passed = 0.0
        self._look_at = 0.0

    def _look(self) -> None:
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + 0.1
            self._ahead, self._passed = map(_number_in, self._files)

    def time(self) -> float:
        self._look()
        return self._right() + self._ahead + self._passed

    def clock_gettime(self, clock: int) -> float:
        self._look()
        return self._clock(clock) + (self._passed if clock == self._boot else 0.0)


def _number_in(path: str) -> float:
    try:
        with open(path) as file:
            return float(file.read())
    except FileNotFoundError:
        return 0.0


def _take_clock(kind: str) -> None:
    clocks = os.environ.get("FAULTS_CLOCKS")
    if clocks:
        moved = _MovedClock(clocks, kind)
        time.time, time.clock_gettime = moved.time, moved.clock_gettime


def _hurry(kind: str) -> None:
    believed, brake = os.environ.get("FAULTS_BELIEVED_SECONDS"), os.environ.get("FAULTS_BRAKE_SECONDS")
    if believed:
        from gateway.observability import clock

        clock.HOLD_SECONDS, clock.LOOK_EVERY_SECONDS = float(believed), 0.1
    if brake and kind == "control":
        from gateway.app import braking
        from gateway.changes import fleet_brake

        fleet_brake.LOOK_EVERY_SECONDS = braking.READ_EVERY_SECONDS = float(brake)
    elif brake and kind == "worker":
        from gateway.decision import brake_feed

        brake_feed.LOOK_EVERY_SECONDS = float(brake)


def _arm_steps(kind: str) -> None:
    directory = os.environ.get("FAULTS_STEPS")
    if directory and kind == "control":
        from pathlib import Path

        from tests.changes.steps import arm

        arm(Path(directory))


_shorten_back_off()
if "gateway.app.child" in sys.orig_argv:
    _kind = sys.orig_argv[sys.orig_argv.index("gateway.app.child") + 1]
    _take_clock(_kind)
    _hurry(_kind)
    _arm_steps(_kind)
