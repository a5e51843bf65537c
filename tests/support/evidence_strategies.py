"""Evidence, policies and questions for tests of the decision: a few named values, and hypothesis strategies over them.

The strategies draw from small pools and from moments near ``NOW``, so that apps meet bans, sources overlap, and ages
fall on both sides of every limit. What they draw is what the binding rules can produce, no more.
"""

from dataclasses import replace
from itertools import product

from hypothesis import settings
from hypothesis import strategies as st

from gateway.domain.access import AccessRequest, IdentityStrength, Protocol
from gateway.domain.bans import Ban, Flag, FlagRule, Matcher, MatcherKind
from gateway.domain.evidence import BindingState, DeviceEvidence, PersonRecord, SourceEvidence, Tombstone
from gateway.domain.inventory import App, AppOrigin, Naming, Platform, Scope
from gateway.domain.policy import (
    Exemption,
    NewDeviceGrace,
    OutlookMobile,
    PolicyVersion,
    Setting,
    SettingRule,
    Unavailable,
    Unknowns,
    UnknownSetting,
)

NOW = 1_000_000_000.0
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
LOGIN = "ann@corp.example"

TIKTOK = App(Platform.ANDROID, "com.zhiliaoapp.musically", "TikTok", "34.1", 340100)
TIKTOK_IOS = App(Platform.IOS, "com.zhiliaoapp.musically", "TikTok")
WECHAT = App(Platform.ANDROID, "com.tencent.mm", "WeChat")
SIDELOADED = App(Platform.ANDROID, "org.example.game", "Game", origin=AppOrigin.SIDELOAD)
MAIL = App(Platform.ANDROID, "com.google.android.gm", "Gmail")
FIREFOX = App(Platform.ANDROID, "org.mozilla.firefox", "Firefox")
APPS = (TIKTOK, TIKTOK_IOS, WECHAT, SIDELOADED, MAIL, FIREFOX)

TIKTOK_BAN = Ban(
    "TikTok",
    (Matcher(MatcherKind.ID, TIKTOK.id, Platform.ANDROID), Matcher(MatcherKind.ID, TIKTOK_IOS.id, Platform.IOS)),
    flag=Flag.ENFORCE,
    seed=7,
    text="Remove TikTok.",
)
TENCENT_BAN = Ban("Tencent", (Matcher(MatcherKind.ID_PREFIX, "com.tencent", Platform.ANDROID),), seed=8)
SIDELOAD_BAN = Ban("Sideloaded", (Matcher(MatcherKind.ORIGIN, AppOrigin.SIDELOAD),), seed=9)
BANS = (TIKTOK_BAN, TENCENT_BAN, SIDELOAD_BAN)

thorough = settings(max_examples=max(120, settings().max_examples))
"""For properties over everything: more examples than usual, they are cheap."""


def seen(*apps: App, source: str = "mdm", device: str = "m1", age: float = HOUR) -> SourceEvidence:
    """A full whole-device list of that age, good for a day."""
    at = NOW - age
    return SourceEvidence(source, device, Scope.DEVICE, Naming.IDENTIFIER, at, DAY, apps, full_at=at)


def bound(
    *sources: SourceEvidence, device_id: str = "d1", first_seen_at: float | None = NOW - 90 * DAY
) -> DeviceEvidence:
    """A mail device bound to what these sources report."""
    return DeviceEvidence(device_id, BindingState.BOUND, sources, (), first_seen_at, Platform.ANDROID)


def unmatched(device_id: str = "d1", *stones: Tombstone, first_seen_at: float | None = None) -> DeviceEvidence:
    """A mail device that no source knows."""
    return DeviceEvidence(device_id, BindingState.UNMATCHED, (), stones, first_seen_at)


