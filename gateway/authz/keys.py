"""The secrets by which askers show that they are ours; several at a time, so that one can be replaced by the next."""

import hashlib
import hmac
import re
from collections.abc import Iterable
from pathlib import Path

from gateway.domain.errors import DomainError

SHORTEST = 16
"""Characters; openssl rand -hex 32 makes 64."""
_KEY = re.compile(rb"[A-Za-z0-9._~+/=-]{16,256}\Z")
"""What every asker's configuration can hold without quoting, and a URL's path too."""


class KeyUnusable(DomainError):  # noqa: N818
    """A key file cannot be used; the text says which, why and what to do."""


class AskerKeys:
    """The keys in some files. Holds digests; in no representation."""

    def __init__(self, files: Iterable[str]) -> None:
        """Raises ``KeyUnusable``."""
        self._files = tuple(files)
        self._digests = [_read(file) for file in self._files]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def reload(self) -> None:
        """Read the files again. Raises ``KeyUnusable`` and keeps what was in use."""
        self._digests = [_read(file) for file in self._files]

    def holds(self, key: bytes) -> bool:
        """Whether ``key`` is one of them; takes as long for every other one."""
        digest = hashlib.sha256(key).digest()
        return sum(hmac.compare_digest(digest, each) for each in self._digests) > 0


def _read(file: str) -> bytes:
    try:
        key = Path(file).read_bytes().strip()
    except OSError as error:
        raise KeyUnusable(
            f"[authz] key_files {file} cannot be read ({error.strerror}): name a file that this user may read"
        ) from None
    if not _KEY.match(key):
        raise KeyUnusable(
            f"[authz] key_files {file} holds no key of {SHORTEST} to 256 letters and digits in one line: "
            "write one into it (openssl rand -hex 32)"
        )
    return hashlib.sha256(key).digest()
