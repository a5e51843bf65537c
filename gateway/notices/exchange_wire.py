"""What really goes to Exchange and comes back: one trace for each attempt, and connections that can be ended.

exchangelib says by its exceptions what became of a request, and one of them stands for "the server is busy" and for
"the answer was lost" alike. So what counts is seen here, below it: whether an octet of the request was written, and
whether a whole answer came. In one attempt a CreateItem leaves once; only a login (401) may repeat it, as NTLM needs
(RFC 4559 4).

A thread cannot be cancelled, but its socket can be shut down: ``Trace.end`` does it, and whatever the thread waits for
ends at once, also where a server sends an octet a minute, which no time-out of a single read would notice.
"""

import socket
import ssl
import threading
from contextlib import suppress
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool

ANSWER_LONGEST = 1 << 20
"""Octets; an answer to one notice has about 1,500."""
_PIECE = 1 << 16


class Trace:
    """One attempt as the wire saw it. Used by the thread that works and by the loop that ends it."""

    def __init__(self, endpoint: str, *, sending: bool) -> None:
        """``sending``: each request to the endpoint is a CreateItem; else none is."""
        self._endpoint = endpoint
        self._sending = sending
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._creating = False
        self._ended = False
        self.begun = False
        """An octet of a CreateItem may have left."""
        self.status: int | None = None
        """Of the whole answer to the CreateItem; None: there was none."""
        self.retry_after: float | None = None
        """Seconds, as that answer's header has it."""
        self.token_status: int | None = None
        """Of the last answer of somebody else than the endpoint: the token's issuer."""
        self.endpoint_status: int | None = None
        """Of the last whole answer of the endpoint, whatever was asked."""
        self.certificate = b""
        """The server's, DER, of the connection used last."""

    def end(self) -> None:
        """Nothing begins any more, and what waits for the network ends."""
        with self._lock:
            self._ended = True
            for each in self._sockets:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def connected(self, opened: socket.socket) -> None:
        """A connection is used by this attempt. Raises ``OSError`` where the attempt is over."""
        with self._lock:
            if self._ended:
                raise TimeoutError("the attempt has been ended")
            # A second descriptor of the same connection: TLS takes the first one away, and is another thread's.
            self._sockets.append(socket.fromfd(opened.fileno(), opened.family, opened.type))

    def close(self) -> None:
        """The thread is done; its connections live on without us."""
        with self._lock:
            self._ended = True
            while self._sockets:
                self._sockets.pop().close()

    def begins(self, url: str) -> None:
        """A request is made ready. Raises where a CreateItem would leave for the second time."""
        creating = self._sending and url.startswith(self._endpoint)
        if creating and self.begun and self.status != 401:
            raise requests.exceptions.ConnectionError("a notice is not sent a second time")
        self._creating = creating

    def writes(self) -> None:
        """The first octet of the request is about to leave. Raises ``OSError`` where the attempt is over."""
        with self._lock:
            if self._ended:
                raise TimeoutError("the attempt has been ended")
            if self._creating:
                self.begun, self.status, self.retry_after = True, None, None

    def answered(self, url: str, status: int, retry_after: str) -> None:
        """A whole answer has come."""
        if not url.startswith(self._endpoint):
            self.token_status = status
            return
        self.endpoint_status = status
        if self._creating:
            self.status = status
            # RFC 9110 10.2.3 allows a date too, which Exchange does not send.
            self.retry_after = float(retry_after) if retry_after.isdecimal() and len(retry_after) < 8 else None


_local = threading.local()


def trace_here(trace: Trace | None) -> None:
    """From now on what this thread sends belongs to this attempt."""
    _local.trace = trace


def _trace() -> Trace:
    trace: Trace | None = getattr(_local, "trace", None)
    if trace is None:
        raise requests.exceptions.ConnectionError("a request outside of any attempt")
    return trace


def certificate_here() -> bytes:
    """The certificate that this thread's attempt was shown last, DER; empty: none."""
    return _trace().certificate


class _Connection(HTTPSConnection):
    """One whose socket the attempt knows."""

    def _new_conn(self) -> socket.socket:
        opened = super()._new_conn()
        # Before TLS: a server that never ends its part of the handshake is ended too.
        _trace().connected(opened)
        return opened

    def request(self, *told: Any, **more: Any) -> None:
        trace = _trace()
        if self.sock is not None:
            trace.connected(self.sock)
        trace.writes()
        super().request(*told, **more)
        shown = self.sock.getpeercert(True) if isinstance(self.sock, ssl.SSLSocket) else None
        trace.certificate = shown or b""


class _Pool(HTTPSConnectionPool):
    ConnectionCls = _Connection


class WatchedAdapter(HTTPAdapter):
    """HTTPS trusting the configured authority, past proxies of the environment; answers bounded, no redirects."""

    authority: str = ""
    """PEM file; empty: the authorities that come with requests."""
    connect_seconds: float = 30.0

    def init_poolmanager(self, *told: Any, **more: Any) -> None:
        """See ``HTTPAdapter``."""
        super().init_poolmanager(*told, **more)
        # Without "http": a request in clear fails.
        self.poolmanager.pool_classes_by_scheme = {"https": _Pool}

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        """See ``HTTPAdapter``; the answer is read whole."""
        trace = _trace()
        trace.begins(request.url or "")
        patience = (self.connect_seconds, timeout if isinstance(timeout, int | float) else None)
        answer = super().send(request, True, patience, self.authority or True, cert, {})
        content = _whole(answer)
        trace.answered(request.url or "", answer.status_code, answer.headers.get("Retry-After", "").strip())
        if answer.is_redirect:
            raise requests.exceptions.ConnectionError("a redirect, which is not followed")
        # As requests itself keeps what it has read.
        answer._content, answer._content_consumed = content, True
        return answer


def _whole(answer: requests.Response) -> bytes:
    pieces: list[bytes] = []
    length = 0
    for piece in answer.iter_content(_PIECE):
        length += len(piece)
        if length > ANSWER_LONGEST:
            answer.close()
            raise requests.exceptions.ConnectionError("an answer without end")
        pieces.append(piece)
    return b"".join(pieces)
