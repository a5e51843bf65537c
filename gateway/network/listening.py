"""What a front listens on: its sockets, the certificates that they show, and a look round once a second.

Every front of a worker has one of these. What a connection is, who is let in (``Door``), what has taken too long and
how sessions are taken leave of is the front's own.
"""

import asyncio
import socket
import sys
from collections.abc import Callable
from typing import Any

import structlog

from gateway.network.accepting import Acceptor, Door, TlsAcceptor
from gateway.network.proxied import Balancers, ProxiedAcceptor
from gateway.network.tls import ServerTls, TlsUnusable
from gateway.protocols.proxy_protocol import Header

log = structlog.get_logger()

SWEEP_SECONDS = 1.0
BACKLOG = 4096
_KEPT: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
"""A unix socket is the supervisor's, and other workers go on serving it."""


class Listening:
    """The listeners of one front, from their first connection until they are closed."""

    def __init__(self, door: Door, handshake_seconds: float, sweep: Callable[[], None]) -> None:
        """``sweep`` ends what has taken too long; it is called about once a second."""
        self._door = door
        self._handshake_seconds = handshake_seconds
        self._sweep = sweep
        self._servers: list[asyncio.Server | Acceptor] = []
        self._shown: list[ServerTls] = []
        self._sweeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look round from now on."""
        self._sweeper = asyncio.create_task(self._look_round())

    async def _look_round(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                self._sweep()
            except Exception as error:  # a mistake of ours must not leave everything without its deadlines
                context = {"message": "a look round failed", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)

    async def serve(
        self, sock: socket.socket, protocol: Callable[[], asyncio.Protocol], tls: ServerTls | None = None
    ) -> None:
        """Accept on a bound socket; ``tls``: after its handshake."""
        loop = asyncio.get_running_loop()
        if tls is not None:
            self.show(tls)
            acceptor = TlsAcceptor(sock, tls, protocol, self._door, self._handshake_seconds)
            acceptor.start()
            self._servers.append(acceptor)
        elif sock.family == socket.AF_UNIX:
            self._servers.append(await loop.create_unix_server(protocol, sock=sock, backlog=BACKLOG, **_KEPT))
        else:
            self._servers.append(await loop.create_server(protocol, sock=sock, backlog=BACKLOG))

    async def serve_for_balancers(
        self,
        sock: socket.socket,
        protocol: Callable[[Header | None], asyncio.Protocol],
        tls: ServerTls | None,
        balancers: Balancers,
        refused: Callable[[str, str], None],
    ) -> None:
        """The same, where balancers say for whom they speak (``network.proxied``); their header goes to ``protocol``.

        ``refused`` is told of the address of one whose header is none, and why.
        """
        if not balancers:
            await self.serve(sock, lambda: protocol(None), tls)
            return
        if tls is not None:
            self.show(tls)
        acceptor = ProxiedAcceptor(
            *(sock, tls, protocol, self._door, self._handshake_seconds),
            *(balancers, refused),
        )
        acceptor.start()
        self._servers.append(acceptor)

    def show(self, tls: ServerTls) -> None:
        """These certificates are read again with the others: they are shown after STARTTLS."""
        if tls not in self._shown:
            self._shown.append(tls)

    def reload_tls(self) -> None:
        """Read the certificates again; one that cannot be used leaves the old one in place."""
        for tls in self._shown:
            try:
                tls.reload()
                log.info("certificate_reloaded")
            except TlsUnusable as error:
                log.error("certificate_not_reloaded", reason=str(error))

    async def accept_no_more(self) -> None:
        """Let handshakes that are under way come to their end; what was accepted already has become known then."""
        for server in self._servers:
            if isinstance(server, Acceptor):
                server.accept_no_more()
            else:
                server.close()
        # Two rounds of the loop: it has accepted in the first, and tells the protocol in the second.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def close(self) -> None:
        """Accept no more at once, and look round no more; may be called again."""
        sweeper, self._sweeper = self._sweeper, None
        if sweeper is not None:
            sweeper.cancel()
            await asyncio.gather(sweeper, return_exceptions=True)
        for server in self._servers:
            server.close()
