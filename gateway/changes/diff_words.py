"""What a change touches, in an operator's words: one line for each part, before and after, and nothing left out."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from gateway.changes.edits import rule_words
from gateway.domain.bans import Matcher, MatcherKind
from gateway.domain.change import GuardedAction
from gateway.domain.policy import Exemption, NewDeviceGrace, SettingRule, UnknownSetting
from gateway.domain.policy_parts import FlagPart, PartValue, Recognition, Touch


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
    """All of it: who approves a ban approves what it leaves out and what people are told, too."""
    ban = after if isinstance(after, Recognition) else before
    assert isinstance(ban, Recognition)
    if isinstance(before, Recognition) and isinstance(after, Recognition):
        told = [*_differing("", before.matchers, after.matchers)]
        told += _differing("except ", before.exceptions, after.exceptions)
        told += [f"text: {after.text or 'none'}"] if after.text != before.text else []
        told += ["its labels"] if after.labels != before.labels else []
        return f"ban {after.name}: {'; '.join(told) or 'its name, or the order'}"
    words = [f"ban {ban.name} {'added' if before is None else 'removed'}: {_listed(ban.matchers)}"]
    if before is None:
        words += [f"except {_listed(ban.exceptions)}"] if ban.exceptions else []
        words += [f"text: {ban.text}"] if ban.text else []
    return "; ".join(words)


def _differing(what: str, before: Sequence[Matcher], after: Sequence[Matcher]) -> Iterator[str]:
    earlier, later = frozenset(before), frozenset(after)
    gone = [each for each in before if each not in later]
    new = [each for each in after if each not in earlier]
    for sign, some in (("also", new), ("no longer", gone)):
        if some:
            yield f"{sign} {what}{_listed(some)}"


def _listed(matchers: Sequence[Matcher]) -> str:
    return ", ".join(map(_matcher_words, matchers))


def _matcher_words(matcher: Matcher) -> str:
    star = ".*" if matcher.kind is MatcherKind.ID_PREFIX else ""
    where = f"{matcher.platform}:" if matcher.platform else ""
    kind = "" if matcher.kind in (MatcherKind.ID, MatcherKind.ID_PREFIX) else f"{matcher.kind} "
    publisher = f" of publisher {matcher.publisher}" if matcher.publisher else ""
    below = f" below {matcher.below_version}" if matcher.below_version else ""
    return f"{kind}{where}{matcher.value}{star}{publisher}{below}"


def action_words(action: GuardedAction) -> str:
    """A guarded action with all that it was asked for, so that nobody approves a title."""
    # Of a token's digest nobody learns anything.
    told = [f"{name.replace('_', ' ')} {value or 'none'}" for name, value in action.values.items() if name != "digest"]
    return f"{action.kind.replace('_', ' ')}: {', '.join(told)}"


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
