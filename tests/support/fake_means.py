"""Means to end sessions that do nothing but remember, and can be made to fail or to wait."""

import asyncio
from collections.abc import Sequence

from gateway.authz.cutter import CutFailed
from gateway.authz.doveadm_means import DoveadmMeans
from gateway.authz.haproxy_means import HaproxyMeans
from gateway.protocols.authz import doveadm
from gateway.protocols.authz.doveadm import Connected


class FakeMeans:
    """``Means`` of a test."""

    name = "doveadm"
    most = 3

    def __init__(self) -> None:
        self.batches: list[tuple[str, ...]] = []
        self.failures = 0
        """How many of the next calls fail."""
        self.mistakes = 0
        """How many of the next calls fail as nobody has thought of."""
        self.never: set[str] = set()
        """Targets with which every call fails, after all others of it were ended."""
        self.says_who = False
        """Whether it tells then of whom it failed."""
        self.kicked: list[str] = []
        """All targets that were ended, in calls that failed as well."""
        self.tried = 0
        """How many calls there were."""
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
        self.tried += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise CutFailed("is away")
        failed = self.never.intersection(targets)
        self.kicked += [each for each in targets if each not in failed]
        if failed:
            reason, others = "has been begun and does not end", len(targets) - len(failed)
            raise CutFailed(reason, failed, others) if self.says_who else CutFailed(reason)
        if self.mistakes:
            self.mistakes -= 1
            raise RecursionError("too deep")
        self.batches.append(tuple(targets))
        return len(targets)

    async def close(self) -> None:
        """Nothing is kept."""


class FakeDoveadm(FakeMeans, DoveadmMeans):
    """The same with a list of who is connected."""

    name = "doveadm"
    most = 3

    def __init__(self) -> None:
        FakeMeans.__init__(self)
        self.there: tuple[Connected, ...] = ()
        self.looks = 0
        self.hidden: asyncio.Event | None = None
        """The list is not told before this."""

    async def who(self) -> tuple[Connected, ...]:
        """As a test has it."""
        self.looks += 1
        await asyncio.sleep(0)
        if self.hidden is not None:
            await self.hidden.wait()
        return self.there


class FakeRuntime(FakeMeans, HaproxyMeans):
    """HAProxy's, with a list of the clients that are connected."""

    name = "haproxy"
    most = 3

    def __init__(self) -> None:
        FakeMeans.__init__(self)
        self.there: frozenset[str] = frozenset()
        self.looks = 0

    async def sources(self) -> frozenset[str]:
        """As a test has it."""
        self.looks += 1
        await asyncio.sleep(0)
        return self.there
