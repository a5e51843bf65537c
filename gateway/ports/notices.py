"""Handing a notice to a mail server: what each way of sending (SMTP, Exchange) does for the outbox.

A way never sends anything twice by itself and never repeats a request whose answer was lost: it says ``UNCERTAIN`` and
leaves the rest to the outbox, which is the only one that tries again. Immediately before the first octet that could
make the server take the message (DATA, CreateItem) it awaits ``may_go``, which commits that the message is about to go;
where that answers False the notice was withdrawn meanwhile or is another process's, and nothing is sent.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class Outcome(StrEnum):
    """What became of one attempt."""

    ACCEPTED = "accepted"
    """The server said that it has taken the message."""
    DEFERRED = "deferred"
    """The server said that it has not, for now; or there was no connection: nothing of it has gone."""
    REFUSED = "refused"
    """The server said that it never will, because of this recipient or this message."""
    UNCERTAIN = "uncertain"
    """It may have taken it: the answer was lost, or is none of the known ones."""
    CHANNEL_BROKEN = "channel broken"
    """Not taken, and others will not be either: login refused, certificate unusable, sender refused."""
    NOT_SENT = "not sent"
    """``may_go`` said no."""


@dataclass(frozen=True, slots=True)
class OutgoingNotice:
    """A composed notice. SMTP sends ``mime``; Exchange makes its own item of the parts."""

    key: str
    """``change/kind/token``: what the copy in Sent is found by; it names nobody."""
    message_id: str
    """With its angle brackets."""
    sender: str
    """Address, without a display name."""
    sender_name: str
    recipient: str
    recipient_name: str
    reply_to: str
    """Address; empty: none."""
    subject: str
    plain: str = field(repr=False)
    html: str = field(repr=False)
    language: str
    sent_at: float
    """Of the first attempt, epoch seconds: the Date header."""
    references: tuple[str, ...] = ()
    """Message-IDs, oldest first; the last one is In-Reply-To."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Further ones: Auto-Submitted, X-Auto-Response-Suppress."""
    mime: bytes = field(default=b"", repr=False)
    """The whole message, CRLF line ends; the same octets at each attempt."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """How an attempt ended."""

    outcome: Outcome
    words: str = ""
    """The server's answer or what went wrong, one line, no secret. Servers put the reader's address into it, so it
    stands in the notice and goes nowhere else: it is erased with the reader."""
    message_id: str = ""
    """The true one where the server made another (Exchange); corrections refer to it."""
    retry_after_seconds: float | None = None
    """What the server asked for."""
    nameless: str = ""
    """What of ``words`` names nobody, whatever the server says: its codes, or our own words."""

    @property
    def public(self) -> str:
        """What may be said of it wherever the reader is not shown: in logs, ``status``, mailings, the audit log."""
        return self.nameless or self.outcome.value


def of_the_way(outcome: Outcome, words: str, retry_after_seconds: float | None = None) -> Attempt:
    """An attempt whose words are our own, or from before any reader was named: they may be said everywhere."""
    return Attempt(outcome, words, retry_after_seconds=retry_after_seconds, nameless=words)


MayGo = Callable[[], Awaitable[bool]]


class NoticeDelivery(Protocol):
    """One way to hand notices over; used by several tasks at the same time, each with one notice."""

    name: str
    """For logs and ``status``: ``smtp`` or ``exchange``."""
    remembers: bool
    """Whether ``look_up`` can find anything."""

    async def deliver(self, notice: OutgoingNotice, may_go: MayGo) -> Attempt:
        """Try once. Raises nothing but what ``may_go`` raises and cancellation.

        Cancelled after ``may_go`` the notice is uncertain; the outbox finds that out by itself.
        """
        ...

    async def look_up(self, keys: Sequence[str]) -> Mapping[str, str]:
        """Which of these are proved to have been sent (``key`` to the true Message-ID); empty where none can be.

        Raises ``DeliveryUnusable`` where the server cannot be asked just now.
        """
        ...

    async def check(self) -> str:
        """Prove connection and login without sending; what was found, in one line. Raises ``DeliveryUnusable``."""
        ...

    async def close(self) -> None:
        """End connections; bounded in time."""
        ...


class DeliveryUnusable(Exception):  # noqa: N818  (a state of affairs)
    """This way cannot be used; the text says why and what to do."""
