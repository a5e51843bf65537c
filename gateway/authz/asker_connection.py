"""One connection of an asker: questions strictly one after the other, each answered before the next is looked at.

What it costs is bounded: octets that wait, time for a question, time for an answer. An asker that takes no answers is
given no more of them.
"""

import asyncio
from typing import TYPE_CHECKING, cast

from gateway.authz.inquiry import Inquiry, Judged, Speech
from gateway.network.paused_reading import PausedReading

if TYPE_CHECKING:
    from gateway.authz.front import AuthzFront

WAITING_MOST = 64 << 10
"""Octets that may wait behind the present question."""
WRITE_SECONDS = 10.0
"""While an asker takes nothing of its answers."""
DISCARDED_MOST = 1 << 20
DISCARDING_SECONDS = 2.0
"""A close with unread octets is a reset, and the asker might lose its last answer."""
NEVER = float("inf")


class AskerConnection(PausedReading):
    """Reads questions and writes answers."""

    def __init__(self, front: "AuthzFront", speech: Speech) -> None:
        super().__init__()
        self._front = front
        self._speech = speech
        self._task: asyncio.Task[None] | None = None
        self._choked = False
        self._ending = False
        """The last answer is written."""
        self._discarded = 0
        self.peer = ""
        self.deadline = NEVER

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """An asker has come."""
        # uvloop's transports are none of asyncio's by inheritance.
        self.transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if isinstance(peer, tuple) else "unix"
        if not self._front.admit(self):
            self._ending = True
            self.transport.abort()
            return
        self._wait_at_most(self._front.settings.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """The asker is gone."""
        self.transport = None
        self._ending = True
        # A task keeps the exception that it ends with, and so the frames that refer to this: not the other way as well.
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        self._front.leave(self)

    def data_received(self, data: bytes) -> None:
        """Octets of a question, or behind it."""
        if self._ending:
            self._discarded += len(data)
            if self._discarded > DISCARDED_MOST:
                self.abort()
            return
        if not self._speech.waiting:
            self._wait_at_most(self._front.settings.head_seconds)
        self._speech.receive(data)
        self._advance()
        if self._speech.waiting > WAITING_MOST and not self._ending:
            self.pause()

    def eof_received(self) -> bool:
        """Nobody who asks half-closes."""
        return False

    def pause_writing(self) -> None:
        """The asker takes no more for now."""
        self._choked = True
        self._wait_at_most(WRITE_SECONDS)

    def resume_writing(self) -> None:
        """The asker takes more again."""
        self._choked = False
        self._advance()

    def _advance(self) -> None:
        while self._task is None and not (self._choked or self._ending):
            inquiry = self._speech.next()
            if inquiry is None:
                self._read_on()
                return
            self._answer(inquiry)

    def _read_on(self) -> None:
        self.resume()
        if self._speech.waiting:
            # Only from the first octet on: what comes slowly gains no time by it.
            if self.deadline == NEVER:
                self._wait_at_most(self._front.settings.head_seconds)
        else:
            self._wait_at_most(self._front.settings.idle_seconds)

    def _answer(self, inquiry: Inquiry) -> None:
        self.deadline = NEVER
        found = inquiry.found
        if not isinstance(found, Judged):
            self._front.settled(self, inquiry.asker, found)
            self._write(inquiry, found.answer)
            return
        verdict = self._front.judged_at_once(inquiry.asker, found.request, found.where)
        if verdict is not None:
            self._write(inquiry, found.answer(verdict))
        else:
            self._task = asyncio.get_running_loop().create_task(self._answer_later(inquiry, found))

    async def _answer_later(self, inquiry: Inquiry, found: Judged[bytes]) -> None:
        try:
            verdict = await self._front.judged_in_time(inquiry.asker, found.request, found.where)
            self._task = None
            self._write(inquiry, found.answer(verdict))
            self._advance()
        except Exception:  # a mistake of ours costs one connection, which would wait for ever
            self.abort()
            raise

    def _write(self, inquiry: Inquiry, octets: bytes) -> None:
        if self.transport is None:
            return
        self.transport.write(octets)
        if not inquiry.last:
            return
        self._ending = True
        if inquiry.unread:
            self._wait_at_most(DISCARDING_SECONDS)
        else:
            self.close()

    def _wait_at_most(self, seconds: float) -> None:
        """Set the deadline; it is looked at about once a second."""
        self.deadline = self._front.clock() + seconds

    def deadline_passed(self) -> None:
        """Too slow, idle for too long, or done with."""
        self.deadline = NEVER
        if self._choked or self._ending:
            self.abort()
        else:
            self.close()

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return self._task is None and not self._speech.waiting

    def close(self) -> None:
        """Send what is written, then close."""
        self._ending = True
        self._wait_at_most(WRITE_SECONDS)
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._ending = True
        if self.transport is not None:
            self.transport.abort()
