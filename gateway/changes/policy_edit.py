"""Makes the edit that a policy file describes: what it names is so afterwards, what it does not name stays as it is.

Pure; who writes, when, and what is drawn at random come from outside. The edit raises ``InvalidValue`` with line and
key where a value cannot stand.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from gateway.changes import edits
from gateway.changes.policy_document import BanWritten, ExemptionWritten, MatcherWritten, SettingWritten
from gateway.changes.policy_file import PolicyFile
from gateway.domain.bans import Ban, FlagRule, Matcher, MatcherKind
from gateway.domain.errors import InvalidValue
from gateway.domain.matching import matcher_from_text
from gateway.domain.policy import Exemption, PolicyVersion, SettingRule, UnknownSetting
from gateway.domain.policy_parts import differences

_KINDS = (
    ("id", MatcherKind.ID),
    ("signer", MatcherKind.SIGNER),
    ("team_id", MatcherKind.TEAM_ID),
    ("extension", MatcherKind.EXTENSION_ID),
    ("origin", MatcherKind.ORIGIN),
    ("app_name", MatcherKind.NAME),
)
"""The keys that say what a ban recognises, in the order of ``ban add``."""
RECOGNISING = (*(key for key, _ in _KINDS), "publisher", "below_version")
_PLURALS = {"ban": "bans", "flag": "flags", "exemption": "exemptions", "setting": "settings"}


@dataclass(frozen=True, slots=True)
class Writer:
    """What a file does not say of itself."""

    author: str
    now: float
    seed: Callable[[], int]
    """63 random bits, by which a new ban's shares choose people."""
    new_id: Callable[[], str]
    """Of a new exemption."""
    login: Callable[[str], str] = str.casefold
    """The canonical login of a user as somebody writes it; raises ``InvalidValue``."""
    device: Callable[[str], str] = str.lower


def edit_of(file: PolicyFile, writer: Writer) -> Callable[[PolicyVersion], PolicyVersion]:
    """The edit, for ``ChangeDesk.propose``."""

    def edit(version: PolicyVersion) -> PolicyVersion:
        edited = _settings(file, version)
        edited = replace(edited, bans=tuple(_bans(file, version, writer)))
        edited = replace(edited, exemptions=tuple(_exemptions(file, version, writer)))
        return replace(edited, summary=_summary(version, edited))

    return edit


def _summary(before: PolicyVersion, after: PolicyVersion) -> str:
    found = Counter(touch.part.partition(":")[0] for touch in differences(before, after))
    counted = Counter({kind: number for kind, number in found.items() if kind in _PLURALS})
    counted["setting"] = found.total() - counted.total()
    words = [f"{number} {kind if number == 1 else _PLURALS[kind]}" for kind, number in counted.items() if number]
    return f"policy file: {', '.join(words) or 'nothing'}"


@contextmanager
def _told_where(file: PolicyFile, *path: str | int) -> Iterator[None]:
    """What is refused within is refused with its place in the file."""
    try:
        yield
    except InvalidValue as error:
        raise InvalidValue(f"{file.at(*path)}{error}") from None


# --- settings


def _settings(file: PolicyFile, version: PolicyVersion) -> PolicyVersion:
    flags = file.document.flags
    if flags.switch is not None:
        version = replace(version, enforcement_on=flags.switch == "on")
    if flags.outlook_mobile is not None:
        version = replace(version, outlook_mobile=flags.outlook_mobile)
    if flags.unavailable is not None:
        version = replace(version, unavailable=flags.unavailable)
    if flags.grace is not None or flags.grace_devices is not None:
        seconds = version.grace.seconds if flags.grace is None else flags.grace
        devices = version.grace.devices if flags.grace_devices is None else flags.grace_devices
        with _told_where(file, "flags", "grace" if flags.grace is not None else "grace_devices"):
            version = edits.set_grace(version, seconds, devices)
    given: dict[str, SettingWritten | None] = dict(file.document.unknown)
    settings = {name: _unknown(each) for name, each in given.items() if each is not None}
    return replace(version, unknowns=replace(version.unknowns, **settings))


def _unknown(given: SettingWritten) -> UnknownSetting:
    rules = tuple(SettingRule(each.setting, each.protocol, each.platform) for each in given.rules)
    return UnknownSetting(given.setting, rules)


