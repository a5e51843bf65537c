"""Writes a policy version as a policy file that ``policy_file`` reads back to the same. Pure.

Always in the same order, so that two exports can be compared line by line. What stands as it comes (no group, no rule,
no end) is left out. Written here and not by a library: it is one known shape, and the reader of the file is to find
words beside the keys.
"""

import json
import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from gateway.changes import lengths
from gateway.changes.edits import UNKNOWN_NAMES
from gateway.domain.bans import Ban, FlagRule, Matcher, MatcherKind
from gateway.domain.errors import InvalidValue
from gateway.domain.inventory import Platform
from gateway.domain.policy import Exemption, PolicyVersion, SettingRule, UnknownSetting

_KEYS = (
    ("id", (MatcherKind.ID, MatcherKind.ID_PREFIX)),
    ("signer", (MatcherKind.SIGNER,)),
    ("team_id", (MatcherKind.TEAM_ID,)),
    ("extension", (MatcherKind.EXTENSION_ID,)),
    ("origin", (MatcherKind.ORIGIN,)),
    ("app_name", (MatcherKind.NAME,)),
)
_IMPLIED = {MatcherKind.TEAM_ID: Platform.MACOS, MatcherKind.EXTENSION_ID: Platform.CHROME}
_WIDEST = 100
_YEAR_10000 = 253_402_300_800.0


def policy_text(version: PolicyVersion, now: float) -> str:
    """The file. Exemptions that have ended by ``now`` are not in it."""
    return "\n".join([*_head(version), *_settings(version), *_bans(version), *_exemptions(version, now), ""])


def _head(version: PolicyVersion) -> Iterator[str]:
    yield f"# The policy of Gatepost, version {version.number}, in force since {_when(version.created_at) or 'ever'}."
    yield "#"
    yield "# Edit it, look at what that would do (gatepost plan FILE), apply the change that it makes. Nothing is in"
    yield "# force before. What a file does not name stays as it is: one that holds only what is to change is as good."
    yield ""
    yield f"based_on = {version.number}  # what somebody changed since is refused; without it the file goes before"


def _settings(version: PolicyVersion) -> Iterator[str]:
    yield from ("", "[flags]")
    yield f"{_pair('global', 'on' if version.enforcement_on else 'off')}  # the switch above all enforcement"
    outlook = _pair("outlook_mobile", version.outlook_mobile)
    yield f"{outlook}  # unmatched, user-wide, allow, report-only, deny"
    yield f"{_pair('unavailable', version.unavailable)}  # while the state cannot be read: defer, allow, deny"
    length = lengths.length_of(version.grace.seconds)
    if _is_length(length):
        yield f"{_pair('grace', length)}  # of new devices"
    yield f"grace_devices = {version.grace.devices}  # for so many per user in 30 days"
    yield from ("", "[unknown]  # what cannot be known: allow, report-only, deny")
    for name in UNKNOWN_NAMES:
        yield f"{name} = {_unknown(getattr(version.unknowns, name))}"


def _is_length(text: str) -> bool:
    try:
        lengths.seconds_of(text)
    except InvalidValue:
        return False
    return True


def _unknown(setting: UnknownSetting) -> str:
    if not setting.rules:
        return _text(setting.default)
    rules = ", ".join(_inline(_setting_rule(rule)) for rule in setting.rules)
    return f"{{ setting = {_text(setting.default)}, rules = [{rules}] }}"


def _setting_rule(rule: SettingRule) -> Iterator[tuple[str, str]]:
    yield "setting", _text(rule.setting)
    if rule.protocol is not None:
        yield "protocol", _text(rule.protocol)
    if rule.platform is not None:
        yield "platform", _text(rule.platform)


# --- bans


def _bans(version: PolicyVersion) -> Iterator[str]:
    yield from ("", "[bans]", "complete = true  # a ban that is not named here is removed; without it, it stays")
    for ban in sorted(version.bans, key=lambda each: each.name.casefold()):
        yield from ("", "[[bans.ban]]", _pair("name", ban.name), *_recognised(ban), *_counting(ban))
        if ban.text:
            yield f"{_pair('text', ban.text)}  # for people who are refused"
        if ban.labels:
            labels = ((_text(key), _text(value)) for key, value in sorted(ban.labels.items()))
            yield f"labels = {_inline(labels)}"


