"""A small fleet whose every number can be counted by hand, for tests of previews."""

from dataclasses import replace

from gateway.changes.impact.fleet import Fleet
from gateway.changes.impact.writing import Update, Writer
from gateway.domain.bans import Ban, Flag, FlagRule
from gateway.domain.credential import DeviceCredential
from gateway.domain.evidence import PersonRecord
from gateway.domain.inventory import App, Ownership, Platform
from gateway.domain.policy import Policy, PolicyVersion, policy_of
from tests.support.evidence_strategies import DAY, HOUR, MAIL, NOW, TIKTOK, TIKTOK_BAN, bound, seen, unmatched


def login(name: str) -> str:
    return f"{name}@corp.example"


def person(name: str, groups: str, **devices: tuple[App, ...] | None) -> PersonRecord:
    """A known person; a device with apps is bound and fresh, one without (None) is unmatched."""
    found = {
        device_id: unmatched(device_id, first_seen_at=NOW - 90 * DAY)
        if apps is None
        else replace(bound(seen(*apps, device=f"{name}-{device_id}"), device_id=device_id), ownership=Ownership.COMPANY)
        for device_id, apps in devices.items()
    }
    return PersonRecord(login(name), True, (login(name),), frozenset(groups.split()), found)


def credential(record: PersonRecord, device_id: str) -> PersonRecord:
    """The same with a device credential for one device."""
    return replace(record, credentials=(DeviceCredential("abcdefgh", "0" * 64, device_id),))


PEOPLE = (
    person("ann", "sales vip", a1=(TIKTOK, MAIL)),
    person("bob", "sales", b1=(TIKTOK,), b2=(MAIL,)),
    person("cid", "board", c1=(MAIL,)),
    person("dan", "board", d1=None),
    person("eve", "sales board"),
)
"""Ann has TikTok on her only phone, Bob on one of two; Cid is clean, Dan's phone is unmatched, Eve has none."""


def fleet(*people: PersonRecord) -> Fleet:
    writer = Writer("life", 7)
    writer.put(Update(each) for each in people or PEOPLE)
    return writer.view()


def policy(*bans: Ban, number: int = 1, **fields: object) -> Policy:
    return policy_of(replace(PolicyVersion(number, NOW - DAY, "root", bans=bans), **fields))  # type: ignore[arg-type]


def tiktok(flag: Flag = Flag.ENFORCE, *rules: FlagRule, **fields: object) -> Ban:
    return replace(TIKTOK_BAN, flag=flag, rules=rules, **fields)  # type: ignore[arg-type]


IOS = Platform.IOS
FRESH_FOR = DAY - HOUR
"""Seconds until the evidence of the fleet goes stale."""
