"""Small fleets and policies by a seeded generator: hypothesis would be too slow for hundreds of thousands of them.

Everything is drawn from small pools and from moments near ``NOW``, so that apps meet bans, sources overlap and ages
fall on both sides of every limit. ``records_of`` gives everybody's record and what their mail devices say they are.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

from gateway.domain.access import AccessRequest, IdentityStrength, Protocol
from gateway.domain.ageing import Ageing
from gateway.domain.bans import Ban, Flag, FlagRule, Matcher, MatcherKind
from gateway.domain.credential import DeviceCredential
from gateway.domain.evidence import BindingState, DeviceEvidence, PersonRecord, SourceEvidence, Tombstone
from gateway.domain.inventory import App, AppOrigin, Naming, Ownership, Platform, Scope
from gateway.domain.policy import (
    Exemption,
    NewDeviceGrace,
    OutlookMobile,
    PolicyVersion,
    Setting,
    SettingRule,
    Unknowns,
    UnknownSetting,
)
from gateway.domain.verdict import FOREVER
from tests.support.evidence_strategies import DAY, HOUR, MINUTE, NOW

SIGNER = "sha256:" + "ab" * 32
GROUPS = ("sales", "board", "pilot")
AGES = (-2 * MINUTE, 0.0, 0.0, 5 * MINUTE, 11 * MINUTE, HOUR, DAY - 1, DAY, DAY + 1, 3 * DAY, 30 * DAY, 31 * DAY)
WAITS = (1.0, HOUR, DAY, 5 * DAY, 30 * DAY)
IDS = ("d1", "d2", "d3", "credential:abcdefgh")

APPS = (
    App(Platform.ANDROID, "com.zhiliaoapp.musically", "TikTok", "34.1", 340100, "TikTok Ltd."),
    App(Platform.ANDROID, "com.zhiliaoapp.musically", "TikTok", "35.0", 350000, "TikTok Ltd."),
    App(Platform.IOS, "com.Zhiliaoapp.Musically", "TikTok", "34.1"),
    App(Platform.ANDROID, "com.tencent.mm", "WeChat", "8.0", signers=(SIGNER,)),
    App(Platform.ANDROID, "com.tencent.mm.lite", "WeChat Lite", "beta"),
    App(Platform.ANDROID, "com.tencentx.game", "Game", origin=AppOrigin.SIDELOAD),
    App(Platform.MACOS, "com.example.tool", "ＴＯＯＬ", "1.2.3", team_id="ABCDE12345"),
    App(Platform.CHROME, "aaaabbbbccccddddeeeeffffgggghhhh", "Coupons"),
    App(Platform.ANDROID, "com.google.android.gm", "Gmail", installer="com.android.vending"),
    App(Platform.ANDROID, "com.google.android.gm", "Gmail", installer="adb"),
    App(Platform.ANDROID, "org.mozilla.firefox", "Firefox", origin=AppOrigin.STORE),
)

MATCHERS = (
    Matcher(MatcherKind.ID, "com.zhiliaoapp.musically", Platform.ANDROID),
    Matcher(MatcherKind.ID, "com.zhiliaoapp.musically", Platform.ANDROID, below_version="34.5"),
    Matcher(MatcherKind.ID, "com.zhiliaoapp.musically", Platform.ANDROID, below_version="350000"),
    Matcher(MatcherKind.ID, "com.zhiliaoapp.musically", Platform.IOS),
    Matcher(MatcherKind.ID, "com.zhiliaoapp.musically"),
    Matcher(MatcherKind.ID_PREFIX, "com.tencent", Platform.ANDROID),
    Matcher(MatcherKind.ID_PREFIX, "com"),
    Matcher(MatcherKind.SIGNER, SIGNER),
    Matcher(MatcherKind.TEAM_ID, "ABCDE12345", Platform.MACOS),
    Matcher(MatcherKind.EXTENSION_ID, "aaaabbbbccccddddeeeeffffgggghhhh", Platform.CHROME),
    Matcher(MatcherKind.ORIGIN, AppOrigin.SIDELOAD),
    Matcher(MatcherKind.NAME, "tiktok*"),
    Matcher(MatcherKind.NAME, "tool"),
    Matcher(MatcherKind.NAME, "*", publisher="tiktok*"),
)


@dataclass(frozen=True, slots=True)
class Drawn:
    """One person of a fleet."""

    record: PersonRecord
    device_types: Mapping[str, str]


class Draw:
    """Draws everything from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def moment(self) -> float:
        pick = self.random.choice
        return NOW - pick(AGES) if self.chance(0.6) else NOW + pick(WAITS)

    # --- Evidence

    def source(self, place: tuple[str, str]) -> SourceEvidence:
        pick = self.random.choice
        at = NOW - pick(AGES)
        older = pick((0.0, 0.0, 0.0, HOUR, DAY, None))
        return SourceEvidence(
            *place,
            pick((Scope.DEVICE, Scope.DEVICE, Scope.DEVICE, Scope.WORK_PROFILE, Scope.USER, Scope.MANAGED_ONLY)),
            pick((Naming.IDENTIFIER, Naming.IDENTIFIER, Naming.IDENTIFIER, Naming.DISPLAY_NAME)),
            at,
            pick((HOUR, DAY, 8 * DAY)),
            tuple(self.random.sample(APPS, self.random.randint(0, 4))),
            None if older is None else at - older,
            pick((None, None, None, False, True)),
            pick((None, None, None, True, False)),
            self.chance(0.1),
        )

    def sources(self) -> tuple[SourceEvidence, ...]:
        if self.chance(0.1):
            return self.two_of_one_source()
        places = [("mdm", "m1"), ("mdm", "m2"), ("jamf", "j1"), ("intune", "i1")]
        count = self.random.choice((0, 1, 1, 1, 1, 2, 2, 3))
        return tuple(self.source(place) for place in self.random.sample(places, count))

    def two_of_one_source(self) -> tuple[SourceEvidence, ...]:
        """Bound like that by hand: one answers for the other, but not for what that one answers for."""

        def of(place: tuple[str, str], hours: float, older: float) -> SourceEvidence:
            at = NOW - hours * HOUR
            usual = {"scope": Scope.DEVICE, "naming": Naming.IDENTIFIER, "suspicious": False}
            return replace(self.source(place), generated_at=at, full_at=at - older, **usual)  # type: ignore[arg-type]

        return (of(("jamf", "j1"), 4, 0.0), of(("mdm", "m1"), 2, 0.0), of(("mdm", "m2"), 1, DAY))

    def stones(self) -> tuple[Tombstone, ...]:
        pick = self.random.choice
        count = pick((0, 0, 0, 1, 2))
        return tuple(
            Tombstone(pick(APPS), pick(("mdm", "jamf")), NOW - pick(AGES), pick((Scope.DEVICE, Scope.WORK_PROFILE)))
            for _ in range(count)
        )

    def device(self, device_id: str) -> DeviceEvidence:
        pick = self.random.choice
        bare = self.chance(0.2)
        listed = () if bare else self.sources()
        states = [BindingState.BOUND, BindingState.BOUND, BindingState.UNMATCHED]
        states += [BindingState.CONFLICT] * bool(listed)
        return DeviceEvidence(
            device_id,
            BindingState.UNMATCHED if bare else pick(states),
            listed,
            () if bare else self.stones(),
            None if self.chance(0.3) else NOW - pick(AGES),
            pick((None, Platform.ANDROID, Platform.ANDROID, Platform.IOS)),
            pick(tuple(Ownership)),
        )

    def unbound(self) -> DeviceEvidence:
        if self.chance(0.7):
            place = self.random.choice((("mdm", "u1"), ("jamf", "u2")))
            return DeviceEvidence("", BindingState.BOUND, (self.source(place),), platform=Platform.IOS)
        return DeviceEvidence("", BindingState.UNMATCHED, (), self.stones())

    def person(self, number: int) -> Drawn:
        login = f"p{number}@corp.example"
        ids = self.random.sample(IDS, self.random.choice((0, 1, 1, 1, 2, 3)))
        devices = {each: self.device(each) for each in ids}
        unbound = tuple(self.unbound() for _ in range(self.random.choice((0, 0, 0, 1, 2))))
        known = self.chance(0.85)
        aliases = (f"alias{number}@corp.example",) if self.chance(0.2) else ()
        groups = frozenset(group for group in GROUPS if self.chance(0.35))
        credentials = tuple(
            DeviceCredential("abcdefgh", "0" * 64, each) for each in ids if each.startswith("cred") or self.chance(0.2)
        )
        record = PersonRecord(login, known, (login, *aliases), groups, devices, unbound, 0, credentials)
        types = {each: self.random.choice(("iPhone", "Outlook", "outlook", "")) for each in ids if self.chance(0.5)}
        return Drawn(record, {**dict.fromkeys(ids, ""), **types})

    def fleet(self, people: int) -> list[Drawn]:
        return [self.person(number) for number in range(people)]

    # --- Policies

    def ban(self, number: int) -> Ban:
        pick, flags = self.random.choice, tuple(Flag)
        rules = tuple(
            FlagRule(
                pick(flags),
                pick((None, None, Protocol.ACTIVESYNC, Protocol.IMAP)),
                pick(("", "", *GROUPS)),
                pick((None, None, 0.0, 30.0, 60.0, 100.0)),
            )
            for _ in range(pick((0, 0, 1, 2, 3)))
        )
        return Ban(
            f"ban {number}",
            tuple(self.random.sample(MATCHERS, pick((1, 1, 2, 3)))),
            tuple(self.random.sample(MATCHERS, pick((0, 0, 0, 1, 2)))),
            pick((*flags, Flag.ENFORCE)),
            rules,
            frozenset(self.random.sample(GROUPS, pick((0, 0, 0, 1, 2)))),
            self.moment() if self.chance(0.3) else None,
            self.moment() if self.chance(0.3) else None,
            self.random.randint(0, 3),
        )

    def setting(self) -> UnknownSetting:
        pick = self.random.choice
        rules = tuple(
            SettingRule(
                pick(tuple(Setting)),
                pick((None, Protocol.ACTIVESYNC, Protocol.POP3)),
                pick((None, Platform.ANDROID, Platform.IOS)),
            )
            for _ in range(pick((0, 0, 0, 1, 2)))
        )
        return UnknownSetting(pick((Setting.ALLOW, Setting.REPORT_ONLY, Setting.DENY)), rules)

    def exemption(self, people: int) -> Exemption:
        number = self.random.randrange(people + 1)
        kind = self.random.choice(("person", "alias", "device", "group"))
        login = f"{'alias' if kind == 'alias' else 'p'}{number}@corp.example"
        return Exemption(
            "e1",
            "root",
            "a reason",
            self.moment(),
            self.moment() + self.random.choice((0.0, DAY)),
            "" if kind == "group" else login,
            self.random.choice(("d1", "d2", "d9")) if kind == "device" else "",
            self.random.choice((*GROUPS, "nobody's")) if kind == "group" else "",
        )

    def policy(self, people: int, number: int = 5) -> PolicyVersion:
        pick = self.random.choice
        return PolicyVersion(
            number=number,
            created_at=NOW - DAY,
            author="root",
            enforcement_on=self.chance(0.93),
            bans=tuple(self.ban(each) for each in range(pick((0, 1, 2, 3, 5)))),
            exemptions=tuple(self.exemption(people) for _ in range(pick((0, 0, 1, 2, 4)))),
            unknowns=Unknowns(*(self.setting() if self.chance(0.6) else UnknownSetting() for _ in range(7))),
            grace=NewDeviceGrace(pick((0.0, 0.0, HOUR, 7 * DAY)), pick((0, 1, 2, 3))),
            outlook_mobile=pick((*OutlookMobile, OutlookMobile.USER_WIDE)),
        )

    def ageing(self) -> Ageing:
        """As the fleet brake may have it: free, looked ahead only so far, and with some sources held."""
        held = self.random.sample(("mdm", "jamf", "intune", "another"), self.random.choice((0, 0, 1, 1, 2, 3)))
        until = FOREVER if self.chance(0.5) else self.moment()
        return Ageing(until, {source: self.moment() for source in held})

    def changed(self, drawn: Drawn, number: int) -> Drawn:
        """The same person after some time: a device more or less, other groups, nothing left, or all anew."""
        record = drawn.record
        kind = self.random.choice(("anew", "groups", "less", "device", "gone", "known"))
        if kind == "anew":
            return self.person(number)
        if kind == "groups":
            groups = frozenset(group for group in GROUPS if self.chance(0.5))
            return replace(drawn, record=replace(record, groups=groups))
        if kind == "gone":
            return Drawn(PersonRecord(record.person_id, False, (record.person_id,)), {})
        if kind == "known":
            return replace(drawn, record=replace(record, known=not record.known))
        devices = dict(record.devices)
        if kind == "less" and devices:
            devices.pop(self.random.choice(list(devices)))
        elif kind == "device":
            device_id = self.random.choice(IDS)
            devices[device_id] = self.device(device_id)
        return replace(drawn, record=replace(record, devices=devices))


def question(record: PersonRecord, device_id: str, protocol: Protocol, types: Mapping[str, str]) -> AccessRequest:
    """A device asks by its id, or all devices of the person answer."""
    strength = IdentityStrength.DEVICE_ID if device_id else IdentityStrength.USER_WIDE
    said = types.get(device_id, "") if protocol is Protocol.ACTIVESYNC else ""
    return AccessRequest(record.person_id, device_id, protocol, strength, device_type=said)
