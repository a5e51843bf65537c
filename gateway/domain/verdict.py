"""Verdicts: what the decision point answers.

DENY and DEFER are different answers to the client and are never mixed up: DENY says "not with this device",
DEFER says "cannot know now, come back".
"""

import math
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from gateway.domain.inventory import App

FOREVER = math.inf


class Effect(IntEnum):
    """What happens to the request, mildest first."""

    ALLOW = 0
    DEFER = 1
    DENY = 2


class Posture(StrEnum):
    """What the evidence says."""

    CLEAN = "clean"
    DIRTY = "dirty"
    UNKNOWN = "unknown"


class Cause(StrEnum):
    """Why a posture is UNKNOWN; each is a setting of its own."""

    MISSING = "missing"
    STALE = "stale"
    SCOPE = "scope"
    UNMATCHED = "unmatched"
    CONFLICT = "conflict"


class Reason(StrEnum):
    """The rule that decided. Stable: in logs, metrics, API answers."""

    CLEAN = "clean"
    NOT_JUDGED = "not_judged"
    NOT_ENFORCED = "not_enforced"
    ENFORCEMENT_OFF = "enforcement_off"
    EXEMPT = "exempt"
    NEW_DEVICE_GRACE = "new_device_grace"
    HELD = "held"
    BANNED_APP = "banned_app"
    COMPROMISED = "compromised"
    NOT_COMPLIANT = "not_compliant"
    EVIDENCE_MISSING = "evidence_missing"
    EVIDENCE_STALE = "evidence_stale"
    EVIDENCE_SCOPE = "evidence_scope"
    DEVICE_UNMATCHED = "device_unmatched"
    BINDING_CONFLICT = "binding_conflict"
    STATE_UNAVAILABLE = "state_unavailable"
    CREDENTIAL_INVALID = "credential_invalid"
    CERTIFICATE_INVALID = "certificate_invalid"
    CERTIFICATE_ENDED = "certificate_ended"
    IDENTITY_DEMANDED = "identity_demanded"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One answer, with everything ``why``, the log and the refusal text need."""

    effect: Effect
    reason: Reason
    posture: Posture
    policy_version: int
    valid_until: float = FOREVER
    """The next moment (epoch seconds) at which the answer could change by itself."""
    ban: str = ""
    app: App | None = None
    source_id: str = ""
    evidence_at: float | None = None
    """generated_at of the evidence that decided."""
    would: Effect = Effect.ALLOW
    """What enforcement would have answered: report-only rules, exemptions and the global switch aside."""
    would_reason: Reason = Reason.CLEAN
    would_ban: str = ""
    would_app: App | None = None
    causes: tuple[Cause, ...] = ()
    device_id: str = ""
    """Which device decided, where identity was user-wide."""
    note: str = ""
    """The ban's own text for the reader, if it has one."""
