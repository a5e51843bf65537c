"""What was noted already, so that it is noted once: by policy version, and if it is much, of the latest ones only.

Nobody is judged by an older version again, but what happened under it may be told late. What was noted under each of
many edits would fill memory for nothing.
"""

VERSIONS = 3
"""One is in force, one was until a moment ago, and workers do not change over at the same time."""
OF_ALL_VERSIONS = 20_000
"""So many are kept whatever version they are of."""
MOST = 200_000


class Noted:
    """Hashes of what was noted; at most ``most`` of them."""

    def __init__(self, most: int = MOST, of_all_versions: int = OF_ALL_VERSIONS) -> None:
        self._most = most
        self._of_all_versions = min(of_all_versions, most)
        self._by_version: dict[int, set[int]] = {}
        """The version that came last stands last."""
        self._number = 0

    def __len__(self) -> int:
        return self._number

    def has(self, version: int, key: int) -> bool:
        """Whether it was; what was forgotten was not."""
        return key in self._by_version.get(version, ())

    def add(self, version: int, key: int) -> None:
        """From now on it was."""
        keys = self._by_version.setdefault(version, set())
        before = len(keys)
        keys.add(key)
        self._number += len(keys) - before
        while self._number > (self._of_all_versions if len(self._by_version) > VERSIONS else self._most):
            oldest = next(iter(self._by_version))
            self._number -= len(self._by_version.pop(oldest))
