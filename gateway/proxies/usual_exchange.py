"""The short way: a whole request of the usual form from a phone that may have mail, and a whole answer to it.

It does what ``EasExchange`` does, in one go: registered as a live session and judged, and judged once more when the
answer is there. Whatever else happens (the verdict turns, the answer has another form or takes longer than a second,
somebody goes away), it becomes an ``EasExchange`` at that very moment and is over.
"""

from typing import TYPE_CHECKING

from gateway.domain.access import AccessRequest, Protocol, strength_of
from gateway.domain.verdict import Verdict
from gateway.network.upstream_connection import UpstreamConnection
from gateway.protocols.activesync.identify import Asked
from gateway.protocols.activesync.usual import (
    Recognised,
    UsualRequest,
    forwarded_usual,
    usual_request,
)
from gateway.protocols.http.response_head import ResponseHead
from gateway.proxies.client_connection import ClientConnection
from gateway.proxies.eas_exchange import EasExchange
from gateway.proxies.standing import Standing

if TYPE_CHECKING:
    from gateway.proxies.short_way import ShortWay

BECOMES_ORDINARY_SECONDS = 1.0
"""What is not answered after this is an ordinary exchange from then on, with the ordinary deadlines."""


class UsualExchange:
    """Answers one usual request (``Exchange``, ``LiveSession`` and ``ResponseHandler``)."""

    __slots__ = ("__weakref__", "_client", "_upstream", "_way", "recognised", "standing")

    def __init__(self, way: "ShortWay", client: ClientConnection, recognised: Recognised, standing: Standing) -> None:
        self._way = way
        self._client = client
        self.recognised = recognised
        self.standing = standing
        self._upstream: UpstreamConnection

    @property
    def request(self) -> AccessRequest:
        """What is judged (``LiveSession``)."""
        return self._request(self._usual())

    @property
    def certificate_mark(self) -> int:
        """That of its connection."""
        return self._client.certificate_mark

    def _request(self, usual: UsualRequest) -> AccessRequest:
        return AccessRequest(
            self.standing.login,
            self.standing.device_id,
            Protocol.ACTIVESYNC,
            strength_of(self.standing.device_id, certificate=self._client.certificate),
            usual.command,
            usual.device_type,
            self._client.address,
            certificate=self._client.certificate,
        )

    def _usual(self) -> UsualRequest:
        usual = usual_request(self.recognised)
        # Whoever has a standing with these very words and secret has been through this once.
        assert usual is not None
        return usual

    def asked(self) -> Asked:
        """What the request asks."""
        usual = self._usual()
        return Asked(usual.asked, usual.version, usual.credentials, self._request(usual), usual.user_agent or b"", None)

    def forward(self, connection: UpstreamConnection, clock: float) -> None:
        """Send the request to the mail server."""
        self._upstream = connection
        client = self._client
        client.begin_usual(self, clock + BECOMES_ORDINARY_SECONDS)
        octets = forwarded_usual(self.recognised[0], client.forwarded_end)
        connection.begin(self, b"POST", octets, complete=True)

    def whole_answer(self, octets: bytes) -> bool:
        """Pass on a whole answer of the usual form, if the verdict stands; False: read it step by step."""
        way, client = self._way, self._client
        answer = way.answers.read(octets)
        now, decision = way.now(), way.decision
        stands = self.standing.holds(decision, now) and now <= decision.trusted_until
        if answer is None or not client.keep_alive or way.front.draining or not stands:
            self._become_ordinary()
            return False
        way.answered(self, now)
        client.answer_usual(answer)
        return True

    def _become_ordinary(self) -> EasExchange:
        """An ordinary exchange in this one's place, wherever it stands."""
        sessions = self._way.decision.sessions
        ordinary = EasExchange(self._way.front, self._client)
        sessions.discard(self, self.standing.login)
        self._client.host = self.recognised[0][10]
        ordinary.take_over(self.asked(), self.standing.verdict, self._upstream)
        sessions.add(ordinary)
        self._client.exchange = ordinary
        return ordinary

    # --- whatever else happens

    def verdict_turned(self, verdict: Verdict) -> None:
        """The verdict is ALLOW no longer (``LiveSession``)."""
        self._become_ordinary().verdict_turned(verdict)

    def client_gone(self) -> None:
        """Nobody waits for the answer any more."""
        self._become_ordinary().client_gone()
        # Together they would be a circle that nobody breaks any more.
        self._client.exchange = None

    def out_of_time(self) -> None:
        """It takes longer than usual."""
        self._become_ordinary()

    def drain(self) -> None:
        """The gateway stops."""
        self._become_ordinary().drain()

    def upstream_lost(self, reason: str) -> None:
        """The answer will not become whole."""
        self._become_ordinary().upstream_lost(reason)

    # --- what does not happen to a request that is whole, and to an answer that ``whole_answer`` does not take

    def begin(self) -> None:
        """It has begun."""

    def body(self, octets: bytes, *, last: bool) -> None:
        """The body is here already."""

    def client_writable(self, *, writable: bool) -> None:
        """Nothing is written before the answer is whole."""

    def response_began(self, head: ResponseHead) -> None:
        """An ordinary exchange hears of it."""

    def response_data(self, octets: bytes) -> None:
        """An ordinary exchange hears of it."""

    def response_ended(self) -> None:
        """An ordinary exchange hears of it."""

    def upstream_writable(self, *, writable: bool) -> None:
        """The request was written whole."""
