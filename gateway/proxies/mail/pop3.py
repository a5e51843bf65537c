"""POP3 (RFC 1939, RFC 2449) as the mail front speaks it.

A server never speaks unasked here: whatever ends a session from our side, it is closed without a word. Without QUIT
nothing is deleted (RFC 1939 §6), so a cut loses no mail.
"""

from gateway.domain.access import Protocol
from gateway.protocols.pop3 import refusals
from gateway.protocols.pop3.before_login import Dialogue
from gateway.protocols.pop3.capabilities import mechanisms
from gateway.protocols.pop3.responses import ResponseFollower
from gateway.protocols.pop3.upstream_login import QUIT, UpstreamLogin
from gateway.protocols.server_dialogue import Facts
from gateway.proxies.mail.spoken import LastWords, Spoken


class Following:
    """Both directions, in one follower."""

    __slots__ = ("_server", "answered", "asked")

    def __init__(self) -> None:
        self._server = ResponseFollower()
        self.asked = self._server.asked
        self.answered = self._server.follow

    @property
    def at_boundary(self) -> bool:
        """Whether everything that the client was sent is whole answers."""
        return self._server.at_boundary

    @property
    def at_rest(self) -> bool:
        """Whether, besides, every command has been answered."""
        return self._server.at_boundary and not self._server.outstanding


def _facts(address: str, port: int) -> Facts:
    """For Dovecot's XCLIENT, which is said only to a server whose greeting asks for it."""
    return (b"ADDR", address.encode()), (b"PORT", b"%d" % port)


POP3 = Spoken(
    protocol=Protocol.POP3,
    alpn="pop3",
    port=110,
    secure_port=995,
    dialogue=Dialogue,
    upstream_login=lambda starttls, known: UpstreamLogin(starttls=starttls, known=known),
    mechanisms=mechanisms,
    following=Following,
    facts=_facts,
    denied=lambda tag, app, note: refusals.denied(app, note),
    wrong_credentials=lambda tag: refusals.wrong_credentials(),
    cut=lambda app, note: b"",
    last_words=LastWords(
        drained=b"", too_slow=b"", timed_out=b"", too_many=refusals.TOO_MANY_CONNECTIONS, cut_for_now=b""
    ),
    farewell=QUIT,
    unwatchable=frozenset(),
)
