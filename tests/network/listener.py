"""Who asks over a pooled connection: remembers the answer as it comes."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.network.upstream import UpstreamPool
from gateway.network.upstream_connection import UpstreamConnection
from gateway.protocols.http.response_head import ResponseHead
from gateway.protocols.http.writing import request_head

PATIENCE_SECONDS = 20.0
PING = request_head(b"POST", b"/ping", b"mail.internal", (), b"Content-Length: 0\r\n")


@dataclass(slots=True)
class Listener:
    """``ResponseHandler`` of one exchange."""

    heads: list[ResponseHead] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)
    ended: bool = False
    lost: str = ""
    writable: list[bool] = field(default_factory=list)
    whole: bool = False
    """Take answers that come in one piece as they are."""
    taken: bytes = b""
    on_head: Callable[[], None] | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def whole_answer(self, octets: bytes) -> bool:
        """As it was told."""
        if self.whole:
            self.taken = octets
            self.done.set()
        return self.whole

    def response_began(self, head: ResponseHead) -> None:
        """Once, and before all else."""
        assert not self.over
        assert not self.heads
        self.heads.append(head)
        if self.on_head is not None:
            self.on_head()

    def response_data(self, octets: bytes) -> None:
        """Never an empty piece."""
        assert not self.over
        assert self.heads
        assert octets
        self.pieces.append(octets)

    def response_ended(self) -> None:
        """Once."""
        assert not self.over
        self.ended = True
        self.done.set()

    def upstream_lost(self, reason: str) -> None:
        """Once, instead."""
        assert not self.over
        self.lost = reason
        self.done.set()

    def upstream_writable(self, *, writable: bool) -> None:
        """Back-pressure."""
        self.writable.append(writable)

    @property
    def body(self) -> bytes:
        """What has come of it."""
        return b"".join(self.pieces)

    @property
    def over(self) -> bool:
        """Whether nothing more may come."""
        return self.ended or bool(self.lost) or bool(self.taken)

    @property
    def status(self) -> int:
        """Of the answer; 0 before its head."""
        return self.heads[0].status if self.heads else 0

    async def until_done(self) -> None:
        """Until the answer is whole or will never be."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.done.wait()


async def begun(
    pool: UpstreamPool, octets: bytes = PING, *, method: bytes = b"POST", complete: bool = True, whole: bool = False
) -> tuple[UpstreamConnection, Listener]:
    """A request on its way, over an idle connection if there is one."""
    connection, listener = pool.take() or await pool.connect(), Listener(whole=whole)
    connection.begin(listener, method, octets, complete=complete)
    return connection, listener
