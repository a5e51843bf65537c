"""People of whom every way in is asked: what is known of them, what is decided, and the verdict that follows."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.domain.access import IdentityStrength
from gateway.domain.bans import Flag
from gateway.domain.credential import DeviceCredential, digest_of
from gateway.domain.evidence import BindingState, DeviceEvidence, PersonRecord, SourceEvidence
from gateway.domain.inventory import App, Naming, Platform, Scope
from gateway.domain.matching import compiled
from gateway.domain.policy import (
    Exemption,
    NewDeviceGrace,
    Policy,
    PolicyVersion,
    Setting,
    Unavailable,
    UnknownSetting,
)
from gateway.domain.verdict import Effect, Reason
from tests.support.fronted import BAN, CLEAN_APP, TIKTOK, Evidence, policy

LOGIN, DEVICE, OTHER = "anna@corp.example", "annaphone", "annatablet"
CREDENTIAL, SECRET = "k3vq7mzd", "abcdefghijklmnopqrstuvwxyz"
DAY = 86_400.0

Expected = tuple[Effect, Reason]
ALLOWED, DENIED, DEFERRED = Effect.ALLOW, Effect.DENY, Effect.DEFER
WRONG_CREDENTIAL: Expected = (DENIED, Reason.CREDENTIAL_INVALID)


def _same(version: PolicyVersion) -> PolicyVersion:
    return version


@dataclass(frozen=True, slots=True)
class Person:
    """One row."""

    name: str
    expected: Expected
    devices: tuple[DeviceEvidence, ...] = ()
    """None: nobody has ever heard of this person."""
    version: Callable[[PolicyVersion], PolicyVersion] = _same
    other: Mapping[IdentityStrength, Expected] = field(default_factory=dict)
    """Where the verdict depends on how well the device is known."""
    away: bool = False
    """Nothing can be read of anybody."""

    def of(self, strength: IdentityStrength) -> Expected:
        """The verdict by that identity."""
        return self.other.get(strength, self.expected)

    def arrange(self, evidence: Evidence) -> None:
        """Write down what is known."""
        evidence.unavailable = self.away
        if self.devices:
            held = (DeviceCredential(CREDENTIAL, digest_of(CREDENTIAL, SECRET), DEVICE),)
            evidence.records[LOGIN] = PersonRecord(
                LOGIN,
                known=True,
                logins=(LOGIN,),
                devices={each.device_id: each for each in self.devices},
                credentials=held,
            )

    def policy(self) -> Policy:
        """What is decided."""
        version = self.version(policy(BAN, number=2).version)
        return Policy(version, compiled(version.bans))


def phone(*apps: App, device_id: str = DEVICE, age: float = 60.0, **changes: Any) -> DeviceEvidence:
    """A phone with a report of that age in seconds; ``changes`` of the report, or of the phone by its own names."""
    at = time.time() - age
    usual = ("mdm", device_id, Scope.DEVICE, Naming.IDENTIFIER, at, DAY, (CLEAN_APP, *apps), at)
    own = {name: changes.pop(name) for name in ("binding", "sources", "first_seen_at") if name in changes}
    source = replace(SourceEvidence(*usual), **changes)
    made = DeviceEvidence(
        device_id, BindingState.BOUND, (source,), first_seen_at=time.time() - 100 * DAY, platform=Platform.ANDROID
    )
    return replace(made, **own)


def setting(**unknowns: Setting) -> Callable[[PolicyVersion], PolicyVersion]:
    """What to do with each cause of not knowing."""

    def changed(version: PolicyVersion) -> PolicyVersion:
        named: dict[str, Any] = {cause: UnknownSetting(each) for cause, each in unknowns.items()}
        return replace(version, unknowns=replace(version.unknowns, **named))

    return changed


def _changed(**changes: Any) -> Callable[[PolicyVersion], PolicyVersion]:
    return lambda version: replace(version, **changes)


_USER_WIDE, _CREDENTIAL = IdentityStrength.USER_WIDE, IdentityStrength.DEVICE_CREDENTIAL
_EXEMPTION = Exemption("1", "op", "travels", 0.0, 4e9, login=LOGIN)

PEOPLE = (
    Person("clean", (ALLOWED, Reason.CLEAN), (phone(),)),
    Person("banned app", (DENIED, Reason.BANNED_APP), (phone(TIKTOK),)),
    Person(
        "banned app, only reported",
        (ALLOWED, Reason.NOT_ENFORCED),
        (phone(TIKTOK),),
        _changed(bans=(replace(BAN, flag=Flag.REPORT_ONLY),)),
    ),
    Person(
        "banned app, all switched off",
        (ALLOWED, Reason.ENFORCEMENT_OFF),
        (phone(TIKTOK),),
        _changed(enforcement_on=False),
    ),
    Person("banned app, exempt", (ALLOWED, Reason.EXEMPT), (phone(TIKTOK),), _changed(exemptions=(_EXEMPTION,))),
    Person(
        "banned app on another device of the same person",
        (ALLOWED, Reason.CLEAN),
        (phone(), phone(TIKTOK, device_id=OTHER)),
        other={_USER_WIDE: (DENIED, Reason.BANNED_APP)},
    ),
    Person("old report, denied", (DENIED, Reason.EVIDENCE_STALE), (phone(age=9 * DAY),), setting(stale=Setting.DENY)),
    Person("old report, only reported", (ALLOWED, Reason.NOT_ENFORCED), (phone(age=9 * DAY),)),
    Person(
        "no report of the phone, denied",
        (DENIED, Reason.EVIDENCE_MISSING),
        (phone(sources=()),),
        setting(missing=Setting.DENY),
    ),
    Person(
        "report of managed apps only, denied",
        (DENIED, Reason.EVIDENCE_SCOPE),
        (phone(scope=Scope.MANAGED_ONLY),),
        setting(scope=Setting.DENY),
    ),
    Person(
        "two claim the phone, denied",
        (DENIED, Reason.BINDING_CONFLICT),
        (phone(binding=BindingState.CONFLICT),),
        setting(conflict=Setting.DENY),
    ),
    Person(
        "two claim the phone, one with a banned app",
        (DENIED, Reason.BANNED_APP),
        (phone(TIKTOK, binding=BindingState.CONFLICT),),
    ),
    Person(
        "compromised, denied",
        (DENIED, Reason.COMPROMISED),
        (phone(compromised=True),),
        setting(compromised=Setting.DENY),
    ),
    Person(
        "unknown phone, another one is clean; unmatched denied",
        (DENIED, Reason.DEVICE_UNMATCHED),
        (phone(device_id=OTHER),),
        setting(unmatched=Setting.DENY),
        other={_USER_WIDE: (ALLOWED, Reason.CLEAN)},
    ),
    Person(
        "new phone in its grace; unmatched denied",
        (ALLOWED, Reason.NEW_DEVICE_GRACE),
        (phone(binding=BindingState.UNMATCHED, sources=(), first_seen_at=time.time() - 60),),
        lambda version: replace(setting(unmatched=Setting.DENY)(version), grace=NewDeviceGrace(30 * DAY)),
    ),
    Person(
        "unknown person, denied",
        (DENIED, Reason.DEVICE_UNMATCHED),
        version=setting(unmatched=Setting.DENY),
        other={_CREDENTIAL: WRONG_CREDENTIAL},
    ),
    Person("unknown person, only reported", (ALLOWED, Reason.NOT_ENFORCED), other={_CREDENTIAL: WRONG_CREDENTIAL}),
    Person("nothing can be read", (DEFERRED, Reason.STATE_UNAVAILABLE), away=True),
    Person(
        "nothing can be read, denied",
        (DENIED, Reason.STATE_UNAVAILABLE),
        version=_changed(unavailable=Unavailable.DENY),
        away=True,
    ),
    Person(
        "nothing can be read, allowed",
        (ALLOWED, Reason.STATE_UNAVAILABLE),
        version=_changed(unavailable=Unavailable.ALLOW),
        away=True,
    ),
)
