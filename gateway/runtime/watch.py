"""Notices that certificate files changed, by looking at them now and then.

Looking works on every file system, and for the symbolic links by which Kubernetes and ACME clients swap a whole
directory. A change counts when two looks in a row see the same: a file that is still being written is left in peace.
"""

import os
from collections.abc import Iterable


class FileWatch:
    """Watches some files; those that are not there count as empty."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = tuple(path for path in paths if path)
        self._known = self._latest = self._look()

    def changed(self) -> bool:
        """Whether the files settled on something new since this last said so."""
        seen = self._look()
        settled = seen == self._latest
        self._latest = seen
        if not settled or seen == self._known:
            return False
        self._known = seen
        return True

    def _look(self) -> tuple[tuple[int, int, int], ...]:
        return tuple(_signature(path) for path in self._paths)


def _signature(path: str) -> tuple[int, int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_size, found.st_mtime_ns)
