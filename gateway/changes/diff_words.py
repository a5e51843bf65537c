"""What a change touches, in an operator's words: one line for each part, before and after."""

from datetime import UTC, datetime

from gateway.changes.edits import rule_words
from gateway.domain.bans import Matcher, MatcherKind
from gateway.domain.policy import Exemption, NewDeviceGrace, SettingRule, UnknownSetting
from gateway.domain.policy_parts import FlagPart, PartValue, Recognition, Touch

NAMED = 5


def touch_words(touch: Touch) -> str:
    """One part with its values before and after."""
    kind, _, name = touch.part.partition(":")
    before, after = touch.before, touch.after
    if isinstance(before or after, Recognition):
        return _recognition_words(before, after)
    if kind == "exemption":
        return f"exemption {'added' if before is None else 'ended'}: {_value_words(after or before)}"
    what = {
        "flag": f"flag of {name}",
        "unknown": f"devices that are {name}",
        "enforcement": "enforcement, globally",
        "outlook_mobile": "Outlook mobile",
        "unavailable": "while the state cannot be read",
        "grace": "grace of new devices",
    }.get(kind, kind)
    return f"{what}: {_value_words(before)} → {_value_words(after)}"


def _recognition_words(before: PartValue | None, after: PartValue | None) -> str:
    if isinstance(before, Recognition) and isinstance(after, Recognition):
        gone = [each for each in before.matchers if each not in after.matchers]
        new = [each for each in after.matchers if each not in before.matchers]
        told = [f"{sign}{_listed(some)}" for sign, some in (("also ", new), ("no longer ", gone)) if some]
        return f"ban {after.name}: {'; '.join(told) or 'its exceptions or its text'}"
    ban = after if isinstance(after, Recognition) else before
    assert isinstance(ban, Recognition)
    return f"ban {ban.name} {'added' if before is None else 'removed'}: {_listed(list(ban.matchers))}"


def _listed(matchers: list[Matcher]) -> str:
    more = f" and {len(matchers) - NAMED} more" if len(matchers) > NAMED else ""
    return ", ".join(map(_matcher_words, matchers[:NAMED])) + more


def _matcher_words(matcher: Matcher) -> str:
    star = ".*" if matcher.kind is MatcherKind.ID_PREFIX else ""
    where = f"{matcher.platform}:" if matcher.platform else ""
    kind = "" if matcher.kind in (MatcherKind.ID, MatcherKind.ID_PREFIX) else f"{matcher.kind} "
    below = f" below {matcher.below_version}" if matcher.below_version else ""
    return f"{kind}{where}{matcher.value}{star}{below}"


def _value_words(value: PartValue | None) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "on" if value else "off"
        case FlagPart():
            return _flag_words(value)
        case UnknownSetting():
            rules = [f"{rule.setting} for {_where(rule)}" for rule in value.rules]
            return ", ".join([*rules, f"{value.default} otherwise" if rules else str(value.default)])
        case NewDeviceGrace():
            return f"{value.devices} devices for {value.seconds / 86400:g} days"
        case Exemption():
            return _exemption_words(value)
    return str(value)


def _flag_words(part: FlagPart) -> str:
    words = [f"{rule.flag} for {rule_words(rule)}" for rule in part.rules]
    words.append(f"{part.flag} otherwise" if words else str(part.flag))
    if part.groups:
        words.append(f"only in {', '.join(sorted(part.groups))}")
    words += [
        f"{name} {_day(at)}" for name, at in (("from", part.starts_at), ("until", part.ends_at)) if at is not None
    ]
    return ", ".join(words)


def _exemption_words(exemption: Exemption) -> str:
    who = exemption.login or f"group {exemption.group}"
    device = f", device {exemption.device_id}" if exemption.device_id else ""
    return f"{who}{device} until {_day(exemption.ends_at)} ({exemption.reason})"


def _where(rule: SettingRule) -> str:
    return ", ".join(str(each) for each in (rule.protocol, rule.platform) if each) or "everybody"


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
