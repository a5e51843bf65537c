"""What holds for every question, record and policy: no bad news makes a verdict milder; no answer outlives its time.

The records and policies are drawn at random; each property changes one thing and compares the two verdicts.
"""

from collections.abc import Iterator
from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.domain.access import AccessRequest, Protocol
from gateway.domain.bans import Ban, Flag
from gateway.domain.decide import decide
from gateway.domain.enforcement import flag_in_force
from gateway.domain.evidence import BindingState, DeviceEvidence, PersonRecord, SourceEvidence, Tombstone
from gateway.domain.policy import GRACE_WINDOW_SECONDS, PolicyVersion, first_policy, policy_of
from gateway.domain.posture import open_hits
from gateway.domain.verdict import FOREVER, Effect, Posture, Reason, Verdict
from tests.support import evidence_strategies as drawn
from tests.support.evidence_strategies import APPS, NOW, thorough


def judged(request: AccessRequest, record: PersonRecord, version: PolicyVersion, at: float = NOW) -> Verdict:
    return decide(request, record, policy_of(version), at)


# --- Bad news never makes a verdict milder


def with_device(record: PersonRecord, device: DeviceEvidence, now: DeviceEvidence) -> PersonRecord:
    if device.device_id:
        return replace(record, devices={**record.devices, device.device_id: now})
    return replace(record, unbound=tuple(now if each is device else each for each in record.unbound))


def all_devices(record: PersonRecord) -> list[DeviceEvidence]:
    return [*record.devices.values(), *record.unbound]


@st.composite
def worse_sources(draw: st.DrawFn, source: SourceEvidence) -> SourceEvidence:
    """The same evidence with one more doubt about it."""
    return draw(
        st.sampled_from(
            [
                replace(source, compromised=True),
                replace(source, compliant=False),
                replace(source, suspicious=True),
                replace(source, max_age=0.0),
                replace(source, max_age=source.max_age / 30),
                replace(source, apps=(*source.apps, *(app for app in APPS if app not in source.apps))),
                replace(source, apps=(*source.apps, draw(st.sampled_from(APPS)))),
            ]
        )
    )


@st.composite
def worse_records(draw: st.DrawFn, record: PersonRecord) -> PersonRecord:
    """The same record with one more hit, conflict, compromise or stale list."""
    device = draw(st.sampled_from(all_devices(record)))
    ways = [replace(device, tombstones=(*device.tombstones, draw(drawn.stones)))]
    if device.sources:
        place = draw(st.integers(0, len(device.sources) - 1))
        worse = draw(worse_sources(device.sources[place]))
        ways.append(replace(device, sources=(*device.sources[:place], worse, *device.sources[place + 1 :])))
        if device.device_id and device.binding is BindingState.BOUND:
            ways.append(replace(device, binding=BindingState.CONFLICT))
            ways.append(
                replace(device, binding=BindingState.CONFLICT, sources=(*device.sources, draw(drawn.sources())))
            )
    return with_device(record, device, draw(st.sampled_from(ways)))


@thorough
@given(st.data(), drawn.requests, drawn.records(), drawn.policies())
def test_bad_news_never_makes_a_verdict_milder(
    data: st.DataObject, request: AccessRequest, record: PersonRecord, version: PolicyVersion
) -> None:
    assume(all_devices(record))
    worse = data.draw(worse_records(record))
    assert judged(request, worse, version).effect >= judged(request, record, version).effect


@thorough
@given(st.data(), drawn.requests, drawn.records(), drawn.policies())
def test_a_hit_on_a_device_never_seen_makes_no_verdict_milder(
    data: st.DataObject, request: AccessRequest, record: PersonRecord, version: PolicyVersion
) -> None:
    stone = data.draw(drawn.stones)
    assume("d9" not in record.devices)
    worse = replace(
        record, devices={**record.devices, "d9": DeviceEvidence("d9", BindingState.UNMATCHED, (), (stone,))}
    )
    assert judged(request, worse, version).effect >= judged(request, record, version).effect


# --- A known banned app


@thorough
@given(drawn.requests, drawn.records(), drawn.policies(exempting=False))
def test_no_setting_lets_in_a_device_with_an_enforced_ban(
    request: AccessRequest, record: PersonRecord, version: PolicyVersion
) -> None:
    policy = policy_of(version)
    asked = [record.devices[request.device_id]] if request.device_id in record.devices else []
    asked = asked if request.device_id else all_devices(record)
    enforced = [
        hit
        for device in asked
        for hit in open_hits(device, policy.index)
        if flag_in_force(hit.ban, record.person_id, record.groups, request.protocol, NOW).flag is Flag.ENFORCE
    ]
    verdict = decide(request, record, policy, NOW)
    assert (verdict.reason is Reason.BANNED_APP) is bool(enforced) or request.device_type == "Outlook"
    if enforced:
        assert (verdict.effect, verdict.posture) == (Effect.DENY, Posture.DIRTY)
        assert verdict.ban in {hit.ban.name for hit in enforced}


