"""One message from its 354 to the mail server's answer: in pieces, as they come, and no further than the server takes.

Our answer is the mail server's, or says that there is none. A message that may not pass is read to its end, because
its client would take our answer for nothing before; the connection to the mail server was cut then, without the last
dot, so that there was no message.
"""

import asyncio
from dataclasses import dataclass
from enum import StrEnum

from gateway.protocols.smtp import refusals
from gateway.protocols.smtp.body import Body, Fault
from gateway.protocols.smtp.replies import Reply
from gateway.proxies.smtp.inbox import Inbox
from gateway.proxies.smtp.upstream import Leg


class Outcome(StrEnum):
    """What became of a message; a label of a metric."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    BARE_LINE_END = "bare_line_end"
    NUL = "nul"
    TOO_LARGE = "too_large"
    UPSTREAM_LOST = "upstream_lost"
    UNKNOWN = "unknown"
    """The mail server had all of it and did not answer."""
    CLIENT_GONE = "client_gone"
    """Before its end."""
    TIMED_OUT = "timed_out"
    """The client sent nothing more before its end."""


@dataclass(frozen=True, slots=True)
class Relayed:
    """How a message ended."""

    outcome: Outcome
    answer: bytes
    """For the client."""


_FAULTS = {
    Fault.BARE_LINE_END: Outcome.BARE_LINE_END,
    Fault.NUL: Outcome.NUL,
    Fault.TOO_LARGE: Outcome.TOO_LARGE,
}


class Relay:
    """One message, of at most ``most`` octets; between two pieces of it pass ``piece_seconds`` at most."""

    __slots__ = ("_body", "_inbox", "_leg", "_most", "_piece_seconds")

    def __init__(self, inbox: Inbox, leg: Leg, most: int, piece_seconds: float) -> None:
        self._inbox = inbox
        self._leg = leg
        self._body = Body(most)
        self._most = most
        self._piece_seconds = piece_seconds

    @property
    def size(self) -> int:
        """Octets that came."""
        return self._body.size

    async def run(self) -> Relayed | None:
        """Pass the message on; None: all of it has gone, its last dot included, and the server is to answer.

        Cancelled when the client goes, and raises ``TimeoutError`` when it is too slow; then there was no message.
        """
        spoiled: Relayed | None = None
        whole = False
        try:
            while True:
                async with asyncio.timeout(self._piece_seconds):
                    octets = await self._inbox.piece()
                piece = self._body.take(octets)
                spoiled = spoiled or self._spoiled()
                if spoiled is None:
                    self._leg.pass_on(piece.passed)
                    whole = piece.ended
                if piece.ended:
                    # Nothing is awaited between the last dot and the answer to it.
                    self._inbox.put_back(piece.rest)
                    return spoiled
                if spoiled is None:
                    spoiled = await self._taken()
                elif self._body.size > 2 * self._most + (1 << 20):
                    # Nobody waits for a client that does not stop.
                    raise asyncio.CancelledError
        finally:
            if not whole:
                self._leg.abort()

    def _spoiled(self) -> Relayed | None:
        """Why the message goes no further, if it does not."""
        fault = self._body.fault
        found: Relayed | None = None
        if fault is not None:
            found = Relayed(_FAULTS[fault], refusals.bad_body(fault))
        elif self._leg.early_reply is not None:
            found = judged(self._leg.early_reply, whole=False)
        if found is not None:
            self._leg.abort()
        return found

    async def _taken(self) -> Relayed | None:
        try:
            await self._leg.until_taken()
        except TimeoutError:
            self._leg.abort()
            return Relayed(Outcome.UPSTREAM_LOST, refusals.NOT_TAKEN)
        return None


def judged(reply: Reply, *, whole: bool) -> Relayed:
    """What a server's answer to a message means; ``whole``: it had all of it."""
    if reply.positive and whole:
        return Relayed(Outcome.ACCEPTED, reply.octets)
    if reply.final and not reply.positive and reply.code != 421:
        return Relayed(Outcome.REJECTED, reply.octets)
    if whole and reply.code == 421:
        # It has ended the connection in place of an answer, and says that it did not take the message.
        return Relayed(Outcome.UPSTREAM_LOST, refusals.NOT_TAKEN)
    if whole:
        return Relayed(Outcome.UNKNOWN, refusals.OUTCOME_UNKNOWN)
    return Relayed(Outcome.UPSTREAM_LOST, refusals.NOT_TAKEN)
