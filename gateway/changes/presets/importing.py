"""The edit that bans what a published list names: one ban for each app that is recognised, so that whoever is refused
is told which app it is.

Apps that a ban covers already are left alone; where a ban of the same name recognises something else, the new one
carries the list's name, too. Unconfirmed candidates are no part of it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from gateway.changes.edits import add_ban
from gateway.changes.presets.reading import ListedApp, Preset
from gateway.domain.bans import Ban, Flag, Matcher
from gateway.domain.errors import InvalidValue
from gateway.domain.policy import PolicyVersion

LABEL = "preset"
"""Under which a ban keeps the name of its list."""


Seeds = Callable[[], int]
"""Gives each ban the number by which its percentages choose people: 63 random bits."""


@dataclass(frozen=True, slots=True)
class ImportWanted:
    """How a list becomes bans."""

    flag: Flag = Flag.REPORT_ONLY
    groups: frozenset[str] = frozenset()
    text: str = ""
    """For the people who are refused; the same for every ban."""
    variants: bool = False
    """Ban lite and other editions, too."""


def import_preset(preset: Preset, wanted: ImportWanted, seeds: Seeds) -> Callable[[PolicyVersion], PolicyVersion]:
    """The edit for ``ChangeDesk.propose``; it raises ``InvalidValue`` where a ban cannot stand."""

    def edit(version: PolicyVersion) -> PolicyVersion:
        edited = version
        for app in preset.apps:
            if app.ids and covering(version.bans, app, wanted) is None:
                edited = add_ban(edited, _ban(edited, preset, app, wanted, seeds()))
        added = len(edited.bans) - len(version.bans)
        if not added:
            return version
        bans = "ban" if added == 1 else "bans"
        summary = f"{added} {bans} of the {len(preset.apps)} apps of preset {preset.name} added, {wanted.flag}"
        return replace(edited, summary=summary)

    return edit


def covering(bans: Iterable[Ban], app: ListedApp, wanted: ImportWanted) -> Ban | None:
    """The ban that recognises all that an import would recognise, for the same people and without an end."""
    matchers = {_key(each) for each in app.matchers(wanted.variants)}
    for ban in bans:
        bounded = ban.exceptions or ban.starts_at is not None or ban.ends_at is not None
        same_people = not ban.groups or ban.groups == wanted.groups
        # A bound on the version makes a matcher another one.
        if not bounded and same_people and matchers <= {_key(each) for each in ban.matchers}:
            return ban
    return None


def _key(matcher: Matcher) -> Matcher:
    return replace(matcher, value=matcher.value.casefold()) if matcher.platform == "ios" else matcher


def _ban(version: PolicyVersion, preset: Preset, app: ListedApp, wanted: ImportWanted, seed: int) -> Ban:
    taken = {ban.name.casefold() for ban in version.bans}
    name = next((each for each in (app.app, f"{app.app} ({preset.name})") if each.casefold() not in taken), "")
    if not name:
        raise InvalidValue(
            f"bans {app.app!r} and {app.app + ' (' + preset.name + ')'!r} exist and recognise something else:"
            " remove one of them first"
        )
    return Ban(
        name,
        app.matchers(wanted.variants),
        flag=wanted.flag,
        groups=wanted.groups,
        seed=seed,
        text=wanted.text,
        labels={LABEL: preset.name},
    )
