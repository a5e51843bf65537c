"""One request of EWS, MAPI, OWA, DAV or JMAP: what is peculiar to it; the rest is ``JudgedExchange``.

Nothing of it is read but the head. An answer that is there for what may come later (JMAP's EventSource) may last as
long as a waiting phone, and is broken off when the verdict turns or the gateway stops: its client connects again.
"""

import asyncio
from math import inf
from typing import TYPE_CHECKING

from gateway.domain.verdict import Verdict
from gateway.protocols.activesync.refusals import not_authenticated
from gateway.protocols.answer import Answer
from gateway.protocols.http.request_head import RequestHead
from gateway.protocols.http.response_head import ResponseHead
from gateway.protocols.http.writing import Pair
from gateway.protocols.webmail.headers import Offer, offered, to_client
from gateway.protocols.webmail.identify import Speaker, WebmailAsked, identify
from gateway.protocols.webmail.paths import Places, Rule
from gateway.proxies.client_connection import ClientConnection
from gateway.proxies.exchange_state import State
from gateway.proxies.forwarding import written_anew
from gateway.proxies.judged_exchange import JudgedExchange
from gateway.proxies.refusing import Told
from gateway.proxies.verdict_watch import VerdictWatch

if TYPE_CHECKING:
    from gateway.proxies.front import HttpFront

STREAM_JUDGED_EVERY_SECONDS = 60.0
"""Such an answer may last for days; the moment at which its verdict ends by itself may be set anew meanwhile."""
_WITH_EFFECT = frozenset((b"PUT", b"DELETE", b"MKCOL", b"MKCALENDAR", b"PROPPATCH", b"COPY", b"MOVE"))
"""Methods whose answers hold nothing of the mailbox. A POST may be anything: it is cut."""


class WebmailExchange(JudgedExchange):
    """Answers one request under a rule that is open."""

    __slots__ = ("_host", "_judged", "_method", "_offer", "_places", "_rule", "_speaker", "_streaming", "asked")

    asked: WebmailAsked

    def __init__(
        self,
        front: "HttpFront",
        client: ClientConnection,
        head: RequestHead,
        rule: Rule,
        places: Places,
        *,
        judged: bool,
        offer: Offer = Offer.NONE,
        speaker: Speaker | None = None,
    ) -> None:
        """``offer``: which logins of connections are offered; ``speaker``: who has logged in so, or is about to."""
        super().__init__(front, client, head)
        self._offer = offer
        self._speaker = speaker
        self._rule = rule
        self._places = places
        self._judged = judged
        self._method = head.method
        self._host = head.named[b"host"]
        self._streaming = False

    @property
    def name(self) -> str:
        """Rule and method."""
        return self.asked.action

    def begin(self) -> None:
        """Identify, and judge where that is to be."""
        front, head = self._front, self._head
        assert head is not None
        address = front.client_address(self._client, head)
        asked = identify(
            *(head, self._rule, self._places, address, front.rules),
            judged=self._judged,
            certificate=self._client.certificate,
            speaker=self._speaker,
        )
        if isinstance(asked, Answer):
            front.requests.inc(self._rule, "malformed" if asked.status != 401 else "unauthenticated")
            self.state = State.ENDED
            self._client.answer(asked)
            return
        self.asked = asked
        if asked.request is not None:
            self._begin_judged()

    def _octets(self, head: RequestHead, body: bytes, *, complete: bool) -> tuple[bytes, bool]:
        asked = self.asked
        assert asked.fields is not None
        self.asked = asked._replace(fields=None)
        # As received: a path that could be read in two ways does not come here.
        target = head.path if head.query is None else head.path + b"?" + head.query
        return written_anew(head, target, asked.fields, body, complete=complete)

    def _await_answer(self) -> None:
        super()._await_answer()
        self._judge_when_due(inf)

    @property
    def _has_effect(self) -> bool:
        return self._method in _WITH_EFFECT

    def fields_for_client(self, head: ResponseHead) -> list[Pair] | None:
        """By the allow-list; without credentials nothing but the question for them."""
        if self._judged and self.asked.credentials is None and head.status != 401 and head.status < 500:
            self.leave_upstream()
            self.tell(Told(not_authenticated("mail"), "unauthenticated"))
            return None
        passing = to_client(self._rule, head.fields, self._host, judged=self._judged)
        return [*offered(head.fields, self._offer), *passing] if head.status == 401 else passing

    def streams(self, head: ResponseHead) -> bool:
        """Whether it is an EventSource (WHATWG HTML §9.2)."""
        types = [value for name, value in head.fields if name.lower() == b"content-type"]
        self._streaming = bool(types) and types[0].lower().startswith(b"text/event-stream")
        if self._streaming and self._verdict is not None:
            self._judge_regularly(self._verdict)
        if self._streaming and self._front.draining:
            asyncio.get_running_loop().call_soon(self.drain)
        return self._streaming

    def _judge_regularly(self, verdict: Verdict) -> None:
        if self._watch is not None:
            self._watch.end()
        self._watch = VerdictWatch(self, self._front.decision, self._front.now, every=STREAM_JUDGED_EVERY_SECONDS)
        self._watch.until(verdict.valid_until)

    def responding(self) -> None:
        """A piece of the answer is about to reach the client; of a stream the next one may take its time."""
        super().responding()
        if self._streaming:
            self._client.wait_at_most(self._front.settings.parked_seconds)

    def client_writable(self, *, writable: bool) -> None:
        """Read no faster than the client takes it; of a stream the next piece may take its time."""
        super().client_writable(writable=writable)
        if writable and self._streaming:
            self._client.wait_at_most(self._front.settings.parked_seconds)

    def drain(self) -> None:
        """The gateway stops: whoever listens to a stream connects again."""
        if self._streaming and self.state is State.RESPONDING:
            self.break_off("drained")
