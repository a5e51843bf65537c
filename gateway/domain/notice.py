"""A notice: what one person is told about one change, and the states of its way to the mail server.

There is one of a kind for each person and change, however many devices the person has. Between the end of a message
and the server's answer nobody can know whether it was taken (RFC 1047): such a notice is uncertain and never sent again
without a person's word. All ways between the states stand in ``WAYS``; whoever moves a notice does so by ``moved``.
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import sha256

from gateway.domain.errors import InvalidValue


class NoticeKind(StrEnum):
    """What a notice is for."""

    WARNING = "warning"
    """Before the cut, with a deadline."""
    CUT = "cut"
    """Mail has been cut."""
    CORRECTION = "correction"
    """What an earlier notice said does not apply any more."""
    ADMITTED = "admitted"
    """Mail works again."""


class NoticeState(StrEnum):
    """Where a notice stands."""

    PLANNED = "planned"
    HELD = "held"
    DUE = "due"
    CLAIMED = "claimed"
    TRANSMITTING = "transmitting"
    SENT = "sent"
    DEFERRED = "deferred"
    UNCERTAIN = "uncertain"
    FAILED = "failed"
    BOUNCED = "bounced"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


_S = NoticeState

WAYS: Mapping[NoticeState, frozenset[NoticeState]] = {
    _S.PLANNED: frozenset({_S.HELD, _S.DUE, _S.EXPIRED, _S.CANCELLED}),
    _S.HELD: frozenset({_S.HELD, _S.DUE, _S.CLAIMED, _S.EXPIRED, _S.CANCELLED}),
    _S.DUE: frozenset({_S.HELD, _S.CLAIMED, _S.EXPIRED, _S.CANCELLED}),
    _S.CLAIMED: frozenset({_S.CLAIMED, _S.TRANSMITTING, _S.DUE, _S.DEFERRED, _S.FAILED, _S.EXPIRED, _S.CANCELLED}),
    _S.TRANSMITTING: frozenset({_S.SENT, _S.DUE, _S.DEFERRED, _S.FAILED, _S.UNCERTAIN}),
    _S.SENT: frozenset({_S.BOUNCED}),
    _S.DEFERRED: frozenset({_S.HELD, _S.CLAIMED, _S.EXPIRED, _S.CANCELLED}),
    _S.UNCERTAIN: frozenset({_S.UNCERTAIN, _S.SENT, _S.BOUNCED, _S.DUE}),
    _S.FAILED: frozenset({_S.DUE}),
    _S.BOUNCED: frozenset({_S.DUE}),
    _S.EXPIRED: frozenset({_S.DUE}),
    _S.CANCELLED: frozenset(),
}
"""From each state, where to. From uncertain, failed, bounced and expired back to due only by a person's word."""

WAITING = frozenset({_S.PLANNED, _S.HELD, _S.DUE, _S.CLAIMED, _S.DEFERRED})
"""Nothing of it has reached a server, or nothing since somebody sent it again: it may be cancelled."""
CLAIMABLE = frozenset({_S.HELD, _S.DUE, _S.DEFERRED, _S.CLAIMED})
"""To be taken up at ``next_at``; a claimed one whose lease is over among them."""
TOLD = frozenset({_S.SENT, _S.UNCERTAIN, _S.BOUNCED})
"""States that say by themselves that somebody may have read it: what came back may have been forwarded before."""
RESENDABLE = frozenset({_S.UNCERTAIN, _S.FAILED, _S.BOUNCED, _S.EXPIRED})


@dataclass(frozen=True, slots=True)
class Finding:
    """A banned app on one of the person's devices, as the evidence has it."""

    app: str
    device: str
    """What a person would call it; empty where no name is known."""
    seen_at: float
    """When the report was made, epoch seconds."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Whom a notice is for."""

    person_id: str
    address: str
    language: str
    """One that there are texts in; fixed when the notice is planned."""
    time_zone: str
    """IANA name; empty: the site's."""
    display_name: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice as it stands."""

    change: int
    kind: NoticeKind
    reader: Reader
    message_id: str
    """The same at each attempt, with its angle brackets."""
    findings: tuple[Finding, ...] = ()
    answers: tuple[str, ...] = ()
    """Message-IDs of what it answers, oldest first."""
    place: int = 0
    """Its order in the mailing."""
    state: NoticeState = NoticeState.PLANNED
    version: int = 0
    """Counts up with each step: who writes a step compares it."""
    next_at: float = 0.0
    """When it is looked at next, epoch seconds; of a claimed or transmitting one the end of the lease,
    of an uncertain one when its copy is looked for."""
    attempts: int = 0
    first_attempt_at: float | None = None
    answer: str = ""
    """The server's last words, or why it stands where it stands."""
    content: bytes = field(default=b"", repr=False)
    """The message as it was first handed over; kept while it might be sent again."""
    told: bool = False
    """It was in a state of ``TOLD`` once; whatever becomes of it since, nobody takes that back but a correction."""

    @property
    def key(self) -> tuple[int, NoticeKind, str]:
        """What is unique: change, kind and person."""
        return self.change, self.kind, self.reader.person_id

    @property
    def may_be_read(self) -> bool:
        """Whether its reader may have read it: then the reader gets the correction."""
        # The version before sets no mark.
        return self.told or self.state in TOLD


def moved(notice: Notice, to: NoticeState, next_at: float = 0.0, answer: str | None = None) -> Notice:
    """The notice in another state, one version on. Raises ``InvalidValue`` where no way leads there."""
    if to not in WAYS[notice.state]:
        raise InvalidValue(f"a notice that is {notice.state} cannot become {to}")
    words = notice.answer if answer is None else answer
    told = notice.may_be_read or to in TOLD
    return replace(notice, state=to, version=notice.version + 1, next_at=next_at, answer=words, told=told)


