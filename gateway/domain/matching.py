"""Which bans an app falls under: matchers compiled once per policy version.

Exact ids stand in a dictionary per platform (the fast path), the rest in short lists. Exceptions count only where
they are at least as specific as the matcher that hit. Nothing here runs per request: ``BanIndex.bans_of`` remembers
its answer for each distinct app.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from unicodedata import category, normalize

from gateway.domain.bans import Ban, Matcher, MatcherKind
from gateway.domain.errors import InvalidValue
from gateway.domain.inventory import App, AppOrigin, Platform, folded_id

REMEMBERED_APPS = 200_000
"""Distinct apps whose answer is kept; a fleet has some tens of thousands."""

_SPECIFICITY = {
    MatcherKind.ID: 7,
    MatcherKind.EXTENSION_ID: 7,
    MatcherKind.SIGNER: 5,
    MatcherKind.TEAM_ID: 5,
    MatcherKind.ID_PREFIX: 4,
    MatcherKind.NAME: 2,
    MatcherKind.ORIGIN: 1,
}


def folded_name(text: str) -> str:
    """A display name as names are compared: NFKC, case-folded, no bidi or zero-width characters, single blanks."""
    if text.isascii():
        # Nothing of the kind is in ASCII, and NFKC leaves it alone.
        return " ".join(text.casefold().split())
    visible = "".join(char for char in normalize("NFKC", text) if category(char) != "Cf")
    return " ".join(visible.casefold().split())


def normalized_signer(text: str) -> str:
    """A signing certificate's SHA-256 as ``sha256:`` and lower-case hex; accepts colons, upper case, no prefix."""
    digits = text.strip().lower().removeprefix("sha256:").replace(":", "")
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise InvalidValue(f"signer {text!r} is no SHA-256: give 64 hex digits")
    return f"sha256:{digits}"


def specificity(matcher: Matcher) -> int:
    """How narrow a matcher is; an exception must reach that of the matcher it undoes."""
    return _SPECIFICITY[matcher.kind] + (1 if matcher.below_version else 0)


def matches(matcher: Matcher, app: App) -> bool:
    """Whether the matcher recognises the app, version bound included."""
    if matcher.platform is not None and matcher.platform is not app.platform:
        return False
    return _KINDS[matcher.kind](matcher, app) and (not matcher.below_version or below(app, matcher.below_version))


def below(app: App, bound: str) -> bool:
    """Whether the app's version is below ``bound``; a version that cannot be read counts as below."""
    if app.platform is Platform.ANDROID and _is_whole(bound) and app.version_code is not None:
        return app.version_code < int(bound)
    mine, limit = _numbers(app.version), _numbers(bound)
    if mine is None or limit is None:
        return True
    length = max(len(mine), len(limit))
    return mine + (0,) * (length - len(mine)) < limit + (0,) * (length - len(limit))


def is_version(text: str) -> bool:
    """Whether a bound can be read: numbers with dots, or an Android version code."""
    return _numbers(text) is not None


def _is_whole(text: str) -> bool:
    # isdigit alone takes superscripts, which int refuses.
    return text.isascii() and text.isdigit()


def _numbers(version: str) -> tuple[int, ...] | None:
    head = version.strip().split()[0] if version.strip() else ""
    parts = head.split(".")
    # The length bound keeps hostile versions of a million digits from costing anything.
    if not head or len(head) > 128 or not all(_is_whole(part) for part in parts):
        return None
    return tuple(int(part) for part in parts)


def _by_id(matcher: Matcher, app: App) -> bool:
    return folded_id(app.platform, matcher.value) == folded_id(app.platform, app.id)


def _by_prefix(matcher: Matcher, app: App) -> bool:
    # On a dot boundary: com.ss.android covers com.ss.android.ugc, never com.ss.androidx.
    return folded_id(app.platform, app.id).startswith(folded_id(app.platform, matcher.value) + ".")


def _by_name(matcher: Matcher, app: App) -> bool:
    if matcher.value and not _glob(matcher.value).fullmatch(folded_name(app.name)):
        return False
    return not matcher.publisher or bool(_glob(matcher.publisher).fullmatch(folded_name(app.publisher)))


_GLOBS: dict[str, re.Pattern[str]] = {}


def _glob(pattern: str) -> re.Pattern[str]:
    compiled = _GLOBS.get(pattern)
    if compiled is None:
        if len(_GLOBS) > 10_000:
            _GLOBS.clear()
        # Square brackets are not offered: only * and ? mean anything.
        literal = folded_name(pattern).replace("[", "[[]")
        compiled = _GLOBS[pattern] = re.compile(translate(literal))
    return compiled


_KINDS = {
    MatcherKind.ID: _by_id,
    MatcherKind.EXTENSION_ID: lambda matcher, app: matcher.value == app.id,
    MatcherKind.ID_PREFIX: _by_prefix,
    MatcherKind.SIGNER: lambda matcher, app: matcher.value in app.signers,
    MatcherKind.TEAM_ID: lambda matcher, app: matcher.value == app.team_id,
    MatcherKind.ORIGIN: lambda matcher, app: app.origin == matcher.value,
    MatcherKind.NAME: _by_name,
}


