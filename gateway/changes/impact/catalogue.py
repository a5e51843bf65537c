"""The distinct apps of a fleet, each with a number, and which of them a ban recognises.

Matchers run over the catalogue, never over devices. Dictionaries find who can be meant at all; whether it is, with
exceptions and version bounds, says ``domain.matching`` alone. Versions are entries of their own, so that every bound
can be previewed; what no matcher looks at (the installer) is not kept. One thread adds while others ask: a lock.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from gateway.domain.bans import Ban, Matcher, MatcherKind
from gateway.domain.inventory import App, Platform, folded_id
from gateway.domain.matching import compiled, matches

REMEMBERED_BANS = 10_000
REMEMBERED_SPELLINGS = 500_000
ASKED_ONE_BY_ONE = 1_000
"""So many new entries are looked at each by itself; more are found by the dictionaries."""

_BanKey = tuple[tuple[Matcher, ...], tuple[Matcher, ...]]


@dataclass(slots=True)
class _Found:
    """The entries that a ban recognises among the first ``looked_at``."""

    entries: list[int] = field(default_factory=list)
    looked_at: int = 0


class Catalogue:
    """Numbers for apps, in the order in which they were first seen."""

    def __init__(self, apps: Iterable[App] = ()) -> None:
        self._lock = threading.Lock()
        self._apps: list[App] = []
        self._hashes: list[int] = []
        self._numbers: dict[App, int] = {}
        self._spellings: dict[App, int] = {}
        """The same by the app as it is reported, so that most need no copy."""
        self._by_id: dict[tuple[Platform, str], list[int]] = {}
        self._by_prefix: dict[tuple[Platform, str], list[int]] = {}
        self._by_signer: dict[str, list[int]] = {}
        self._by_team: dict[str, list[int]] = {}
        self._by_origin: dict[str, list[int]] = {}
        self._by_name: dict[tuple[str, str], list[int]] = {}
        self._found: OrderedDict[_BanKey, _Found] = OrderedDict()
        for app in apps:
            self.number(app)

    def __len__(self) -> int:
        return len(self._apps)

    def app(self, number: int) -> App:
        """What a number stands for."""
        return self._apps[number]

    def hash_of(self, number: int) -> int:
        """64 bits that stand for the app in any process."""
        return self._hashes[number]

    def number(self, app: App) -> int:
        """The number of an app, a new one if need be. For the writer only."""
        known = self._spellings.get(app)
        if known is None:
            if len(self._spellings) >= REMEMBERED_SPELLINGS:
                self._spellings.clear()
            known = self._spellings[app] = self._number(replace(app, installer="", system=False))
        return known

    def _number(self, app: App) -> int:
        known = self._numbers.get(app)
        if known is not None:
            return known
        with self._lock:
            number = self._numbers[app] = len(self._apps)
            self._apps.append(app)
            self._hashes.append(_hash(app))
            self._file(app, number)
        return number

    def _file(self, app: App, number: int) -> None:
        app_id = folded_id(app.platform, app.id)
        self._by_id.setdefault((app.platform, app_id), []).append(number)
        for prefix in _prefixes(app_id):
            self._by_prefix.setdefault((app.platform, prefix), []).append(number)
        for signer in app.signers:
            self._by_signer.setdefault(signer, []).append(number)
        self._by_team.setdefault(app.team_id, []).append(number)
        self._by_origin.setdefault(app.origin, []).append(number)
        self._by_name.setdefault((app.name, app.publisher), []).append(number)

    def entries_of(self, ban: Ban) -> Sequence[int]:
        """The entries that the ban recognises."""
        key = ban.matchers, ban.exceptions
        with self._lock:
            found = self._found.get(key)
            if found is None:
                found = self._found[key] = _Found()
                if len(self._found) > REMEMBERED_BANS:
                    self._found.popitem(last=False)
            self._found.move_to_end(key)
            self._complete(ban, found)
            return tuple(found.entries)

    def _complete(self, ban: Ban, found: _Found) -> None:
        fresh: Iterable[int] = range(found.looked_at, len(self._apps))
        if len(self._apps) - found.looked_at > ASKED_ONE_BY_ONE:
            fresh = sorted({number for matcher in ban.matchers for number in self._meant(matcher)})
        index = compiled((ban,))
        found.entries += [each for each in fresh if each >= found.looked_at and index.bans_of(self._apps[each])]
        found.looked_at = len(self._apps)

    def _meant(self, matcher: Matcher) -> Iterator[int]:
        """All entries that a matcher may recognise, and perhaps others."""
        platforms = tuple(Platform) if matcher.platform is None else (matcher.platform,)
        if matcher.kind in (MatcherKind.ID, MatcherKind.EXTENSION_ID, MatcherKind.ID_PREFIX):
            filed = self._by_prefix if matcher.kind is MatcherKind.ID_PREFIX else self._by_id
            for platform in platforms:
                yield from filed.get((platform, folded_id(platform, matcher.value)), ())
        elif matcher.kind is MatcherKind.NAME:
            anywhere = replace(matcher, platform=None, below_version="")
            for (name, publisher), numbers in self._by_name.items():
                if matches(anywhere, App(Platform.LINUX, "", name, publisher=publisher)):
                    yield from numbers
        else:
            by = {
                MatcherKind.SIGNER: self._by_signer,
                MatcherKind.TEAM_ID: self._by_team,
                MatcherKind.ORIGIN: self._by_origin,
            }[matcher.kind]
            yield from by.get(matcher.value, ())


def _prefixes(app_id: str) -> Iterator[str]:
    """Everything before a dot: what ``MatcherKind.ID_PREFIX`` may name."""
    at = app_id.find(".")
    while at >= 0:
        yield app_id[:at]
        at = app_id.find(".", at + 1)


def _hash(app: App) -> int:
    parts = (app.platform, app.id, app.name, app.version, app.version_code, app.publisher, app.team_id, app.signers)
    text = repr((*map(str, parts[:4]), *parts[4:], str(app.origin)))
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
