"""TLS on one accepted connection: what lies between the loop's transport and a protocol that knows nothing of TLS.

It is the protocol of the one and the transport of the other. The loop's own layer takes 6 KB more for each connection
that waits (``python -m bench parked``), sends no alert when a handshake fails, and makes a connection known only after
it. TLS is OpenSSL's, by two memory BIOs (``ssl.SSLObject``); RFC 8446 for the alerts, RFC 9325 for
what is allowed (``network.tls``).
"""

import asyncio
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TypeAlias, cast

PIECE_BYTES = 16_384
"""Of what comes and of what goes, at a time: a record of TLS, so that its buffers never grow beyond a few of them."""
GATHERED_BYTES = 65_536
"""Of records that came together the protocol gets about so much at once: whoever passes them on writes less often."""
ANSWERS_MOST = 1_024
"""Octets that reading alone may have us send while the client takes nothing: answers to some 38 KeyUpdates."""

Octets: TypeAlias = bytes | bytearray | memoryview
Ended: TypeAlias = Callable[[BaseException | None], None]


class TlsConnection(asyncio.Transport, asyncio.Protocol):
    """Shakes hands, then makes the protocol and is its transport."""

    __slots__ = (
        "_answered",
        "_closing",
        "_ended",
        "_gathered",
        "_incoming",
        "_make",
        "_outgoing",
        "_over",
        "_paused",
        "_protocol",
        "_raw",
        "_tls",
        "_unread",
    )

    def __init__(self, context: ssl.SSLContext, make: Callable[[], asyncio.Protocol], ended: Ended) -> None:
        """``ended`` is called once, when the handshake is over: with None when it went well, else with what failed."""
        # Without ``super``, which makes a dictionary for each: ``get_extra_info`` needs none.
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._make: Callable[[], asyncio.Protocol] | None = make
        """None: it was called, or will never be. It may hold the protocol, which holds this."""
        self._ended: Ended | None = ended
        self._protocol: asyncio.Protocol | None = None
        self._raw: asyncio.Transport | None = None
        self._closing = False
        self._paused = False
        self._over = False
        """The client sends no more, and the protocol has yet to hear of it."""
        self._answered = 0
        """Octets that reading has had us send since the client last took everything."""
        self._unread: Octets = b""
        """What came beyond the piece at which the protocol paused."""
        self._gathered: list[bytes] | None = None
        """Records that are about to be handed on together; None: each is handed on by itself."""

    # --- the protocol of the loop's transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accepted; the client speaks first."""
        # uvloop's transports are none of asyncio's by inheritance.
        self._raw = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The end of everything."""
        self._closing = True
        self._raw = self._make = None
        protocol, self._protocol = self._protocol, None
        self._shaken(exc or ConnectionAbortedError("the client went away in its handshake"))
        if protocol is not None:
            protocol.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Records, whole or in parts."""
        if self._unread:
            self._unread = b"".join((self._unread, data))
        elif self._paused:
            # The loop may have read before it heard of the pause.
            self._unread = data
        elif len(data) <= PIECE_BYTES:
            self._take(data)
        else:
            self._take_pieces(memoryview(data))

    def eof_received(self) -> bool:
        """No more comes, and nobody has said so within TLS; a request is whole or not by its own framing."""
        self._over = True
        # What was held back while the protocol paused may not have been handed on yet.
        self._go_on()
        # Closed by ``close``, when what is written has gone.
        return True

    def pause_writing(self) -> None:
        """The client does not take what is written."""
        if self._protocol is not None:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """It does again."""
        if self._protocol is not None:
            self._protocol.resume_writing()

    # --- what comes

    def _take_pieces(self, data: memoryview) -> None:
        at, self._gathered = 0, []
        try:
            while at < len(data) and not self._closing:
                self._take(data[at : at + PIECE_BYTES])
                at += PIECE_BYTES
                # What came before a pause comes before it.
                if at % GATHERED_BYTES == 0 or at >= len(data) or self._paused:
                    self._hand_on_gathered()
                if self._paused:
                    self._unread = data[at:]
                    return
        finally:
            self._gathered = None

    def _hand_on_gathered(self) -> None:
        if self._gathered:
            gathered, self._gathered = b"".join(self._gathered), []
            if self._protocol is not None:
                self._protocol.data_received(gathered)

    def _take(self, data: Octets) -> None:
        if self._closing:
            return
        self._incoming.write(data)
        try:
            if self._ended is not None:
                self._tls.do_handshake()
                self._begin()
            self._read()
        except ssl.SSLWantReadError:
            self._answer()
        except ssl.SSLError as error:
            self._fail(error)

    def _begin(self) -> None:
        """The handshake is over, and went well."""
        self._flush()
        make, self._make = self._make, None
        assert make is not None
        self._protocol = make()
        self._protocol.connection_made(self)
        self._shaken(None)

    def _read(self) -> None:
        """Hand on what is there; more than one record only if there is more than one."""
        while not (self._paused or self._closing):
            octets = self._tls.read(PIECE_BYTES)
            if not octets:
                self._hand_on_gathered()
                self._end_of_input()
                return
            if self._gathered is not None:
                self._gathered.append(octets)
            elif self._protocol is not None:
                self._protocol.data_received(octets)
            if not (self._incoming.pending or self._tls.pending()):
                break
        self._answer()

    def _answer(self) -> None:
        """Send what reading has had OpenSSL write: of a handshake, or the answers to KeyUpdates (RFC 8446 §4.6.3).

        OpenSSL answers as many of these as come, whether or not its answers are taken.
        """
        if not self._outgoing.pending or self._raw is None:
            return
        if self._ended is None:
            self._answered = self._outgoing.pending + (self._answered if self._raw.get_write_buffer_size() else 0)
            if self._answered > ANSWERS_MOST:
                self.abort()
                return
        self._flush()

    def _end_of_input(self) -> None:
        self._over = False
        if self._protocol is not None:
            self._protocol.eof_received()
        self.close()

    def _fail(self, error: ssl.SSLError) -> None:
        """OpenSSL has written the alert that says why."""
        self._hand_on_gathered()
        self._flush()
        self._closing = True
        if self._raw is not None:
            self._raw.close()
        self._shaken(error)

    def _shaken(self, error: BaseException | None) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(error)

    def _flush(self) -> None:
        if self._outgoing.pending and self._raw is not None:
            self._raw.write(self._outgoing.read())

    # --- the protocol's transport

    def write(self, data: Octets) -> None:
        """Encrypt and send."""
        if self._closing or not data:
            return
        try:
            if len(data) <= PIECE_BYTES:
                self._tls.write(data)
                self._flush()
            else:
                octets = memoryview(data)
                for begin in range(0, len(octets), PIECE_BYTES):
                    self._tls.write(octets[begin : begin + PIECE_BYTES])
                    self._flush()
        except ssl.SSLError as error:
            self._fail(error)

    def writelines(self, list_of_data: Iterable[Octets]) -> None:
        """The same in one piece."""
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        """TLS has no half of a connection that is closed, but for its readers."""
        return False

    def close(self) -> None:
        """Send what is written and that it is all, then close."""
        if self._closing:
            return
        self._closing = True
        self._unread = b""
        with suppress(ssl.SSLError):
            # Writes close_notify; the client's own is not waited for (RFC 8446 §6.1).
            self._tls.unwrap()
        self._flush()
        if self._raw is not None:
            self._raw.close()

    def abort(self) -> None:
        """Close at once."""
        self._closing = True
        if self._raw is not None:
            self._raw.abort()

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._closing or self._raw is None or self._raw.is_closing()

    def pause_reading(self) -> None:
        """Hand on nothing more for now."""
        self._paused = True
        if self._raw is not None:
            self._raw.pause_reading()

    def resume_reading(self) -> None:
        """Go on, in a moment, with what is there already; only when that is handed on may more come."""
        if self._paused and not self._closing:
            self._paused = False
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        if self._paused or self._closing:
            return
        unread, self._unread = self._unread, b""
        self._take(b"")
        if unread and not self._closing:
            if self._paused:
                self._unread = unread
            else:
                self._take_pieces(memoryview(unread))
        if self._paused or self._closing:
            return
        if self._over:
            self._end_of_input()
        elif self._raw is not None:
            self._raw.resume_reading()

    def is_reading(self) -> bool:
        """Whether what comes is handed on."""
        return not (self._paused or self.is_closing())

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """``ssl_object``, ``sslcontext``, ``peercert``, ``cipher``; all else by the loop's transport."""
        match name:
            case "ssl_object":
                return self._tls
            case "sslcontext":
                return self._tls.context
            case "peercert":
                return self._tls.getpeercert()
            case "cipher":
                return self._tls.cipher()
        return default if self._raw is None else self._raw.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        """Octets that the client has not taken, encrypted."""
        return 0 if self._raw is None else self._raw.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Low and high."""
        return (0, 0) if self._raw is None else self._raw.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """As of the loop's transport."""
        if self._raw is not None:
            self._raw.set_write_buffer_limits(high, low)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Another one goes on."""
        self._protocol = cast("asyncio.Protocol", protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Whoever is told of what comes."""
        assert self._protocol is not None
        return self._protocol
