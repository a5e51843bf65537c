"""Pure edits of the policy: each takes a policy version and gives the version that should come next.

Number, time and author of the result are not set here (``apply`` does that); ``summary`` says in one line what
changed. An edit that would change nothing gives the same content back. Each raises ``InvalidValue`` with one clear
sentence: what is wrong and what to do.
"""

from dataclasses import replace

from gateway.domain.access import Protocol
from gateway.domain.bans import Ban, Flag, FlagRule
from gateway.domain.errors import InvalidValue
from gateway.domain.inventory import Platform
from gateway.domain.matching import NEVER_BAN, compiled, is_version
from gateway.domain.policy import (
    Exemption,
    NewDeviceGrace,
    OutlookMobile,
    PolicyVersion,
    Setting,
    SettingRule,
    Unavailable,
    UnknownSetting,
)

MOST_BANS = 5_000
MOST_MATCHERS = 500
MOST_RULES = 100
MOST_EXEMPTIONS = 10_000
NAME_LONGEST = 100
TEXT_LONGEST = 2_000
EXEMPTION_LONGEST_SECONDS = 366 * 86400.0
GRACE_LONGEST_SECONDS = 30 * 86400.0
UNKNOWN_NAMES = ("missing", "stale", "scope", "unmatched", "conflict", "compromised", "not_compliant")


def find_ban(version: PolicyVersion, name: str) -> Ban:
    """The ban of that name, in any case."""
    for ban in version.bans:
        if ban.name.casefold() == name.strip().casefold():
            return ban
    known = ", ".join(ban.name for ban in version.bans[:20]) or "none yet"
    raise InvalidValue(f"there is no ban {name!r}; there are: {known}")


def add_ban(version: PolicyVersion, ban: Ban) -> PolicyVersion:
    """With one more ban."""
    if any(other.name.casefold() == ban.name.casefold() for other in version.bans):
        raise InvalidValue(f"ban {ban.name!r} exists already: remove it first, or choose another name")
    if len(version.bans) >= MOST_BANS:
        raise InvalidValue(f"a policy has at most {MOST_BANS} bans")
    check_ban(ban)
    return replace(version, bans=(*version.bans, ban), summary=f"ban {ban.name} added, {ban.flag}")


def check_ban(ban: Ban) -> None:
    """Raise ``InvalidValue`` where a policy cannot have that ban: by its name, by what it recognises, or otherwise."""
    _check_name(ban.name, "a ban")
    if not ban.matchers:
        raise InvalidValue("a ban needs at least one matcher, for example --id android:com.example.app")
    if len(ban.matchers) + len(ban.exceptions) > MOST_MATCHERS:
        raise InvalidValue(f"a ban has at most {MOST_MATCHERS} matchers and exceptions")
    check_ban_details(ban)
    for matcher in (*ban.matchers, *ban.exceptions):
        if matcher.below_version and not is_version(matcher.below_version):
            # It would stand for every version.
            raise InvalidValue(
                f"{matcher.below_version!r} is no version: write numbers with dots, like 12.0.1,"
                " or the version code of an Android app"
            )
    _refuse_lock_out(ban)


def check_ban_details(ban: Ban) -> None:
    """The same for what a ban says beside that: text and dates."""
    if len(ban.text) > TEXT_LONGEST:
        raise InvalidValue(f"the text for the reader has at most {TEXT_LONGEST} characters")
    if ban.starts_at is not None and ban.ends_at is not None and ban.ends_at <= ban.starts_at:
        raise InvalidValue("the ban ends before it starts")


def _refuse_lock_out(ban: Ban) -> None:
    index = compiled((ban,))
    caught = list(dict.fromkeys(app.name for app in NEVER_BAN if index.bans_of(app)))
    if caught:
        first = next(app for app in NEVER_BAN if index.bans_of(app))
        raise InvalidValue(
            f"this ban also matches {', '.join(caught)}, without which nearly no phone has mail: narrow it, or add an"
            f" exception such as --except {first.platform}:{first.id}"
        )


def remove_ban(version: PolicyVersion, name: str) -> PolicyVersion:
    """Without that ban."""
    ban = find_ban(version, name)
    bans = tuple(other for other in version.bans if other is not ban)
    return replace(version, bans=bans, summary=f"ban {ban.name} removed")


def set_flag(
    version: PolicyVersion,
    name: str,
    flag: Flag,
    *,
    protocol: Protocol | None = None,
    group: str = "",
    percent: float | None = None,
) -> PolicyVersion:
    """With another flag for a ban: for everybody, or under conditions.

    The newest word counts: without conditions it replaces everything said before about that ban; with conditions it
    goes before older rules and replaces those about the same protocol and group, and those it covers.
    """
    ban = find_ban(version, name)
    if percent is not None and not 0 <= percent <= 100:
        raise InvalidValue("a percentage lies between 0 and 100")
    new = FlagRule(flag, protocol, group.strip(), percent)
    if protocol is None and not new.group and percent is None:
        edited = replace(ban, flag=flag, rules=())
        summary = f"flag of {ban.name} set to {flag}"
        if ban.rules:
            rules = "rule" if len(ban.rules) == 1 else "rules"
            summary += f", {len(ban.rules)} narrower {rules} replaced"
    else:
        kept = tuple(old for old in ban.rules if not _replaces(new, old))
        edited = replace(ban, rules=(new, *kept))
        summary = f"flag of {ban.name} set to {flag} for {rule_words(new)}"
    if len(edited.rules) > MOST_RULES:
        raise InvalidValue(f"a ban has at most {MOST_RULES} rules: set its flag for everybody to begin anew")
    bans = tuple(edited if other is ban else other for other in version.bans)
    return replace(version, bans=bans, summary=summary)