@thorough
@given(st.data(), drawn.requests, drawn.records(), drawn.policies(exempting=False))
def test_whatever_else_is_known_or_set_a_banned_app_is_refused(
    data: st.DataObject, request: AccessRequest, record: PersonRecord, version: PolicyVersion
) -> None:
    """A hit that no evidence has cleared: neither settings nor grace, type or other devices let it in."""
    device = data.draw(drawn.devices(request.device_id or "d1"))
    state = BindingState.CONFLICT if device.sources else BindingState.UNMATCHED
    dirty = replace(device, binding=state, tombstones=(Tombstone(drawn.TIKTOK, "mdm", NOW - drawn.HOUR),))
    enforcing = replace(version, bans=(*(ban for ban in version.bans if ban.name != "TikTok"), drawn.TIKTOK_BAN))
    verdict = judged(request, with_device(record, dirty, dirty), enforcing)
    assert (verdict.effect, verdict.reason) == (Effect.DENY, Reason.BANNED_APP)


# --- A fresh install, and what only reports


@thorough
@given(drawn.requests, drawn.records(), st.lists(st.sampled_from(drawn.BANS), unique_by=lambda ban: ban.name))
def test_a_fresh_install_cuts_nobody(request: AccessRequest, record: PersonRecord, found: list[Ban]) -> None:
    fresh = first_policy(NOW)
    assert judged(request, record, fresh).effect is Effect.ALLOW
    named = tuple(Ban(ban.name, ban.matchers) for ban in found)
    assert judged(request, record, replace(fresh, bans=named)).effect is Effect.ALLOW


@thorough
@given(drawn.requests, drawn.records(), drawn.policies())
def test_what_is_switched_off_tells_what_would_have_been(
    request: AccessRequest, record: PersonRecord, version: PolicyVersion
) -> None:
    on = judged(request, record, replace(version, enforcement_on=True))
    off = judged(request, record, replace(version, enforcement_on=False))
    assert off.effect is Effect.ALLOW
    assert on.effect is not Effect.DEFER
    assert (off.reason is Reason.ENFORCEMENT_OFF) is (on.effect is Effect.DENY)
    assert off.would is on.would or (on.effect, off.would) == (Effect.DENY, Effect.DENY)
    assert (off.posture, off.causes, off.valid_until) == (on.posture, on.causes, on.valid_until)


# --- All devices of a person


@thorough
@given(drawn.protocols, drawn.records(), drawn.policies())
def test_user_wide_is_at_least_as_strict_as_any_device(
    protocol: Protocol, record: PersonRecord, version: PolicyVersion
) -> None:
    wide = judged(drawn.asking("", protocol), record, version)
    for device_id in record.devices:
        assert wide.effect >= judged(drawn.asking(device_id, protocol), record, version).effect
    if wide.posture is Posture.CLEAN:
        assert all_devices(record)
        for device_id in record.devices:
            assert judged(drawn.asking(device_id, protocol), record, version).posture is Posture.CLEAN


# --- Time


def marks(record: PersonRecord, version: PolicyVersion) -> Iterator[float]:
    """Every moment at which anything in the evidence or the policy begins or ends."""
    for device in all_devices(record):
        for source in device.sources:
            yield from () if source.full_at is None else (source.full_at, source.full_at + source.max_age)
        if device.first_seen_at is not None:
            yield device.first_seen_at
            yield device.first_seen_at + version.grace.seconds
            yield device.first_seen_at + GRACE_WINDOW_SECONDS
    for ban in version.bans:
        yield from (moment for moment in (ban.starts_at, ban.ends_at) if moment is not None)
    for exemption in version.exemptions:
        yield from (exemption.starts_at, exemption.ends_at)
    yield NOW + version.grace.seconds


def told(verdict: Verdict) -> Verdict:
    return replace(verdict, valid_until=0.0)


@thorough
@given(st.data(), drawn.requests, drawn.records(), drawn.policies())
def test_before_valid_until_nothing_changes_by_itself(
    data: st.DataObject, request: AccessRequest, record: PersonRecord, version: PolicyVersion
) -> None:
    verdict = judged(request, record, version)
    assert verdict.valid_until > NOW
    known = {moment + step for moment in marks(record, version) for step in (-1e-3, 0.0, 1e-3)}
    further = data.draw(st.lists(st.floats(NOW, NOW + 100 * drawn.DAY), max_size=5))
    last = () if verdict.valid_until == FOREVER else (verdict.valid_until - 1e-3,)
    for at in sorted({*known, *further, *last}):
        if NOW < at < verdict.valid_until:
            assert told(judged(request, record, version, at)) == told(verdict), at - NOW


@thorough
@given(drawn.requests, drawn.records(), drawn.policies())
def test_valid_until_is_a_moment_that_the_inputs_name(
    request: AccessRequest, record: PersonRecord, version: PolicyVersion
) -> None:
    until = judged(request, record, version).valid_until
    assert until == FOREVER or until in set(marks(record, version))
