"""A connection over a limit, without TLS: told so before anything is read, and closed.

The word costs a bounded time, bounded octets and a bounded number of connections; whoever comes beyond is reset. With
TLS there is no such word: a connection over a limit is closed before its handshake (``network.accepting``).
"""

import asyncio
from collections.abc import Callable
from typing import cast

TOLD_MOST = 256
"""Connections that are told at the same time."""
WITHIN_SECONDS = 2.0
DISCARDED_MOST = 64 << 10
"""Octets of its request that are read for nothing: a close with unread ones is a reset, and the word would be lost."""


class TurnedAway(asyncio.Protocol):
    """One such connection."""

    def __init__(
        self,
        transport: asyncio.BaseTransport,
        answer: bytes,
        deadline: float,
        gone: Callable[["TurnedAway"], None],
    ) -> None:
        self.deadline = deadline
        self._gone = gone
        self._discarded = 0
        # uvloop's transports are none of asyncio's by inheritance.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_protocol(self)
        self._transport.write(answer)
        self._transport.write_eof()

    def data_received(self, data: bytes) -> None:
        """The request that is not served."""
        self._discarded += len(data)
        if self._discarded > DISCARDED_MOST:
            self.abort()

    def eof_received(self) -> bool:
        """The client has read it, or is gone."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self._gone(self)

    def abort(self) -> None:
        """End it at once."""
        self._transport.abort()