# --- bans


def _bans(file: PolicyFile, version: PolicyVersion, writer: Writer) -> Iterator[Ban]:
    present = {ban.name.casefold(): ban for ban in version.bans}
    whole = file.document.bans.complete
    wanted: dict[str, Ban | None] = dict.fromkeys(present) if whole else dict(present)
    named: set[str] = set()
    for place, given in enumerate(file.document.bans.ban):
        key = given.name.casefold()
        with _told_where(file, "bans", "ban", place):
            if key in named:
                raise InvalidValue(f"ban {given.name!r} stands here twice")
            named.add(key)
            wanted[key] = None if given.remove else _ban(given, present.get(key), writer, whole=whole)
    bans = [ban for ban in wanted.values() if ban is not None]
    if len(bans) > edits.MOST_BANS:
        raise InvalidValue(f"{file.at('bans')}a policy has at most {edits.MOST_BANS} bans")
    yield from bans


def _ban(given: BanWritten, present: Ban | None, writer: Writer, *, whole: bool) -> Ban:
    """``whole``: what the file does not say of the ban is as with a new one; otherwise it stays."""
    named = set(BanWritten.model_fields) if whole else given.model_fields_set
    recognises = given.model_fields_set & set(RECOGNISING)
    if not recognises and (present is None or whole):
        missing = "a section that is complete" if present is not None else f"a new one: there is no ban {given.name!r}"
        raise InvalidValue(f'say what the ban recognises, like id = "android:com.example.app" (this is {missing})')
    ban = present or Ban(given.name, (), seed=writer.seed())
    if recognises:
        ban = replace(ban, matchers=_in_order(ban.matchers, _matchers(given)))
    if "except_" in named:
        exceptions = [_matcher(each.kind or MatcherKind.ID, each, "", "") for each in given.except_]
        ban = replace(ban, exceptions=_in_order(ban.exceptions, exceptions))
    ban = _counting(ban, given, named)
    if "text" in named:
        ban = replace(ban, text=given.text)
    if "labels" in named:
        ban = replace(ban, labels=dict(given.labels))
    if present is None or (ban.matchers, ban.exceptions) != (present.matchers, present.exceptions):
        edits.check_ban(ban)
    elif ban != present:
        edits.check_ban_details(ban)
    return ban


def _counting(ban: Ban, given: BanWritten, named: set[str]) -> Ban:
    """For whom, when and how it counts."""
    rules = tuple(FlagRule(each.flag, each.protocol, each.group.strip(), each.percent) for each in given.rules)
    return replace(
        ban,
        flag=given.flag if "flag" in named else ban.flag,
        # As with ``flag set``: a flag for everybody replaces what was said for some.
        rules=rules if named & {"flag", "rules"} else ban.rules,
        groups=frozenset(filter(None, map(str.strip, given.group))) if "group" in named else ban.groups,
        starts_at=_epoch(given.starts, ban.starts_at) if "starts" in named else ban.starts_at,
        ends_at=_epoch(given.ends, ban.ends_at) if "ends" in named else ban.ends_at,
    )


def _matchers(given: BanWritten) -> list[Matcher]:
    found = []
    for key, kind in _KINDS:
        publisher = given.publisher if kind is MatcherKind.NAME else ""
        found += [_matcher(kind, each, publisher, given.below_version) for each in getattr(given, key)]
    if given.publisher and not given.app_name:
        raise InvalidValue("publisher goes with app_name")
    return found


def _matcher(kind: MatcherKind, given: MatcherWritten, publisher: str, below: str) -> Matcher:
    written = given.value
    if given.kind not in (None, kind):
        raise InvalidValue("kind goes with except only: the key says it already")
    if kind is MatcherKind.ID and given.platform is not None and not written.startswith(f"{given.platform}:"):
        written = f"{given.platform}:{written}"
    matcher = matcher_from_text(kind, written)
    if given.publisher and kind is not MatcherKind.NAME:
        raise InvalidValue("a publisher goes with app_name only")
    return replace(
        matcher,
        platform=matcher.platform or given.platform,
        publisher=(given.publisher or publisher).strip(),
        below_version=(given.below_version or below).strip(),
    )


