"""Guards: what makes a change need a second person, each with number, limit and what to do.

They count what the preview found, together with what the same author applied within the last day, so that ten small
changes are as guarded as a large one. A change that only turns flags down passes all of them: less enforcement by
flags is one step for one person, always. Pure; the numbers come from ``changes.impact`` and the store.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from gateway.domain.access import Protocol
from gateway.domain.change import PolicyChange
from gateway.domain.freeze import FreezeSpan, opens_at
from gateway.domain.inventory import Platform
from gateway.domain.operator import same_name
from gateway.domain.policy import Exemption, OutlookMobile, Setting, Unavailable, UnknownSetting
from gateway.domain.policy_parts import FlagPart, Touch
from gateway.domain.stages import is_milder

COUNTED_SECONDS = 86_400.0
"""An author's changes within so long are counted together."""
NAMED = 5


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """The settings of [changes]."""

    devices: int = 50
    """More newly cut and newly admitted ones than this within a day."""
    percent: float = 1.0
    """Or more than this share of the fleet, where it is at least ``at_least`` devices."""
    at_least: int = 5
    widest_percent: float = 20.0
    """A ban that matches apps on more of the fleet than this is over-wide."""
    freeze: tuple[FreezeSpan, ...] = ()
    freeze_zone: tzinfo = UTC


@dataclass(frozen=True, slots=True)
class WideBan:
    """A ban of the change that very many devices fall under."""

    ban: str
    app: str
    """The app that most of them have."""
    devices: int
    percent: float
    """Of all that are known, mail devices or not."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a preview found, as far as guards look at it."""

    newly_cut: int
    newly_admitted: int
    devices: int
    """All that are known."""
    wide: tuple[WideBan, ...] = ()
    named_cut: tuple[str, ...] = ()
    """Operators and people of the VIP group among the newly cut, the author among them."""
    cut_by_name: int = 0
    """People who lose mail where a login alone asks, and of whom no device is newly cut."""
    admitted_by_name: int = 0
    people: int = 0
    """All that are known."""

    @property
    def turned(self) -> tuple[tuple[str, int, int], ...]:
        """What counts: in words, devices, and people beside them."""
        return (
            ("newly cut", self.newly_cut, self.cut_by_name),
            ("newly admitted", self.newly_admitted, self.admitted_by_name),
        )


@dataclass(frozen=True, slots=True)
class GuardHit:
    """One reason why a second person has to approve."""

    guard: str
    sentence: str
    number: float = 0.0
    limit: float = 0.0


def turns_down_only(touches: Iterable[Touch]) -> bool:
    """Whether a change does nothing but turn flags, or the global switch, to less."""
    return all(
        is_milder(touch) and (touch.after is False or (isinstance(touch.after, FlagPart) and touch.before is not None))
        for touch in touches
    )


def guard_hits(
    change: PolicyChange,
    measured: Measured,
    recent: Sequence[PolicyChange],
    limits: GuardLimits,
    own_logins: Collection[str],
    now: float,
) -> tuple[GuardHit, ...]:
    """Why the change needs a second person; empty where it does not.

    ``recent`` are the author's other changes of the last day, ``own_logins`` the author's mail logins, if known.
    """
    if change.action is None and turns_down_only(change.touches):
        return ()
    found = [
        *_acted(change),
        *_counted(change, measured, recent, limits, now),
        *_wide(measured, limits),
        *_exempted(change, own_logins),
        *_passing_unjudged(change),
        *_named(measured),
        *_frozen(change, limits, now),
    ]
    return tuple(found)


def _acted(change: PolicyChange) -> Iterable[GuardHit]:
    if change.action is not None:
        yield GuardHit("action", f"{change.title}: this always needs a second person")


