"""Means to end sessions that do nothing but remember, and can be made to fail or to wait."""

import asyncio
from collections.abc import Sequence

from gateway.authz.cutter import CutFailed
from gateway.protocols.authz import doveadm


class FakeMeans:
    """``Means`` of a test."""

    name = "doveadm"
    most = 3

    def __init__(self) -> None:
        self.batches: list[tuple[str, ...]] = []
        self.failures = 0
        """How many of the next calls fail."""
        self.gate: asyncio.Event | None = None
        self.called = asyncio.Event()

    @property
    def cuts(self) -> list[str]:
        """All targets in their order."""
        return [target for batch in self.batches for target in batch]

    def exact(self, target: str) -> str:
        """As Dovecot's."""
        return doveadm.exact(target)

    async def cut(self, targets: Sequence[str]) -> int:
        """Remember."""
        self.called.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise CutFailed("is away")
        self.batches.append(tuple(targets))
        return len(targets)

    async def close(self) -> None:
        """Nothing is kept."""