def _replaces(new: FlagRule, old: FlagRule) -> bool:
    if (new.protocol, new.group) == (old.protocol, old.group):
        return True
    # Where the new conditions hold whenever the old ones do, the old rule could never speak again.
    covers_who = new.protocol in (None, old.protocol) and new.group in ("", old.group)
    covers_share = new.percent is None or (old.percent is not None and old.percent <= new.percent)
    return covers_who and covers_share


def rule_words(rule: FlagRule) -> str:
    """The conditions of a rule in words."""
    words = []
    if rule.percent is not None:
        words.append(f"{rule.percent:g} % of the users")
    if rule.group:
        words.append(f"group {rule.group}")
    if rule.protocol is not None:
        words.append(f"protocol {rule.protocol}")
    return ", ".join(words) or "everybody"


def set_global(version: PolicyVersion, on: bool) -> PolicyVersion:
    """With the global switch on or off."""
    return replace(version, enforcement_on=on, summary=f"enforcement switched {'on' if on else 'off'} globally")


def set_unknown(
    version: PolicyVersion,
    name: str,
    setting: Setting,
    *,
    protocol: Protocol | None = None,
    platform: Platform | None = None,
) -> PolicyVersion:
    """With another setting for one kind of not knowing; the newest word counts, as with flags."""
    key = name.strip().lower().replace("-", "_")
    if key not in UNKNOWN_NAMES:
        raise InvalidValue(f"{name!r} is none of {', '.join(UNKNOWN_NAMES)}")
    current: UnknownSetting = getattr(version.unknowns, key)
    if protocol is None and platform is None:
        edited = UnknownSetting(setting)
    else:
        kept = tuple(
            old for old in current.rules if protocol not in (None, old.protocol) or platform not in (None, old.platform)
        )
        edited = replace(current, rules=(SettingRule(setting, protocol, platform), *kept))
    where = "".join(f", {kind} {value}" for kind, value in (("protocol", protocol), ("platform", platform)) if value)
    unknowns = replace(version.unknowns, **{key: edited})
    return replace(version, unknowns=unknowns, summary=f"{key} set to {setting}{where}")


def set_outlook_mobile(version: PolicyVersion, rule: OutlookMobile) -> PolicyVersion:
    """With another rule for Outlook mobile."""
    return replace(version, outlook_mobile=rule, summary=f"Outlook mobile set to {rule}")


def set_unavailable(version: PolicyVersion, answer: Unavailable) -> PolicyVersion:
    """With another answer for when the state cannot be read."""
    return replace(version, unavailable=answer, summary=f"answer without readable state set to {answer}")


def set_grace(version: PolicyVersion, seconds: float, devices: int) -> PolicyVersion:
    """With another grace for new devices; 0 seconds for none."""
    if not 0 <= seconds <= GRACE_LONGEST_SECONDS:
        raise InvalidValue("the grace of new devices lasts 0 to 30 days")
    if not 0 <= devices <= 100:
        raise InvalidValue("the grace is for 0 to 100 new devices per user in 30 days")
    summary = f"grace for {devices} new devices set to {seconds / 86400:g} days"
    return replace(version, grace=NewDeviceGrace(seconds, devices), summary=summary)


def add_exemption(version: PolicyVersion, exemption: Exemption, now: float) -> PolicyVersion:
    """With one more exemption; those that ended a month ago are dropped on the way."""
    check_exemption(exemption, now)
    kept = tuple(old for old in version.exemptions if old.ends_at > now - 30 * 86400)
    if len(kept) >= MOST_EXEMPTIONS:
        raise InvalidValue(f"a policy has at most {MOST_EXEMPTIONS} exemptions: use a group")
    summary = f"exemption {exemption.id} added for {exemption_words(exemption)}"
    return replace(version, exemptions=(*kept, exemption), summary=summary)


def check_exemption(exemption: Exemption, now: float) -> None:
    """Raise ``InvalidValue`` where nobody can be exempt so."""
    if bool(exemption.login) == bool(exemption.group):
        raise InvalidValue("an exemption is for a user (with or without a device) or for a group")
    if exemption.device_id and not exemption.login:
        raise InvalidValue("an exemption of a device names its user, too")
    if not exemption.reason.strip() or len(exemption.reason) > TEXT_LONGEST:
        raise InvalidValue(f"an exemption needs a reason of at most {TEXT_LONGEST} characters")
    if exemption.ends_at <= max(now, exemption.starts_at):
        raise InvalidValue("the exemption would have ended already: give an end in the future")
    if exemption.ends_at - exemption.starts_at > EXEMPTION_LONGEST_SECONDS:
        raise InvalidValue("an exemption lasts at most 366 days")


def exemption_words(exemption: Exemption) -> str:
    """Who is exempt, in words."""
    if exemption.group:
        return f"group {exemption.group}"
    return f"{exemption.login}, device {exemption.device_id}" if exemption.device_id else exemption.login


def remove_exemption(version: PolicyVersion, exemption_id: str) -> PolicyVersion:
    """Without that exemption."""
    found = [each for each in version.exemptions if each.id == exemption_id]
    if not found:
        raise InvalidValue(f"there is no exemption {exemption_id!r}: see exempt list")
    kept = tuple(each for each in version.exemptions if each.id != exemption_id)
    summary = f"exemption {exemption_id} of {exemption_words(found[0])} removed"
    return replace(version, exemptions=kept, summary=summary)


def _check_name(name: str, what: str) -> None:
    if not name or name != name.strip() or len(name) > NAME_LONGEST or not name.isprintable() or "/" in name:
        raise InvalidValue(f"the name of {what} has 1 to {NAME_LONGEST} printable characters and no slash")
