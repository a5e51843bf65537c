"""The login of one client's connection (NTLM, Negotiate): how far it is, whose it is, and the upstream that holds it.

Each handshake begins on a connection to the mail server of its own, which nobody was logged in on before; so nothing
that was said earlier can be taken for it. Whose login it is the client has claimed; it is proved when the mail server
answers with success where it has challenged before.
"""

from enum import Enum, auto

from gateway.network.owned_upstream import OwnedUpstream
from gateway.network.upstream import UpstreamPool
from gateway.protocols.connection_login import Leg, Step, answered, challenges, unicode_agreed
from gateway.protocols.http.response_head import ResponseHead
from gateway.proxies.client_connection import ClientConnection

TRIES_MOST = 16
"""Handshakes of one connection without a login."""

Place = tuple[bytes, bytes]
"""Method and target of a request."""


class Stage(Enum):
    """How far a login is."""

    NOBODY = auto()
    ASKED = auto()
    """NTLM's challenge is at the client: its answer names somebody."""
    HIDDEN = auto()
    """A login that names nobody takes another message."""
    IN = auto()


class BoundLogin:
    """One for each client connection that has begun one (``Belonging``)."""

    __slots__ = (
        "_client",
        "_place",
        "_there",
        "_tries",
        "_unicode",
        "hidden",
        "login",
        "proved",
        "scheme",
        "stage",
        "upstream",
    )

    def __init__(self, client: ClientConnection, there: set["BoundLogin"]) -> None:
        """``there``: those that hold a connection to the mail server."""
        self._client = client
        self._there = there
        self._tries = 0
        self._unicode = False
        self._place: Place = (b"", b"")
        self.upstream: OwnedUpstream | None = None
        self.stage = Stage.NOBODY
        self.scheme = b""
        self.login: str | None = None
        """Whose it is, canonical, once it is there; None: nobody who can be judged."""
        self.proved = False
        """The mail server answers with success where it has challenged."""
        self.hidden = False
        """Nobody can read whose it is (Kerberos); ``login`` is then the certificate's."""

    @property
    def exhausted(self) -> bool:
        """Whether this client has begun too often without coming to an end."""
        return self._tries >= TRIES_MOST

    @property
    def pending(self) -> bool:
        """Whether the mail server has said something that the client has to answer."""
        return self.stage in (Stage.ASKED, Stage.HIDDEN)

    @property
    def unicode(self) -> bool:
        """How names are written in the answer to the challenge."""
        return self._unicode

    def begin(self, scheme: bytes, place: Place, pool: UpstreamPool) -> None:
        """Another handshake, on another connection."""
        self.end()
        self._tries += 1
        self.scheme, self._place = scheme, place
        self.upstream = OwnedUpstream(pool, self._lost)
        self._there.add(self)

    def awaits(self, leg: Leg, place: Place) -> bool:
        """Whether a message is the answer to the challenge: the same request again, by the same scheme."""
        expected = {Step.NAMES: Stage.ASKED, Step.GOES_ON_HIDDEN: Stage.HIDDEN}.get(leg.step)
        return self.stage is expected and leg.scheme == self.scheme and place == self._place

    def heard(self, leg: Leg | None, head: ResponseHead, login: str | None, place: Place) -> None:
        """The mail server's answer to a message, or to a request by this login (None), begins."""
        success = 200 <= head.status < 300
        if head.status == 401:
            self._heard_challenge(leg, head)
        elif leg is None:
            self.proved = self.proved or (success and place == self._place)
        elif leg.step is Step.ASKS:
            # It takes no notice of the message: nobody is logged in.
            self._forget()
        else:
            self.stage, self.login, self.proved, self._tries = Stage.IN, login, success, 0
            self.hidden = leg.step is not Step.NAMES

    def _heard_challenge(self, leg: Leg | None, head: ResponseHead) -> None:
        values = [value for name, value in head.fields if name.lower() == b"www-authenticate"]
        challenge = answered(leg.scheme, challenges(values)) if leg is not None else None
        self._forget()
        if leg is None or challenge is None:
            return
        if leg.step is Step.ASKS:
            unicode = unicode_agreed(challenge)
            if unicode is not None:
                self.stage, self._unicode = Stage.ASKED, unicode
        elif leg.step is not Step.NAMES:
            self.stage = Stage.HIDDEN

    def _forget(self) -> None:
        self.stage, self.login, self.proved, self.hidden = Stage.NOBODY, None, False, False

    def settle(self) -> None:
        """An answer is through: a connection on which nobody is logged in, nor about to be, is of no use."""
        if self.stage is Stage.NOBODY:
            self.end()

    def _lost(self, upstream: OwnedUpstream) -> None:
        """The mail server has closed the connection: what the client knows of it holds no more."""
        if upstream is self.upstream:
            self.upstream = None
            self._there.discard(self)
            self._forget()
            self._client.take_no_more()

    def end(self) -> None:
        """Nobody is logged in any more."""
        upstream, self.upstream = self.upstream, None
        self._there.discard(self)
        self._forget()
        if upstream is not None:
            upstream.end()

    def client_gone(self) -> None:
        """Its client's connection has ended."""
        self.end()
