"""Ends a worker that lives and says nothing, or nothing more: one that hangs is not restarted by its death.

Each worker has its own listening socket, so what the kernel gives to one that hangs waits for ever, also where it
hangs before it ever served. Workers tell their status each second from ``ready`` on; silence is counted in the
supervisor's own rounds, so that a machine that stood still, and this process with it, is no worker's fault. The first
signal makes the worker write down where it is (``faulthandler``). One on trial is the upgrade's to end.
"""

import signal
from collections.abc import Iterable

import structlog

from gateway.runtime.kept import Kept

log = structlog.get_logger()

STDERR_FD = 2
HANGS_AFTER_SECONDS = 60.0
STARTS_WITHIN_SECONDS = 100.0
"""To ``ready``: a worker that finds no store says so itself before that, and a service manager gives two minutes."""
TELL_WHERE = signal.SIGUSR1
"""Not SIGABRT, which leaves a core file with everybody's passwords."""


def end_the_hanging(everyone: Iterable[Kept], round_seconds: float) -> None:
    """One round: count, ask who has been silent for too long where it is, and kill it a round later."""
    for kept in everyone:
        if kept.child is None or kept.retired or kept.spec.told_of_workers or (kept.trial and not kept.ready.is_set()):
            continue
        kept.silent_rounds += 1
        most = HANGS_AFTER_SECONDS if kept.child.ready else STARTS_WITHIN_SECONDS
        over = kept.silent_rounds * round_seconds - most
        if over < 0:
            continue
        if over < round_seconds:
            log.error("child_hangs", name=kept.spec.name, pid=kept.child.pid, silent_seconds=most)
            kept.child.signal(TELL_WHERE)
        else:
            kept.child.signal(signal.SIGKILL)
