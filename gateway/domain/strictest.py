"""From what the rules say to one verdict: the strictest contribution decides, the rest annotates."""

from dataclasses import dataclass, replace
from typing import Any

from gateway.domain.evidence import DeviceEvidence, PersonRecord
from gateway.domain.policy import PolicyVersion, Setting
from gateway.domain.posture import Hit, Sufficiency
from gateway.domain.verdict import FOREVER, Cause, Effect, Posture, Reason, Verdict


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one rule has to say."""

    effect: Effect
    would: Effect
    reason: Reason
    valid_until: float = FOREVER
    hit: Hit | None = None
    device_id: str = ""


def by_setting(setting: Setting, reason: Reason, device_id: str) -> Contribution:
    """What a setting for unknowns says of a device."""
    effect = Effect.DENY if setting is Setting.DENY else Effect.ALLOW
    would = Effect.ALLOW if setting is Setting.ALLOW else Effect.DENY
    return Contribution(effect, would, reason, device_id=device_id)


@dataclass(frozen=True, slots=True)
class Judged:
    """One device of the question, with what its evidence says."""

    device: DeviceEvidence
    hits: tuple[Hit, ...]
    sufficiency: Sufficiency


_RANK = (
    Reason.BANNED_APP,
    Reason.COMPROMISED,
    Reason.NOT_COMPLIANT,
    Reason.BINDING_CONFLICT,
    Reason.DEVICE_UNMATCHED,
    Reason.EVIDENCE_MISSING,
    Reason.EVIDENCE_SCOPE,
    Reason.EVIDENCE_STALE,
    Reason.NEW_DEVICE_GRACE,
    Reason.HELD,
    Reason.NOT_JUDGED,
)
"""Which of equally strict reasons is told: the one the person can act on first."""


def strictest(
    contributions: list[Contribution], judged: list[Judged], record: PersonRecord, version: PolicyVersion
) -> Verdict:
    """The verdict that all contributions together make."""
    posture = _posture(judged, record)
    met = {cause for each in judged for cause in (*each.sufficiency.causes, *each.sufficiency.held)}
    causes = tuple(cause for cause in Cause if cause in met)
    until = min((each.valid_until for each in contributions), default=FOREVER)
    ordered = sorted(contributions, key=lambda each: _RANK.index(each.reason))
    decisive = max(ordered, key=lambda each: each.effect, default=None)
    would = max(ordered, key=lambda each: each.would, default=None)
    # One verdict is made at the end: copies of copies would cost more than all the rest.
    said: dict[str, Any] = {"effect": Effect.ALLOW, "reason": _mild_reason(posture, ordered)}
    if would is not None and would.would is not Effect.ALLOW:
        said |= {"would": would.would, "would_reason": would.reason, "device_id": would.device_id, **_evidence(would)}
        if would.hit:
            said |= {"would_ban": would.hit.ban.name, "would_app": would.hit.app}
    if decisive is not None and decisive.effect is not Effect.ALLOW:
        said |= {"effect": decisive.effect, "reason": decisive.reason, "device_id": decisive.device_id}
        said |= _evidence(decisive)
        if decisive.hit:
            said |= {"ban": decisive.hit.ban.name, "app": decisive.hit.app, "note": decisive.hit.ban.text}
    return Verdict(posture=posture, policy_version=version.number, valid_until=until, causes=causes, **said)


def _evidence(contribution: Contribution) -> dict[str, object]:
    hit = contribution.hit
    return {"source_id": hit.source_id, "evidence_at": hit.at} if hit else {"source_id": "", "evidence_at": None}


def _posture(judged: list[Judged], record: PersonRecord) -> Posture:
    if any(each.hits for each in judged):
        return Posture.DIRTY
    short = any(each.sufficiency.causes or each.sufficiency.held for each in judged)
    sufficient = judged and record.known and not short
    trusted = not any(
        source.compromised or source.compliant is False for each in judged for source in each.device.sources
    )
    return Posture.CLEAN if sufficient and trusted else Posture.UNKNOWN


def _mild_reason(posture: Posture, ordered: list[Contribution]) -> Reason:
    if posture is Posture.CLEAN:
        return Reason.CLEAN
    if any(each.reason is Reason.HELD for each in ordered):
        return Reason.HELD
    if any(each.reason is Reason.NEW_DEVICE_GRACE for each in ordered):
        return Reason.NEW_DEVICE_GRACE
    # A banned app whose ban is off speaks against the device as well, however good the evidence is.
    reported = posture is Posture.DIRTY or any(each.would is Effect.DENY for each in ordered)
    return Reason.NOT_ENFORCED if reported else Reason.NOT_JUDGED


def let_through(verdict: Verdict, reason: Reason) -> Verdict:
    """The same verdict as ALLOW, with what it would have been as the annotation."""
    return replace(
        verdict,
        effect=Effect.ALLOW,
        reason=reason,
        would=verdict.effect,
        would_reason=verdict.reason,
        would_ban=verdict.ban,
        would_app=verdict.app,
        ban="",
        app=None,
        note="",
    )
