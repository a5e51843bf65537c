"""What uvicorn leaves open on the control process's listeners: bounds for clients that send or take nothing.

uvicorn bounds requests at the same time and the pause between two of them, but neither how long a head may take, nor an
answer that nobody takes, nor connections that never ask. ``Room`` counts connections, with TLS before their handshake;
``BoundedHttp`` is uvicorn's own connection with two timers more.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from gateway.network.addresses import counted_as

WRITE_SECONDS = 60.0
"""While a client takes nothing of its answer."""
ROOM_BEYOND = 64
"""Connections above the bound that are let in to be told so (503)."""
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Room:
    """How many connections one application has (``Door``); half of them at most are from one address."""

    def __init__(self, connections: int, count: Callable[[str], None]) -> None:
        """``count`` is told of each one that is over a limit: ``all`` or ``address``."""
        self._most = connections + ROOM_BEYOND
        self._most_of_one = max(1, connections // 2)
        self._count = count
        self.there: Counter[str] = Counter()
        self.total = 0

    def arrived(self, address: str) -> bool:
        """Take a place, if there is one."""
        counted = counted_as(address)
        if self.total >= self._most or self.there[counted] >= self._most_of_one:
            self._count("all" if self.total >= self._most else "address")
            return False
        self.total += 1
        self.there[counted] += 1
        return True

    def shaken(self, address: str) -> None:
        """Give a place back."""
        counted = counted_as(address)
        self.total -= 1
        self.there[counted] -= 1
        if self.there[counted] <= 0:
            del self.there[counted]

    def tls_failed(self, reason: str) -> None:
        """A handshake failed: of no interest here."""


class BoundedHttp(H11Protocol):
    """One connection. It takes its place when it is made; a TLS handshake before it had one of its own."""

    def __init__(self, room: Room, head_seconds: float, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._room = room
        self._head_seconds = head_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._address: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a place or be closed; the first head has its time from now on."""
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if isinstance(peer, tuple) else ""
        super().connection_made(transport)
        # Any octet that waits for the client has its time, also one of a short answer behind which it is closed.
        transport.set_write_buffer_limits(high=0)
        if not self._room.arrived(address):
            transport.abort()
            return
        self._address = address
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        for timer in (self._timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        address, self._address = self._address, None
        if address is not None:
            self._room.shaken(address)

    def data_received(self, data: bytes) -> None:
        """A head that has begun gains no time by an octet now and then."""
        super().data_received(data)
        if self._answering:
            self._stop_waiting()
        elif self._timer is None and not self.transport.is_closing():
            self._await_head()

    def pause_writing(self) -> None:
        """The client takes no more for now."""
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(WRITE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """The client takes more again."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    @property
    def _answering(self) -> bool:
        # None before the first request, whatever its declaration says.
        cycle = cast("Any", self.cycle)
        return cycle is not None and not cycle.response_complete

    def _await_head(self) -> None:
        self._timer = self.loop.call_later(self._head_seconds, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if self._answering or self.transport.is_closing():
            return
        if self.conn.our_state is h11.IDLE and self.conn.trailing_data[0]:
            self.transport.write(_TOO_SLOW)
        self.transport.close()
