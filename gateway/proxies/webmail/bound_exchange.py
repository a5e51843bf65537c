"""One request of a client whose login is its connection's: it goes by that connection's own one to the mail server.

A message that names somebody is judged by that name before it is forwarded, and its answer is judged again before any
of it reaches the client. Before there is a login nothing passes but the mail server's challenges. Who is refused hears
why only once the mail server has accepted the login; where it was not asked yet, it is asked by a GET of the same path,
which has no effect. After any answer of ours both connections are closed.
"""

from typing import TYPE_CHECKING

import structlog

from gateway.domain.verdict import Verdict
from gateway.network.addresses import counted_as
from gateway.network.fetch import Fetched, fetch_by, request_of
from gateway.network.upstream import UpstreamUnavailable
from gateway.network.upstream_connection import UpstreamConnection
from gateway.protocols.activesync.headers import usable_challenges
from gateway.protocols.connection_login import NEGOTIATE, Leg, Step, answered, challenges
from gateway.protocols.http.request_head import RequestHead
from gateway.protocols.http.response_head import ResponseHead
from gateway.protocols.http.writing import Pair
from gateway.protocols.webmail.headers import Offer, offered
from gateway.protocols.webmail.identify import Speaker
from gateway.protocols.webmail.paths import Places, Rule
from gateway.proxies.client_connection import ClientConnection
from gateway.proxies.exchange_state import State
from gateway.proxies.judged_answer import JudgedAnswer
from gateway.proxies.refusing import Told
from gateway.proxies.simple import unauthorized
from gateway.proxies.webmail.bound_login import BoundLogin
from gateway.proxies.webmail.exchange import WebmailExchange

if TYPE_CHECKING:
    from gateway.proxies.front import HttpFront

log = structlog.get_logger()


class BoundAnswer(JudgedAnswer):
    """What an answer says of the login is heard before it is judged."""

    __slots__ = ("_bound",)

    def __init__(self, exchange: "BoundExchange", front: "HttpFront", client: ClientConnection) -> None:
        super().__init__(exchange, front, client)
        self._bound = exchange

    def response_began(self, head: ResponseHead) -> None:
        """Hear, then judge."""
        self._bound.heard(head)
        super().response_began(head)