def _in_order(present: tuple[Matcher, ...], wanted: list[Matcher]) -> tuple[Matcher, ...]:
    """Those that were there in the order that they had, so that a file in another order changes nothing."""
    new = dict.fromkeys(wanted)
    if set(present) == set(new):
        return present
    kept = [each for each in present if each in new]
    return tuple(dict.fromkeys((*kept, *new)))


def _epoch(at: datetime | None, present: float | None) -> float | None:
    """The moment; as it stands where it is the same, since a text may have fewer places."""
    if at is None:
        return None
    return present if present is not None and abs(present - at.timestamp()) < 0.001 else at.timestamp()


# --- exemptions


def _exemptions(file: PolicyFile, version: PolicyVersion, writer: Writer) -> Iterator[Exemption]:
    written = file.document.exemptions
    # Those that have ended stay until they are too old to be shown.
    wanted: dict[str, Exemption | None] = {
        each.id: None if written.complete and each.ends_at > writer.now else each for each in version.exemptions
    }
    present = _Present(version, writer.now)
    for place, given in enumerate(written.exemption):
        with _told_where(file, "exemptions", "exemption", place):
            exemption, before = _exemption(given, present, writer)
            if before is not None:
                wanted[before.id] = None
            if exemption is not None:
                wanted[exemption.id] = exemption
    kept = [each for each in wanted.values() if each is not None]
    if len(kept) > edits.MOST_EXEMPTIONS:
        words = f"a policy has at most {edits.MOST_EXEMPTIONS} exemptions: use a group"
        raise InvalidValue(f"{file.at('exemptions')}{words}")
    yield from kept


class _Present:
    """The exemptions of a policy, each of which is named once."""

    def __init__(self, version: PolicyVersion, now: float) -> None:
        self._by_id = {each.id: each for each in version.exemptions}
        self._by_whom: dict[tuple[str, str, str], list[Exemption]] = {}
        for each in version.exemptions:
            if each.ends_at > now:
                self._by_whom.setdefault(_whom(each), []).append(each)

    def by_id(self, wanted: str) -> Exemption:
        found = self._by_id.pop(wanted, None)
        if found is None:
            raise InvalidValue(f"there is no exemption {wanted!r}, or it stands here twice: a new one has no id")
        return found

    def by_whom(self, whom: tuple[str, str, str]) -> Exemption | None:
        left = [each for each in self._by_whom.get(whom, ()) if each.id in self._by_id]
        return self._by_id.pop(left[0].id) if left else None


def _whom(exemption: Exemption) -> tuple[str, str, str]:
    return exemption.login, exemption.device_id, exemption.group


def _exemption(given: ExemptionWritten, present: _Present, writer: Writer) -> tuple[Exemption | None, Exemption | None]:
    """What is to be, and what it stands in the place of."""
    login = writer.login(given.user) if given.user else ""
    whom = (login, writer.device(given.device) if given.device else "", given.group.strip())
    before = present.by_id(given.id) if given.id else present.by_whom(whom)
    if given.remove:
        if before is None:
            raise InvalidValue("nobody is exempt so: see gatepost exempt list")
        return None, before
    new = _renewed(given, before, whom, writer)
    if before is not None and replace(new, id=before.id, author=before.author) == before:
        return before, None
    if given.starts is None:
        new = replace(new, starts_at=max(new.starts_at, writer.now))
    edits.check_exemption(new, writer.now)
    # Another one, and not the same with other values: what an id stands for never changes.
    return new, before


def _renewed(
    given: ExemptionWritten, before: Exemption | None, whom: tuple[str, str, str], writer: Writer
) -> Exemption:
    named: set[str] = given.model_fields_set
    values: dict[str, Any] = {}
    if named & {"user", "device", "group"} or before is None:
        values |= dict(zip(("login", "device_id", "group"), whom, strict=True))
    if "reason" in named or before is None:
        values["reason"] = given.reason.strip()
    if "until" in named or before is None:
        values["ends_at"] = _epoch(given.until, before.ends_at if before else None) or 0.0
    if given.starts is not None:
        values["starts_at"] = _epoch(given.starts, before.starts_at if before else None)
    start = before or Exemption("", writer.author, "", writer.now, 0.0)
    return replace(start, id=writer.new_id(), author=writer.author, **values)
