"""A session after its login: octets pass both ways as fast as they are taken, and it ends at once when it must.

Nothing is changed in what passes; it is followed, so that a last line of ours stands between two answers and never
within one. Whoever ends a session ends both of its connections: that to the mail server first, so that nothing more of
the mailbox comes.
"""

from typing import TYPE_CHECKING

from gateway.domain.access import AccessRequest
from gateway.domain.verdict import Effect, Verdict
from gateway.protocols.login import Accepted
from gateway.protocols.wording import app_named
from gateway.proxies.mail.upstream import UpstreamConnection
from gateway.proxies.token_owner import TokenOwner, strictest
from gateway.proxies.verdict_watch import VerdictWatch

if TYPE_CHECKING:
    from gateway.proxies.mail.client_connection import ClientConnection
    from gateway.proxies.mail.front import MailFront

UNTAKEN_MOST = 64 << 10
"""Octets that a client may have yet to take for a last line to be put behind them; else they are mail, and are lost."""
LAST_ANSWER_SECONDS = 120.0
"""For a client to take what the mail server said before it closed."""
JUDGED_EVERY_SECONDS = 60.0
"""A session lives for days; the moment at which its verdict ends by itself may be set anew meanwhile."""
QUIET_SECONDS = 1.0
"""A session that is drained has said nothing for so long, or a command may just be on its way."""


class MailSession:
    """One session, from the login's acceptance by the mail server (``LiveSession``)."""

    __slots__ = (
        "_about_owner",
        "_choked",
        "_client",
        "_following",
        "_front",
        "_left",
        "_moved_at",
        "_open",
        "_over",
        "_owner",
        "_request",
        "_upstream",
        "_watch",
    )

    def __init__(
        self,
        front: "MailFront",
        client: "ClientConnection",
        upstream: UpstreamConnection,
        request: AccessRequest,
        owner: AccessRequest | None = None,
    ) -> None:
        """``owner``: about whom the token names, where that is not the user."""
        self._front = front
        self._client = client
        self._upstream = upstream
        self._request = request
        self._about_owner = owner
        self._owner: TokenOwner | None = None
        self._following = front.spoken.following()
        self._watch: VerdictWatch | None = None
        self._open = False
        self._over = False
        self._left = False
        """The mail server has gone, and the client has yet to take what it said last."""
        self._choked = False
        """The client does not take what it is sent."""
        self._moved_at = front.clock()

    @property
    def request(self) -> AccessRequest:
        """What is judged."""
        return self._request

    # --- its beginning

    def register(self) -> int:
        """From here on a change of the verdict is heard of; how many sessions the user has with this front now."""
        self._front.decision.sessions.add(self)
        if self._about_owner is not None:
            self._owner = TokenOwner(self, self._about_owner, self._front.decision)
        return self._front.sessions.begin(self._request.login)

    async def judged(self) -> tuple[AccessRequest, Verdict]:
        """The verdict that counts, with the question that it answers; nothing is awaited behind it."""
        return await strictest(self._front.decision, self._request, self._owner)

    def begin(self, accepted: Accepted, behind: bytes, verdict: Verdict) -> None:
        """The verdict is ALLOW: pass everything on. ``behind``: what the client has sent behind its login."""
        self._open = True
        self._client.session = self
        self._client.write(accepted.answer)
        if accepted.rest:
            self.from_server(accepted.rest)
        # Before anything goes there: how fast the mail server takes it, the session has to hear.
        self._upstream.splice(self)
        if behind:
            self.from_client(behind)
        if not self._choked:
            self._upstream.resume()
        if not self._over:
            self._watch = VerdictWatch(self, self._front.decision, self._front.now, every=JUDGED_EVERY_SECONDS)
            self._watch.until(verdict.valid_until)
            if self._owner is not None:
                self._owner.follow(self._front.now, every=JUDGED_EVERY_SECONDS)

    def give_up(self) -> None:
        """It does not begin: the client is told something else, or has gone."""
        if not self._open and not self._over:
            self._forget()
            self._upstream.close(self._front.spoken.farewell)

    # --- octets

    def from_client(self, octets: bytes) -> None:
        """Pass on what the client says."""
        self._moved_at = self._front.clock()
        self._following.asked(octets)
        self._upstream.write(octets)

    def from_server(self, octets: bytes) -> None:
        """Pass on what the mail server says."""
        self._moved_at = self._front.clock()
        self._following.answered(octets)
        self._client.write(octets)

    def client_writable(self, *, writable: bool) -> None:
        """Read from the mail server no faster than the client takes it."""
        self._choked = not writable
        if writable:
            self._upstream.resume()
        else:
            self._upstream.pause()

    def server_writable(self, *, writable: bool) -> None:
        """And the other way round."""
        if writable:
            self._client.resume()
        else:
            self._client.pause()

    # --- its end

    def verdict_turned(self, verdict: Verdict) -> None:
        """Called the moment the verdict is ALLOW no longer."""
        self.turned(verdict, self._request)

    def turned(self, verdict: Verdict, request: AccessRequest) -> None:
        """The verdict on one of its questions is."""
        if not self._open or self._over:
            # Whoever begins it asks once more, with no await between.
            return
        spoken = self._front.spoken
        if self._left:
            # What is left of an answer stays without its end; nobody is there to be told a last word.
            self._forget()
            self._client.abort()
        elif verdict.effect is Effect.DENY:
            self._front.refusals.write_down("cut", request, verdict)
            self._end("cut", spoken.cut(app_named(verdict), verdict.note))
        else:
            self._end("cut_for_now", spoken.last_words.cut_for_now)

    def client_gone(self) -> None:
        """The client has hung up."""
        if self._left:
            self._forget()
        elif not self._over:
            self._ended("client_gone")
            self._upstream.close()

    def server_gone(self) -> None:
        """The mail server has: what it said last still reaches the client, as long as that may have mail."""
        if not self._over and not self._left:
            self._left = True
            self._front.sessions.count_end("server_closed")
            self._client.close(LAST_ANSWER_SECONDS)

    def out_of_time(self, now: float) -> bool:
        """End it if nothing was said for too long; ``now`` by the front's clock."""
        if not (self._over or self._left) and now - self._moved_at >= self._front.settings.idle_seconds:
            self._end("timed_out", self._front.spoken.last_words.timed_out)
        return self._over

    def drain(self, now: float, *, at_once: bool) -> None:
        """The gateway stops: end it where neither side is in the midst of something, or ``at_once``."""
        quiet = self._following.at_rest and now - self._moved_at >= QUIET_SECONDS
        if not (self._over or self._left) and (at_once or quiet):
            self._end("drained", self._front.spoken.last_words.drained)

    def _end(self, how: str, last_words: bytes) -> None:
        """Now: with a last line if it may stand there, else in the midst of an answer, which stays without its end."""
        self._ended(how)
        self._upstream.abort()
        if self._following.at_boundary and self._client.untaken < UNTAKEN_MOST:
            self._client.write(last_words)
            self._client.close()
        else:
            self._client.abort()

    def _ended(self, how: str) -> None:
        self._over = True
        self._front.sessions.count_end(how)
        self._forget()

    def _forget(self) -> None:
        if self._over and self._left:
            return
        self._over = True
        self._front.decision.sessions.discard(self)
        self._front.sessions.end(self._request.login)
        if self._watch is not None:
            self._watch.end()
            self._watch = None
        if self._owner is not None:
            self._owner.end()
            self._owner = None
