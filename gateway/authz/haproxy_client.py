"""Asks HAProxy's runtime API: a connection for each line, as it closes one after its answer.

Everything is bounded: the time for an answer, and its size.
"""

import asyncio
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from gateway.authz.cutter import CutFailed

ANSWER_SECONDS: Final = 5.0
ANSWER_LONGEST: Final = 64 << 20
"""Of ``show sess`` with 200,000 sessions."""
_PIECE: Final = 1 << 16


class HaproxyClient:
    """One HAProxy process, by its ``stats socket`` of level admin."""

    def __init__(self, url: str) -> None:
        """``url``: ``unix:///PATH`` or ``tcp://ADDRESS:PORT``."""
        self.url = url
        self._place = urlsplit(url)

    async def say(self, line: str) -> str:
        """The answer to one line. Raises ``CutFailed``; what is asked for may have been done all the same."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await self._connected()
                try:
                    writer.write(f"{line}\n".encode())
                    return await _read_all(reader)
                finally:
                    writer.close()
                    with suppress(OSError):
                        await writer.wait_closed()
        except TimeoutError:
            raise CutFailed(f"{self.url}: no answer within {ANSWER_SECONDS:.0f} s") from None
        except OSError as error:
            raise CutFailed(f"{self.url}: {error.strerror or type(error).__name__}") from None

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._place.scheme == "unix":
            return await asyncio.open_unix_connection(self._place.path)
        return await asyncio.open_connection(self._place.hostname, self._place.port)


async def _read_all(reader: asyncio.StreamReader) -> str:
    pieces, size = [], 0
    while piece := await reader.read(_PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > ANSWER_LONGEST:
            raise CutFailed("HAProxy's answer is too long")
    text = b"".join(pieces).decode("utf-8", "replace")
    if "Permission denied" in text[:200]:
        raise CutFailed("HAProxy says: permission denied: its stats socket needs level admin")
    return text
