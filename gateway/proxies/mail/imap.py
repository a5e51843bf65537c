"""IMAP (RFC 9051, RFC 3501) as the mail front speaks it."""

from gateway.domain.access import AccessRequest, Protocol
from gateway.domain.verdict import Verdict
from gateway.protocols.imap import refusals
from gateway.protocols.imap.before_login import Dialogue
from gateway.protocols.imap.capabilities import UNWATCHABLE, mechanisms
from gateway.protocols.imap.client_stream import ClientFollower
from gateway.protocols.imap.notice_mailbox import NoticeMailbox
from gateway.protocols.imap.notice_message import Facts as Told
from gateway.protocols.imap.notice_message import compose
from gateway.protocols.imap.responses import ResponseFollower
from gateway.protocols.imap.upstream_login import LOGOUT, UpstreamLogin
from gateway.protocols.server_dialogue import Facts
from gateway.protocols.wording import app_named
from gateway.proxies.mail.spoken import LastWords, Spoken


class Following:
    """Both directions: exactly what comes from the server, roughly what comes from the client."""

    __slots__ = ("_client", "_server", "answered", "asked")

    def __init__(self) -> None:
        self._client, self._server = ClientFollower(), ResponseFollower()
        # The followers' own methods: one call less for each piece of a mail.
        self.asked = self._client.follow
        self.answered = self._server.follow

    @property
    def at_boundary(self) -> bool:
        """Whether a line of ours may be written to the client."""
        return self._server.at_boundary

    @property
    def at_rest(self) -> bool:
        """Whether both are, or the client waits in IDLE."""
        return self._server.at_boundary and (self._client.idling or self._client.at_boundary)


def _facts(address: str, port: int) -> Facts:
    """Dovecot's names; a server that does not know them, or does not trust us, ignores them."""
    return (b"x-originating-ip", address.encode()), (b"x-originating-port", b"%d" % port)


def _notice(request: AccessRequest, verdict: Verdict) -> NoticeMailbox:
    """A mailbox with one message about the app that decided."""
    told = Told(request.login, app_named(verdict), verdict.note, verdict.evidence_at, verdict.policy_version)
    return NoticeMailbox(compose(told))


IMAP = Spoken(
    protocol=Protocol.IMAP,
    alpn="imap",
    port=143,
    secure_port=993,
    dialogue=Dialogue,
    upstream_login=lambda starttls, known: UpstreamLogin(starttls=starttls, known=known),
    mechanisms=mechanisms,
    following=Following,
    facts=_facts,
    denied=refusals.denied,
    wrong_credentials=refusals.wrong_credentials,
    cut=refusals.cut,
    last_words=LastWords(
        drained=refusals.drained(),
        too_slow=refusals.TOO_SLOW,
        timed_out=refusals.TIMED_OUT,
        too_many=refusals.TOO_MANY_CONNECTIONS,
        cut_for_now=refusals.cut_for_now(),
    ),
    farewell=LOGOUT,
    unwatchable=UNWATCHABLE,
    notice=_notice,
)
