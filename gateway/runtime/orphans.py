"""Buries the dead that nobody waits for, when this process is the first of its container.

The kernel gives orphans to pid 1; unless it waits for them they stay as zombies. Our own children are waited for
elsewhere within milliseconds, so whoever is dead at two looks in a row is an orphan.
"""

import os
from pathlib import Path


class Orphans:
    """Looks for zombies among the children of this process."""

    def __init__(self) -> None:
        self._seen: frozenset[int] = frozenset()

    def reap(self) -> int:
        """Wait for those seen dead by the last call too; the number of them. Call it seconds apart."""
        dead = frozenset(pid for pid in _children() if _is_zombie(pid))
        old = dead & self._seen
        self._seen = dead - old
        return sum(_buried(pid) for pid in old)


def _children() -> list[int]:
    pids: list[int] = []
    for task in Path("/proc/self/task").glob("*/children"):
        try:
            pids += map(int, task.read_text("ascii").split())
        except OSError:
            # The thread ended meanwhile.
            continue
    return pids


def _is_zombie(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return False
    # proc(5): the name stands in parentheses and may hold some itself; the state follows the last one.
    return stat.rpartition(")")[2].split()[0] == "Z"


def _buried(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return False
