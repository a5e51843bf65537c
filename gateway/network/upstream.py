"""Pooled connections to mail servers: one that is readable, closed or old while idle is dropped before use.

Nothing is ever sent twice.

Octets that a mail server sends unasked on an idle connection would be taken for the next answer, which may be another
person's. So before a connection is used again, the kernel is asked once more whether it has any: by ``take`` for this
one connection, by ``take_settled`` together with all others, as the loop does in each of its rounds.
"""

import asyncio
import os
import re
import ssl
import time
from collections import deque
from collections.abc import Callable
from urllib.parse import urlsplit

from gateway.network.rounds import Rounds
from gateway.network.upstream_connection import Keeper, UpstreamConnection

_ANOTHER_NAME = (62, 64)
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH of OpenSSL."""


class UpstreamUnavailable(Exception):  # noqa: N818
    """No connection to the mail server is to be had; the text says why."""


class UpstreamPool:
    """Connections to one mail server."""

    def __init__(
        self,
        url: str,
        context: ssl.SSLContext | None,
        *,
        connections: int = 20_000,
        connect_seconds: float = 10.0,
        idle_seconds: float = 4.0,
        now: Callable[[], float] = time.monotonic,
        rounds: Rounds | None = None,
    ) -> None:
        address = urlsplit(url)
        self.url = url
        self.host = address.hostname or ""
        self.port = address.port or (443 if address.scheme == "https" else 80)
        self._context = context if address.scheme == "https" else None
        self._connections = connections
        self._connect_seconds = connect_seconds
        self._idle_seconds = idle_seconds
        self._now = now
        self._rounds = rounds or Rounds()
        self._idle: deque[UpstreamConnection] = deque()
        self._open: set[UpstreamConnection] = set()
        self.connecting = 0
        self._failures = 0
        self._down_until = 0.0
        self.closed = False

    @property
    def open(self) -> int:
        """Connections that stand."""
        return len(self._open)

    @property
    def has_idle(self) -> bool:
        """Whether a connection waits to be used."""
        return bool(self._idle)

    @property
    def reached(self) -> bool:
        """Whether the last attempt to connect worked; also before the first."""
        return not self._failures

    @property
    def healthy(self) -> bool:
        """Whether the last attempt to connect worked, or is long enough ago to try again."""
        return self._now() >= self._down_until

    def take(self) -> UpstreamConnection | None:
        """An idle connection that is fit for use; None: connect."""
        while self._idle:
            connection = self._idle.pop()
            transport = connection.transport
            fresh = self._now() - connection.idle_since < self._idle_seconds
            if fresh and transport is not None and not transport.is_closing() and not connection.unasked:
                return connection
            connection.abort()
        return None

    def take_settled(self, clock: float) -> UpstreamConnection | None:
        """An idle connection, to be used at the end of a round of the loop; None: ``take``, or connect.

        It was idle when the round began, so what it had to say unasked has been read. ``clock`` is the present.
        """
        idle, number = self._idle, self._rounds.number
        while idle:
            # The youngest one, so that the others may grow old; else the one that has been idle for longest.
            at = -1 if idle[-1].idle_round != number else 0
            connection = idle[at]
            if connection.idle_round == number:
                return None
            del idle[at]
            transport = connection.transport
            if (
                clock - connection.idle_since < self._idle_seconds
                and transport is not None
                and not transport.is_closing()
            ):
                return connection
            connection.abort()
        return None

    async def connect(self, keeper: Keeper | None = None) -> UpstreamConnection:
        """A new connection. ``keeper``: whose alone it is; else this pool's. Raises ``UpstreamUnavailable``."""
        if len(self._open) + self.connecting >= self._connections:
            raise UpstreamUnavailable(f"{self.url}: all {self._connections} connections are in use")
        self.connecting += 1
        try:
            connection = await self._opened(keeper or self)
        except (OSError, TimeoutError, ssl.SSLError) as error:
            self._failures += 1
            self._down_until = self._now() + min(10.0, 0.5 * 2 ** min(self._failures, 6))
            raise UpstreamUnavailable(f"{self.url}: {reason_of(error)}") from None
        finally:
            self.connecting -= 1
        self._failures, self._down_until = 0, 0.0
        if self._context is None and connection.unasked:
            # With TLS something may rightly be there: session tickets.
            connection.abort()
            raise UpstreamUnavailable(f"{self.url}: it speaks, or hangs up, before it is asked")
        self._open.add(connection)
        return connection

    async def _opened(self, keeper: Keeper) -> UpstreamConnection:
        async with asyncio.timeout(self._connect_seconds):
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: UpstreamConnection(keeper),
                self.host,
                self.port,
                ssl=self._context,
                server_hostname=self.host if self._context else None,
            )
        return connection

    def put_back(self, connection: UpstreamConnection) -> None:
        """Keep for the next request."""
        if self.closed:
            connection.abort()
            return
        self._rounds.enter()
        connection.idle_round = self._rounds.number
        connection.idle_since = self._now()
        self._idle.append(connection)

    def gone(self, connection: UpstreamConnection) -> None:
        """A connection was lost."""
        self._open.discard(connection)

    def drop_old(self) -> None:
        """Close what has been idle for too long; called now and then."""
        while self._idle and self._now() - self._idle[0].idle_since >= self._idle_seconds:
            self._idle.popleft().abort()

    def close(self) -> None:
        """Close everything."""
        self.closed = True
        for connection in tuple(self._open):
            connection.abort()


def reason_of(error: BaseException, part: str = "http") -> str:
    """What went wrong with a connection to the mail server of a section, in words for an operator."""
    if isinstance(error, ssl.SSLCertVerificationError):
        said = error.verify_message.rstrip(".")
        if error.verify_code in _ANOTHER_NAME:
            return f"its certificate is for another name ({said}): write the name that it is for into [{part}] upstream"
        return f"its certificate is not trusted ({said}): name its issuer's certificate in [{part}] upstream_ca"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or error})"
    if isinstance(error, TimeoutError):
        return "no connection within the time-out"
    if isinstance(error, ConnectionError) and not error.args:
        # So asyncio says it: no version of TLS in common, for example.
        return "it closed the connection during the TLS handshake"
    # asyncio writes addresses in between; of several attempts it has the numbers in its text only.
    number = re.search(r"\[Errno (\d+)\]", str(error))
    if isinstance(error, OSError) and number:
        return os.strerror(int(number[1])).lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