def of_person(*devices: DeviceEvidence, known: bool = True, groups: frozenset[str] = frozenset()) -> PersonRecord:
    """The record of one person; devices without an id stand among the unbound."""
    return PersonRecord(
        LOGIN,
        known,
        (LOGIN, "a.smith@corp.example"),
        groups,
        {device.device_id: device for device in devices if device.device_id},
        tuple(device for device in devices if not device.device_id),
    )


def asking(device_id: str = "d1", protocol: Protocol = Protocol.ACTIVESYNC, device_type: str = "") -> AccessRequest:
    """A question of that person."""
    strength = IdentityStrength.DEVICE_ID if device_id else IdentityStrength.USER_WIDE
    return AccessRequest(LOGIN, device_id, protocol, strength, device_type=device_type)


def denying(*names: str) -> Unknowns:
    """Settings that deny for these causes and report the others."""
    return replace(Unknowns(), **{name: UnknownSetting(Setting.DENY) for name in names})


# --- Strategies

ages = st.sampled_from([-2 * MINUTE, 0.0, 5 * MINUTE, 11 * MINUTE, HOUR, DAY - 1, DAY, DAY + 1, 3 * DAY, 40 * DAY])
past = ages.map(lambda age: NOW - age)
future = st.sampled_from([1.0, HOUR, DAY, 30 * DAY]).map(lambda wait: NOW + wait)
moments = st.one_of(past, future)
platforms = st.sampled_from([None, Platform.ANDROID, Platform.IOS])
protocols = st.sampled_from([Protocol.ACTIVESYNC, Protocol.IMAP])
app_lists = st.lists(st.sampled_from(APPS), unique=True, max_size=4).map(tuple)


# One draw from all combinations instead of one per field: drawing is what the properties spend their time on.
_places = list(product(["mdm", "jamf"], ["m1", "m2"]))
_scopes = [Scope.DEVICE, Scope.DEVICE, Scope.WORK_PROFILE, Scope.USER, Scope.MANAGED_ONLY]
_views = list(
    product(_scopes, [Naming.IDENTIFIER, Naming.IDENTIFIER, Naming.DISPLAY_NAME], [False, False, False, True])
)
_claims = list(product([None, None, False, True], [None, None, True, False]))
_ages = list(product([HOUR, DAY, 8 * DAY], [0.0, 0.0, HOUR, DAY, None]))


@st.composite
def sources(draw: st.DrawFn) -> SourceEvidence:
    """What one source says about one of its devices."""
    at = draw(past)
    scope, naming, suspicious = draw(st.sampled_from(_views))
    compromised, compliant = draw(st.sampled_from(_claims))
    max_age, older = draw(st.sampled_from(_ages))
    full_at = None if older is None else at - older
    seen_apps = draw(app_lists)
    place = draw(st.sampled_from(_places))
    return SourceEvidence(*(*place, scope, naming, at, max_age, seen_apps, full_at, compromised, compliant, suspicious))


source_lists = st.lists(sources(), max_size=3, unique_by=lambda each: (each.source_id, each.source_device)).map(tuple)
stones = st.sampled_from(
    [
        Tombstone(app, source, NOW - age, scope)
        for app, source, age, scope in product(
            APPS, ["mdm", "jamf"], [0.0, 5 * MINUTE, HOUR, 3 * DAY], [Scope.DEVICE, Scope.WORK_PROFILE]
        )
    ]
)


@st.composite
def devices(draw: st.DrawFn, device_id: str) -> DeviceEvidence:
    """One mail device; a conflict has claimants."""
    listed = draw(source_lists)
    states = [BindingState.BOUND, BindingState.UNMATCHED] + [BindingState.CONFLICT] * bool(listed)
    return DeviceEvidence(
        device_id,
        draw(st.sampled_from(states)),
        listed,
        draw(st.lists(stones, max_size=2).map(tuple)),
        draw(st.one_of(st.none(), past)),
        draw(platforms),
    )


