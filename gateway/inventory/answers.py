"""What a source is told about a report: an acknowledgement, or why it was not taken. Both are values."""

from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.inventory import Scope


class AckStatus(StrEnum):
    """What became of an accepted report; any of these ends the sender's retries."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    STALE = "stale_ignored"


@dataclass(frozen=True, slots=True)
class Ack:
    """The report is stored, or changes nothing."""

    status: AckStatus
    sequence: int
    """Highest sequence now stored for the device."""
    next_report_seconds: int | None = None
    """Within this time the next full report keeps the device judged."""
    scope_capped_to: Scope | None = None
    """The report claimed to see more than its source is configured for."""
    suspicious: bool = False
    """The list shrank unbelievably: the apps known before are kept until a believable one comes."""
    ignored_ids: tuple[str, ...] = ()
    """Types of device ids whose value is no login and no DeviceId; they bind to nothing."""


class RefusalKind(StrEnum):
    """Why a report was not taken."""

    GAP = "gap"
    FUTURE = "future"
    REUSED_ID = "reused_id"
    SOURCE_REMOVED = "source_removed"
    DEVICE_NOT_ALLOWED = "device_not_allowed"
    USER_NOT_ALLOWED = "user_not_allowed"
    TOO_MANY_CLAIMS = "too_many_claims"
    HELD = "held"
    """By the fleet brake: nothing is wrong with the report, and the sender may send it again later."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The report was not taken and nothing of it is stored."""

    kind: RefusalKind
    sentence: str
    """For the sender: what is wrong and what to do."""
