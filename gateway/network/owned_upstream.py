"""A connection to a mail server that belongs to one client's connection, and never to anybody else.

Whoever logs in on it is logged in for all that comes by it, so it does not come from the pool of idle connections and
never goes there. It counts among the pool's connections. After each whole answer it waits here for the next request of
the same client; when the mail server closes it, its owner is told.
"""

from collections.abc import Callable

from gateway.network.upstream import UpstreamPool, UpstreamUnavailable
from gateway.network.upstream_connection import UpstreamConnection


class OwnedUpstream:
    """One such connection (``Keeper``), from the moment it is wanted to its end."""

    __slots__ = ("_connection", "_idle", "_lost", "_pool", "ended")

    def __init__(self, pool: UpstreamPool, lost: Callable[["OwnedUpstream"], None]) -> None:
        """``lost``: called when it ends without ``end``."""
        self._pool = pool
        self._lost = lost
        self._connection: UpstreamConnection | None = None
        self._idle = False
        self.ended = False

    async def connect(self) -> UpstreamConnection:
        """Open it, once. Raises ``UpstreamUnavailable``."""
        connection = await self._pool.connect(self)
        if self.ended or self._connection is not None:
            connection.abort()
            raise UpstreamUnavailable(f"{self._pool.url}: its owner is gone")
        self._connection = connection
        return connection

    def take(self) -> UpstreamConnection | None:
        """The connection between two requests; None: it is not open, or says something unasked."""
        connection, idle = self._connection, self._idle
        if connection is None or not idle or connection.transport is None or connection.transport.is_closing():
            return None
        if connection.unasked:
            connection.abort()
            return None
        self._idle = False
        return connection

    def put_back(self, connection: UpstreamConnection) -> None:
        """It waits for its client's next request; nobody else is given it."""
        if self.ended or connection is not self._connection:
            connection.abort()
        else:
            self._idle = True

    def gone(self, connection: UpstreamConnection) -> None:
        """The connection was lost."""
        self._pool.gone(connection)
        if connection is not self._connection:
            return
        # It refers to this as well, and two that refer to each other stay, with the login and its client.
        self._connection = None
        if not self.ended:
            self.ended = True
            self._lost(self)

    def end(self) -> None:
        """Close it at once; nobody is told."""
        self.ended = True
        if self._connection is not None:
            self._connection.abort()
