"""A session in which somebody who is refused finds a notice in the place of the mailbox, and nothing of the mailbox.

There is no mail server behind it: what is said comes from the protocol's own notice (``Spoken.notice``). As soon as the
verdict is ALLOW again it ends, and the mail program's next connection has the mailbox.
"""

import asyncio
from typing import TYPE_CHECKING

from gateway.domain.access import AccessRequest
from gateway.domain.verdict import Effect, Verdict
from gateway.protocols.login import Ended
from gateway.proxies.mail.spoken import NoticeDialogue

if TYPE_CHECKING:
    from gateway.proxies.mail.client_connection import ClientConnection
    from gateway.proxies.mail.front import MailFront


ANSWERED_AT_ONCE = 16
"""Commands, before other work gets its turn."""


class NoticeSession:
    """One, from the refusal on."""

    __slots__ = ("_again", "_choked", "_client", "_dialogue", "_front", "_judging", "_moved_at", "_over", "_request")

    def __init__(
        self, front: "MailFront", client: "ClientConnection", dialogue: NoticeDialogue, request: AccessRequest
    ) -> None:
        self._front = front
        self._client = client
        self._dialogue = dialogue
        self._request = request
        self._choked = False
        self._over = False
        self._again: asyncio.Handle | None = None
        """What goes on with the commands that were not answered at once."""
        self._judging: asyncio.Task[None] | None = None
        self._moved_at = front.clock()

    def begin(self, tag: bytes, behind: bytes) -> None:
        """Answer the login. ``behind``: what the client has sent behind it."""
        self._front.sessions.begin(self._request.login)
        self._client.session = self
        self._client.write(self._dialogue.logged_in(tag))
        self._dialogue.receive(behind)
        self._advance()

    # --- octets

    def from_client(self, octets: bytes) -> None:
        """Answer what the client says."""
        self._moved_at = self._front.clock()
        self._dialogue.receive(octets)
        self._advance()

    def client_writable(self, *, writable: bool) -> None:
        """Who does not read the answers is asked nothing more."""
        self._choked = not writable
        self._advance()

    def _advance(self) -> None:
        answered = 0
        while not (self._choked or self._over) and (event := self._dialogue.next()) is not None:
            self._client.write(event.octets)
            if isinstance(event, Ended):
                self._end("notice_read")
            answered += 1
            if answered == ANSWERED_AT_ONCE:
                self._go_on_later()
                break
        if self._over:
            return
        if self._choked or self._dialogue.crowded:
            self._client.pause()
        else:
            self._client.resume()

    def _go_on_later(self) -> None:
        if self._again is None and not self._over:
            self._again = asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        self._again = None
        self._advance()

    # --- its end

    def out_of_time(self, now: float) -> bool:
        """End it if nothing was said for too long, or mail is allowed again; ``now`` by the front's clock."""
        if self._over:
            return True
        if now - self._moved_at >= self._front.settings.idle_seconds:
            self._end("timed_out", self._front.spoken.last_words.timed_out)
        else:
            self._judge()
        return self._over

    def _judge(self) -> None:
        """From memory; only where that does not know, in a task."""
        if self._judging is not None:
            return
        verdict = self._front.decision.judge(self._request)
        if verdict is None:
            self._judging = asyncio.get_running_loop().create_task(self._judge_loading())
        else:
            self._judged(verdict)

    async def _judge_loading(self) -> None:
        try:
            verdict = await self._front.decision.judge_loading(self._request)
        finally:
            self._judging = None
        self._judged(verdict)

    def _judged(self, verdict: Verdict) -> None:
        if not self._over and verdict.effect is Effect.ALLOW:
            self._end("allowed_again", self._dialogue.released)

    def client_gone(self) -> None:
        """The client has hung up."""
        if not self._over:
            self._ended("client_gone")

    def drain(self, now: float, *, at_once: bool) -> None:
        """The gateway stops; there is nothing to wait for but half a command."""
        if not self._over and (at_once or self._dialogue.at_rest):
            self._end("drained", self._front.spoken.last_words.drained)

    def _end(self, how: str, last_words: bytes = b"") -> None:
        self._ended(how)
        self._client.write(last_words)
        self._client.close()

    def _ended(self, how: str) -> None:
        self._over = True
        if self._again is not None:
            self._again.cancel()
        if self._judging is not None:
            self._judging.cancel()
        self._front.sessions.count_end(how)
        self._front.sessions.end(self._request.login)
