"""Takes the body of a request in: bounded in size, in time and in memory over all requests at once.

Nobody is known yet when a body comes in, so no address may hold more than a share of that memory.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request

from gateway.inventory.sources.problems import Refused
from gateway.network.addresses import counted_as

MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverLimits:
    """Bounds of the receiver."""

    body_bytes: int = MIB
    """As it travels."""
    unpacked_bytes: int = 4 * MIB
    """Within gzip."""
    body_seconds: float = 30.0
    """For the whole body to arrive."""
    store_seconds: float = 20.0
    memory_bytes: int = 64 * MIB
    """All bodies at once; those from one address a quarter of it."""
    apps: int = 5000
    large_at_once: int = 2
    """Large bodies that are read at the same time: what is made of one may be thirty times its size."""
    reports_at_once: int = 512
    """Of one source, on their way into the store."""
    retry_after_seconds: int = 5


class Intake:
    """Reads bodies and counts what they hold of the memory."""

    def __init__(self, limits: ReceiverLimits) -> None:
        self._limits = limits
        self.held_bytes = 0
        self.held_by: Counter[str] = Counter()
        self._share = max(limits.body_bytes, limits.memory_bytes // 4)

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """The body of a request; what it holds of the memory is free again at the end."""
        self._check_announced(request)
        pieces: list[bytes] = []
        address = counted_as(request.client.host if request.client else "")
        try:
            await self._read(request, pieces, address)
            yield b"".join(pieces)
        finally:
            held = sum(map(len, pieces))
            self.held_bytes -= held
            self.held_by[address] -= held
            if self.held_by[address] <= 0:
                del self.held_by[address]

    async def _read(self, request: Request, pieces: list[bytes], address: str) -> None:
        own = 0
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                async for piece in request.stream():
                    pieces.append(piece)
                    own += len(piece)
                    self.held_bytes += len(piece)
                    self.held_by[address] += len(piece)
                    self._check_held(own, address)
        except TimeoutError:
            raise Refused(408, "too_slow", f"the body did not arrive within {self._limits.body_seconds:g} s") from None
        except ClientDisconnect:
            raise Refused(400, "gone", "the connection ended before the body did") from None

    def _check_announced(self, request: Request) -> None:
        length = request.headers.get("content-length", "0")
        # Whatever is no number of a sane length the server has refused already, or the reading below counts.
        if length.isascii() and length.isdigit() and (len(length) > 18 or int(length) > self._limits.body_bytes):
            raise self._too_large()

    def _check_held(self, own: int, address: str) -> None:
        if own > self._limits.body_bytes:
            raise self._too_large()
        if self.held_bytes > self._limits.memory_bytes or self.held_by[address] > self._share:
            raise busy(503, "too many reports arrive at once", self._limits.retry_after_seconds)

    def _too_large(self) -> Refused:
        return Refused(
            413,
            "too_large",
            f"the body is larger than {self._limits.body_bytes} octets: send it with Content-Encoding: gzip",
        )


def busy(status: int, sentence: str, retry_after_seconds: int) -> Refused:
    """Try again later; nothing is stored."""
    kind = "slow_down" if status == 429 else "unavailable"
    return Refused(
        status, kind, f"{sentence}: try again later", headers={"Retry-After": str(max(1, retry_after_seconds))}
    )
