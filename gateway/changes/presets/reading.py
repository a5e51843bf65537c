"""Reads the published lists: package data, checked as strictly as input of strangers."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from gateway.domain.bans import Matcher, MatcherKind
from gateway.domain.errors import InvalidValue
from gateway.domain.inventory import Platform
from gateway.domain.matching import matcher_from_text


@dataclass(frozen=True, slots=True)
class ListedApp:
    """An entry of a list. Without ``ids`` it cannot be recognised."""

    app: str
    listed_as: str = ""
    """As the publisher spells it, where that differs."""
    ids: tuple[str, ...] = ()
    """``android:PACKAGE`` or ``ios:BUNDLE``: each seen with the app's name in two public sources or more. That does not
    say that anybody looked into the stores."""
    variants: tuple[str, ...] = ()
    """Editions of the same app (lite, 64-bit), less checked: banned where that is asked for."""
    candidates: tuple[str, ...] = ()
    """Ids in circulation that nobody confirms: to be checked by hand, never banned."""
    seen_in: tuple[str, ...] = ()
    """Where the ids were found."""
    note: str = ""

    def matchers(self, variants: bool = False) -> tuple[Matcher, ...]:
        """What recognises the app; candidates are not among them."""
        return tuple(matcher_from_text(MatcherKind.ID, each) for each in (*self.ids, *(self.variants * variants)))

    def on(self, platform: Platform) -> bool:
        """Whether the app is recognised there."""
        return any(each.startswith(f"{platform}:") for each in self.ids)


@dataclass(frozen=True, slots=True)
class Preset:
    """A published list."""

    name: str
    title: str
    dated: str
    about: str
    sources: tuple[str, ...]
    apps: tuple[ListedApp, ...]

    def recognised_on(self, platform: Platform) -> int:
        """How many of the apps are recognised there."""
        return sum(each.on(platform) for each in self.apps)

    @property
    def unrecognised(self) -> tuple[ListedApp, ...]:
        """The apps that no id stands for."""
        return tuple(each for each in self.apps if not each.ids)


@cache
def presets() -> dict[str, Preset]:
    """Every list by name. Raises ``ValueError`` where the package's own data is damaged."""
    found = (each for each in files(__package__).iterdir() if each.name.endswith(".json"))
    read = [read_preset(each.read_text("utf-8")) for each in found]
    return {each.name: each for each in sorted(read, key=lambda each: each.name)}


def find_preset(name: str) -> Preset:
    """The list of that name. Raises ``InvalidValue``, which names those there are."""
    preset = presets().get(name.strip().lower())
    if preset is None:
        raise InvalidValue(f"there is no preset {name!r}; there are: {', '.join(presets())}")
    return preset


def read_preset(text: str) -> Preset:
    """A list from its file. Raises ``ValueError`` that says what is wrong with it."""
    given = json.loads(text)
    try:
        apps = tuple(_listed_app(each) for each in given.pop("apps"))
        preset = Preset(**{key: _frozen(value) for key, value in given.items()}, apps=apps)
    except (AttributeError, KeyError, TypeError, InvalidValue) as error:
        raise ValueError(f"this is no preset: {error}") from error
    names = [each.app.casefold() for each in preset.apps]
    if not preset.sources or len(set(names)) != len(names):
        raise ValueError(f"preset {preset.name} needs a source, and each app once")
    return preset


def _listed_app(given: dict[str, Any]) -> ListedApp:
    app = ListedApp(**{key: _frozen(value) for key, value in given.items()})
    app.matchers(variants=True)
    _see_distinct((*app.ids, *app.variants, *app.candidates), app.app)
    if app.ids and not app.seen_in:
        raise InvalidValue(f"{app.app} has an id and no source for it")
    return app


def _see_distinct(ids: Iterable[str], app: str) -> None:
    listed = list(ids)
    if len(set(listed)) != len(listed) or any(each.partition(":")[0] not in ("android", "ios") for each in listed):
        raise InvalidValue(f"{app} needs each id once, as android:… or ios:…")


def _frozen(value: Any) -> Any:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return tuple(value)
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is neither text nor a list of texts")
    return value