class _Answers(dict[App, tuple[int, ...]]):
    """Numbers of bans by app."""

    def __init__(self, known: Mapping[App, tuple[int, ...]] | None = None) -> None:
        super().__init__(known or {})
        self.mark = object()
        self.whole = True
        """Nothing that was asked for was forgotten."""


@dataclass(slots=True)
class BanIndex:
    """The matchers of a set of bans, and the answers given so far."""

    bans: tuple[Ban, ...]
    _exact: dict[tuple[Platform, str], list[tuple[int, Matcher]]] = field(default_factory=dict)
    _rest: list[tuple[int, Matcher]] = field(default_factory=list)
    _answers: _Answers = field(default_factory=_Answers)
    """Another index with the same matchers takes them over, whatever its bans are called."""
    _grown_from: object = None
    """The mark of the answers that this one began with."""
    newly_caught: frozenset[str] = frozenset()
    """Ids of the known apps that the index before did not recognise, where this one goes on with its answers."""

    def bans_of(self, app: App) -> tuple[Ban, ...]:
        """The bans that the app falls under, in the order of the policy."""
        return self._named(self._numbers_of(app))

    def _numbers_of(self, app: App) -> tuple[int, ...]:
        answer = self._answers.get(app)
        if answer is None:
            if len(self._answers) >= REMEMBERED_APPS:
                self._answers.clear()
                self._answers.whole = False
            answer = self._answers[app] = self._find(app)
        return answer

    def _named(self, numbers: tuple[int, ...]) -> tuple[Ban, ...]:
        return tuple([self.bans[number] for number in numbers])

    def like(self, bans: tuple[Ban, ...]) -> "BanIndex | None":
        """An index of other bans that goes on with the answers of this one; None if they recognise other apps."""
        if [_recognised_by(ban) for ban in bans] != [_recognised_by(ban) for ban in self.bans]:
            return None
        return BanIndex(bans, self._exact, self._rest, self._answers)

    def with_more(self, bans: tuple[Ban, ...]) -> "BanIndex | None":
        """An index of these bans and others behind them, which goes on with the answers of this one.

        None if the first ones recognise other apps, or one of the others does so by anything else than ids: each app
        would have to be looked at anew.
        """
        mine, added = len(self.bans), bans[len(self.bans) :]
        if [_recognised_by(ban) for ban in bans[:mine]] != [_recognised_by(ban) for ban in self.bans]:
            return None
        if not self._answers.whole or not all(_is_exact(matcher) for ban in added for matcher in ban.matchers):
            return None
        exact = {key: list(known) for key, known in self._exact.items()}
        index = BanIndex(bans, exact, self._rest, _Answers(self._answers), self._answers.mark)
        index._learn(range(mine, len(bans)))
        ids = {_key(matcher)[1] for ban in added for matcher in ban.matchers}
        # A copy: another thread may ask for an app meanwhile.
        touched = [app for app in list(self._answers) if app.id in ids or app.id.casefold() in ids]
        index._answers.update((app, index._find(app)) for app in touched)
        index.newly_caught = frozenset(app.id for app in touched if index._answers[app] != self._answers.get(app))
        return index

    def caught_since(self, before: "BanIndex") -> frozenset[str] | None:
        """Ids of the apps that this index recognises otherwise than ``before`` did; None: that is not known."""
        if self._answers is before._answers:
            return frozenset()
        return self.newly_caught if self._grown_from is before._answers.mark else None

    def _learn(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            for matcher in self.bans[number].matchers:
                if _is_exact(matcher):
                    self._exact.setdefault(_key(matcher), []).append((number, matcher))
                else:
                    self._rest.append((number, matcher))

    def caught_of(self, apps: Iterable[App]) -> list[tuple[App, tuple[Ban, ...]]]:
        """Those of the apps that fall under bans, and under which; of most phones' apps none does."""
        caught = []
        for app in apps:
            numbers = self._answers.get(app)
            if numbers is None:
                numbers = self._numbers_of(app)
            if numbers:
                caught.append((app, self._named(numbers)))
        return caught

    def _find(self, app: App) -> tuple[int, ...]:
        candidates = self._exact.get((app.platform, folded_id(app.platform, app.id)), [])
        best: dict[int, int] = {}
        for number, matcher in (*candidates, *self._rest):
            if matches(matcher, app):
                best[number] = max(best.get(number, 0), specificity(matcher))
        return tuple(number for number in sorted(best) if not _excepted(self.bans[number], app, best[number]))


def _is_exact(matcher: Matcher) -> bool:
    return matcher.kind is MatcherKind.ID and matcher.platform is not None


def _key(matcher: Matcher) -> tuple[Platform, str]:
    """Where an exact id stands in an index."""
    assert matcher.platform is not None
    return matcher.platform, folded_id(matcher.platform, matcher.value)


def _recognised_by(ban: Ban) -> tuple[tuple[Matcher, ...], tuple[Matcher, ...]]:
    return ban.matchers, ban.exceptions


def _excepted(ban: Ban, app: App, hit: int) -> bool:
    return any(specificity(exception) >= hit and matches(exception, app) for exception in ban.exceptions)


def compiled(bans: Iterable[Ban], before: BanIndex | None = None) -> BanIndex:
    """The index of some bans; what ``before`` has found out is kept as far as it still holds."""
    bans = tuple(bans)
    known = (before.like(bans) or before.with_more(bans)) if before is not None else None
    if known is not None:
        return known
    index = BanIndex(bans)
    index._learn(range(len(bans)))
    return index


def matcher_from_text(kind: MatcherKind, text: str) -> Matcher:
    """A matcher as an administrator writes it: ``android:com.example``, ``ios:com.example.*``, a signer, a glob.

    Raises ``InvalidValue`` with what is wrong and an example.
    """
    text = text.strip()
    if not text or len(text) > 512 or not text.isprintable():
        raise InvalidValue("a matcher has 1 to 512 printable characters")
    if kind is MatcherKind.SIGNER:
        return Matcher(kind, normalized_signer(text))
    if kind is MatcherKind.TEAM_ID:
        if not re.fullmatch(r"[A-Z0-9]{10}", text):
            raise InvalidValue(f"team id {text!r} must be 10 capital letters and digits")
        return Matcher(kind, text, Platform.MACOS)
    if kind is MatcherKind.ORIGIN:
        if text not in set(AppOrigin):
            raise InvalidValue(f"origin {text!r} must be one of {', '.join(AppOrigin)}")
        return Matcher(kind, text)
    if kind is MatcherKind.EXTENSION_ID:
        return Matcher(kind, text, Platform.CHROME)
    if kind is MatcherKind.NAME:
        return Matcher(kind, text)
    return _id_matcher(kind, text)


def _id_matcher(kind: MatcherKind, text: str) -> Matcher:
    name, colon, app_id = text.partition(":")
    if not colon or name not in set(Platform):
        raise InvalidValue(
            f"{text!r} must name its platform ({', '.join(Platform)}), for example android:com.example.app"
        )
    if app_id.endswith(".*"):
        kind, app_id = MatcherKind.ID_PREFIX, app_id[:-2]
    if not app_id or "*" in app_id or len(app_id) > 255:
        raise InvalidValue(f"{text!r} is no app id: write it whole, or a prefix that ends with .* at a dot")
    return Matcher(kind, app_id, Platform(name))


NEVER_BAN = (
    App(Platform.IOS, "com.apple.mobilemail", "Mail"),
    App(Platform.IOS, "com.apple.Preferences", "Settings"),
    App(Platform.IOS, "com.apple.mobilephone", "Phone"),
    App(Platform.ANDROID, "com.google.android.gm", "Gmail"),
    App(Platform.ANDROID, "com.google.android.gms", "Google Play services"),
    App(Platform.ANDROID, "com.android.settings", "Settings"),
    App(Platform.ANDROID, "com.android.vending", "Google Play Store"),
    App(Platform.ANDROID, "com.samsung.android.email.provider", "Samsung Email"),
    App(Platform.ANDROID, "com.google.android.apps.work.clouddpc", "Android Device Policy"),
    App(Platform.ANDROID, "com.microsoft.windowsintune.companyportal", "Intune Company Portal"),
    App(Platform.IOS, "com.microsoft.CompanyPortal", "Intune Company Portal"),
    App(Platform.ANDROID, "com.microsoft.office.outlook", "Outlook"),
    App(Platform.IOS, "com.microsoft.Office.Outlook", "Outlook"),
)
"""Apps whose ban would lock everybody out: the mail client, the management agent, the system itself."""


def warnings_for(ban: Ban) -> tuple[str, ...]:
    """What an administrator should know about a ban before it is enforced: over-wide and weak matchers."""
    found = []
    for matcher in ban.matchers:
        caught = [
            app.name for app in NEVER_BAN if matches(matcher, app) and not _excepted(ban, app, specificity(matcher))
        ]
        if caught:
            names = ", ".join(dict.fromkeys(caught))
            found.append(f"{_written(matcher)} also matches {names}, which nearly every phone has")
        if matcher.kind is MatcherKind.ID_PREFIX and matcher.value.count(".") < 1:
            found.append(f"{_written(matcher)} is a very wide prefix")
        if matcher.kind is MatcherKind.NAME:
            found.append(f"{_written(matcher)} goes by a display name, which anybody can choose: weak")
        if matcher.kind is MatcherKind.ORIGIN and matcher.value in (AppOrigin.SYSTEM, AppOrigin.STORE):
            found.append(f"{_written(matcher)} matches nearly every app")
    return tuple(found)


def _written(matcher: Matcher) -> str:
    star = ".*" if matcher.kind is MatcherKind.ID_PREFIX else ""
    platform = f"{matcher.platform}:" if matcher.platform else ""
    return f"{matcher.kind} {platform}{matcher.value}{star}"