def _counted(
    change: PolicyChange, measured: Measured, recent: Sequence[PolicyChange], limits: GuardLimits, now: float
) -> Iterable[GuardHit]:
    others = (each for each in recent if each.number != change.number and same_name(each.author, change.author))
    # Its own earlier stages count as well: twenty small ones are a large change.
    before = sum(_within_a_day(each, now) for each in (*others, change))
    fleet = measured.devices or measured.people
    for words, devices, people in measured.turned:
        if not devices and not people:
            continue
        total = devices + people + before
        share = total / fleet * 100 if fleet else 0.0
        number = f"{devices} devices" + (f", and {people} people by protocols that name none," if people else "")
        earlier = f", {before} more by {change.author}'s changes of the last 24 hours" if before else ""
        if total > limits.devices:
            yield GuardHit(
                words.replace(" ", "_"),
                f"{number} {words}{earlier}; one person alone may turn {limits.devices} within a day",
                total,
                limits.devices,
            )
        elif share > limits.percent and total >= limits.at_least:
            yield GuardHit(
                words.replace(" ", "_"),
                f"{number} {words}{earlier}, {share:.3g} % of the fleet; one person alone may turn "
                f"{limits.percent:g} % within a day",
                share,
                limits.percent,
            )


def _within_a_day(change: PolicyChange, now: float) -> int:
    """Devices that its stages of the last day turned; taken back or not, it was done."""
    late = (each for each in change.done if each.at > now - COUNTED_SECONDS)
    return sum(each.newly_cut + each.newly_admitted + each.by_name for each in late)


def _wide(measured: Measured, limits: GuardLimits) -> Iterable[GuardHit]:
    for ban in measured.wide:
        # In a small fleet every app is on a large share of it.
        if ban.devices > limits.devices and ban.percent > limits.widest_percent:
            yield GuardHit(
                "over_wide",
                f"ban {ban.ban} matches {ban.app}, which is on {ban.percent:.3g} % of the devices; a ban of more than "
                f"{limits.widest_percent:g} % is taken for a slip",
                ban.percent,
                limits.widest_percent,
            )


def _exempted(change: PolicyChange, own_logins: Collection[str]) -> Iterable[GuardHit]:
    for touch in change.touches:
        exemption = touch.after
        if not isinstance(exemption, Exemption) or exemption == touch.before:
            continue
        if exemption.group:
            yield GuardHit("exempts_group", f"the whole group {exemption.group} would be exempt")
        elif exemption.login in own_logins or _is_named_like(change.author, exemption.login):
            yield GuardHit("exempts_author", f"{change.author} would be exempt by {change.author}'s own change")


def _is_named_like(author: str, login: str) -> bool:
    """Whether a login looks like the author's own: perhaps nobody has said which ones are."""
    return bool(login) and author.casefold() in (login, login.partition("@")[0])


def _passing_unjudged(change: PolicyChange) -> Iterable[GuardHit]:
    """Whoever passes unjudged from now on is not among those whom the preview of today counts."""
    for touch in change.touches:
        if isinstance(touch.after, UnknownSetting) and _allows_more(touch.before, touch.after):
            words = f"who is {touch.part.partition(':')[2]} would pass without a word"
        elif touch.after is Unavailable.ALLOW:
            words = "everybody would pass while the state cannot be read, with a banned app, too"
        elif touch.after is OutlookMobile.ALLOW:
            words = "whoever says to be Outlook on a phone would pass"
        else:
            continue
        yield GuardHit("passes_unjudged", f"{words}: this always needs a second person")


def _allows_more(before: object, after: UnknownSetting) -> bool:
    earlier = before if isinstance(before, UnknownSetting) else UnknownSetting()
    return any(
        after.of(protocol, platform) is Setting.ALLOW and earlier.of(protocol, platform) is not Setting.ALLOW
        for protocol in Protocol
        for platform in (None, *Platform)
    )


def _named(measured: Measured) -> Iterable[GuardHit]:
    if measured.named_cut:
        names = ", ".join(measured.named_cut[:NAMED])
        more = len(measured.named_cut) - NAMED
        yield GuardHit(
            "named_people",
            f"operators or people of the VIP group would be cut: {names}{f' and {more} more' if more > 0 else ''}",
            len(measured.named_cut),
        )


def _frozen(change: PolicyChange, limits: GuardLimits, now: float) -> Iterable[GuardHit]:
    if all(is_milder(touch) for touch in change.touches):
        return
    opens = opens_at(limits.freeze, limits.freeze_zone, now)
    if opens is not None:
        local = datetime.fromtimestamp(opens, UTC).astimezone(limits.freeze_zone)
        yield GuardHit("freeze_hours", f"these are freeze hours, until {local:%a %d %b %H:%M %Z}")
