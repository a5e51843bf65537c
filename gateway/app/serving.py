"""Serves the control process's web applications on sockets that the supervisor bound, by uvicorn."""

import asyncio
import functools
import socket
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import structlog
import uvicorn

from gateway.app.bounded_http import BoundedHttp, Room
from gateway.network.accepting import TlsAcceptor
from gateway.network.tls import ServerTls, TlsUnusable
from gateway.runtime.sockets import BoundSocket

log = structlog.get_logger()

Asgi: TypeAlias = Callable[
    [
        MutableMapping[str, Any],
        Callable[[], Awaitable[MutableMapping[str, Any]]],
        Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ],
    Awaitable[None],
]
KEEP_ALIVE_SECONDS = 15
SHUTDOWN_SECONDS = 5
LAST_REQUEST_SECONDS = 0.25
END_SECONDS = SHUTDOWN_SECONDS + LAST_REQUEST_SECONDS + 0.25
"""From ``Serving.stop`` on, whatever clients do; uvicorn looks each 0.1 s whether it is to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingLimits:
    """Bounds of one application's connections."""

    connections: int = 500
    """At the same time; one more is answered 503."""
    head_seconds: float = 15.0
    handshake_seconds: float = 10.0
    count: Callable[[str], None] = lambda limit: None
    """Told of each connection over a limit."""


class _Server(uvicorn.Server):
    def __init__(
        self,
        config: uvicorn.Config,
        connection: Callable[..., asyncio.Protocol],
        tls: ServerTls | None,
        room: Room,
        handshake_seconds: float,
    ) -> None:
        super().__init__(config)
        config.http_protocol_class = cast("type[asyncio.Protocol]", connection)
        self._connection = connection
        self.accepts = asyncio.Event()
        self._tls = tls
        self._room = room
        self._handshake_seconds = handshake_seconds
        self._acceptors: list[TlsAcceptor] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept; with TLS each connection counts before its handshake."""
        await super().startup([] if self._tls else sockets)
        if self._tls is not None:
            made = functools.partial(
                self._connection,
                config=self.config,
                server_state=self.server_state,
                app_state=self.lifespan.state,
            )
            for each in sockets or ():
                acceptor = TlsAcceptor(each, self._tls, made, self._room, self._handshake_seconds)
                acceptor.start()
                self._acceptors.append(acceptor)
        self.accepts.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more, and finish what is under way.

        A client that keeps its connection may be sending its next request just now: for a moment requests are still
        answered, each with the word that it is the last.
        """
        for server in self.servers:
            server.close()
        for acceptor in self._acceptors:
            acceptor.accept_no_more()
        self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]
        await self._last_requests()
        for acceptor in self._acceptors:
            acceptor.close()
        await super().shutdown(sockets)

    async def _last_requests(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + LAST_REQUEST_SECONDS
        # What was accepted becomes a connection in the next round.
        await asyncio.sleep(0)
        while self._room.total and loop.time() < until:  # noqa: ASYNC110  (uvicorn's connections tell nobody)
            await asyncio.sleep(0.01)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the supervisor's business."""
        yield


class Serving:
    """One application on its sockets."""

    def __init__(
        self,
        application: Asgi,
        bound: Sequence[BoundSocket],
        tls: ServerTls | None,
        limits: ServingLimits | None = None,
    ) -> None:
        """``tls`` for the https sockets among ``bound``."""
        self._tls = tls
        limits = limits or ServingLimits()
        self.room = Room(limits.connections, limits.count)
        plain = [each.socket for each in bound if not each.url.startswith("https:")]
        secure = [each.socket for each in bound if each.url.startswith("https:")]
        self._servers = [
            (_server(application, shown, self.room, limits), sockets)
            for shown, sockets in ((None, plain), (tls, secure))
            if sockets
        ]
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Serve until ``stop``; what is under way is finished within bounds."""
        if not self._servers:
            # It listens nowhere, which is no reason to end.
            await self._stopped.wait()
        async with asyncio.TaskGroup() as group:
            for server, sockets in self._servers:
                group.create_task(_serve(server, sockets))

    async def started(self) -> None:
        """Wait until every server accepts."""
        for server, _ in self._servers:
            await server.accepts.wait()

    def stop(self) -> None:
        """Accept no more and end."""
        self._stopped.set()
        for server, _ in self._servers:
            server.should_exit = True

    def reload_tls(self) -> None:
        """Read the certificate again; one that cannot be used leaves the old one in place."""
        if self._tls is None:
            return
        try:
            self._tls.reload()
        except TlsUnusable as error:
            log.error("certificate_not_reloaded", reason=str(error))


def _server(application: Asgi, tls: ServerTls | None, room: Room, limits: ServingLimits) -> _Server:
    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        proxy_headers=False,
        limit_concurrency=limits.connections,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    config.load()
    connection = functools.partial(BoundedHttp, room, limits.head_seconds)
    return _Server(config, connection, tls, room, limits.handshake_seconds)


async def _serve(server: _Server, sockets: list[socket.socket]) -> None:
    await server.serve(sockets)