def _recognised(ban: Ban) -> Iterator[str]:
    below = _shared(each.below_version for each in ban.matchers)
    publisher = _shared(each.publisher for each in ban.matchers if each.kind is MatcherKind.NAME)
    for key, kinds in _KEYS:
        found = [_matcher(each, publisher, below) for each in ban.matchers if each.kind in kinds]
        if found:
            yield f"{key} = {_list(found)}"
    if ban.exceptions:
        yield f"except = {_list([_exception(each) for each in ban.exceptions])}"
    if publisher:
        yield _pair("publisher", publisher)
    if below:
        yield _pair("below_version", below)


def _shared(values: Iterable[str]) -> str:
    """What all of them say; empty where they differ."""
    found = set(values)
    return found.pop() if len(found) == 1 else ""


_BY_ID = (MatcherKind.ID, MatcherKind.ID_PREFIX)


def _exception(matcher: Matcher) -> str:
    kind = [] if matcher.kind in _BY_ID else [("kind", _text(matcher.kind))]
    return _matcher(matcher, "", "", kind)


def _matcher(matcher: Matcher, publisher: str, below: str, kind: list[tuple[str, str]] | None = None) -> str:
    by_id = matcher.kind in _BY_ID
    star = ".*" if matcher.kind is MatcherKind.ID_PREFIX else ""
    value = _text(f"{matcher.platform}:{matcher.value}{star}" if by_id else matcher.value)
    more = list(kind or ())
    if not by_id and matcher.platform is not None and matcher.platform is not _IMPLIED.get(matcher.kind):
        more.append(("platform", _text(matcher.platform)))
    if matcher.publisher != publisher and matcher.publisher:
        more.append(("publisher", _text(matcher.publisher)))
    if matcher.below_version != below:
        more.append(("below_version", _text(matcher.below_version)))
    return _inline([("value", value), *more]) if more else value


def _counting(ban: Ban) -> Iterator[str]:
    yield _pair("flag", ban.flag)
    if ban.rules:
        yield f"rules = {_list([_inline(_rule(rule)) for rule in ban.rules])}  # the first that fits goes before flag"
    if ban.groups:
        yield f"group = {_list([_text(each) for each in sorted(ban.groups)])}  # for nobody else"
    for key, at in (("starts", ban.starts_at), ("ends", ban.ends_at)):
        when = _when(at)
        if when:
            yield _pair(key, when)


def _rule(rule: FlagRule) -> Iterator[tuple[str, str]]:
    yield "flag", _text(rule.flag)
    if rule.percent is not None:
        yield "percent", f"{rule.percent:g}" if float(f"{rule.percent:g}") == rule.percent else repr(rule.percent)
    if rule.group:
        yield "group", _text(rule.group)
    if rule.protocol is not None:
        yield "protocol", _text(rule.protocol)


# --- exemptions


def _exemptions(version: PolicyVersion, now: float) -> Iterator[str]:
    yield from ("", "[exemptions]", "complete = true  # one that is not named here ends; without it, it stays")
    lasting = (each for each in version.exemptions if each.ends_at > now)
    for each in sorted(lasting, key=lambda each: (each.group, each.login, each.device_id, each.ends_at, each.id)):
        yield from ("", "[[exemptions.exemption]]")
        yield f"{_pair('id', each.id)}  # by {_plain(each.author)}; leave it out to make a new one"
        yield from _whom(each)
        yield _pair("reason", each.reason)
        if each.starts_at > now:
            yield _pair("starts", _when(each.starts_at))
        yield _pair("until", _when(each.ends_at))


def _whom(exemption: Exemption) -> Iterator[str]:
    named = (("user", exemption.login), ("device", exemption.device_id), ("group", exemption.group))
    yield from (_pair(key, value) for key, value in named if value)


# --- TOML


def _pair(key: str, value: str) -> str:
    return f"{key} = {_text(value)}"


def _text(value: str) -> str:
    """A basic string: every escape of JSON is one of TOML's. What steers a terminal is escaped, too."""
    return "".join(
        char if char.isprintable() else _escaped(char) for char in json.dumps(str(value), ensure_ascii=False)
    )


def _escaped(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def _plain(text: str) -> str:
    """For a comment."""
    return "".join(char for char in text if char.isprintable())


def _list(items: list[str]) -> str:
    line = f"[{', '.join(items)}]"
    if len(line) <= _WIDEST:
        return line
    return "[\n" + "".join(f"  {item},\n" for item in items) + "]"


def _inline(pairs: Iterable[tuple[str, str]]) -> str:
    return "{ " + ", ".join(f"{key} = {value}" for key, value in pairs) + " }"


def _when(at: float | None) -> str:
    """In UTC, to the microsecond; empty for what is no moment that can be written."""
    if at is None or not math.isfinite(at) or not 0 <= at < _YEAR_10000:
        return ""
    return datetime.fromtimestamp(at, UTC).isoformat()
