"""Accepts TLS connections on a listening socket: each is admitted before its handshake costs anything.

The event loop's own servers make a protocol known only after its handshake, so handshakes that never end would count
for nobody. Here a connection counts from the moment at which it is accepted, by its address and in all, and its
handshake has a bounded time. What comes after belongs to the protocol. Whoever has to look at a connection before the
loop makes it known, for another reason than TLS, is an ``Acceptor`` as well (``network.proxied``).
"""

import asyncio
import errno
import functools
import socket
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import structlog

from gateway.network.tls import ServerTls
from gateway.network.tls_connection import TlsConnection

log = structlog.get_logger()

ACCEPTED_AT_ONCE = 64
"""Connections taken before other work gets its turn."""
NO_FILES_PAUSE_SECONDS = 0.2
"""Out of file descriptors: whoever ends meanwhile makes room."""
_NO_FILES = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_VERSION = frozenset(("UNSUPPORTED_PROTOCOL", "VERSION_TOO_LOW", "WRONG_VERSION_NUMBER", "NO_PROTOCOLS_AVAILABLE"))
_CERTIFICATE = frozenset(("CERTIFICATE_VERIFY_FAILED", "PEER_DID_NOT_RETURN_A_CERTIFICATE"))
_PLAIN = frozenset(("HTTP_REQUEST", "HTTPS_PROXY_REQUEST"))


class Door(Protocol):
    """Who decides whether there is room."""

    def arrived(self, address: str) -> bool:
        """Count a connection whose handshake is to come; False: there is no room for it."""
        ...

    def shaken(self, address: str) -> None:
        """A counted handshake is over, well or not."""
        ...

    def tls_failed(self, reason: str) -> None:
        """A handshake failed; ``reason`` is one of few words."""
        ...


class Acceptor(ABC):
    """One listening socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._closed = False

    def start(self) -> None:
        """Accept from now on."""
        self._socket.setblocking(False)
        self._socket.listen(4096)
        self._loop.add_reader(self._socket.fileno(), self._accept)

    def accept_no_more(self) -> None:
        """Let the handshakes that are under way come to their end."""
        if self._closed:
            return
        self._closed = True
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def close(self) -> None:
        """Accept no more, and give up the handshakes that are under way."""
        self.accept_no_more()
        for task in tuple(self._tasks):
            task.cancel()

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                accepted, peer = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._rest(error)
                return
            self._take(accepted, str(peer[0]) if isinstance(peer, tuple) else "")

    @abstractmethod
    def _take(self, accepted: socket.socket, address: str) -> None:
        """A connection has come: make it known, begin something about it, or close it."""

    def _rest(self, error: OSError) -> None:
        """The socket stays readable for as long as nobody accepts: look away for a moment."""
        if error.errno not in _NO_FILES:
            log.error("accept_failed", reason=error.strerror or str(error))
        else:
            log.error("open_files_exhausted", reason=error.strerror)
        self._loop.remove_reader(self._socket.fileno())
        self._pause = self._loop.call_later(NO_FILES_PAUSE_SECONDS, self._go_on)

    def _go_on(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._socket.fileno(), self._accept)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class TlsAcceptor(Acceptor):
    """One listening socket with TLS."""

    def __init__(
        self,
        sock: socket.socket,
        tls: ServerTls,
        protocol: Callable[[], asyncio.Protocol],
        door: Door,
        handshake_seconds: float,
    ) -> None:
        super().__init__(sock)
        self._tls = tls
        self._protocol = protocol
        self._door = door
        self._handshake_seconds = handshake_seconds

    def _take(self, accepted: socket.socket, address: str) -> None:
        if self._door.arrived(address):
            self._begin(shake(accepted, address, self._tls, self._protocol, self._door, self._handshake_seconds))
        else:
            # TLS has no word for it before a handshake, and the handshake is what there is no room for.
            accepted.close()


async def shake(
    accepted: socket.socket,
    address: str,
    tls: ServerTls,
    protocol: Callable[[], asyncio.Protocol],
    door: Door,
    within_seconds: float,
) -> None:
    """The handshake of one connection that ``door`` has counted by ``address``, and then its protocol."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[str] = loop.create_future()
    connection: TlsConnection | None = None
    # Never the exception itself: it refers to this frame, which would refer to it, and all of the connection stay.
    reason = ""
    try:
        accepted.setblocking(False)
        made = connection = TlsConnection(tls.context, protocol, functools.partial(tell, over))
        async with asyncio.timeout(within_seconds):
            await loop.connect_accepted_socket(lambda: made, accepted)
            reason = await over
    except (OSError, TimeoutError, asyncio.CancelledError) as given_up:
        if connection is not None:
            connection.abort()
        accepted.close()
        if isinstance(given_up, asyncio.CancelledError):
            raise
        reason = reason_of(given_up)
    finally:
        door.shaken(address)
        if reason:
            door.tls_failed(reason)


def tell(over: "asyncio.Future[str]", error: BaseException | None) -> None:
    """How a handshake ended, to whoever waits for it: why it failed (``reason_of``), or nothing."""
    if not over.done():
        over.set_result("" if error is None else reason_of(error))


def reason_of(error: BaseException) -> str:
    """Why a handshake failed, as one of few words: a label of a metric."""
    if isinstance(error, TimeoutError):
        return "timeout"
    if not isinstance(error, ssl.SSLError):
        return "gone"
    reason = error.reason or ""
    if reason in _VERSION:
        return "version"
    if reason == "NO_SHARED_CIPHER":
        return "cipher"
    if reason in _CERTIFICATE or isinstance(error, ssl.SSLCertVerificationError):
        return "client_certificate"
    if reason in _PLAIN:
        return "not_tls"
    # An alert from the client: it does not believe our certificate, for example.
    return "told_by_client" if "_ALERT_" in reason else "other"
