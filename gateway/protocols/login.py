"""What happens between a connection and its login, as values: shared by IMAP and POP3, so that one proxy can do both.

A dialogue with a client, and one with a mail server, take octets and give these events; who owns the sockets writes
the octets of each event first, and then does what it says. Nothing here holds a secret that can be seen.
"""

from dataclasses import dataclass, field
from functools import lru_cache

from gateway.protocols.sasl import Credentials, Mechanism


@dataclass(frozen=True, slots=True, eq=False)
class Offer:
    """What a client may do before login, as its connection stands now: in the clear, or within TLS.

    Few are made (``offer_of``), so they are told apart by identity: nothing has to be hashed for each connection.
    """

    mechanisms: tuple[Mechanism, ...] = ()
    """None: no login at all, as is right without TLS."""
    starttls: bool = False
    literals_unasked: bool = False
    """Whether literals need not be waited for (RFC 7888), here and behind the login at the mail server. IMAP only."""
    password: bool = field(init=False)
    """Whether LOGIN, or USER and PASS, is taken."""

    def __post_init__(self) -> None:
        """By what there is."""
        object.__setattr__(self, "password", any(not each.by_token for each in self.mechanisms))


@lru_cache(maxsize=32)
def offer_of(mechanisms: tuple[Mechanism, ...], starttls: bool, literals_unasked: bool) -> Offer:
    """The same one for the same."""
    return Offer(mechanisms, starttls, literals_unasked)


# --- with a client


@dataclass(frozen=True, slots=True)
class Said:
    """Something to write, and nothing else to do."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Identified:
    """The client has said what it is (RFC 2971): claims of its own, for the log."""

    octets: bytes
    fields: tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class TlsAsked:
    """Stop reading, write these octets, start TLS, and begin a new dialogue."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class LoginAsked:
    """Ask the mail server, then the verdict; then ``logged_in`` or ``refuse``."""

    tag: bytes
    """Empty in POP3."""
    credentials: Credentials
    octets: bytes = b""


@dataclass(frozen=True, slots=True)
class ChallengeAnswered:
    """The client has taken note of the challenge passed on by ``challenge``; what it said matters to nobody."""

    octets: bytes = b""


@dataclass(frozen=True, slots=True)
class Ended:
    """Write these octets (if any) and close."""

    octets: bytes
    reason: str
    """A name for the metrics."""


ClientEvent = Said | Identified | TlsAsked | LoginAsked | ChallengeAnswered | Ended


# --- with a mail server


@dataclass(frozen=True, slots=True)
class Send:
    """Octets for the server."""

    octets: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class StartTls:
    """The server waits for TLS; then ``secured``."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The server can be logged in to (``login``)."""

    capabilities: frozenset[bytes]
    """In upper case; mechanisms as ``AUTH=PLAIN``."""


@dataclass(frozen=True, slots=True)
class Challenged:
    """The server explains why it refuses a token; the refusal follows."""

    response: bytes
    """For the client, in base64."""
    octets: bytes
    """For the server."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The login stands."""

    answer: bytes
    """For the client, once the verdict allows it."""
    rest: bytes
    """What the server has said behind it; for the client after that."""
    capabilities: frozenset[bytes] = frozenset()
    """What the server says it can do now, in upper case and whole: more than the client is told. IMAP only."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The server has said no."""

    answer: bytes
    """For the client."""
    wrong: bool
    """Whether it is about the credentials."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """There is no login at this server; close the connection to it."""

    reason: str
    """A name for log and metrics."""


ServerEvent = Send | StartTls | Opened | Challenged | Accepted | Rejected | Unusable