class Tell(StrEnum):
    """When the people whom a change newly cuts are told, without anybody ordering it."""

    WARNING_FIRST = "warning-first"
    """They are warned, and the change comes into force at the deadline."""
    WITH_THE_CUT = "with-the-cut"
    """The change comes at once, and they are told what has happened."""
    NEVER = "never"


NEWEST_PREVIEW = 0
"""In ``Plan.waves``: everybody whom the newest preview of the change cuts."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How far the writing down of a mailing's recipients is. A process that ends leaves it where it stood."""

    waves: tuple[int, ...] = ()
    """Still to be written down, the first one now: whom the policy version of that number newly cut, or
    ``NEWEST_PREVIEW``. Empty: everybody is."""
    after: str = ""
    """The person up to whom the present wave is written down, in the order of ids."""
    people: int | None = None
    """How many the present wave has; None: nobody has looked yet."""
    looked_at: int = 0
    """Of these."""
    by_preview: str = ""
    """The digest of the preview that the present wave goes by; by another one it begins anew."""
    without_address: int = 0
    """In all waves."""
    not_found: int = 0
    """Logins that belong to nobody known, in all waves."""
    hold_seconds: float = 600.0
    """Begins when the last wave is written down."""
    expires_seconds: float = 86_400.0
    not_so: int = 0
    """Of whom nothing is known that the notice would say, in all waves: they are told nothing."""
    written: tuple[int, ...] = ()
    """Waves that are written down."""


NOTHING_TO_PLAN = Plan()


class MailingState(StrEnum):
    """Where all notices of one kind about one change stand together."""

    PLANNING = "planning"
    """Recipients are still being written down; the hold has not begun."""
    SENDING = "sending"
    """Held, then released batch by batch."""
    STOPPED = "stopped"
    """By a person or by a rule; goes on by a person's word."""
    FINISHED = "finished"
    """Every notice has been released."""
    CANCELLED = "cancelled"
    """The change was taken back: what waits never leaves."""


@dataclass(frozen=True, slots=True)
class Mailing:
    """All notices of one kind about one change, and what they say."""

    change: int
    kind: NoticeKind
    planned_at: float
    planned_by: str
    state: MailingState = MailingState.PLANNING
    version: int = 0
    starts_at: float = 0.0
    """The first notice leaves at this moment at the earliest: the end of the hold."""
    not_after: float = 0.0
    """A notice that has not left by then is expired; 0: no such moment."""
    deadline: float | None = None
    """Of a warning: from when mail is cut."""
    urgent: bool = False
    """Quiet hours do not count."""
    batch: int = 0
    """Batches released so far."""
    next_batch_at: float = 0.0
    apps: tuple[str, ...] = ()
    """The names of the banned apps that the change is about."""
    text: str = ""
    """The ban's own words to the reader."""
    words: str = ""
    """Why it was stopped or cancelled."""
    borne_bad: int = 0
    """Undelivered notices that somebody has seen and let it go on with,"""
    borne_tried: int = 0
    """of so many,"""
    borne_wrong: int = 0
    """and readers who said by then that theirs is wrong: only what comes behind counts against it."""
    life: str = ""
    """Of the store, when somebody last let it go on: in another one nobody knows what had left meanwhile."""
    plan: Plan = NOTHING_TO_PLAN

    @property
    def key(self) -> tuple[int, NoticeKind]:
        """What is unique."""
        return self.change, self.kind


MAILING_WAYS: Mapping[MailingState, frozenset[MailingState]] = {
    MailingState.PLANNING: frozenset(MailingState) - {MailingState.FINISHED},
    MailingState.SENDING: frozenset(MailingState),
    MailingState.STOPPED: frozenset(MailingState) - {MailingState.FINISHED},
    MailingState.FINISHED: frozenset(MailingState),
    MailingState.CANCELLED: frozenset(),
}
"""From each state of a mailing, where to. A finished one goes on where somebody sends a notice again, and where the
next stage of its change cuts more people."""


def mailing_moved(mailing: Mailing, to: MailingState, words: str = "") -> Mailing:
    """The mailing in another state, one version on. Raises ``InvalidValue`` where no way leads there."""
    if to not in MAILING_WAYS[mailing.state]:
        raise InvalidValue(f"the {mailing.kind} notices of change {mailing.change} are {mailing.state}, not to be {to}")
    return replace(mailing, state=to, version=mailing.version + 1, words=words)


# --- names


def notice_number(change: int) -> str:
    """What readers call a notice by, on the telephone for instance."""
    return f"GP-{change}"


def person_token(key: bytes, change: int, kind: NoticeKind, person_id: str) -> str:
    """What stands for a person in a Message-ID: it says nothing to whoever lacks the key, and cannot be guessed."""
    digest = hmac.digest(key, f"v1|message-id|{change}|{kind}|{person_id}".encode(), sha256)
    return urlsafe_b64encode(digest[:15]).decode()


def message_id_of(key: bytes, change: int, kind: NoticeKind, person_id: str, domain: str) -> str:
    """The Message-ID of a notice, with its angle brackets; the same whenever it is asked for."""
    return f"<gp.{change}.{kind}.{person_token(key, change, kind, person_id)}@{domain}>"


def place_of(key: bytes, change: int, person_id: str) -> int:
    """A notice's order in its mailing, 0 to 2^31: mixed, so that the first batch is of all departments."""
    return int.from_bytes(hmac.digest(key, f"v1|place|{change}|{person_id}".encode(), sha256)[:4], "big") >> 1
