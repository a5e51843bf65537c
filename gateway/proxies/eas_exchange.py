"""One ActiveSync request through the gateway: what is peculiar to it; the rest is ``JudgedExchange``.

Requests of a phone that wait for mail are *parked*: they are cut with Ping Status 7 or Sync Status 12, and sent back
when the gateway stops. A command with an effect that has gone upstream is let finish.
"""

import asyncio

from gateway.domain.verdict import Effect, Verdict
from gateway.network.upstream_connection import UpstreamConnection
from gateway.protocols.activesync import refusals
from gateway.protocols.activesync.commands import WITH_EFFECT, Command
from gateway.protocols.activesync.headers import to_client
from gateway.protocols.activesync.identify import Asked, identify
from gateway.protocols.activesync.root import NEED_MORE, body_agrees
from gateway.protocols.answer import Answer
from gateway.protocols.http.request_head import RequestHead
from gateway.protocols.http.response_head import ResponseHead
from gateway.protocols.http.writing import Pair
from gateway.proxies.eas_forward import forwarded, may_wait
from gateway.proxies.exchange_state import State
from gateway.proxies.judged_answer import JudgedAnswer
from gateway.proxies.judged_exchange import JudgedExchange
from gateway.proxies.refusing import Told

PROMPT_SECONDS = 0.5
"""What the mail server does not answer so soon, it keeps waiting."""
_TELLING = frozenset((Command.SETTINGS, Command.PROVISION))
"""Commands in which a phone says what it is ([MS-ASCMD] 2.2.3.45)."""


class EasExchange(JudgedExchange):
    """Answers one ActiveSync request."""

    __slots__ = ("asked",)

    asked: Asked

    @property
    def name(self) -> str:
        """The command."""
        return self.asked.query.command

    @property
    def parked(self) -> bool:
        """Whether it waits at the mail server."""
        return self.state is State.FORWARDED and self._body_complete and may_wait(self.asked)

    @property
    def deadline(self) -> float:
        """When it is over, by the front's clock; of those that wait the oldest has the earliest."""
        return self._client.deadline

    # --- before it is forwarded

    def take_over(self, asked: Asked, verdict: Verdict, connection: UpstreamConnection) -> None:
        """Go on with a request that is at the mail server already, with all of its body."""
        self.asked, self._verdict, self._upstream = asked, verdict, connection
        self.state, self._body_complete = State.FORWARDED, True
        connection.hand_over(JudgedAnswer(self, self._front, self._client))
        self._await_answer()

    def begin(self) -> None:
        """Identify and judge."""
        front, head = self._front, self._head
        assert head is not None
        asked = identify(head, front.client_address(self._client, head), front.rules, self._client.certificate)
        if isinstance(asked, Answer):
            front.requests.inc("", "malformed" if asked.status != 401 else "unauthenticated")
            self.state = State.ENDED
            self._client.answer(asked)
            return
        self.asked = asked
        if asked.request is None:
            return
        if asked.query.command is Command.PING:
            front.supersede(self)
        self._begin_judged()

    def _ready(self) -> bool:
        """Whether the body is of the command in the query."""
        agrees = body_agrees(self.asked.query.command, self.asked.version, self._body, complete=self._body_complete)
        if agrees is NEED_MORE:
            return False
        if agrees is False:
            self.tell(Told(refusals.mismatch(), "mismatch"))
        return agrees is True

    def _octets(self, head: RequestHead, body: bytes, *, complete: bool) -> tuple[bytes, bool]:
        asked = self.asked
        octets = forwarded(asked, head, body, complete=complete)
        # What DeviceInformation is read from.
        self._body = body if complete and asked.query.command in _TELLING else b""
        self.asked = Asked(asked.query, asked.version, asked.credentials, asked.request, asked.user_agent, None)
        return octets

    # --- at the mail server

    def _await_answer(self) -> None:
        settings = self._front.settings
        if not may_wait(self.asked):
            self._client.wait_at_most(settings.upstream_response_seconds)
            return
        self._client.wait_at_most(settings.parked_seconds)
        if self._front.draining:
            self.drain()
        if self.asked.request is not None:
            self._front.one_more_parked(self)
        self._judge_when_due(settings.parked_seconds)

    @property
    def _has_effect(self) -> bool:
        return self.asked.query.command in WITH_EFFECT

    def _cut(self, verdict: Verdict) -> bool:
        """End a request that waits: first the leg to the mail server, then the word to the phone."""
        if not self.parked or verdict.effect is not Effect.DENY:
            return False
        self.state = State.REFUSING
        self._front.decision.sessions.discard(self)
        self._front.refusing.log.write_down("cut", self.request, verdict)
        told = Told(refusals.cut(self.asked.query.command, self.asked.version), "cut")
        upstream, self._upstream = self._upstream, None
        if upstream is None:
            # The answer is whole, but was held back: that connection serves somebody else already.
            self.tell(told)
        else:
            upstream.abort(after=lambda: self.tell(told))
        return True

    # --- its answer

    def fields_for_client(self, head: ResponseHead) -> list[Pair] | None:
        """By the allow-list, with the versions and commands that pass here."""
        if self.asked.credentials is None and (head.status < 400 or head.status == 403):
            # Nobody in particular is asking: nothing that could be mail is passed on. And a 403 without a challenge, as
            # SOGo answers, is final for a client that waits to be asked who it is.
            self.leave_upstream()
            self.tell(Told(refusals.not_authenticated("mail"), "unauthenticated"))
            return None
        if head.status < 300 or head.status == 449:
            self.served()
        return to_client(head.fields, self._front.settings.public_url)

    def served(self) -> None:
        """The mail server answers with success: the device is noted."""
        self._front.sighted.served(self.asked, self._body)
        self._body = b""

    def _tell_in_time(self, told: Told) -> None:
        if told.accepted:
            self._front.sighted.proved(self.asked)
        super()._tell_in_time(told)

    # --- the end

    def _send_back(self, outcome: str) -> None:
        """Nothing has changed: ask again."""
        self.leave_upstream()
        self.tell(Told(refusals.drained(self.asked.query.command, self.asked.version), outcome))

    def superseded(self) -> None:
        """The same phone has begun another Ping: it has given this one up."""
        self.break_off("superseded")

    def out_of_time(self) -> None:
        """The connection's deadline has passed."""
        if self.parked:
            self._send_back("expired")
        else:
            super().out_of_time()

    def drain(self) -> None:
        """The gateway stops: a phone that merely waits is sent straight back; an answer may be just on its way."""
        if not self.parked:
            return
        waited = self._front.settings.parked_seconds - (self.deadline - self._front.clock())
        if waited < PROMPT_SECONDS:
            asyncio.get_running_loop().call_later(max(0.01, PROMPT_SECONDS - waited), self.drain)
        else:
            self._send_back("drained")
