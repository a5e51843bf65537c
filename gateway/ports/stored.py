"""What a store keeps, as values; and how it says that it cannot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.domain.evidence import PersonRecord
from gateway.domain.inventory import Scope


class Conflict(Exception):  # noqa: N818
    """The unit of work met something that another one changed: a login taken, a version number used."""


class StoreUnavailable(Exception):  # noqa: N818  (a state of affairs, not a mistake)
    """The store cannot answer now: away, locked beyond the time-out, disk full, read-only. Try again later."""


class OutcomeUnknown(StoreUnavailable):
    """The answer to a commit did not come: it is stored, or it is not. What is idempotent may be sent again."""


class Unstorable(StoreUnavailable):
    """The store is there, and cannot hold or look for a value that it was given: trying again does not help."""


class ChangeKind(StrEnum):
    """What a change-log row tells the data plane."""

    PERSON = "person"
    """``names`` are the canonical logins whose records changed."""
    POLICY = "policy"
    """``version`` is the new policy version."""
    EVERYBODY = "everybody"
    """Too many records changed to name them: drop all."""


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the change log."""

    sequence: int
    kind: ChangeKind
    names: tuple[str, ...] = ()
    version: int = 0
    at: float = 0.0
    records: Mapping[str, PersonRecord] = field(default_factory=dict, compare=False, repr=False)
    """Of some of ``names``, as this change left them, where they were at hand; their own sequence means nothing.

    Only in what ``Store.write`` gives, never in what is read from the log.
    """


@dataclass(frozen=True, slots=True)
class Source:
    """A configured system that reports inventories."""

    name: str
    kind: str
    """``push`` for now."""
    devices: str
    """Glob over the source's device keys it may report for; ``*`` for all. Empty: see ``disbelieved``."""
    max_scope: Scope
    max_age: float
    """Seconds after which its evidence is stale."""
    secrets: tuple[str, ...] = ()
    """Accepted signature secrets, newest first: ``whsec_…`` (HMAC-SHA256) or ``whpk_…`` (ed25519 public key)."""
    created_at: float = 0.0
    created_by: str = ""
    removed_at: float | None = None
    user: str = ""
    """Canonical login glob the source may name; empty: any."""

    @property
    def disbelieved(self) -> bool:
        """Removed together with what it has said: its evidence counts for nothing any more, tombstones included."""
        return self.removed_at is not None and not self.devices

    def __repr__(self) -> str:
        """Without the secrets."""
        return f"Source(name={self.name!r}, kind={self.kind!r}, devices={self.devices!r})"


@dataclass(frozen=True, slots=True)
class Person:
    """A mail user."""

    person_id: str
    """Canonical login."""
    aliases: tuple[str, ...] = ()
    """Other canonical logins of the same person."""
    groups: frozenset[str] = frozenset()
    display_name: str = ""
    language: str = ""
    time_zone: str = ""
    origin: str = ""
    """``import`` or the name of the source whose report named the person first."""
    address: str = ""
    """Where notices go to; empty: ``person_id``, where that is an address."""


@dataclass(frozen=True, slots=True)
class MailDevice:
    """A device that asked for mail with credentials the upstream accepted."""

    person_id: str
    device_id: str
    first_seen_at: float
    last_seen_at: float
    device_type: str = ""
    user_agent: str = ""
    protocol_version: str = ""
    client_address: str = ""
    device_information: str = ""
    """JSON object of the fields it states of itself ([MS-ASCMD] 2.2.3.45); display and contradiction only."""


@dataclass(frozen=True, slots=True)
class PinnedBinding:
    """An administrator's word that a mail device is (or is not) an inventory device."""

    person_id: str
    device_id: str
    source_id: str
    source_device: str
    bound: bool
    """False: these two are never bound, whatever the ids say."""
    author: str
    at: float


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """What is remembered of a received message for idempotency."""

    digest: str
    """SHA-256 hex of the body."""
    status: str
    sequence: int
    received_at: float


@dataclass(frozen=True, slots=True)
class OperatorToken:
    """A bearer token of a named operator. Only its digest is kept."""

    id: str
    operator: str
    digest: str
    """SHA-256 hex of the token (the token has 256 random bits, so a plain digest suffices)."""
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    role: str = "editor"
    """What a version that knows two roles only takes it for."""
    reach: str = ""
    """``all`` of the operator's roles, or ``viewer``; empty: as ``role`` says."""
    created_by: str = ""


@dataclass(frozen=True, slots=True)
class IssuedCredential:
    """A device credential of a person. Only its digest is kept (``domain.credential``)."""

    id: str
    person_id: str
    device_id: str
    """What it stands for: a DeviceId, or ``credential:ID`` where a pin says which inventory device that is."""
    digest: str = field(repr=False)
    source_id: str
    """Of the inventory device that it was issued for; empty: for a mail device."""
    source_device: str
    author: str
    issued_at: float
    revoked_at: float | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to do what only one process may do at a time."""

    name: str
    holder: str
    """The process."""
    term: int
    """Counts up with each change of the holder: what is done once only compares it in its own unit of work."""
    ends_at: float
    """By the store's own clock, epoch seconds."""


@dataclass(frozen=True, slots=True)
class UnderLogin:
    """What is stored under one login, be it a person's own or an alias; each in the order of its own method."""

    mail_devices: Sequence[MailDevice]
    pins: Sequence[PinnedBinding]
    tombstoned: Sequence[str]
    """DeviceIds."""
    credentials: Sequence[IssuedCredential]
    """Revoked ones included."""


@dataclass(frozen=True, slots=True)
class ForeseenReport:
    """By which names whoever takes a report will look things up; names that are missed here are looked up later."""

    source_id: str
    message_id: str
    source_device: str
    logins: tuple[str, ...]
    """Canonical, that it states."""
    device_ids: tuple[str, ...]
    """Canonical, that it claims."""
