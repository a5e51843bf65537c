"""Who answers where logins may be bound to a connection (``[webmail] connection_bound``); one for each front.

A client's connection is bound from the first message of such a login on. It is bound only if it is the client's own:
from a front proxy, or with a header that one writes, it may be many people's. What is no message, or comes where none
is expected, is no login: the request goes on as one without credentials, and the connection is closed behind it.
"""

from collections.abc import Sequence
from itertools import count
from typing import TYPE_CHECKING

from gateway.domain.errors import InvalidValue
from gateway.network.addresses import read_address
from gateway.protocols import ntlm
from gateway.protocols.activesync import refusals
from gateway.protocols.activesync.requests import Credentials
from gateway.protocols.connection_login import Leg, Step, is_one, read_leg
from gateway.protocols.http.request_head import RequestHead
from gateway.protocols.webmail.headers import Offer
from gateway.protocols.webmail.identify import Speaker
from gateway.protocols.webmail.paths import Places, Rule
from gateway.proxies.client_connection import ClientConnection
from gateway.proxies.exchange import Exchange
from gateway.proxies.simple import Answered
from gateway.proxies.webmail.bound_exchange import BoundExchange, place_of
from gateway.proxies.webmail.bound_login import BoundLogin, Stage
from gateway.proxies.webmail.exchange import WebmailExchange
from gateway.proxies.webmail.exposure import Network

if TYPE_CHECKING:
    from gateway.proxies.front import HttpFront

_BY_PROXIES = frozenset((b"via", b"forwarded", b"x-forwarded-for", b"x-real-ip"))
"""Headers by which somebody shows that he speaks for others."""