@st.composite
def unbound_devices(draw: st.DrawFn) -> DeviceEvidence:
    """An inventory device without a mail device, or the hits of some that are gone."""
    if draw(st.booleans()):
        return DeviceEvidence("", BindingState.BOUND, (draw(sources()),), platform=draw(platforms))
    return DeviceEvidence("", BindingState.UNMATCHED, (), draw(st.lists(stones, min_size=1, max_size=2).map(tuple)))


@st.composite
def records(draw: st.DrawFn) -> PersonRecord:
    """A person with up to three mail devices and two further inventory devices."""
    ids = draw(st.lists(st.sampled_from(["d1", "d2", "d3"]), unique=True, max_size=3))
    groups = draw(st.frozensets(st.sampled_from(["sales", "board"])))
    found = [draw(devices(each)) for each in ids]
    return of_person(
        *found, *draw(st.lists(unbound_devices(), max_size=2)), known=draw(st.integers(0, 4)) > 0, groups=groups
    )


flags = st.sampled_from(Flag)
_asked = [None, Protocol.ACTIVESYNC, Protocol.IMAP]
flag_rules = st.sampled_from(
    [FlagRule(*each) for each in product(Flag, _asked, ["", "sales", "board"], [None, 0.0, 50.0, 100.0])]
)


@st.composite
def bans(draw: st.DrawFn) -> tuple[Ban, ...]:
    """Some of the named bans with any flags, rules, groups and dates."""
    chosen = draw(st.lists(st.sampled_from(BANS), unique_by=lambda ban: ban.name, max_size=3))
    return tuple(
        replace(
            ban,
            flag=draw(flags),
            rules=draw(st.lists(flag_rules, max_size=2).map(tuple)),
            groups=draw(st.sampled_from([frozenset(), frozenset(), frozenset({"sales"})])),
            starts_at=draw(st.one_of(st.none(), moments)),
            ends_at=draw(st.one_of(st.none(), moments)),
        )
        for ban in chosen
    )


_exceptions = [(), *((SettingRule(*each),) for each in product(Setting, _asked, [None, Platform.IOS]))]
unknown_settings = st.sampled_from([UnknownSetting(*each) for each in product(Setting, _exceptions)])
unknowns = st.builds(Unknowns, *[unknown_settings] * 7)


@st.composite
def exemptions(draw: st.DrawFn) -> Exemption:
    """An exemption for the person, one of the devices, a group, or somebody else."""
    login = draw(st.sampled_from([LOGIN, "a.smith@corp.example", "bob@corp.example", ""]))
    starts_at, ends_at = draw(moments), draw(moments)
    device_id = draw(st.sampled_from(["", "d1", "d2"])) if login else ""
    group = "" if login else draw(st.sampled_from(["sales", "board"]))
    # No id is given twice, and what has one is never changed.
    name = f"{login}{group}-{device_id}-{starts_at:.0f}-{ends_at:.0f}"
    return Exemption(name, "root", "a reason", starts_at, ends_at, login, device_id, group)


_some_exemptions = st.lists(exemptions(), max_size=2, unique_by=lambda each: each.id).map(tuple)


@st.composite
def policies(draw: st.DrawFn, *, exempting: bool = True) -> PolicyVersion:
    """Any policy over the named bans."""
    return PolicyVersion(
        number=5,
        created_at=NOW - DAY,
        author="root",
        enforcement_on=not exempting or draw(st.integers(0, 5)) > 0,
        bans=draw(bans()),
        exemptions=draw(_some_exemptions) if exempting else (),
        unknowns=draw(unknowns),
        grace=NewDeviceGrace(draw(st.sampled_from([0.0, HOUR, 7 * DAY])), draw(st.integers(0, 3))),
        outlook_mobile=draw(st.sampled_from(OutlookMobile)),
        unavailable=draw(st.sampled_from(Unavailable)),
    )


requests = st.builds(
    asking, st.sampled_from(["d1", "d1", "d2", "d9", ""]), protocols, st.sampled_from(["", "iPhone", "Outlook"])
)
