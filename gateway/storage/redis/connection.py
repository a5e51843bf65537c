"""Connections to one Redis or Valkey server, each of which knows which life of the server it talks to.

The server's run id is read when a connection is made, and every command is composed for the run id of the very
connection that carries it: a server that has restarted from an old dump, or another one after a failover, is never
asked by the old names. Each call is bounded in time, and every failure is a ``CacheUnavailable``. The URL's password is
in no text and no ``repr``.
"""

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from redis.asyncio.connection import AbstractConnection, ConnectionPool, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import ConnectionError as ConnectionLost

from gateway.domain.errors import InvalidValue
from gateway.ports.state_cache import CacheUnavailable

LINKS = 8
"""Connections at most; one is taken by each blocking read."""

DIGITS_MOST = 16
"""Of a sequence number."""

Word: TypeAlias = str | bytes | int
Compose: TypeAlias = Callable[[str], Sequence[Word]]
"""Makes the words of a command from the server's run id."""


@dataclass(slots=True)
class _Link:
    """A connection with the run id read through it."""

    wire: AbstractConnection
    run_id: str


class RedisConnection:
    """Shared by everything in this process that talks to one server."""

    def __init__(self, url: str, *, authorities: str = "", timeout_seconds: float = 1.0) -> None:
        """``redis://``, ``rediss://`` or ``unix://``. Raises ``InvalidValue`` for any other.

        The certificate of a ``rediss://`` server and its name are always checked, against the PEM file ``authorities``
        or the system's.
        """
        try:
            pool = ConnectionPool.from_url(url)
        except (ValueError, TypeError) as error:
            raise InvalidValue("the Redis URL must begin with redis://, rediss:// or unix://") from error
        settings = pool.connection_kwargs
        # Ours, whatever the URL asks for: time is kept here, and answers are read as RESP2 bytes.
        settings.update(
            protocol=2,
            decode_responses=False,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=None,
            socket_connect_timeout=timeout_seconds,
        )
        if issubclass(pool.connection_class, SSLConnection):
            settings.update(
                ssl_cert_reqs="required",
                ssl_check_hostname=True,
                ssl_ca_certs=authorities or None,
                ssl_min_version=ssl.TLSVersion.TLSv1_2,
            )
        self.place: str = settings.get("path") or f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}"
        self._secret = str(settings.get("password") or "")
        self._make: Callable[[], AbstractConnection] = pool.make_connection
        self._timeout_seconds = timeout_seconds
        self._idle: list[_Link] = []
        self._room = asyncio.Semaphore(LINKS)
        self._closed = False

    def __repr__(self) -> str:
        """Where it goes, without the credentials."""
        return f"RedisConnection({self.place!r})"

    async def call(self, compose: Compose, *, blocks_for: float = 0.0) -> Any:
        """The server's answer to one command; ``blocks_for`` seconds are added to the time-out.

        A command may reach the server twice (a kept connection turned out dead): all here bear that. Raises
        ``CacheUnavailable``.
        """
        try:
            async with asyncio.timeout(self._timeout_seconds + blocks_for), self._room:
                return await self._call(compose)
        except (RedisError, OSError, TimeoutError) as error:
            raise self._unavailable(error) from error

    async def _call(self, compose: Compose) -> Any:
        while self._idle:
            link = self._idle.pop()
            try:
                return await self._ask(link, compose)
            except (ConnectionLost, OSError):
                # Dead since its last use; the other idle ones may be as well.
                continue
        if self._closed:
            raise CacheUnavailable(f"the connection to Redis at {self.place} is closed")
        return await self._ask(await self._connect(), compose)

    async def _connect(self) -> _Link:
        wire = self._make()
        try:
            connect: Callable[[], Awaitable[None]] = wire.connect
            await connect()
            await wire.send_command("INFO", "server")
            return _Link(wire, run_id_of(await wire.read_response()))
        except BaseException:
            await wire.disconnect(nowait=True)
            raise

    async def _ask(self, link: _Link, compose: Compose) -> Any:
        keep = False
        try:
            words = compose(link.run_id)
            await link.wire.send_command(*words)
            answer = await link.wire.read_response()
            keep = True
            return answer
        except ResponseError as error:
            # A refusal leaves the connection sound; a server that turned into a replica is left.
            keep = not isinstance(error, ReadOnlyError)
            raise
        finally:
            # In the middle of an answer the connection is worth nothing: the next reader would get the rest of it.
            if keep and not self._closed:
                self._idle.append(link)
            else:
                await link.wire.disconnect(nowait=True)

    def _unavailable(self, error: Exception) -> CacheUnavailable:
        # The library's own text for a failed connection repeats the address in three forms.
        cause = error.__context__ if isinstance(error, ConnectionLost) else error
        if isinstance(error, TimeoutError):
            text = "no answer in time"
        elif isinstance(error, AuthenticationError):
            text = "it does not accept user and password: correct [redis] url"
        elif isinstance(error, NoPermissionError):
            text = f"{error}: give [redis] url's user the rights that docs/operating.md names"
        elif isinstance(cause, ssl.SSLCertVerificationError):
            said = cause.verify_message.rstrip(".")
            text = f"its certificate is not trusted ({said}): name its authority in [redis] ca, its host in [redis] url"
        elif isinstance(cause, ssl.SSLError):
            text = f"TLS fails ({cause.reason or type(cause).__name__})"
        elif isinstance(cause, OSError) and isinstance(cause.errno, int) and cause.errno > 0:
            text = os.strerror(cause.errno).lower()
        else:
            text = str(error) or type(error).__name__
        if self._secret:
            text = text.replace(self._secret, "***")
        return CacheUnavailable(f"Redis at {self.place}: {text}")

    async def close(self) -> None:
        """Let go of every connection; calls under way finish."""
        self._closed = True
        while self._idle:
            await self._idle.pop().wire.disconnect(nowait=True)


def run_id_of(answer: object) -> str:
    """The run id in the answer to INFO. Raises ``ResponseError`` when there is none."""
    for line in bytes(answer).splitlines() if isinstance(answer, bytes) else ():
        name, _, value = line.partition(b":")
        if name == b"run_id" and value:
            return value.decode("ascii", "replace")
    raise ResponseError("the server does not tell its run id")


def number_of(answer: object, place: str) -> int:
    """A sequence number that was kept there; 0: none. Raises ``CacheUnavailable`` for what somebody else has put."""
    if answer is None:
        return 0
    if isinstance(answer, bytes) and answer.isdigit() and len(answer) <= DIGITS_MOST:
        return int(answer)
    raise CacheUnavailable(f"Redis at {place}: what stands there for a sequence is no number: is it Gatepost's alone?")
