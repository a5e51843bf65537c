"""Serves the control process's web applications on sockets that the supervisor bound, by uvicorn."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import structlog
import uvicorn

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
CONNECTIONS = 500
"""At once, for each application; one more is answered 503."""
KEEP_ALIVE_SECONDS = 15
SHUTDOWN_SECONDS = 5


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.accepts = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept."""
        await super().startup(sockets)
        self.accepts.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the supervisor's business."""
        yield


class Serving:
    """One application on its sockets."""

    def __init__(self, application: Asgi, bound: Sequence[BoundSocket], tls: ServerTls | None) -> None:
        """``tls`` for the https sockets among ``bound``."""
        self._tls = tls
        plain = [each.socket for each in bound if not each.url.startswith("https:")]
        secure = [each.socket for each in bound if each.url.startswith("https:")]
        self._servers = [
            (_server(application, context), sockets) for context, sockets in ((None, plain), (tls, secure)) if sockets
        ]

    async def run(self) -> None:
        """Serve until ``stop``; what is under way is finished within bounds."""
        async with asyncio.TaskGroup() as group:
            for server, sockets in self._servers:
                group.create_task(_serve(server, sockets))

    async def started(self) -> None:
        """Wait until every server accepts."""
        for server, _ in self._servers:
            await server.accepts.wait()

    def stop(self) -> None:
        """Accept no more and end."""
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


def _server(application: Asgi, tls: ServerTls | None) -> _Server:
    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    config.load()
    if tls is not None:
        config.ssl = tls.context
    return _Server(config)


async def _serve(server: _Server, sockets: list[socket.socket]) -> None:
    await server.serve(sockets)
