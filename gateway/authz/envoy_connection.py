"""One connection of an Envoy: octets pass between it and this process's gRPC server, no faster than either takes them.

Nothing in them is changed. Only the frame by which a server lets a client go (``GOAWAY``) is put in between two others
when this worker drains or the connection was idle for long: Envoy then asks on another connection, and gets the answers
that are under way on this one. gRPC by itself would refuse questions that come while it stops.
"""

import asyncio
import socket
from typing import TYPE_CHECKING, cast

from gateway.protocols.http.frames import GOAWAY, FrameEnds

if TYPE_CHECKING:
    from gateway.authz.envoy_front import EnvoyFront

WRITE_SECONDS = 10.0
"""While Envoy takes nothing of its answers."""
LEAVING_SECONDS = 1.0
"""From the word that it is to leave until an Envoy that does not is closed."""
NEVER = float("inf")


class EnvoyConnection(asyncio.Protocol):
    """Envoy's side."""

    def __init__(self, front: "EnvoyFront", *, authentic: bool) -> None:
        self._front = front
        self.authentic = authentic
        """Whether its certificate, or the unix socket, has shown who it is."""
        self._transport: asyncio.Transport | None = None
        self._server: asyncio.Transport | None = None
        self._join: asyncio.Task[None] | None = None
        self._early = bytearray()
        """What came before the server's side was there."""
        self._frames = FrameEnds()
        self._leave_due = False
        self._told_to_leave = False
        self._choked = False
        self._questions = 0
        self.name = ""
        """Of its own end at the server, by which a question is known to be of this connection."""
        self.peer = ""
        self.deadline = NEVER

    # --- Envoy's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """An Envoy has come."""
        # uvloop's transports are none of asyncio's by inheritance.
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if isinstance(peer, tuple) and peer else "unix"
        if not self._front.admit(self):
            self.abort()
            return
        self._wait_at_most(self._front.settings.head_seconds)
        self._join = asyncio.get_running_loop().create_task(self._joined())

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._transport = None
        # A task keeps the exception that it ends with, and so the frames that refer to this: not the other way as well.
        join, self._join = self._join, None
        if join is not None:
            join.cancel()
        if self._server is not None:
            self._server.abort()
        self._front.leave(self)

    def data_received(self, data: bytes) -> None:
        """Octets for the server."""
        if self._server is not None:
            self._server.write(data)
            return
        self._early += data
        if self._transport is not None:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Envoy sends no more, and wants no more."""
        return False

    def pause_writing(self) -> None:
        """Envoy takes no more for now."""
        self._choked = True
        self._wait_at_most(WRITE_SECONDS)
        if self._server is not None:
            self._server.pause_reading()

    def resume_writing(self) -> None:
        """It does again."""
        self._choked = False
        self._rest()
        if self._server is not None:
            self._server.resume_reading()

    # --- the server's side

    async def _joined(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.bind("\0" + self.name)
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(self._front.settings.head_seconds):
                await loop.sock_connect(sock, "\0" + self._front.service.address)
                await loop.create_unix_connection(lambda: _ServerSide(self), sock=sock)
        except (OSError, TimeoutError):
            sock.close()
            self.abort()
        except asyncio.CancelledError:
            sock.close()
            raise

    def met(self, server: asyncio.Transport) -> None:
        """The server's side is there."""
        self._server = server
        if self._transport is None:
            server.abort()
            return
        if self._early:
            server.write(bytes(self._early))
            self._early.clear()
            self._transport.resume_reading()

    def said(self, octets: bytes) -> None:
        """Octets of the server's."""
        if self._transport is None:
            return
        self._transport.write(octets)
        self._frames.passed(octets)
        if self._leave_due or self._front.draining:
            self.tell_to_leave()

    def parted(self) -> None:
        """The server has ended."""
        self._server = None
        self.close()

    def hold_back(self) -> None:
        """The server takes no more for now."""
        if self._transport is not None:
            self._transport.pause_reading()

    def go_on(self) -> None:
        """It does again."""
        if self._transport is not None:
            self._transport.resume_reading()

    # --- questions

    def asked(self) -> None:
        """A question has come."""
        self._questions += 1
        if not self._choked:
            self.deadline = NEVER

    def answered(self) -> None:
        """It has its answer, or Envoy has given up waiting."""
        self._questions -= 1
        self._rest()

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._questions

    # --- the end

    def tell_to_leave(self) -> None:
        """Have Envoy bring no more questions here, as soon as the word can be put in; once."""
        self._leave_due = True
        if self._told_to_leave or self._transport is None or not self._frames.between:
            return
        self._told_to_leave = True
        self._transport.write(GOAWAY)

    def _rest(self) -> None:
        if self._choked:
            return
        self.deadline = NEVER
        if not self._questions:
            self._wait_at_most(LEAVING_SECONDS if self._leave_due else self._front.settings.idle_seconds)

    def _wait_at_most(self, seconds: float) -> None:
        """Set the deadline; it is looked at about once a second."""
        self.deadline = self._front.clock() + seconds

    def deadline_passed(self) -> None:
        """It takes nothing, has asked nothing for long, or does not leave."""
        self.deadline = NEVER
        if self._questions or self._told_to_leave or self._transport is None:
            self.abort()
            return
        self.tell_to_leave()
        self._wait_at_most(LEAVING_SECONDS)

    def close(self) -> None:
        """Send what is written, then close."""
        self._wait_at_most(WRITE_SECONDS)
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()


class _ServerSide(asyncio.Protocol):
    """The gRPC server's side."""

    def __init__(self, envoy: EnvoyConnection) -> None:
        self._envoy = envoy

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._envoy.met(cast("asyncio.Transport", transport))

    def connection_lost(self, exc: Exception | None) -> None:
        self._envoy.parted()

    def data_received(self, data: bytes) -> None:
        self._envoy.said(data)

    def pause_writing(self) -> None:
        self._envoy.hold_back()

    def resume_writing(self) -> None:
        self._envoy.go_on()
