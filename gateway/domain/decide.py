"""The decision. Read top to bottom, it is the policy.

Every rule contributes nothing, would-deny, DEFER or DENY; the strictest contribution is the verdict, and would-deny
only annotates. So adding a hit, a conflict, a compromise or staleness never makes a verdict milder. The same function
answers the proxies, external authorization, the impact preview and ``why``.
"""

from collections.abc import Iterator
from dataclasses import replace

from gateway.domain.access import AccessRequest
from gateway.domain.bans import Flag
from gateway.domain.enforcement import flag_in_force
from gateway.domain.evidence import PersonRecord
from gateway.domain.grace import grace_of
from gateway.domain.policy import Policy, PolicyVersion, Unavailable
from gateway.domain.posture import open_hits, sufficiency
from gateway.domain.question import devices_in_question, nobody_reported, setting_for
from gateway.domain.shown import refused_as_shown, until_it_ends, with_its_device
from gateway.domain.strictest import Contribution, Judged, by_setting, let_through, strictest
from gateway.domain.verdict import Cause, Effect, Posture, Reason, Verdict

_REASON_OF = {
    Cause.MISSING: Reason.EVIDENCE_MISSING,
    Cause.STALE: Reason.EVIDENCE_STALE,
    Cause.SCOPE: Reason.EVIDENCE_SCOPE,
    Cause.UNMATCHED: Reason.DEVICE_UNMATCHED,
    Cause.CONFLICT: Reason.BINDING_CONFLICT,
}


def decide(request: AccessRequest, record: PersonRecord | None, policy: Policy, now: float) -> Verdict:
    """The verdict on ``request``; ``record`` is None when the state cannot be read beyond its bound."""
    version = policy.version
    refused = refused_as_shown(request, record, version.number, now)
    if refused is not None:
        return refused
    if record is None:
        verdict = _state_unavailable(version)
    else:
        request = with_its_device(request, record)
        judged = [
            Judged(device, open_hits(device, policy.index), sufficiency(device, now, policy.ageing))
            for device in devices_in_question(request, record, version)
        ]
        contributions = [
            *_hits(request, record, judged, now),
            *_compromised(request, judged, version),
            *_insufficient_evidence(request, record, judged, policy, now),
        ]
        verdict = strictest(contributions, judged, record, version)
        verdict = _exempted(verdict, _sole_device(request, judged), record, version, now)
    if not version.enforcement_on and verdict.effect is not Effect.ALLOW:
        verdict = let_through(verdict, Reason.ENFORCEMENT_OFF)
    return until_it_ends(verdict, request)


def _hits(request: AccessRequest, record: PersonRecord, judged: list[Judged], now: float) -> Iterator[Contribution]:
    """Banned apps: DENY where the ban's flag enforces, would-deny where it only reports."""
    for each in judged:
        for hit in each.hits:
            flag = flag_in_force(hit.ban, record.person_id, record.groups, request.protocol, now)
            effect = Effect.DENY if flag.flag is Flag.ENFORCE else Effect.ALLOW
            would = Effect.ALLOW if flag.flag is Flag.OFF else Effect.DENY
            yield Contribution(effect, would, Reason.BANNED_APP, flag.valid_until, hit, each.device.device_id)


def _compromised(request: AccessRequest, judged: list[Judged], version: PolicyVersion) -> Iterator[Contribution]:
    """A source calls the device compromised or not compliant: per setting."""
    for each in judged:
        if any(source.compromised for source in each.device.sources):
            setting = version.unknowns.compromised.of(request.protocol, each.device.platform)
            yield by_setting(setting, Reason.COMPROMISED, each.device.device_id)
        if any(source.compliant is False for source in each.device.sources):
            setting = version.unknowns.not_compliant.of(request.protocol, each.device.platform)
            yield by_setting(setting, Reason.NOT_COMPLIANT, each.device.device_id)


def _insufficient_evidence(
    request: AccessRequest, record: PersonRecord, judged: list[Judged], policy: Policy, now: float
) -> Iterator[Contribution]:
    """What cannot be known is allowed, reported or denied per cause; new devices may have a grace."""
    unknowns = policy.version.unknowns
    for each in judged:
        yield Contribution(Effect.ALLOW, Effect.ALLOW, Reason.NOT_JUDGED, each.sufficiency.valid_until)
        for cause in each.sufficiency.causes:
            setting = setting_for(cause, request, each.device, policy.version)
            found = by_setting(setting, _REASON_OF[cause], each.device.device_id)
            if found.effect is Effect.DENY and cause in (Cause.UNMATCHED, Cause.MISSING):
                grace = grace_of(each.device, request.protocol, record, policy.index, policy.version, now)
                found = replace(found, valid_until=grace.valid_until)
                if grace.granted:
                    found = replace(found, effect=Effect.ALLOW)
                    yield Contribution(Effect.ALLOW, Effect.ALLOW, Reason.NEW_DEVICE_GRACE)
            yield found
        for cause in each.sufficiency.held:
            # By the fleet brake: told, and does not count.
            setting = setting_for(cause, request, each.device, policy.version)
            found = by_setting(setting, _REASON_OF[cause], each.device.device_id)
            if found.effect is Effect.DENY:
                yield Contribution(Effect.ALLOW, Effect.ALLOW, Reason.HELD)
            yield replace(found, effect=Effect.ALLOW)
    if not record.known:
        setting = unknowns.unmatched.of(request.protocol, None)
        yield by_setting(setting, Reason.DEVICE_UNMATCHED, request.device_id)
    elif nobody_reported(request, record, [each.device for each in judged], policy.version):
        setting = unknowns.missing.of(request.protocol, None)
        yield by_setting(setting, Reason.EVIDENCE_MISSING, "")


def _sole_device(request: AccessRequest, judged: list[Judged]) -> str | None:
    """The device whose exemption counts; with a certificate it must be the only one that answers."""
    if request.certificate is None or request.certificate.device_key is None:
        return request.device_id
    ids = {each.device.device_id for each in judged}
    return ids.pop() if len(ids) == 1 else None


def _exempted(
    verdict: Verdict, device_id: str | None, record: PersonRecord, version: PolicyVersion, now: float
) -> Verdict:
    """An exemption in force lets through; its beginning and end are moments at which the answer may change."""
    until, exempt = verdict.valid_until, False
    for exemption in version.exemptions:
        concerned = (
            exemption.login in (record.person_id, *record.logins) and exemption.device_id in ("", device_id)
            if exemption.login
            else exemption.group in record.groups
        )
        if not concerned:
            continue
        if exemption.starts_at <= now < exemption.ends_at:
            exempt, until = True, min(until, exemption.ends_at)
        elif now < exemption.starts_at:
            until = min(until, exemption.starts_at)
    if until != verdict.valid_until:
        verdict = replace(verdict, valid_until=until)
    return let_through(verdict, Reason.EXEMPT) if exempt and verdict.effect is not Effect.ALLOW else verdict


def _state_unavailable(version: PolicyVersion) -> Verdict:
    effect = {
        Unavailable.ALLOW: Effect.ALLOW,
        Unavailable.DEFER: Effect.DEFER,
        Unavailable.DENY: Effect.DENY,
    }[version.unavailable]
    return Verdict(effect, Reason.STATE_UNAVAILABLE, Posture.UNKNOWN, version.number)
