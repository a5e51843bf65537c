"""One entry of the audit log: who did what, when, to whom; and its octets, which are what is hashed.

The octets are canonical JSON (RFC 8785), so that anybody can make them again from what an export shows. To that end
values are strings, whole numbers, true, false, null, lists and objects with ASCII names; moments are text. Nobody is
named: a person is an HMAC of the login under a key of the person's own (``pseudonym_of``). When that key is deleted, no
entry says any more whom it is about, and every hash stays right. What goes into ``details`` names no person either.
"""

import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeAlias

VERSION = 1
ENTRY_BYTES = 65_536
"""A longer entry is split by whoever writes it; readers refuse it."""
WHOLE_NUMBERS_BELOW = 1 << 53
"""Beyond, JSON readers disagree (RFC 8785 3.2.2.3)."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Value: TypeAlias = "str | int | bool | Sequence[Value] | Mapping[str, Value] | None"


class AuditKind(StrEnum):
    """What an entry tells of."""

    STARTED = "started"
    """A control process began: its version, and the public key that it signs with."""
    CHECKPOINT = "checkpoint"
    """The log is about to be signed up to this entry."""
    SEGMENT_DROPPED = "segment_dropped"
    EVIDENCE = "evidence"
    """Reports that were applied, counted for each source."""
    POLICY_EDITED = "policy_edited"
    PREVIEW_SHOWN = "preview_shown"
    CHANGE_PROPOSED = "change_proposed"
    CHANGE_APPROVED = "change_approved"
    CHANGE_REJECTED = "change_rejected"
    CHANGE_SCHEDULED = "change_scheduled"
    CHANGE_STAGE = "change_stage"
    CHANGE_APPLIED = "change_applied"
    CHANGE_HALTED = "change_halted"
    CHANGE_WITHDRAWN = "change_withdrawn"
    NOTICE = "notice"
    """A notice or correction: planned, held, released, accepted, uncertain, cancelled."""
    EFFECTS = "effects"
    """First refusals and cuts, many to an entry."""
    PERSON_VIEWED = "person_viewed"
    """Somebody was shown what is on a person's device, or who has an app."""
    AUDIT_READ = "audit_read"
    TOKEN_CREATED = "token_created"  # noqa: S105  (the name of a kind)
    TOKEN_REVOKED = "token_revoked"  # noqa: S105
    OPERATOR = "operator"
    """An operator, or what one may do, was changed."""
    SOURCE_ADDED = "source_added"
    SOURCE_ROTATED = "source_rotated"
    SOURCE_REMOVED = "source_removed"
    CREDENTIAL_ISSUED = "credential_issued"
    CREDENTIAL_REVOKED = "credential_revoked"
    DEVICE_PINNED = "device_pinned"
    DEVICE_UNPINNED = "device_unpinned"
    DEVICE_FORGOTTEN = "device_forgotten"
    PEOPLE_IMPORTED = "people_imported"
    PERSON_ERASED = "person_erased"
    BRAKE = "brake"
    """The fleet brake held denials, or an operator let them go."""
    BREAK_GLASS = "break_glass"
    RESTORED = "restored"
    """A backup took the database's place: this log goes on from there, and what it had beyond is named."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A person whom an entry is about, perhaps with one device of theirs."""

    login: str
    """Canonical. Only its pseudonym is stored."""
    device: str = ""
    """Canonical DeviceId, or the key of an inventory device. Only its pseudonym is stored."""
    details: Mapping[str, Value] = field(default_factory=dict)
    """What happened to this one, where an entry is about several."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """What is to be written down; number and moment come with the commit."""

    kind: AuditKind
    actor: str
    """The operator's name; ``gatepost`` for what the gateway does by itself."""
    subjects: tuple[Subject, ...] = ()
    details: Mapping[str, Value] = field(default_factory=dict)


GATEPOST = "gatepost"
"""The actor of what nobody asked for."""


def pseudonym_of(key: bytes, login: str) -> str:
    """What stands in the log for a person: 128 bits of an HMAC-SHA256 under the person's own key."""
    return "p-" + hmac.digest(key, b"person\0" + _octets(login), "sha256")[:16].hex()


def device_pseudonym_of(key: bytes, device: str) -> str:
    """What stands in the log for a person's device; it goes when the person's key goes."""
    return "d-" + hmac.digest(key, b"device\0" + _octets(device), "sha256")[:16].hex()


def pseudonymous(entry: AuditEntry, keys: Mapping[str, bytes]) -> dict[str, Value]:
    """The entry without names. ``keys``: of every login among its subjects."""
    found: dict[str, Value] = {"actor": entry.actor, "kind": entry.kind.value, "v": VERSION}
    if entry.details:
        found["details"] = entry.details
    if entry.subjects:
        found["subjects"] = [_subject(each, keys[each.login]) for each in entry.subjects]
    return found


def _subject(subject: Subject, key: bytes) -> dict[str, Value]:
    found: dict[str, Value] = {"person": pseudonym_of(key, subject.login)}
    if subject.device:
        found["device"] = device_pseudonym_of(key, subject.device)
    return {**subject.details, **found}


def encoded(content: Mapping[str, Value], seq: int, at: float) -> bytes:
    """The octets of an entry with its number and moment (epoch seconds).

    Raises ``ValueError`` for values that have no canonical form, and for an entry of more than ``ENTRY_BYTES``.
    """
    return canonical({**content, "at": moment_text(at), "seq": seq})


def canonical(value: Mapping[str, Value]) -> bytes:
    """RFC 8785 for the values that an entry may hold. Raises ``ValueError``."""
    # Names are ASCII, so that sorting by code point is the RFC's sorting by UTF-16 unit.
    text = json.dumps(_checked(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    octets = text.encode()
    if len(octets) > ENTRY_BYTES:
        raise ValueError(f"an audit entry has at most {ENTRY_BYTES} octets")
    return octets


def _checked(value: object) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if abs(value) >= WHOLE_NUMBERS_BELOW:
            raise ValueError("a number in an audit entry is below 2^53")
        return int(value)
    if isinstance(value, str):
        return _octets(value).decode()
    if isinstance(value, Mapping):
        return {_name(name): _checked(each) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_checked(each) for each in value]
    raise ValueError(f"an audit entry holds no {type(value).__name__}")


def _name(name: object) -> str:
    if not isinstance(name, str) or not name.isascii():
        raise ValueError("the names in an audit entry are ASCII")
    return str(name)


def _octets(text: str) -> bytes:
    # A lone surrogate has no octets, and is no reason to lose an entry.
    return text.encode("utf-8", "replace")


def moment_text(at: float) -> str:
    """A moment (epoch seconds) as entries state it: UTC with microseconds and Z (RFC 3339)."""
    return (_EPOCH + timedelta(microseconds=round(at * 1e6))).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def decoded(octets: bytes) -> dict[str, object] | None:
    """What an entry says; None for octets that no entry has."""
    try:
        found = json.loads(octets)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
