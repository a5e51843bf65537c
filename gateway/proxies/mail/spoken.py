"""What a protocol is to the mail front: one value for each, in ``imap`` and ``pop3``.

The front knows octets, moments and verdicts; everything that is said in a protocol comes from here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.domain.access import AccessRequest
from gateway.domain.access import Protocol as WayIn
from gateway.domain.verdict import Verdict
from gateway.protocols.login import ClientEvent, Ended, Offer, Said
from gateway.protocols.sasl import Mechanism
from gateway.protocols.server_dialogue import Facts, ServerDialogue


class ClientDialogue(Protocol):
    """With a client, up to its login (``protocols.imap.before_login``)."""

    def greeting(self) -> bytes: ...
    def receive(self, octets: bytes) -> None: ...
    def next(self) -> ClientEvent | None: ...
    @property
    def crowded(self) -> bool: ...
    def logged_in(self) -> bytes: ...
    def refuse(self, answer: bytes) -> Said | Ended: ...
    def defer(self, tag: bytes) -> Said | Ended: ...
    def challenge(self, response: bytes) -> Said: ...


class Following(Protocol):
    """Follows both directions of a session, to know where it may end."""

    @property
    def at_boundary(self) -> bool:
        """Whether a last line may be written to the client, or, where there is none, the connection be closed."""
        ...

    @property
    def at_rest(self) -> bool:
        """Whether neither side is in the midst of something, as far as can be told."""
        ...

    def asked(self, octets: bytes) -> None:
        """The client's next octets."""
        ...

    def answered(self, octets: bytes) -> None:
        """The server's next octets."""
        ...


class NoticeDialogue(Protocol):
    """With a client that is refused and finds a notice (``protocols.imap.notice_mailbox``)."""

    def logged_in(self, tag: bytes) -> bytes: ...
    def receive(self, octets: bytes) -> None: ...
    def next(self) -> Said | Ended | None: ...
    @property
    def crowded(self) -> bool: ...
    @property
    def at_rest(self) -> bool: ...
    @property
    def released(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class LastWords:
    """What a client is told, unasked, before its connection is closed; empty: the protocol has no word for it."""

    drained: bytes
    too_slow: bytes
    """Before the login."""
    timed_out: bytes
    """After it."""
    too_many: bytes
    """A connection over a limit."""
    cut_for_now: bytes
    """Nobody can say any longer whether this session may have mail."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """One protocol."""

    protocol: WayIn
    alpn: str
    """IANA's name of it (RFC 7301)."""
    port: int
    secure_port: int
    dialogue: Callable[[Offer], ClientDialogue]
    upstream_login: Callable[[bool, frozenset[bytes] | None], ServerDialogue]
    """Whether STARTTLS comes first, and the capabilities known."""
    mechanisms: Callable[[frozenset[bytes]], tuple[Mechanism, ...]]
    following: Callable[[], Following]
    facts: Callable[[str, int], Facts]
    """The client's address and port as the mail server wants to be told of them."""
    denied: Callable[[bytes, str, str], bytes]
    """The answer to a login (tag, app, note)."""
    wrong_credentials: Callable[[bytes], bytes]
    cut: Callable[[str, str], bytes]
    """Unasked, to a session whose verdict is DENY now (app, note); empty: there is no word for it."""
    last_words: LastWords
    farewell: bytes
    """For a mail server that accepted the login of somebody who may not have mail."""
    unwatchable: frozenset[bytes]
    """Capabilities that a mail server should not have for clients that come through a gateway."""
    notice: Callable[[AccessRequest, Verdict], NoticeDialogue] | None = None
    """What a refused client may find in the place of its mailbox; None: a refusal is told in words only."""
