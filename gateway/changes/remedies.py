"""What would make a refusal an ALLOW: each way is tried on ``decide`` before it is told.

Three ways are looked at: what the sources would have to report, which flags and settings would have to be lessened,
and an exemption. Sentences are for operators; nothing here changes anything.
"""

from collections.abc import Iterator
from dataclasses import replace
from shlex import quote

from gateway.changes.edits import set_flag, set_unknown
from gateway.domain.access import AccessRequest
from gateway.domain.bans import Flag
from gateway.domain.decide import decide
from gateway.domain.enforcement import flag_in_force
from gateway.domain.evidence import UNKNOWN_DEVICE, BindingState, DeviceEvidence, PersonRecord, SourceEvidence
from gateway.domain.inventory import Naming, Scope
from gateway.domain.policy import Exemption, Policy, PolicyVersion, Setting, policy_of
from gateway.domain.posture import open_hits, sufficiency
from gateway.domain.question import devices_in_question, nobody_reported
from gateway.domain.verdict import FOREVER, Cause, Effect


def devices_asked_about(request: AccessRequest, record: PersonRecord, version: PolicyVersion) -> list[DeviceEvidence]:
    """The devices that decide the question: the one named, or all of the person's."""
    return list(devices_in_question(request, record, version))


def ways_to_allow(request: AccessRequest, record: PersonRecord, policy: Policy, now: float) -> tuple[str, ...]:
    """Sentences, each a way that leads to ALLOW by itself; empty where it is one already."""
    if decide(request, record, policy, now).effect is Effect.ALLOW:
        return ()
    ways = (
        _by_evidence(request, record, policy, now),
        _by_policy(request, record, policy, now),
        _by_exemption(request, record, policy, now),
    )
    return tuple(way for way in ways if way)


def _by_evidence(request: AccessRequest, record: PersonRecord, policy: Policy, now: float) -> str:
    asked = devices_asked_about(request, record, policy.version)
    steps = list(_evidence_steps(record, asked, policy, now))
    mended = _mended(request, record, asked, policy, now)
    if not steps or decide(request, mended, policy, now).effect is not Effect.ALLOW:
        return ""
    return "; and ".join(dict.fromkeys(steps))


def _evidence_steps(record: PersonRecord, asked: list[DeviceEvidence], policy: Policy, now: float) -> Iterator[str]:
    if not record.known:
        yield "the user becomes known, by group import or by a report that names the user"
    if record.known and not asked:
        yield "a source reports a device of the user"
    for device in asked:
        name = f"device {device.device_id}" if device.device_id else "the device without a mail id"
        for hit in open_hits(device, policy.index):
            yield f"{hit.source_id} reports {name} again, later, without {hit.app.name or hit.app.id}"
        for cause in sufficiency(device, now, policy.ageing).causes:
            yield _CAUSE_STEPS[cause].format(name=name)
        if any(source.compromised for source in device.sources):
            yield f"the source no longer calls {name} compromised"
        if any(source.compliant is False for source in device.sources):
            yield f"the source calls {name} compliant"


_CAUSE_STEPS = {
    Cause.MISSING: "a source sends a full list of the apps on {name}",
    Cause.STALE: "a source sends a newer full list of the apps on {name}",
    Cause.SCOPE: "a source that sees the whole device and names apps by identifier reports {name}",
    Cause.UNMATCHED: "a source reports {name} by its ActiveSync id and this user, or it is bound by hand (device bind)",
    Cause.CONFLICT: "one inventory device claims {name}, not several (device show names them; device bind settles it)",
}


def _mended(
    request: AccessRequest, record: PersonRecord, asked: list[DeviceEvidence], policy: Policy, now: float
) -> PersonRecord:
    """The record after the best of reports about the devices asked about."""
    named = {device.device_id: _clean(device, policy, now) for device in asked if device.device_id}
    others = tuple(_clean(device, policy, now) for device in record.unbound)
    if not named and not others:
        others = (_clean(UNKNOWN_DEVICE, policy, now),)
    wide = not (request.device_id and request.device_id in named and len(named) == 1)
    return replace(record, known=True, devices={**record.devices, **named}, unbound=others if wide else record.unbound)


def _clean(device: DeviceEvidence, policy: Policy, now: float) -> DeviceEvidence:
    sources = device.sources or (
        SourceEvidence("", "", Scope.DEVICE, Naming.IDENTIFIER, now, FOREVER, (), full_at=now),
    )
    reported = tuple(
        replace(
            source,
            scope=Scope.DEVICE,
            naming=Naming.IDENTIFIER,
            generated_at=now,
            full_at=now,
            max_age=max(source.max_age, 1.0),
            apps=tuple(app for app in source.apps if not policy.index.bans_of(app)),
            compromised=False,
            compliant=True,
            suspicious=False,
        )
        for source in sources
    )
    return replace(device, binding=BindingState.BOUND, sources=reported, tombstones=())


def _by_policy(request: AccessRequest, record: PersonRecord, policy: Policy, now: float) -> str:
    version, words = policy.version, []
    asked = devices_asked_about(request, record, version)
    for ban in dict.fromkeys(hit.ban.name for device in asked for hit in open_hits(device, policy.index)):
        found = next(each for each in version.bans if each.name == ban)
        flag = flag_in_force(found, record.person_id, record.groups, request.protocol, now).flag
        if flag is Flag.ENFORCE:
            version = set_flag(version, ban, Flag.REPORT_ONLY)
            words.append(f"flag set {quote(ban)} report-only")
    for name in _denying_unknowns(request, record, asked, replace(policy, version=version), now):
        version = set_unknown(version, name, Setting.REPORT_ONLY)
        words.append(f"flag set --unknown {name} report-only")
    if not words or decide(request, record, policy_of(version, policy), now).effect is not Effect.ALLOW:
        return ""
    return f"for everybody: gatepost {' and '.join(words)}"


def _denying_unknowns(
    request: AccessRequest, record: PersonRecord, asked: list[DeviceEvidence], policy: Policy, now: float
) -> Iterator[str]:
    version, met = policy.version, dict[str, None]()
    for device in asked:
        names = [cause.value for cause in sufficiency(device, now, policy.ageing).causes]
        names += ["compromised"] * any(source.compromised for source in device.sources)
        names += ["not_compliant"] * any(source.compliant is False for source in device.sources)
        for name in names:
            if getattr(version.unknowns, name).of(request.protocol, device.platform) is Setting.DENY:
                met[name] = None
    unreported = nobody_reported(request, record, asked, version)
    lacking = "unmatched" if not record.known else "missing" if unreported else ""
    if lacking and getattr(version.unknowns, lacking).of(request.protocol, None) is Setting.DENY:
        met[lacking] = None
    yield from met


def _by_exemption(request: AccessRequest, record: PersonRecord, policy: Policy, now: float) -> str:
    exemption = Exemption("", "", "", now, now + 1, login=record.person_id, device_id=request.device_id)
    version = replace(policy.version, exemptions=(*policy.version.exemptions, exemption))
    if decide(request, record, replace(policy, version=version), now).effect is not Effect.ALLOW:
        return ""
    device = f" --device {request.device_id}" if request.device_id else ""
    return f"for a time: gatepost exempt add --user {quote(record.person_id)}{device} --for 2d --reason …"
