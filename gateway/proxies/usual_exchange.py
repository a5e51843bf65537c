"""The short way: a whole request of the usual form from a phone that may have mail, and a whole answer to it.

It does what ``EasExchange`` does, in one go: registered as a live session and judged, and judged once more when the
answer is there. Whatever else happens (the verdict turns, the answer has another form or takes longer than a second,
somebody goes away), it becomes an ``EasExchange`` at that very moment and is over.
"""

from typing import TYPE_CHECKING

from gateway.domain.access import AccessRequest, IdentityStrength, Protocol
from gateway.domain.errors import InvalidValue
from gateway.domain.identity import canonical_login
from gateway.domain.verdict import Effect, Verdict
from gateway.network.upstream import UpstreamConnection
from gateway.protocols.activesync.usual import UsualRequest, read_usual, read_usual_answer
from gateway.protocols.http.response_head import ResponseHead
from gateway.proxies.client_connection import ClientConnection
from gateway.proxies.eas_exchange import EasExchange
from gateway.proxies.eas_forward import forwarded_usual
from gateway.proxies.identify import Asked

if TYPE_CHECKING:
    from gateway.proxies.front import HttpFront

BECOMES_ORDINARY_SECONDS = 1.0
"""What is not answered after this is an ordinary exchange from then on, with the ordinary deadlines."""
VALID_AT_LEAST_SECONDS = 10.0
"""A verdict that may change sooner by itself needs a timer, which an ordinary exchange has."""


def begin_usual(front: "HttpFront", client: ClientConnection, octets: bytes) -> "UsualExchange | None":
    """Forward a whole request of the usual form if nothing at all stands in its way; None: nothing has happened.

    Then its octets are read step by step, and that finds out what is the matter.
    """
    usual = read_usual(octets)
    if usual is None:
        return None
    try:
        login = canonical_login(usual.user, front.rules)
    except InvalidValue:
        return None
    exchange = UsualExchange(front, client, usual, login)
    if front.decision.sessions.add(exchange) <= front.settings.sessions_per_user:
        verdict = front.decision.judge(exchange.request)
        if (
            verdict is not None
            and verdict.effect is Effect.ALLOW
            and verdict.valid_until > front.now() + VALID_AT_LEAST_SECONDS
        ):
            connection = front.upstreams.of(login).take()
            if connection is not None:
                exchange.forward(connection, verdict)
                return exchange
    front.decision.sessions.discard(exchange)
    return None


class UsualExchange:
    """Answers one usual request (``Exchange``, ``LiveSession`` and ``ResponseHandler``)."""

    __slots__ = ("__weakref__", "_client", "_front", "_upstream", "_usual", "_verdict", "request")

    def __init__(self, front: "HttpFront", client: ClientConnection, usual: UsualRequest, login: str) -> None:
        self._front = front
        self._client = client
        self._usual = usual
        self.request = AccessRequest(
            login,
            usual.device_id,
            Protocol.ACTIVESYNC,
            IdentityStrength.DEVICE_ID,
            usual.command,
            usual.device_type,
            client.address,
        )
        self._upstream: UpstreamConnection
        self._verdict: Verdict

    def forward(self, connection: UpstreamConnection, verdict: Verdict) -> None:
        """Send the request to the mail server."""
        self._upstream, self._verdict = connection, verdict
        self._client.host = self._usual.host
        self._client.wait_at_most(BECOMES_ORDINARY_SECONDS)
        connection.begin(self, b"POST", forwarded_usual(self._usual, self._client.forwarded_for), complete=True)

    def whole_answer(self, octets: bytes) -> bool:
        """Pass on a whole answer of the usual form, if the verdict stands; False: read it step by step."""
        front, client = self._front, self._client
        answer = read_usual_answer(octets)
        if answer is not None and client.keep_alive and not front.draining:
            verdict = front.decision.judge(self.request)
            if verdict is not None and verdict.effect is Effect.ALLOW:
                front.decision.sessions.discard(self)
                if front.sighted.is_news(self.request):
                    front.sighted.served(self._asked(), b"")
                front.requests.inc(self._usual.command, "forwarded")
                client.answer_usual(answer)
                return True
        self._become_ordinary()
        return False

    def _become_ordinary(self) -> EasExchange:
        """An ordinary exchange in this one's place, wherever it stands."""
        sessions = self._front.decision.sessions
        ordinary = EasExchange(self._front, self._client)
        sessions.discard(self)
        ordinary.take_over(self._asked(), self._verdict, self._upstream)
        sessions.add(ordinary)
        self._client.exchange = ordinary
        return ordinary

    def _asked(self) -> Asked:
        usual = self._usual
        return Asked(usual.asked, usual.version, usual.credentials, self.request, usual.user_agent or b"", None)

    # --- whatever else happens

    def verdict_turned(self, verdict: Verdict) -> None:
        """The verdict is ALLOW no longer (``LiveSession``)."""
        self._become_ordinary().verdict_turned(verdict)

    def client_gone(self) -> None:
        """Nobody waits for the answer any more."""
        self._become_ordinary().client_gone()

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
