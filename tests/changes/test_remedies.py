"""Ways to an ALLOW: each that is told works, by itself."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gateway.changes import edits
from gateway.changes.remedies import ways_to_allow
from gateway.domain.access import AccessRequest
from gateway.domain.bans import Ban, Flag, MatcherKind
from gateway.domain.decide import decide
from gateway.domain.evidence import BindingState, DeviceEvidence, PersonRecord, SourceEvidence, Tombstone
from gateway.domain.inventory import App, Naming, Platform, Scope
from gateway.domain.matching import matcher_from_text
from gateway.domain.policy import PolicyVersion, Setting, first_policy, policy_of
from gateway.domain.verdict import Effect

NOW = 1_000_000.0
BAD = App(Platform.ANDROID, "com.bad.app", "Bad")
GOOD = App(Platform.ANDROID, "org.good.app", "Good")
BAN = Ban("Bad", (matcher_from_text(MatcherKind.ID, "android:com.bad.app"),), flag=Flag.ENFORCE)
USER = "ann@corp.example"

sources = st.builds(
    SourceEvidence,
    source_id=st.sampled_from(["mdm", "agent"]),
    source_device=st.just("s1"),
    scope=st.sampled_from(Scope),
    naming=st.sampled_from(Naming),
    generated_at=st.sampled_from([NOW - 10, NOW - 90_000]),
    max_age=st.just(86_400.0),
    apps=st.sampled_from([(), (GOOD,), (BAD,), (GOOD, BAD)]),
    full_at=st.sampled_from([None, NOW - 10, NOW - 90_000]),
    compromised=st.sampled_from([None, True]),
    compliant=st.sampled_from([None, False]),
    suspicious=st.booleans(),
)
devices = st.builds(
    DeviceEvidence,
    device_id=st.just("abc1"),
    binding=st.sampled_from(BindingState),
    sources=st.lists(sources, max_size=2).map(tuple),
    tombstones=st.sampled_from([(), (Tombstone(BAD, "old", NOW - 500),)]),
    platform=st.just(Platform.ANDROID),
)
records = st.builds(
    lambda known, listed, unbound: PersonRecord(
        USER, known, (USER,), devices={device.device_id: device for device in listed}, unbound=unbound
    ),
    st.booleans(),
    st.lists(devices, max_size=1),
    st.lists(devices.map(lambda device: replace(device, device_id="")), max_size=1).map(tuple),
)


@st.composite
def policies(draw: st.DrawFn) -> PolicyVersion:
    version = replace(first_policy(0.0), bans=(replace(BAN, flag=draw(st.sampled_from(Flag))),))
    for name in edits.UNKNOWN_NAMES:
        version = edits.set_unknown(version, name, draw(st.sampled_from(Setting)))
    return version


@given(records, policies(), st.sampled_from(["abc1", "other", ""]))
def test_a_refusal_always_has_three_ways_out_and_an_allow_none(
    record: PersonRecord, version: PolicyVersion, device_id: str
) -> None:
    request, policy = AccessRequest(USER, device_id), policy_of(version)
    ways = ways_to_allow(request, record, policy, NOW)
    refused = decide(request, record, policy, NOW).effect is not Effect.ALLOW
    # Better reports, a lessened policy, an exemption: each of these can undo any refusal.
    assert len(ways) == (3 if refused else 0)


def record_with(*apps: App) -> PersonRecord:
    source = SourceEvidence("mdm", "s1", Scope.DEVICE, Naming.IDENTIFIER, NOW - 10, 86_400.0, apps, full_at=NOW - 10)
    device = DeviceEvidence("abc1", BindingState.BOUND, (source,), platform=Platform.ANDROID)
    return PersonRecord(USER, True, (USER,), devices={"abc1": device})


def test_the_ways_in_words() -> None:
    policy = policy_of(replace(first_policy(0.0), bans=(BAN,)))
    assert ways_to_allow(AccessRequest(USER, "abc1"), record_with(BAD), policy, NOW) == (
        "mdm reports device abc1 again, later, without Bad",
        "for everybody: gatepost flag set Bad report-only",
        "for a time: gatepost exempt add --user ann@corp.example --device abc1 --for 2d --reason …",
    )


def test_an_unknown_user_has_to_become_known() -> None:
    policy = policy_of(edits.set_unknown(first_policy(0.0), "unmatched", Setting.DENY))
    ways = ways_to_allow(AccessRequest("bob", "x1"), PersonRecord("bob", known=False), policy, NOW)
    assert ways[0].startswith("the user becomes known")
    assert "device x1" in ways[0]
    assert ways[1] == "for everybody: gatepost flag set --unknown unmatched report-only"