class BoundExchange(WebmailExchange):
    """Answers one such request."""

    __slots__ = ("_fresh", "_leg", "_login", "_place", "_proved", "_wait_seconds")

    def __init__(
        self,
        front: "HttpFront",
        client: ClientConnection,
        head: RequestHead,
        rule: Rule,
        places: Places,
        *,
        judged: bool,
        offer: Offer,
        speaker: Speaker,
        login: BoundLogin,
        leg: Leg | None,
        fresh: bool,
    ) -> None:
        """``leg``: its message; None: somebody is logged in. ``fresh``: no connection to the mail server yet."""
        super().__init__(front, client, head, rule, places, judged=judged, offer=offer, speaker=speaker)
        self._login = login
        self._leg = leg
        self._fresh = fresh
        self._place = place_of(head)
        self._proved = leg is None and login.proved

    def begin(self) -> None:
        """Identify, and judge who is named."""
        super().begin()
        if self.state is State.ENDED:
            self._login.end()

    # --- its connection to the mail server

    def _at_hand(self) -> UpstreamConnection | None:
        upstream = self._login.upstream
        return None if upstream is None or self._fresh else upstream.take()

    async def _opened(self) -> UpstreamConnection:
        upstream = self._login.upstream
        if upstream is None or not self._fresh:
            raise UpstreamUnavailable("the connection that somebody has logged in on, or was about to, is closed")
        self._fresh = False
        return await upstream.connect()

    def _receiver(self) -> JudgedAnswer:
        return BoundAnswer(self, self._front, self._client)

    def leave_upstream(self) -> None:
        """Wait for the mail server no longer; the login ends with its connection."""
        if self._upstream is not None:
            self._client.keep_alive = False
            self._login.end()
        super().leave_upstream()

    def upstream_lost(self, reason: str) -> None:
        """The answer will not become whole."""
        self._client.keep_alive = False
        super().upstream_lost(reason)

    # --- its answer

    def heard(self, head: ResponseHead) -> None:
        """The mail server's answer begins."""
        assert self._speaker is not None
        if not head.keep_alive:
            self._client.keep_alive = False
        leg, login = self._leg, self._login
        login.heard(leg, head, self._speaker.login, self._place)
        self._proved = login.proved
        if leg is not None and leg.step is not Step.ASKS and not login.pending:
            self._front.bound_logins.inc("accepted" if head.status != 401 else "rejected")

    def fields_for_client(self, head: ResponseHead) -> list[Pair] | None:
        """As ever; of the challenges that which the client has to answer, or the last word of one that is in."""
        fields = super().fields_for_client(head)
        if fields is None or self._leg is None:
            return fields
        values = [value for name, value in head.fields if name.lower() == b"www-authenticate"]
        said = answered(self._leg.scheme, challenges(values))
        if self._login.pending and said is not None:
            fields = [pair for pair in fields if pair[0].lower() != b"www-authenticate"]
            fields.append((b"WWW-Authenticate", said.value))
        elif head.status != 401 and said is not None and said.scheme == NEGOTIATE:
            # The server shows that it is the one (RFC 4559 §5).
            fields.append((b"WWW-Authenticate", said.value))
        return fields

    def answered(self, tail: bytes) -> None:
        """The answer is whole."""
        self._login.settle()
        super().answered(tail)
        if self._login.pending and self._client.exchange is None:
            self._client.wait_at_most(self._front.settings.webmail.bound_login_seconds)

    # --- refusals

    async def _refuse_after_check(self, verdict: Verdict) -> None:
        told = await self._told_once_proved(verdict)
        self._forget_task()
        self._login.end()
        if self.state is State.REFUSING:
            self._tell_in_time(told)

    async def _told_once_proved(self, verdict: Verdict) -> Told:
        if self._proved:
            return self._front.refusing.refused(self.asked, verdict)
        if self._leg is None or self._head is None:
            # It was forwarded, or never proved: whoever begins anew is asked for a proof then.
            return self._front.refusing.deferred("deferred")
        checks, request = self._front.checks, self.request
        attempt = checks.begin_attempt(request.login, counted_as(request.client_address))
        if attempt is None:
            return self._front.refusing.deferred("deferred")
        fetched = await self._proof(self._head)
        if fetched is None or fetched.status != 401:
            checks.did_not_fail(attempt)
        if fetched is None or not (fetched.status == 401 or 200 <= fetched.status < 300):
            return self._front.refusing.deferred("deferred")
        if fetched.status == 401:
            self._front.bound_logins.inc("rejected")
            usable = [usable_challenges(value) for value in fetched.all(b"www-authenticate")]
            offers = [value for _, value in offered(fetched.fields, self._offer)]
            return Told(unauthorized((*offers, *filter(None, usable))), "unauthenticated")
        return self._front.refusing.refused(self.asked, verdict)

    async def _proof(self, head: RequestHead) -> Fetched | None:
        """The mail server's answer to a harmless request with this message; None: there is none."""
        assert self._leg is not None
        fields = [(b"Authorization", self._leg.value), (b"User-Agent", b"Gatepost")]
        fields.append((b"X-Forwarded-For", self.request.client_address.encode("ascii", "replace")))
        try:
            connection = self._at_hand() or await self._opened()
            octets = request_of(b"GET", head.path, self._host, fields)
            return await fetch_by(connection, b"GET", octets, of="the mail server")
        except UpstreamUnavailable as error:
            log.warning("credential_check_impossible", login=self.request.login, reason=str(error))
            return None

    def tell(self, told: Told) -> None:
        """End with an answer of ours, and with both connections."""
        self._client.keep_alive = False
        super().tell(told)
        self._login.end()


def place_of(head: RequestHead) -> tuple[bytes, bytes]:
    """Method and target."""
    return head.method, head.path if head.query is None else head.path + b"?" + head.query
