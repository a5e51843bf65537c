"""The fleet brake as a value: what is held, since when, and what an operator has let go.

Evidence can be "sent in error" like a message: a dead poller, a vendor that lists one app on every phone, a clock that
jumps. A ``Hold`` of trouble ``stale`` stops the ageing of one source's lists; one of trouble ``hits`` or ``gaps`` keeps
further reports of one kind waiting (``holding``), or only alarms. It never touches what is known already: a device with
an open hit stays refused, and so does whoever was refused before.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from gateway.domain.ageing import Ageing
from gateway.domain.verdict import FOREVER

WINDOW_SECONDS = 600.0
"""Devices newly refused within so long count together."""


class Trouble(StrEnum):
    """What a source does to very many devices at once."""

    STALE = "stale"
    """Its lists become too old together: it has stopped, or time has jumped."""
    HITS = "hits"
    """One ban is newly found on them."""
    GAPS = "gaps"
    """Its reports leave them so that nobody can prove them clean any more."""


Name = tuple[str, Trouble, str]
"""Source, trouble, and the ban where the trouble is ``hits``."""


@dataclass(frozen=True, slots=True)
class Hold:
    """One source's trouble, and what is done about it until an operator or the source itself ends it."""

    source_id: str
    trouble: Trouble
    since: float
    """Epoch seconds. Lists of a held source are judged as of this moment."""
    devices: int
    """How many are held now; of an alarm, how many were newly refused."""
    ban: str = ""
    holding: bool = True
    """False: an alarm only; denials go on."""
    confirmed_by: str = ""
    """Who has looked at it and wants it so."""
    confirmed_until: float = 0.0

    @property
    def name(self) -> Name:
        """By what it is told from others."""
        return self.source_id, self.trouble, self.ban


@dataclass(frozen=True, slots=True)
class Release:
    """An operator's word that a source's trouble is real: it is not held again until then."""

    source_id: str
    trouble: Trouble
    by: str
    until: float
    ban: str = ""

    @property
    def name(self) -> Name:
        """Of the holds that it forbids."""
        return self.source_id, self.trouble, self.ban


@dataclass(frozen=True, slots=True)
class Limits:
    """How many newly refused devices are too many; both must be passed."""

    percent: float = 1.0
    at_least: int = 20

    def exceeded(self, devices: int, fleet: int) -> bool:
        """Whether so many of a fleet are more than an operator wants refused unseen."""
        return devices >= self.at_least and devices * 100 > self.percent * fleet


LIMITS = Limits()
"""As they come."""


@dataclass(frozen=True, slots=True)
class Brake:
    """The state of the brake, one for all processes."""

    looked_until: float | None = None
    """Up to here somebody has looked at whom time refuses, and lists may age; None: they age freely."""
    holds: tuple[Hold, ...] = ()
    releases: tuple[Release, ...] = ()

    @property
    def ageing(self) -> Ageing:
        """How far lists age."""
        until = FOREVER if self.looked_until is None else self.looked_until
        return Ageing(until, {each.source_id: each.since for each in self.holds if each.trouble is Trouble.STALE})

    def hold(self, name: Name) -> Hold | None:
        """The hold of that name."""
        return next((each for each in self.holds if each.name == name), None)

    def is_released(self, name: Name, now: float) -> bool:
        """Whether an operator does not want that held."""
        return any(each.name == name and now < each.until for each in self.releases)

    def with_holds(self, holds: Iterable[Hold]) -> "Brake":
        """Others in place of those of the same names; new ones last."""
        by_name = {each.name: each for each in self.holds} | {each.name: each for each in holds}
        return replace(self, holds=tuple(by_name.values()))

    def without(self, names: Iterable[Name]) -> "Brake":
        """Those of these names gone."""
        gone = frozenset(names)
        return replace(self, holds=tuple(each for each in self.holds if each.name not in gone))

    def released(self, release: Release, now: float) -> "Brake":
        """An operator's release, and no memory of those that have ended."""
        kept = (each for each in self.releases if each.until > now and each.name != release.name)
        return replace(self.without([release.name]), releases=(*kept, release))


NO_BRAKE = Brake()
"""Where nothing has been written yet."""
