"""Marks that several processes set and look for, each for a time: worth something, and missed by nobody if lost."""

from typing import Protocol


class Marks(Protocol):
    """Kept in the shared cache; nothing that decides a verdict may hang on one."""

    async def put(self, name: str, for_seconds: float) -> None:
        """Set it, from now on for so long; raises ``CacheUnavailable``."""
        ...

    async def has(self, name: str) -> bool:
        """Whether it is set; raises ``CacheUnavailable``."""
        ...
