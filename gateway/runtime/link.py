"""The connection between the supervisor and a child: a socket pair, JSON objects one a line, both ways.

A child finds its end, and its listening sockets, by file descriptors that the environment names. When the other side is
gone, however it went, ``run`` returns: that is how a child learns that it must end. Messages wait in bounded memory for
a side that does not read; over the bound they are dropped, since the next status says all again.
"""

import asyncio
import json
import os
import signal
import socket
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any, Self

import structlog

from gateway.domain.errors import DomainError
from gateway.runtime.sockets import BoundSocket, socket_of

log = structlog.get_logger()

LINK_VARIABLE = "GATEPOST_LINK"
SOCKETS_VARIABLE = "GATEPOST_SOCKETS"
UNSENT_BYTES = 4 << 20
LINE_BYTES = 16 << 20
_RECEIVE_BYTES = 1 << 16

Message = Mapping[str, Any]


class LinkMissing(DomainError):  # noqa: N818
    """This process was not started by a supervisor."""


class Link:
    """One end. ``send`` never waits and may be used before ``run``."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._unsent = bytearray()
        self._unread = bytearray()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.dropped = 0
        """Messages dropped because the other side did not read."""

    def send(self, message: Message) -> None:
        """Send a message, or keep it for when the other side reads."""
        line = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        if self._unsent and len(self._unsent) + len(line) > UNSENT_BYTES:
            self.dropped += 1
            return
        self._unsent += line
        self._flush()

    async def run(self, on_message: Callable[[Message], None]) -> None:
        """Deliver messages as they come; returns when the other side is gone.

        Raises ``ValueError`` for what is no JSON object; what ``on_message`` raises comes out too.
        """
        self._loop = asyncio.get_running_loop()
        self._flush()
        try:
            while octets := await self._receive():
                self._unread += octets
                *lines, self._unread = self._unread.split(b"\n")
                for line in lines:
                    on_message(_message(line))
                if len(self._unread) > LINE_BYTES:
                    log.error("link_message_too_long", octets=len(self._unread))
                    return
        finally:
            self._stop_writing()
            self._loop = None

    async def _receive(self) -> bytes:
        try:
            return await asyncio.get_running_loop().sock_recv(self._socket, _RECEIVE_BYTES)
        except OSError:
            # Reset: gone as well, in a hurry.
            return b""

    def handed_over(self) -> tuple[int, bytes, bytes]:
        """For another program of this process: the descriptor, what came of a message so far, and what is not sent."""
        return self._socket.fileno(), bytes(self._unread), bytes(self._unsent)

    @classmethod
    def taken_over(cls, fd: int, unread: bytes, unsent: bytes) -> "Link":
        """The same link in that program."""
        link = Link(socket_of(fd))
        link._unread += unread
        link._unsent += unsent
        return link

    def close(self) -> None:
        """Let go of this end; not while ``run`` runs (cancel it first)."""
        self._socket.close()

    def _flush(self) -> None:
        while self._unsent:
            try:
                sent = self._socket.send(self._unsent)
            except (BlockingIOError, InterruptedError):
                if self._loop is not None:
                    self._loop.add_writer(self._socket, self._flush)
                return
            except OSError:
                # The other side is gone; ``run`` sees it as well and says so.
                self._unsent.clear()
                break
            del self._unsent[:sent]
        self._stop_writing()

    def _stop_writing(self) -> None:
        if self._loop is not None and self._socket.fileno() >= 0:
            self._loop.remove_writer(self._socket)


class SupervisorLink(Link):
    """A child's end."""

    def __init__(self, sock: socket.socket, sockets: Sequence[BoundSocket] = ()) -> None:
        super().__init__(sock)
        self._sockets = tuple(sockets)

    @classmethod
    def inherited(cls, environment: MutableMapping[str, str] | None = None) -> Self:
        """What the supervisor handed over, once per process. Raises ``LinkMissing``.

        From here on SIGTERM, SIGINT, SIGHUP and SIGUSR2 leave this process alone, as they may be sent to the whole
        group: the supervisor gets them too, and says by the link what is to be done.
        """
        environment = os.environ if environment is None else environment
        try:
            link = socket_of(int(environment.pop(LINK_VARIABLE)))
            rows = json.loads(environment.pop(SOCKETS_VARIABLE))
            sockets = [BoundSocket(row["part"], row["url"], socket_of(row["fd"])) for row in rows]
        except (KeyError, ValueError, OSError):
            raise LinkMissing("this process is started by the supervisor only: use gatepost run") from None
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)
        return cls(link, sockets)

    def sockets(self, part: str) -> tuple[BoundSocket, ...]:
        """The listening sockets of a part that this child serves."""
        return tuple(each for each in self._sockets if each.part == part)


def _message(line: bytes | bytearray) -> Message:
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError("a message is a JSON object")
    return message