class BoundRouting:
    """See the module."""

    def __init__(self, front: "HttpFront", places: Places, trusted: Sequence[Network]) -> None:
        """``trusted``: front proxies."""
        self._front = front
        self._places = places
        self._trusted = tuple(trusted)
        self._settings = front.settings.webmail
        self._there: set[BoundLogin] = set()
        self._marks = count(1)

    @property
    def connections(self) -> int:
        """Connections to mail servers that are one client's alone."""
        return len(self._there)

    def exchange_for(self, client: ClientConnection, head: RequestHead, rule: Rule, *, judged: bool) -> Exchange:
        """Who answers a request under a rule that is open for it."""
        login = client.belonging if isinstance(client.belonging, BoundLogin) else None
        offer = Offer.NONE
        if rule in self._settings.connection_bound and not self._is_shared(client, head):
            offer = Offer.NAMED if judged and self._certified(client) is None else Offer.ALL
            authorization = head.named.get(b"authorization")
            if authorization is not None and is_one(authorization):
                return self._begun(client, head, rule, login, offer, judged=judged)
            if authorization is None and login is not None and _speaks(login, judged=judged):
                speaker = Speaker(Credentials("connection", login.login or "", b"in"), login.login, b"")
                return self._bound(client, head, rule, login, offer, speaker, None, judged=judged)
        if login is not None:
            # By other credentials, by none, or through somebody: the login that was there is not this request's.
            login.end()
        return WebmailExchange(self._front, client, head, rule, self._places, judged=judged, offer=offer)

    def _begun(
        self,
        client: ClientConnection,
        head: RequestHead,
        rule: Rule,
        login: BoundLogin | None,
        offer: Offer,
        *,
        judged: bool,
    ) -> Exchange:
        """A request with a message of a login."""
        try:
            leg = read_leg(head.named[b"authorization"])
            speaker = self._speaker(client, leg, login, place_of(head), judged=judged)
        except InvalidValue:
            return self._without_it(client, head, rule, login, offer, "unreadable", judged=judged)
        if speaker is None:
            if leg.step is Step.BEGINS_HIDDEN:
                return self._without_it(client, head, rule, login, Offer.NTLM, "hidden", judged=judged)
            return self._without_it(client, head, rule, login, offer, "out_of_place", judged=judged)
        if leg.step is Step.ASKS and not client.keep_alive:
            return self._without_it(client, head, rule, login, offer, "not_kept", judged=judged)
        goes_on = leg.step in (Step.NAMES, Step.GOES_ON_HIDDEN)
        again = leg.step is Step.BEGINS_HIDDEN and login is not None and login.stage is Stage.IN and login.hidden
        if login is None:
            login = client.belonging = BoundLogin(client, self._there)
        if goes_on or again:
            return self._bound(client, head, rule, login, offer, speaker, leg, judged=judged)
        if login.exhausted:
            return self._without_it(client, head, rule, login, offer, "too_often", judged=judged)
        login.end()
        if len(self._there) >= self._settings.bound_connections:
            self._front.bound_logins.inc("too_many")
            client.keep_alive = False
            return Answered(client, refusals.defer(self._front.settings.retry_after_seconds))
        login.begin(leg.scheme, place_of(head), self._front.upstreams.of(client.address))
        return self._bound(client, head, rule, login, offer, speaker, leg, judged=judged, fresh=True)

    def _speaker(
        self, client: ClientConnection, leg: Leg, login: BoundLogin | None, place: tuple[bytes, bytes], *, judged: bool
    ) -> Speaker | None:
        """For whom a message speaks; None: it is out of place, or names nobody who could be judged.

        Raises ``InvalidValue`` for one that names nobody, or somebody whom servers might read in two ways.
        """
        if leg.step is Step.ASKS:
            return Speaker(None, None, leg.value)
        certified = self._certified(client)
        if leg.step is not Step.BEGINS_HIDDEN and (login is None or not login.awaits(leg, place)):
            return None
        if leg.step is not Step.NAMES:
            if judged and certified is None:
                return None
            named = certified if judged else None
        else:
            assert login is not None
            named = self._named(leg, login, judged=judged)
        # Of one claim, until it is proved: strangers make as many as they like under any name.
        mark = b"%d" % next(self._marks)
        return Speaker(Credentials("connection", named or "", mark), named, leg.value)

    def _named(self, leg: Leg, login: BoundLogin, *, judged: bool) -> str | None:
        claim = ntlm.claimed(leg.message, unicode=login.unicode)
        try:
            return ntlm.login_of(claim, self._front.rules)
        except InvalidValue:
            if judged:
                raise
            return None

    def _bound(
        self,
        client: ClientConnection,
        head: RequestHead,
        rule: Rule,
        login: BoundLogin,
        offer: Offer,
        speaker: Speaker,
        leg: Leg | None,
        *,
        judged: bool,
        fresh: bool = False,
    ) -> BoundExchange:
        return BoundExchange(
            *(self._front, client, head, rule, self._places),
            judged=judged,
            offer=offer,
            speaker=speaker,
            login=login,
            leg=leg,
            fresh=fresh,
        )

    def _without_it(
        self,
        client: ClientConnection,
        head: RequestHead,
        rule: Rule,
        login: BoundLogin | None,
        offer: Offer,
        outcome: str,
        *,
        judged: bool,
    ) -> Exchange:
        """The request without its message: the mail server will say what it takes in its place."""
        self._front.bound_logins.inc(outcome)
        if login is not None:
            login.end()
        if outcome != "hidden":
            client.keep_alive = False
        named = {name: value for name, value in head.named.items() if name != b"authorization"}
        fields = [pair for pair in head.fields if pair[0].lower() != b"authorization"]
        bare = head._replace(fields=fields, named=named)
        return WebmailExchange(self._front, client, bare, rule, self._places, judged=judged, offer=offer)

    def _is_shared(self, client: ClientConnection, head: RequestHead) -> bool:
        """Whether others may come by this connection as well."""
        address = read_address(client.address)
        by_proxy = address is not None and any(address in network for network in self._trusted)
        return by_proxy or not _BY_PROXIES.isdisjoint(head.named)

    @staticmethod
    def _certified(client: ClientConnection) -> str | None:
        """Who it is by a certificate that names both person and device; None: none does."""
        certificate = client.certificate
        if certificate is None or not certificate.device_key or not certificate.logins:
            return None
        return certificate.logins[0]


def _speaks(login: BoundLogin, *, judged: bool) -> bool:
    return login.stage is Stage.IN and (not judged or login.login is not None)
