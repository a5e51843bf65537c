"""How many connections there may be, in all and from one address, and what becomes of one too many.

A TLS connection counts from its arrival, before its handshake (``network.accepting``); one too many is closed there.
Without TLS one too many is told to come back later, in its protocol's words, as long as not too many are being told
already.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Generic, NamedTuple, Protocol, TypeVar

from gateway.network.addresses import counted_as
from gateway.network.attendance import Attendance
from gateway.observability.metrics import Metrics
from gateway.proxies.turned_away import TOLD_MOST, WITHIN_SECONDS, TurnedAway


class Admitted(Protocol):
    """A client's connection."""

    address: str
    secure: bool
    """It began with TLS."""
    transport: asyncio.Transport | None

    def abort(self) -> None:
        """Close at once."""
        ...


Connection = TypeVar("Connection", bound=Admitted)


class Room(NamedTuple):
    """How many connections there may be."""

    in_all: int
    per_address: int


class Admission(Generic[Connection]):
    """The connections of one front (``Door`` of its listeners)."""

    def __init__(
        self,
        room: Room,
        metrics: Metrics,
        last_word: Callable[[], bytes],
        clock: Callable[[], float],
        is_trusted: Callable[[str], bool] = lambda address: False,
    ) -> None:
        """``last_word``: what one too many is told. ``is_trusted``: whether an address stands for many clients."""
        self._room = room
        self._last_word = last_word
        self._clock = clock
        self._is_trusted = is_trusted
        self._over = metrics.counter("gatepost_connections_refused_total", "Connections over a limit", "limit")
        self._tls_failed = metrics.counter("gatepost_tls_failed_total", "TLS handshakes that failed", "reason")
        self._there: Attendance[Connection] = Attendance()
        self.connections = self._there.connections
        self.by_address: Counter[str] = Counter()
        self._told: set[TurnedAway] = set()

    @property
    def handshakes(self) -> int:
        """TLS handshakes under way."""
        return self._there.handshakes

    def admit(self, connection: Connection) -> bool:
        """Whether there is room for one more connection; those by TLS were asked about before their handshake."""
        if not connection.secure and not self._has_room(connection.address):
            self._turn_away(connection)
            return False
        self._there.come(connection)
        self.by_address[counted_as(connection.address)] += 1
        return True

    def leave(self, connection: Connection) -> None:
        """A connection is gone."""
        if self._there.leave(connection):
            self._one_less(connection.address)

    def arrived(self, address: str) -> bool:
        """Count a connection whose TLS handshake is to come."""
        if not self._has_room(address):
            return False
        self._there.arrived()
        self.by_address[counted_as(address)] += 1
        return True

    def shaken(self, address: str) -> None:
        """A handshake is over: what came of it is a connection, and counts as one."""
        self._there.shaken()
        self._one_less(address)

    def tls_failed(self, reason: str) -> None:
        """A handshake failed."""
        self._tls_failed.inc(reason)

    async def emptied(self, within_seconds: float) -> bool:
        """Wait until there is neither connection nor handshake, or for so long; whether there is none."""
        return await self._there.emptied(within_seconds)

    def sweep(self, now: float) -> None:
        """End the last words that take too long; ``now`` by the front's clock."""
        for told in [each for each in self._told if each.deadline <= now]:
            told.abort()

    def close(self) -> None:
        """End every connection."""
        for connection in tuple(self.connections):
            connection.abort()
        for told in tuple(self._told):
            told.abort()

    def _has_room(self, address: str) -> bool:
        if len(self._there) >= self._room.in_all:
            self._over.inc("all")
            return False
        there = self.by_address[counted_as(address)]
        if there >= self._room.per_address and not self._is_trusted(address):
            self._over.inc("address")
            return False
        return True

    def _one_less(self, address: str) -> None:
        counted = counted_as(address)
        self.by_address[counted] -= 1
        if self.by_address[counted] <= 0:
            del self.by_address[counted]

    def _turn_away(self, connection: Connection) -> None:
        transport = connection.transport
        if transport is None or len(self._told) >= TOLD_MOST:
            connection.abort()
            return
        self._told.add(TurnedAway(transport, self._last_word(), self._clock() + WITHIN_SECONDS, self._told.discard))
